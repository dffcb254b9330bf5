#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# memlimit.sh BYTES [-n] PROGRAM ARGS...: runs PROGRAM in a control group of its
# own with BYTES of memory; -n: and without the machine's swap space.
# Exits with PROGRAM's status (137: killed by the kernel, most likely for want
# of memory), or 77 where no group with a memory limit can be made.
bytes=$1
shift
swap=yes
if [ "$1" = -n ]; then
	swap=no
	shift
fi

none() {
	echo "memlimit.sh: $*" >&2
	exit 77
}

[ "$(id -u)" -eq 0 ] || none 'only root can make a control group'
base=/sys/fs/cgroup
if [ -e $base/memory/memory.limit_in_bytes ]; then
	base=$base/memory
	version=1
elif grep -qw memory $base/cgroup.controllers 2>/dev/null &&
    grep -qw memory $base/cgroup.subtree_control; then
	version=2
else
	none 'no memory controller'
fi
group=$base/uswap.$$
mkdir "$group" 2>/dev/null || none "cannot make $group"

# A group cannot be removed in the moment after its last process has ended.
remove() {
	for _ in 1 2 3 4 5 6 7 8 9 10; do
		rmdir "$group" 2>/dev/null && return
		sleep 0.2
	done
	echo "memlimit.sh: cannot remove $group" >&2
}
trap remove EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

if [ $version = 1 ]; then
	echo "$bytes" >"$group/memory.limit_in_bytes" || none 'no limit'
	[ $swap = yes ] || echo 0 >"$group/memory.swappiness"
else
	echo "$bytes" >"$group/memory.max" || none 'no limit'
	[ $swap = yes ] || echo 0 >"$group/memory.swap.max"
fi
# Not exec: this shell stays outside, to clean up.
sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
