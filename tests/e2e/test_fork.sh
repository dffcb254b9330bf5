#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# fork: a child sees what was there at the fork; it and its parent stay within what
# there is of the budget, and nothing is left behind.
. "$(dirname "$0")/../support/e2e.sh"

# Twice as much as there is memory: forks.c says what each must do.
for how in fork library nested kill exec daemon refused raw spawn system; do
	swapped 48 "$bin/forks" 96 $how
done
swapped 48 "$bin/forks" 32 threads

# The same where the program's threads answer their own faults.  But popen(3) reads
# into the heap, which a system call may not do there.
run_options=--inline
for how in fork library nested kill daemon refused raw; do
	swapped 48 "$bin/forks" 96 $how
done
swapped 48 "$bin/forks" 32 threads
run_options=

# Nothing paged out, and no pager so far.
run() {
	timeout -k 5 60 "$USWAP" run --ram 256M -- "$@" || fail "exit code $? of: $*"
}
run "$bin/forks" 1 fork
run "$bin/forks" 32 nested
run "$bin/forks" 32 daemon
[ "$(run sh -c 'seq 3 | sort -r | tr "\n" " "; (echo sub)')" = '3 2 1 sub' ] ||
    fail 'a shell with a pipe'

# A program that does all this by itself.
python=$(python3 -c 'import sys; print(sys.executable)')
swapped 64 "$python" -c '
import multiprocessing, subprocess, os
a = [bytes([i % 251]) * (1 << 20) for i in range(128)]
def right():
    return all(b == bytes([i % 251]) * (1 << 20) for i, b in enumerate(a))
def part(k):
    return sum(b[0] for b in a[k::4]) + sum(bytearray(1 << 24))
for i in range(10):
    assert subprocess.check_output(["echo", "hello"]) == b"hello\n"
with multiprocessing.get_context("fork").Pool(3) as pool:
    got = pool.map(part, range(4))
assert got == [part(k) for k in range(4)]
assert right()'

# A locale whose tables are on the heap, where they have been paged out.
LC_ALL=C.UTF-8 swapped 32 "$python" -c '
import os
a = bytearray(96 << 20)
for i in range(0, len(a), 4096): a[i] = 1
for i in range(3):
    pid = os.fork()
    if pid == 0:
        os._exit(not all(a[i] == 1 for i in range(0, len(a), 4096)))
    assert os.waitpid(pid, 0)[1] == 0'

# Many, one after the other, killed and otherwise, while threads change memory: no
# thread, no descriptor, no block, no file more than before.
mkfifo "$dir/in" "$dir/out"
"$USWAP" run --ram 48M --swap "$dir/loop,size=512M" -- "$bin/forks" 64 loop \
    "$(scale 200 10000)" <"$dir/in" >"$dir/out" 2>"$dir/err" &
exec 3>"$dir/in" 4<"$dir/out"
read -r line <&4 || fail "the loop: $(cat "$dir/err")"
[ "$line" = 'loop: 0 threads, 0 descriptors more' ] || fail "$line"
pid=$(pgrep -n -f "forks 64 loop")
# The socket of one that was just ending is looked at again within two seconds.
for _ in 1 2 3 4 5; do
	[ "$(find "$dir" -name '*.sock' | wc -l)" -eq 1 ] && break
	sleep 1
done
[ "$(find "$dir" -name '*.sock' | wc -l)" -eq 1 ] ||
    fail "control sockets are left: $(find "$dir" -name '*.sock')"
"$USWAP" info --json "$pid" >"$dir/info" || fail 'no info'
python3 - "$dir/info" <<'END' || fail 'blocks are left'
import json, sys
st = json.load(open(sys.argv[1]))["stats"]
print("test_fork:", {k: st[k] for k in ("children", "swap_held", "swap_used",
    "managed", "ram_budget")})
assert st["children"] == 0 and st["swap_held"] == 0, st
assert st["swap_used"] <= st["managed"], st
assert st["ram_budget"] == 48 << 20, st
END
exec 3>&- 4<&-
wait $! || fail "the loop ended with $?"

# The tree: a child is listed below its parent, with its share.
"$USWAP" run --ram 64M -- "$python" -c '
import os, sys, time
a = bytearray(96 << 20)
for i in range(0, len(a), 4096): a[i] = 1
r, w = os.pipe()
if os.fork() == 0:
    os.write(w, b"x")
    time.sleep(60)
os.read(r, 1)
print("ready", flush=True)
time.sleep(60)' >"$dir/out2" 2>"$dir/err" &
top=$!
for i in $(seq 100); do
	grep -q ready "$dir/out2" && break
	sleep 0.1
done
"$USWAP" list >"$dir/tree"
"$USWAP" list --json >"$dir/json"
pkill -P $top
kill $top
python3 - "$dir/json" $top <<'END' || fail "the tree: $(cat "$dir/tree")"
import json, sys
# Root sees the pagers of others, too.
a, top = json.load(open(sys.argv[1])), int(sys.argv[2])
parent = [p for p in a if p["pid"] == top]
child = [p for p in a if p["parent"] == top]
assert len(parent) == len(child) == 1 and parent[0]["parent"] == 0, a
assert parent[0]["ram_budget"] + child[0]["ram_budget"] == 64 << 20, a
END
grep -q "  $python" "$dir/tree" || grep -qE '[0-9]   /' "$dir/tree" ||
    fail "the tree: $(cat "$dir/tree")"
