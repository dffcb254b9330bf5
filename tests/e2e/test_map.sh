#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# std::map: small nodes, reached through pointers in no order.
. "$(dirname "$0")/../support/e2e.sh"
need "$bin/mapnodes"

swapped "$(scale 48 256)" "$bin/mapnodes" "$(scale 1500000 20000000)"
