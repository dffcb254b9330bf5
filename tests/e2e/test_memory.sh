#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Memory calls with rare flags, advice and limits have the same results on memory
# that is paged as natively; and memory that the kernel holds on to while it is
# paged holds the right bytes.
. "$(dirname "$0")/../support/e2e.sh"

mkdir "$dir/files"
"$bin/memory" "$dir/files" >"$dir/native" || fail 'natively'
swapped 16 "$bin/memory" "$dir/files" >"$dir/paged"
same "$dir/native" "$dir/paged"

# What is locked within the budget, and what is refused beyond.
swapped 32 "$bin/memory" "$dir/files" lockall

# Where pages cannot be moved, those that a device writes to are lost: README.md.
"$USWAP" run -v --ram 32M "$bin/memory" "$dir/files" lockall >"$dir/out" \
    2>"$dir/err" || fail "lockall: $(cat "$dir/err")"
if grep -q 'pages moved (UFFDIO_MOVE)' "$dir/err"; then
	swapped 16 "$bin/pinned" "$dir/files" "$(scale 10 600)"
	# More than can leave: memory grows, and that is said.
	"$USWAP" run --ram 16M --stats "$dir/stats" -- "$bin/pinned" \
	    "$dir/files" more 2>"$dir/err" || fail "more: $(cat "$dir/err")"
	grep -q 'no page can leave memory' "$dir/err" || fail 'nothing was said'
	[ "$(number over_budget)" -gt 0 ] || fail 'it was not more'
else
	echo "$test: pinned: not here: this kernel cannot move pages"
fi

# The pager's tables are address space: without it the program ends, and says so.
(
	ulimit -v 4000000
	exec "$USWAP" run --ram 16M "$bin/memory" "$dir/files" brk
) >"$dir/out" 2>"$dir/err"
status=$?
[ $status -eq 125 ] || fail "little address space: exit code $status, not 125"
grep -q 'ulimit -v' "$dir/err" || fail "little address space: $(cat "$dir/err")"
