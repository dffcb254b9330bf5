#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# memlimit.sh BYTES [-n] [-w] PROGRAM ARGS...: runs PROGRAM in a control group of its
# own with BYTES of memory; -n: and without the machine's swap space; -w: where
# the kernel would kill for want of memory the program waits instead (the first
# version of control groups only; no effect on the second).
# Exits with PROGRAM's status (137: killed by the kernel, most likely for want
# of memory), or 77 where no group with a memory limit can be made.
bytes=$1
shift
swap=yes
kill=yes
while :; do
	case $1 in
	-n) swap=no ;;
	-w) kill=no ;;
	*) break ;;
	esac
	shift
done

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
	[ $kill = yes ] || echo 1 >"$group/memory.oom_control" || none 'it kills'
else
	echo "$bytes" >"$group/memory.max" || none 'no limit'
	[ $swap = yes ] || echo 0 >"$group/memory.swap.max"
fi
# All threads can come to wait, and nobody is left to give memory back.  A limit that
# is raised makes the kernel wake them to look once more; it is a page, and goes again
# as soon as that much can be reclaimed.
poke() {
	while sleep 0.05 && kill -0 $$; do
		{ read -r _; read -r _ waiting; } <"$group/memory.oom_control"
		if [ "$waiting" = 1 ]; then
			echo $((bytes + 4096)) >"$group/memory.limit_in_bytes"
			echo "$bytes" >"$group/memory.limit_in_bytes"
		fi
	done
}
if [ $kill = no ] && [ $version = 1 ]; then
	poke >/dev/null 2>&1 &
	poker=$!
	trap 'kill $poker; remove' EXIT
fi

# Not exec: this shell stays outside, to clean up.
sh -c 'echo $$ >"$0/cgroup.procs" && exec "$@"' "$group" "$@"
