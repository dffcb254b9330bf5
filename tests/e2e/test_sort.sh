#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# GNU sort with a buffer larger than its memory.
. "$(dirname "$0")/../support/e2e.sh"
need sort

"$bin/lines" "$(scale 200 1024)" 1000 1 >"$dir/lines" || fail 'no lines'
buffer=$(scale 320M 1500M)
swap_size=3G

swapped "$(scale 64 256)" sort -S "$buffer" --parallel=2 -T "$dir" \
    -o "$dir/mine" "$dir/lines"
sort -S "$buffer" --parallel=2 -T "$dir" -o "$dir/native" "$dir/lines"
same "$dir/mine" "$dir/native"
