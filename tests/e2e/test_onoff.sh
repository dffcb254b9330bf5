#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Swap space that comes and goes: while eight threads write and check; and when
# the program waits for some.
. "$(dirname "$0")/../support/e2e.sh"

# Until the process has a pager, which is when it has a socket.
await_pager() {
	for _ in $(seq 300); do
		"$USWAP" info "$1" >/dev/null 2>&1 && return
		kill -0 "$1" 2>/dev/null || break
		sleep 0.1
	done
	cat "$dir/err" >&2
	fail 'no pager'
}

# ---- two files in turn ----

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"
mib=$(scale 256 2048)
cycles=$(scale 8 200)
"$USWAP" run --ram "$(scale 64 256)M" --swap "$dir/0.swap,size=${mib}M" \
    --stats "$dir/stats" "$bin/threads" "$mib" 8 "$(scale 20 1500)" "$seed" \
    >"$dir/out" 2>"$dir/err" &
pid=$!
await_pager $pid
i=0
while [ $i -lt "$cycles" ] && kill -0 $pid 2>/dev/null; do
	new=$(((i + 1) % 2))
	"$USWAP" on $pid "$dir/$new.swap,size=${mib}M" ||
	    fail "cycle $i: cannot add"
	"$USWAP" off $pid "$dir/$((i % 2)).swap" >/dev/null ||
	    fail "cycle $i: cannot take away"
	rm "$dir/$((i % 2)).swap"
	i=$((i + 1))
done
what=$("$USWAP" info --json $pid) || fail 'ended before its time'
python3 - "$what" "$i" "$cycles" <<'EOF' || fail 'blocks are left somewhere'
import json, sys
o = json.loads(sys.argv[1])
used = [d["used"] for d in o["devices"]]
print("test_onoff: %s of %s cycles, %d pages moved" %
    (sys.argv[2], sys.argv[3], o["stats"]["pages_moved"]))
assert len(used) == 1 and o["stats"]["swap_total"] > 0, o["devices"]
assert o["stats"]["pages_moved"] > 1000, o["stats"]
assert sys.argv[2] == sys.argv[3]
EOF
wait $pid || fail "the program: exit code $?: $(cat "$dir/out" "$dir/err")"
[ ! -s "$dir/err" ] || fail "it says: $(cat "$dir/err")"

# ---- a program that waits ----

"$USWAP" run --ram 32M --swap tmp,size=16M --when-full stop \
    "$bin/closefds" 128 >"$dir/out" 2>"$dir/err" &
pid=$!
await_pager $pid
for _ in $(seq 300); do
	grep -q 'the program waits' "$dir/err" && break
	sleep 0.1
done
sleep 1
kill -0 $pid 2>/dev/null || fail 'it does not wait'
peak=$("$USWAP" info --json $pid) || fail 'cannot be asked'
"$USWAP" on $pid tmp,size=256M || fail 'cannot be given more'
wait $pid || fail "waited in vain: exit code $?: $(cat "$dir/err")"
[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one line: $(cat "$dir/err")"
python3 - "$peak" <<'EOF' || fail 'beyond its budget'
import json, sys
s = json.loads(sys.argv[1])["stats"]
assert s["ram_peak"] <= s["ram_budget"] and s["over_budget"] == 0, s
EOF
