#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# System calls do the same with memory that is paged out as with memory that is
# there.  With --inline: see test_user.
. "$(dirname "$0")/../support/e2e.sh"

mkdir "$dir/files"
"$bin/syscalls" "$dir/files" >"$dir/native" || fail 'natively'
swapped 16 "$bin/syscalls" "$dir/files" >"$dir/paged"
same "$dir/native" "$dir/paged"
