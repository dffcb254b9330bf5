#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Eight threads that write and check random pages of one region.
. "$(dirname "$0")/../support/e2e.sh"

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"
swapped "$(scale 64 256)" "$bin/threads" "$(scale 256 2048)" 8 \
    "$(scale 10 120)" "$seed"
