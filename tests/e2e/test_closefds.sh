#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program that closes descriptors it did not open, as daemons do.
. "$(dirname "$0")/../support/e2e.sh"

swapped 64 "$bin/closefds" 160

# Descriptor 2 may be the program's data by the time the pager has to complain.
cat >"$dir/fd2.py" <<'EOF'
import os, sys
os.close(2)
assert os.open(sys.argv[1], os.O_RDWR | os.O_CREAT) == 2
os.write(2, b"my data\n")
memory = bytearray(b"x") * (60 << 20)
os.write(2, b"more data\n")
EOF
for v in '' -v; do
	# shellcheck disable=SC2086 # nothing is no argument
	"$USWAP" run $v --ram 16M --swap tmp,size=64K --stats "$dir/stats" \
	    python3 "$dir/fd2.py" "$dir/data" || fail "exit code $?"
	[ "$(number over_budget)" -gt 0 ] || fail 'nothing to complain of'
	printf 'my data\nmore data\n' | cmp - "$dir/data" ||
	    fail "a message in the program's file"
	rm "$dir/data"
done
