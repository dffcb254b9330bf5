#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program with one thread, which its pager brings to a processor: it notices nothing.
. "$(dirname "$0")/../support/e2e.sh"

swapped 64 "$bin/alone" 256 "$(scale 8 120)"
# On one processor only, from the start.
swapped 64 taskset -c "$(taskset -cp $$ | sed 's/.*[: ]\([0-9]*\).*/\1/')" \
    "$bin/alone" 256 "$(scale 4 60)"
