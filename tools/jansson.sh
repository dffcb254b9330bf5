#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# jansson.sh FROM.a TO.o: Jansson as one object, to be linked into libraries.
#
# It was not compiled for that: it refers to data by their place, which has to be
# inside the library then.  So only its calls stay global, and the one datum of
# the C library's, in a call that nobody makes, becomes one of ours: see
# src/lib/ctl_request.c.
set -e
"${LD:-ld}" -r -o "$2" --whole-archive "$1"
"${OBJCOPY:-objcopy}" --redefine-sym stdin=uswap_no_stdin --wildcard \
    --keep-global-symbol='json_*' --keep-global-symbol=uswap_no_stdin "$2"
