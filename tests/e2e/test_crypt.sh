#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Encrypted swap space: what the program knows is not on the disk, whoever ends.
. "$(dirname "$0")/../support/e2e.sh"

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"

# Two files, one of them encrypted, in turn, and a child with a pager of its own.
"$USWAP" run --ram 32M --swap "$dir/a.swap,size=128M,crypt" \
    --swap "$dir/b.swap,size=128M" --stats "$dir/stats" -- \
    "$bin/threads" 128 4 "$(scale 5 60)" "$seed" >"$dir/out" 2>"$dir/err" ||
    fail "threads: $(cat "$dir/err")"
grep -q 'all right' "$dir/out" || fail 'not all right'
[ ! -s "$dir/err" ] || fail "it spoke: $(cat "$dir/err")"
[ "$(number pages_in)" -gt 10000 ] || fail 'little was paged in'
rm "$dir/b.swap"

# Killed in the middle, it leaves its file as it is.
cat >"$dir/secret.py" <<'EOT'
import os, signal, sys
words = [b"nobody is to know " + str(i).encode() + b" " * 4000
         for i in range(20000)]
assert all(w.endswith(b" ") for w in words)
os.kill(os.getpid(), signal.SIGKILL)
EOT
for option in '' ,crypt; do
	"$USWAP" run --ram 32M --swap "$dir/a.swap$option" -- \
	    python3 "$dir/secret.py" 2>"$dir/err"
	[ $? -eq 137 ] || fail "not killed: $(cat "$dir/err")"
	found=$(grep -aco 'nobody is to know [0-9]' "$dir/a.swap")
	echo "$test: '$option': $found lines with the secret"
	case $option in
	'') [ "$found" -gt 0 ] || fail 'it was not paged out at all' ;;
	*) [ "$found" -eq 0 ] || fail 'it can be found' ;;
	esac
	rm "$dir/a.swap"
	[ -n "$option" ] ||
	    "$USWAP" run --swap "$dir/a.swap,size=128M,crypt" true ||
	    fail 'cannot make the file'
done

# A child cannot have its parent's file; what it has instead is encrypted, too.
cat >"$dir/child.py" <<'EOT'
import subprocess, sys
block = bytearray(b"x" * 100) * 600000
if len(sys.argv) > 1:
    subprocess.check_call([sys.executable, sys.argv[0]])
EOT
"$USWAP" run -v --ram 32M --swap "$dir/a.swap,size=128M,crypt" -- \
    python3 "$dir/child.py" child 2>"$dir/err" ||
    fail "child: $(cat "$dir/err")"
grep -q "using tmp,size=128M,dir=$dir,crypt\$" "$dir/err" ||
    fail "the child: $(cat "$dir/err")"
exit 0
