#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# System calls do the same with memory that is paged out as with memory that is
# there.  With --inline: see test_user.
. "$(dirname "$0")/../support/e2e.sh"

mkdir "$dir/files"
"$bin/syscalls" "$dir/files" >"$dir/native" || fail 'natively'
swapped 16 "$bin/syscalls" "$dir/files" >"$dir/paged"
same "$dir/native" "$dir/paged"
swapped 16 "$bin/syscalls" "$dir/files" all read >"$dir/paged"
same "$dir/native" "$dir/paged"
echo "test_syscalls: $(number faults_soft) soft faults where all had been read"

# Another process that reads all there is, also what the pager has for itself, does the
# program no harm.
"$USWAP" run --ram 16M -- "$bin/threads" 32 2 6 1 2>"$dir/err" &
sleep 1
python3 "$(dirname "$0")/../support/peek.py" $! 3 >"$dir/out" || fail 'peek.py'
echo "test_syscalls: parts read by another process: $(cat "$dir/out")"
wait $! || fail "read by another process: $? $(cat "$dir/err")"
