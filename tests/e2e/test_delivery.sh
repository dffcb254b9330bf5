#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program run with --inline sees its signals, and its memory, as without.
. "$(dirname "$0")/../support/e2e.sh"

mib=$(scale 128 1024)
"$bin/inline" "$mib" >"$dir/native" || fail 'native run'
run_options=--inline
swapped "$(scale 32 256)" "$bin/inline" "$mib" >"$dir/mine"
same "$dir/mine" "$dir/native"
# What is in force is said.
"$USWAP" run -v --inline --ram 32M -- "$bin/inline" 64 2>&1 |
    grep -q 'inline delivery' || fail 'not a word of inline delivery'
