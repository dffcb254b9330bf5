#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Some of the programs of docs/PROGRAMS.md, with small loads.
. "$(dirname "$0")/../support/e2e.sh"

USWAP=$USWAP "$root/tools/programs.py" --quick || fail 'see the table'
