#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fork: a child sees the right bytes or does not come to be; never zeros.
. "$(dirname "$0")/../support/e2e.sh"

# All of it paged out in part: forks.c says what each must do.
for how in fork raw spawn system; do
	swapped 48 "$bin/forks" 128 $how
done

# Nothing paged out: everything must work as without uswap.
run() {
	timeout -k 5 60 "$USWAP" run --ram 256M -- "$@" || fail "exit code $? of: $*"
}
run "$bin/forks" 1 fork must
run "$bin/forks" 32 fork must
[ "$(run sh -c 'seq 3 | sort -r | tr "\n" " "; (echo sub)')" = '3 2 1 sub' ] ||
    fail 'a shell with a pipe'
python=$(python3 -c 'import sys; print(sys.executable)')
swapped 48 "$python" -c '
import subprocess
a = [bytes([i % 251]) * (1 << 20) for i in range(128)]
for i in range(20):
    assert subprocess.check_output(["echo", "hello"]) == b"hello\n"
assert all(b == bytes([i % 251]) * (1 << 20) for i, b in enumerate(a))'
