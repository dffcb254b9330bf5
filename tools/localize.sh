#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# localize.sh TO.a FROM.a FROM.o: copies a static library, and an object that it
# uses, as one object in which the symbols of hidden visibility and the object's
# are local.
set -e
object=${1%.a}.o
rm -f "$1"
${LD:-ld} -r -o "$object" --whole-archive "$2" --no-whole-archive "$3"
${OBJCOPY:-objcopy} --localize-hidden --wildcard --localize-symbol='json_*' \
    "$object"
${AR:-ar} rcsD "$1" "$object"
rm "$object"
