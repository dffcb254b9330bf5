#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# soak.sh DIR ROUNDS: the tests of the build in DIR, for hours.  Stops at the
# first failure; what failed can be repeated by the seed it printed.
set -e
dir=$1
rounds=$2
ninja --quiet -C "$dir" test-programs

# Models: ten million operations of the block allocator beside its twin.
USWAP_OPS=10000000 "$dir/tests/test_blist_model"
USWAP_OPS=3000000 "$dir/tests/test_swap_model"

# ROUNDS worlds of a hundred thousand events, many with I/O errors.
USWAP_SEED=${USWAP_SEED:-$(date +%s)} USWAP_RUNS=$rounds USWAP_EVENTS=100000 \
    "$dir/tests/test_pager_sim"

# The end-to-end tests at full size: gigabytes, about an hour, one at a time.
USWAP_SCALE=full meson test -C "$dir" --suite e2e --num-processes 1 \
    --timeout-multiplier 0 --maxfail 1 --print-errorlogs

# The others ROUNDS times, each with a new seed.
meson test -C "$dir" --suite model --suite stress --suite fuzz \
    --repeat "$rounds" --maxfail 1 --print-errorlogs
