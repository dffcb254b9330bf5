#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# soak.sh DIR ROUNDS: the random tests of the build in DIR ROUNDS times, each
# with a new seed, after the end-to-end tests at full size (gigabytes, about
# an hour).  Stops at the first failure.
set -e
USWAP_SCALE=full meson test -C "$1" --suite e2e --timeout-multiplier 0 \
    --maxfail 1 --print-errorlogs
meson test -C "$1" --suite model --suite sim --suite stress --suite fuzz \
    --repeat "$2" --maxfail 1 --print-errorlogs
