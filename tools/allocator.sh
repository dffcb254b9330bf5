#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# allocator.sh FROM.a TO.o: jemalloc as one object, to be linked into the preload
# library.  Its calloc gets another name, because ours stands before it, and so
# do its calls of madvise and pthread_mutex_lock: see src/preload/alloc.c.
set -e
# What defines malloc needs all but the operators of C++, which would need
# libstdc++; the program's own come to malloc.
"${LD:-ld}" -r -o "$2" --undefined=malloc "$1"
"${OBJCOPY:-objcopy}" --redefine-sym calloc=jemalloc_calloc \
    --redefine-sym madvise=jemalloc_madvise \
    --redefine-sym pthread_mutex_lock=jemalloc_mutex_lock "$2"
