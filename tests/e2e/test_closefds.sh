#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A program that closes descriptors it did not open, as daemons do.
. "$(dirname "$0")/../support/e2e.sh"

swapped 64 "$bin/closefds" 160
