#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Allocators under load: the one that is preloaded, and those that a program
# brings along, which take their memory by mmap.
. "$(dirname "$0")/../support/e2e.sh"

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"
mib=$(scale 96 1024)
time=$(scale 4 120)
swapped 32 "$bin/mallocs" "$mib" "$time" "$seed"
for library in 'libmimalloc.so.2 mi_' 'libjemalloc.so.2 '; do
	# shellcheck disable=SC2086 # a library and its prefix
	set -- $library ''
	"$bin/mallocs" 1 0 1 "$1" "$2" 2>"$dir/err" || {
		echo "$test: $(cat "$dir/err")"
		continue
	}
	swapped 32 "$bin/mallocs" "$mib" "$time" "$seed" "$1" "$2"
done
