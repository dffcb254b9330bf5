#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Where the kernel has no memory for a page and kills nobody for it, the program waits,
# and goes on with every byte when there is some.
. "$(dirname "$0")/../support/e2e.sh"

groups=/sys/fs/cgroup/memory
[ "$(id -u)" -eq 0 ] || skip 'only root can make a control group'
[ -e $groups/memory.oom_control ] ||
	skip 'in the second version of control groups the kernel kills'
"$root/tools/memlimit.sh" 67108864 -n -w true || skip 'no control group'
touch=$(dirname "$USWAP")/bench/touch
group=

# Whatever happens, nobody is to wait for ever.
end() {
	while [ -n "$group" ] && [ -e "$group" ]; do
		echo 536870912 2>/dev/null >"$group/memory.limit_in_bytes"
		sleep 0.1
	done 2>/dev/null
}
trap 'end; at_exit' EXIT

# within [OPTION]: in half of the memory of the budget, then in enough.
within() {
	rm -f "$dir/out"
	"$root/tools/memlimit.sh" 67108864 -n -w "$USWAP" run "$@" --ram 128M -- \
		"$touch" --mib 256 --threads 2 --seconds 1 randwrite \
		>"$dir/out" 2>"$dir/err" &
	run=$!
	group=$groups/uswap.$run
	for _ in $(seq 60); do
		sleep 0.5
		failed=$(cat "$group/memory.failcnt" 2>/dev/null)
		[ "${failed:-0}" -eq 0 ] || break
	done
	[ "${failed:-0}" -gt 0 ] || fail "$*: it had enough: $(cat "$dir/err")"
	sleep 2
	[ -s "$dir/out" ] && fail "$*: it did not need the memory"
	kill -0 $run || fail "$*: it did not wait: $(cat "$dir/err")"
	end
	wait $run || fail "$*: $? $(cat "$dir/err")"
	grep -q '"run"' "$dir/out" || fail "$*: it said $(cat "$dir/out")"
}

within
within --inline
