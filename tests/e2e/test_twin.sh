#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Random memory calls have the same results on managed memory as on memory that
# only the kernel knows.
. "$(dirname "$0")/../support/e2e.sh"

swapped 16 "$bin/twin" "$(scale 15 600)" "$(scale 1500 1000000)"
