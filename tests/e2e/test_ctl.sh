#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A running program is looked into and changed from outside; whoever speaks to
# its control socket in whatever way, its result is right and it is not slowed.
. "$(dirname "$0")/../support/e2e.sh"

export XDG_RUNTIME_DIR="$dir/run"
mkdir -m 700 "$XDG_RUNTIME_DIR"
run=$XDG_RUNTIME_DIR/uswap

# expect CODE ARGS...: `uswap ARGS` exits with CODE; says one line if not 0.
expect() {
	outcome "$@"
	[ "$1" -eq 0 ] || [ "$(wc -l <"$dir/err")" -eq 1 ] ||
	    wrong 'not one line'
}

# says PATTERN: the last output has such a line.
says() {
	grep -q -- "$1" "$dir/out" || {
		cat "$dir/out" >>"$dir/err"
		wrong "no line \"$1\""
	}
}

# value EXPRESSION: of the JSON o that was printed.
value() {
	python3 -c '
import json, sys
o = json.load(open(sys.argv[1]))
print(eval(sys.argv[2]))' "$dir/out" "$1"
}

# Twice as much as its budget, verified again and again until it may end.
cat >"$dir/program.py" <<'PROGRAM'
import os, sys, time
n, page = 32768, 4096
a = bytearray(n * page)
for i in range(n):
    a[i * page] = i % 251
    a[i * page + 4000] = i % 241
passes, wrong = 0, 0
while not os.path.exists(sys.argv[1]):
    for i in range(n):
        if a[i * page] != i % 251 or a[i * page + 4000] != i % 241:
            wrong += 1
    a[passes % n * page + 2000] = 1
    passes += 1
print(passes > 0, wrong)
PROGRAM
# start NAME [SWAP]: in the background, in pid; ends when $dir/NAME.end exists.
start() {
	"$USWAP" run --ram 64M --swap "${2:-$dir/$1.swap,size=192M}" \
	    --stats "$dir/$1.stats" python3 "$dir/program.py" "$dir/$1.end" \
	    >"$dir/$1.out" 2>"$dir/$1.err" &
	pid=$!
	for _ in $(seq 300); do
		[ -S "$run/$pid.sock" ] && return
		kill -0 "$pid" || break
		sleep 0.1
	done
	cat "$dir/$1.err" >&2
	fail "$1: no control socket"
}
at_exit() {
	touch "$dir/a.end" "$dir/b.end"
	wait
	rm -rf "$dir"
}

# ---- nothing where there is no pager ----

"$USWAP" run --ram 64M python3 -c '
import os
assert len(os.listdir("/proc/self/task")) == 1' || fail 'a thread'
[ ! -e "$run" ] || fail 'a control socket without a pager'
expect 0 list
[ ! -s "$dir/out" ] || wrong 'output'
expect 0 list --json
[ "$(cat "$dir/out")" = '[]' ] || wrong 'not an empty list'

# ---- looking ----

start a
a=$pid
[ "$(stat -c %a "$run")" = 700 ] || fail 'others may look into the directory'
[ "$(stat -c %a "$run/$a.sock")" = 600 ] || fail 'others may use the socket'
# shellcheck disable=SC2012 # numbers and sockets
ls -l "/proc/$a/fd" | grep -q socket && fail 'the program has a socket'
expect 0 list
says "^ *$a .* 64M .* 192M  .*program.py"
expect 0 list --json
[ "$(value 'len(o), o[0]["pid"], o[0]["ram_budget"]')" = "(1, $a, 67108864)" ] ||
	wrong 'other numbers'
expect 0 info "$a"
says '^Device  *1K-blocks  *Used  *Avail  *Capacity$'
says "^$dir/a.swap  *196600 .*%\$"
says '^Total  *196600 .*%$'
says '^  pages_out  *[1-9]'
says '^  swap_async_max  *8$'
for unit in k m g h; do
	expect 0 info -$unit "$a"
	expect 0 info -$unit
	says "^$a: .*program.py"
done
says '^Total  *192M'
expect 0 info --regions -m "$a"
says '^ *Region  *Size  *Resident  *Swapped  *Blocks  *Shared  Name$'
says '^ *0x[0-9a-f]*  *[0-9]*  *[0-9]*  *[0-9]*  *[0-9]*  *0  *$'
expect 0 info --regions --json "$a"
[ "$(value 'sum(r["blocks"] for r in o["regions"]) > 1000')" = True ] ||
    wrong 'the regions do not add up'
expect 0 info --json "$a"
[ "$(value 'o["ok"], o["version"], o["pid"], o["devices"][0]["size"]')" = \
    "(True, 1, $a, 201318400)" ] || wrong 'other numbers'
[ "$(value 'o["stats"]["pages_out"] > 0')" = True ] || wrong 'nothing out'

# ---- changing ----

cd "$dir" || exit 1 # relative paths are meant from here
expect 0 on "$a" more.swap,size=256M,prio=7
expect 0 info "$a"
says "^$dir/more.swap  *262136 "
expect 1 on "$a" more.swap,size=256M
grep -q 'already in use' "$dir/err" || wrong 'another reason'
expect 1 on "$a" "$dir/none/x,size=1M"
expect 1 on "$a" "$dir/x,size=1K"
expect 0 off "$a" a.swap
expect 0 info "$a"
grep -q a.swap "$dir/out" && wrong 'it is still there'
expect 1 off "$a" a.swap
expect 1 off "$a" more.swap # there is no other
grep -q 'add more first' "$dir/err" || wrong 'another reason'
expect 0 on "$a" a.swap
# Interrupted: the device is in use again; or it was faster.
what='uswap off, interrupted'
timeout -s INT 0.02 "$USWAP" off "$a" more.swap >"$dir/out" 2>"$dir/err"
expect 0 info --json "$a"
[ "$(value 'any(d["closing"] for d in o["devices"])')" = False ] ||
	wrong 'a device is left closing'
expect 0 on "$a" tmp,size=64M
expect 0 set "$a"
says '^swap_async_max=8$'
expect 0 set "$a" swap_async_max=2 free_high=2000 free_low=1000 \
    read_window=1 write_cluster=16
expect 0 set "$a"
says '^free_high=2000$'
says '^read_window=1$'
expect 1 set "$a" free_high=3 swap_async_max=5
grep -q '1001 to' "$dir/err" || wrong 'another reason'
expect 1 set "$a" bogus=1
expect 0 set "$a" prio:more.swap=5 "prio:$dir/a.swap=32767"
expect 0 info --json "$a"
[ "$(value '[d["priority"] for d in o["devices"]]')" = '[32767, 5, 0]' ] ||
	wrong 'other priorities'
expect 1 set "$a" prio:more.swap=32768
expect 1 set "$a" prio:none.swap=1
expect 0 set "$a" prio:more.swap=7 prio:a.swap=0
expect 0 set "$a" swap_async_max=8 read_window=256 write_cluster=256

# ---- what is typed wrong ----

expect 2 info x
expect 2 info -x
expect 2 info "$a" "$a"
expect 2 list -x
expect 2 on "$a"
expect 2 on x y
expect 2 off "$a"
expect 2 off -x "$a" b
expect 2 set
expect 2 set "$a" free_low
expect 2 set "$a" free_low=x
expect 1 info $$
expect 1 off 4194304 x
for command in list info on off set; do
	expect 0 "$command" --help
	says "^usage: uswap $command"
	expect 0 help "$command"
done

# ---- what is left behind ----

start b
b=$pid
expect 0 list
[ "$(wc -l <"$dir/out")" -eq 3 ] || wrong 'not two processes'
kill -9 "$b"
wait "$b" 2>/dev/null
[ -S "$run/$b.sock" ] || fail 'who has removed it?'
: >"$run/4194303.sock" # not a socket: not ours to remove
expect 0 list
[ "$(wc -l <"$dir/out")" -eq 2 ] || wrong 'not one process'
[ ! -e "$run/$b.sock" ] || wrong 'a stale socket was left'
[ -e "$run/4194303.sock" ] || wrong 'removed a file'
[ -S "$run/$a.sock" ] || wrong 'removed a live one'
# A stopped one holds nobody up for ever.
kill -STOP "$a"
expect 0 list
says "^ *$a .*(does not answer)"
expect 1 info "$a"
kill -CONT "$a"

# ---- bad company ----

# ticks: of the processor, that the thread has used so far.
ticks() {
	python3 -c '
import glob, sys
for path in glob.glob("/proc/%s/task/*/stat" % sys.argv[1]):
    name, _, rest = open(path).read().rpartition(")")
    if name.endswith("(uswap-ctl"):
        print(sum(map(int, rest.split()[11:13])))' "$1"
}
for kind in garbage long_line crowd half deaf flood; do
	what="attack: $kind"
	before=$(ticks "$a")
	began=$(date +%s%N)
	timeout -k 5 60 "$here/../support/ctl_attack.py" "$run/$a.sock" $kind \
	    2>"$dir/err" || wrong 'not as it should be'
	# Hundredths of a second of its time, of so many that went by.
	took=$(($(date +%s%N) / 10000000 - began / 10000000))
	used=$(($(ticks "$a") - before))
	echo "$test: $what: ${used} of ${took} ticks" >&2
	[ $used -le $((took / 4 + 5)) ] || wrong "it took $used ticks of $took"
	expect 0 info "$a"
done
if [ "$(id -u)" -eq 0 ]; then
	what='a stranger'
	chmod 755 "$dir" && chmod 755 "$XDG_RUNTIME_DIR" && chmod 777 "$run" &&
	    chmod 666 "$run/$a.sock"
	"$here/../support/ctl_attack.py" "$run/$a.sock" stranger 2>"$dir/err" ||
	    wrong 'not as it should be'
	chmod 700 "$run" && chmod 600 "$run/$a.sock"
fi

# ---- the end ----

touch "$dir/a.end"
wait "$a" || fail "exit code $?"
[ "$(cat "$dir/a.out")" = 'True 0' ] || fail "its data: $(cat "$dir/a.out")"
[ ! -s "$dir/a.err" ] || { what=program && cp "$dir/a.err" "$dir/err" &&
    wrong 'said something'; }
[ ! -e "$run/$a.sock" ] || fail 'the socket was left behind'
[ "$(ls "$run")" = 4194303.sock ] || fail "left behind: $(ls "$run")"
exit $bad
