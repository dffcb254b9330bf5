#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program with one thread, which its pager brings to a processor: it notices nothing.
. "$(dirname "$0")/../support/e2e.sh"
need taskset

# With more than eight processors there are several handlers, and no pair.
cpus=$(taskset -cp $$ | sed 's/.*: //' | tr ',' '\n' | sed 's/\(.*\)-\(.*\)/\1 \2/' |
    while read -r a b; do seq "$a" "${b:-$a}"; done | head -n 2 | paste -sd ,)

swapped 64 taskset -c "${cpus%,*}" "$bin/beside" 256 "$(scale 3 60)" "$dir/seen"
swapped 64 taskset -c "$cpus" "$bin/beside" 256 "$(scale 8 120)" "$dir/seen"
read -r bound looks touches <"$dir/seen"
echo "$test: $touches touches, beside its pager in $bound of $looks looks"
case $cpus in
*,*) ;;
*) skip 'one processor: they are never apart' ;;
esac
[ "$bound" -gt 0 ] || skip 'never beside its pager: reads take more than 0.2 ms here?'
