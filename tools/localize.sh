#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# localize.sh TO.a FROM.a FROM.o...: copies a static library, and objects that it
# uses, as one object in which the symbols of hidden visibility and the objects'
# are local.
set -e
to=$1
object=${1%.a}.o
from=$2
shift 2
rm -f "$to"
${LD:-ld} -r -o "$object" --whole-archive "$from" --no-whole-archive "$@"
${OBJCOPY:-objcopy} --localize-hidden --wildcard --localize-symbol='json_*' \
    --localize-symbol='nettle_*' "$object"
${AR:-ar} rcsD "$to" "$object"
rm "$object"
