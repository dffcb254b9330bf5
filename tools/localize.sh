#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# localize.sh FROM.a TO.a: copies a static library as one object in which the
# symbols of hidden visibility are local.
set -e
object=${2%.a}.o
rm -f "$2"
${LD:-ld} -r -o "$object" --whole-archive "$1"
${OBJCOPY:-objcopy} --localize-hidden "$object"
${AR:-ar} rcsD "$2" "$object"
rm "$object"
