#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Memory in many small mappings stays within the budget, and right.
. "$(dirname "$0")/../support/e2e.sh"

swapped 32 "$bin/small" "$(scale 96 1024)" "$(scale 8000 1000000)"
