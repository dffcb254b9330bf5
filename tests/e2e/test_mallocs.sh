#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Allocators under load: the one that is preloaded, and those that a program
# brings along, which take their memory by mmap.
. "$(dirname "$0")/../support/e2e.sh"

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"
mib=$(scale 96 1024)
time=$(scale 3 120)

# under_load [LIBRARY PREFIX]: at least twice the budget must have been in use.
under_load() {
	swapped 32 "$bin/mallocs" "$mib" "$time" "$seed" "$@" >"$dir/held"
	read -r held <"$dir/held"
	echo "$test: $held MiB at most: ${*:-malloc}" >&2
	[ "$held" -ge 64 ] || fail "only $held MiB in use: this tested nothing"
}

# there [LIBRARY PREFIX]: whether it can be had here.
lacking=
there() {
	"$bin/mallocs" 1 0 1 "$@" >"$dir/out" 2>"$dir/err" &&
	    [ ! -s "$dir/err" ] && return
	lacking=$(cat "$dir/err")
	false
}

under_load
there libmimalloc.so.2 mi_ && under_load libmimalloc.so.2 mi_
# Loaded late, it takes more thread-local memory than the C library keeps.
export GLIBC_TUNABLES=glibc.rtld.optional_static_tls=16384
there libjemalloc.so.2 '' && under_load libjemalloc.so.2 ''
unset GLIBC_TUNABLES
# Preloaded beside ours, which comes first.
for library in libmimalloc.so.2 libjemalloc.so.2; do
	export LD_PRELOAD=$library
	there && under_load
	unset LD_PRELOAD
done
[ -z "$lacking" ] || skip "$lacking"
