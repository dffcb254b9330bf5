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
"$bin/mallocs" 1 0 1 libmimalloc.so.2 mi_ 2>"$dir/err" &&
    swapped 32 "$bin/mallocs" "$mib" "$time" "$seed" libmimalloc.so.2 mi_
cat "$dir/err"
# Preloaded beside ours, which comes first.
for library in libmimalloc.so.2 libjemalloc.so.2; do
	export LD_PRELOAD=$library
	"$bin/mallocs" 1 0 1 2>"$dir/err"
	[ -s "$dir/err" ] && unset LD_PRELOAD && continue
	swapped 32 "$bin/mallocs" "$mib" "$time" "$seed"
	unset LD_PRELOAD
done
