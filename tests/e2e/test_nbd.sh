#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs whose swap space is on a server, which ends, comes back, or does not.
. "$(dirname "$0")/../support/e2e.sh"

need nbdkit
[ -x "$(dirname "$USWAP")/uswap-nbd" ] || skip 'built without libnbd'

server=
at_exit() {
	[ -z "$server" ] || kill -9 "$server" 2>"$dir/kill"
	rm -rf "$dir"
}

# serve ARGS...: nbdkit on $dir/sock, as $server.
serve() {
	rm -f "$dir/sock" "$dir/pid"
	nbdkit -f -U "$dir/sock" -P "$dir/pid" "$@" 2>>"$dir/nbdkit" &
	server=$!
	for _ in $(seq 200); do
		[ ! -s "$dir/pid" ] || return 0
		sleep 0.1
	done
	fail "nbdkit: $(cat "$dir/nbdkit")"
}

# stop: as if the machine it runs on lost its power.
stop() {
	kill -9 "$server"
	wait "$server" 2>"$dir/kill"
	server=
}

spec="nbd+unix:///?socket=$dir/sock"
run="timeout --foreground -k 5 120 $USWAP run --ram 32M --stats $dir/stats"
seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"

# ---- a server that serves ----

serve memory 512M
$run --swap "$spec" -- "$bin/threads" 128 4 5 "$seed" >"$dir/out" 2>"$dir/err" ||
    fail "threads: $(cat "$dir/err")"
grep -q 'all right' "$dir/out" || fail 'not all right'
[ ! -s "$dir/err" ] || fail "it spoke: $(cat "$dir/err")"
[ "$(number pages_out)" -gt 10000 ] || fail 'little was paged out'
[ "$(number pages_in)" -gt 10000 ] || fail 'little was paged in'

# Beside a file, whose turn it is every other time; a program that the child
# executes cannot have the export, and says nothing.
cat >"$dir/child.py" <<'EOF'
import hashlib, subprocess, sys
block = bytearray(96 << 20)
for i in range(0, len(block), 4096):
    block[i:i + 8] = i.to_bytes(8, "little")
if len(sys.argv) > 1:
    subprocess.check_call([sys.executable, sys.argv[0]])
print(hashlib.sha256(block).hexdigest())
EOF
python3 "$dir/child.py" child >"$dir/native"
$run --swap "$spec" --swap "$dir/file,size=256M" -- python3 "$dir/child.py" \
    child >"$dir/out" 2>"$dir/err" || fail "child: $(cat "$dir/err")"
same "$dir/native" "$dir/out"
rm -f "$dir/file"
# The program is never told of a process it did not start.
cat >"$dir/stranger.py" <<'EOF'
import os, signal
told = []
signal.signal(signal.SIGCHLD, lambda *args: told.append(args))
block = bytearray(os.urandom(1 << 20)) * 64
try:
    os.wait()
    told.append("waited")
except ChildProcessError:
    pass
assert not told, told
print(len(block))
EOF
$run --swap "$spec" -- python3 "$dir/stranger.py" >"$dir/out" 2>"$dir/err" ||
    fail "stranger: $(cat "$dir/err")"
stop

# ---- children, each with a connection of its own ----

# none_left WHAT: no process that speaks to the server.
none_left() {
	for _ in $(seq 50); do
		pgrep -f "^uswap-nbd .*$dir" >"$dir/left" || return 0
		sleep 0.1
	done
	fail "$1: processes are left: $(cat "$dir/left")"
}

serve memory 512M
for options in '' --inline; do
	for how in fork nested kill daemon refused; do
		timeout --foreground -k 5 120 "$USWAP" run $options --ram 48M \
		    --stats "$dir/stats" --swap "$spec" -- "$bin/forks" 96 $how \
		    >"$dir/out" 2>"$dir/err" ||
		    fail "forks $how $options: $(cat "$dir/out" "$dir/err")"
		[ "$(number pages_out)" -gt 1000 ] || fail "$how: little was paged out"
		none_left "$how"
	done
done

# The child reads what its parent has left there, which nobody else can have.
cat >"$dir/heir.py" <<'EOF'
import os, sys
block = bytearray(96 << 20)
for i in range(0, len(block), 4096):
    block[i:i + 8] = i.to_bytes(8, "little")
if os.fork() != 0:
    os._exit(0)
print(os.getpid(), flush=True)
sys.stdin.readline()
for i in range(0, len(block), 4096):
    assert block[i:i + 8] == i.to_bytes(8, "little"), i
print("all right", flush=True)
EOF
mkfifo "$dir/go"
$run --swap "$spec" -- python3 "$dir/heir.py" <"$dir/go" >"$dir/out" 2>"$dir/err" &
program=$!
exec 9>"$dir/go"
wait $program || fail "heir: the parent ended with $?: $(cat "$dir/err")"
for _ in $(seq 100); do
	[ ! -s "$dir/out" ] || break
	sleep 0.1
done
! "$USWAP" run --swap "$spec" true 2>"$dir/off" || fail 'heir: it was taken away'
grep -q 'already in use' "$dir/off" || fail "heir: $(cat "$dir/off")"
echo >&9
exec 9>&-
for _ in $(seq 200); do
	! grep -q 'all right' "$dir/out" || break
	sleep 0.1
done
grep -q 'all right' "$dir/out" || fail "heir: $(cat "$dir/out" "$dir/err")"
none_left heir
rm "$dir/go"
stop

# A server that has no more connections: the child ends at once, and says why.
serve --filter=limit memory 512M limit=4
! $run --swap "$spec" -- "$bin/forks" 96 fork >"$dir/out" 2>"$dir/err" ||
    fail 'limit: the child had a connection'
grep -q 'the child cannot have a pager' "$dir/err" || fail "limit: $(cat "$dir/err")"
grep -q 'status is 0x7d00' "$dir/err" || fail "limit: $(cat "$dir/err")"
none_left limit
stop

# One that promises nothing: a fork is refused as long as pages are there.
serve --filter=multi-conn memory 512M multi-conn-mode=disable
! $run --swap "$spec" -- "$bin/forks" 96 fork >"$dir/out" 2>"$dir/err" ||
    fail 'a fork without multi-conn'
[ "$(grep -c multi-conn "$dir/err")" -eq 1 ] || fail "multi-conn: $(cat "$dir/err")"
none_left multi-conn
$run --swap "$spec" -- "$bin/forks" 1 fork >"$dir/out" 2>"$dir/err" ||
    fail "nothing there, and no fork: $(cat "$dir/err")"
stop

# ---- what is refused, in one line ----

refused 125 'is the server there' run --swap "$spec" true
refused 125 'no host' run --swap nbd:///x true
refused 125 'whole path' run --swap 'nbd+unix:///?socket=sock' true
refused 125 'not a time' run --swap "$spec,timeout=0" true
refused 125 'not a kind of NBD' run --swap 'nbd+vsock://1/' true
serve -r memory 64M
refused 125 'read-only' run --swap "$spec" true
(
	ulimit -f 1000
	refused 125 'ulimit -f' run --swap "$spec" true
	exit $bad
) || bad=1
stop

# ---- a server that comes back in time ----

truncate -s 512M "$dir/image"
serve file "$dir/image"
$run --swap "$spec,timeout=60" -- "$bin/threads" 128 4 10 "$seed" >"$dir/out" \
    2>"$dir/err" &
program=$!
for _ in 1 2 3; do
	sleep 2
	stop
	sleep 1
	serve file "$dir/image"
done
wait $program || fail "a server that came back: $(cat "$dir/err")"
grep -q 'all right' "$dir/out" || fail 'not all right after its return'
[ "$(number read_errors)" -eq 0 ] || fail 'read errors'
[ "$(number write_errors)" -eq 0 ] || fail 'write errors'
stop

# ---- a server that does not ----

# begin OPTIONS: gone, as $program, with its memory on the server; $pid is who
# has the pager.
begin() {
	rm -f "$dir/go"
	mkfifo "$dir/go"
	$run --swap "$spec$1" -- "$bin/gone" 96 <"$dir/go" >"$dir/out" \
	    2>"$dir/err" &
	program=$!
	exec 9>"$dir/go"
	for _ in $(seq 300); do
		! grep -q filled "$dir/out" || break
		sleep 0.1
	done
	pid=$("$USWAP" list | awk '/gone/ { print $1 }')
}

# finish WHAT: it looks at its memory and ends well; its losses are $lost.
finish() {
	printf '\n\n' >&9
	exec 9>&-
	wait $program || fail "$1: $? $(cat "$dir/out" "$dir/err")"
	lost=$(sed -n 's/.*lost \([0-9]*\).*/\1/p' "$dir/out" | head -1)
	echo "$test: $1: $lost pages lost"
}

# The pages in memory answer, those on the server are SIGBUS, none is wrong.
serve file "$dir/image"
begin ,timeout=3
stop
finish 'gone'
[ "$lost" -gt 0 ] || fail 'nothing was lost'
grep -q 'no connection for 3 s' "$dir/err" || fail 'it was not said'
[ "$(number blocks_bad)" -eq 0 ] || fail 'blocks were retired'

# ---- taken away, while the server fails ----

# begin_beside OPTIONS: with a file to which the memory can go.
begin_beside() {
	begin "$1"
	"$USWAP" on "$pid" "$dir/file,size=256M" || fail 'cannot add a file'
}

# finish_without WHAT: the server is not used any more.
finish_without() {
	"$USWAP" info "$pid" >"$dir/info"
	! grep -q 'nbd+unix' "$dir/info" ||
	    fail "$1: still in use: $(cat "$dir/info")"
	finish "$1"
	rm "$dir/file"
	stop
}
device="nbd+unix:///?socket=$dir/sock"

# Some reads fail: their pages are lost, the others move.
serve --filter=error file "$dir/image" error-pread=EIO error-pread-rate=3% \
    error-pread-file="$dir/fail"
begin_beside ''
touch "$dir/fail"
"$USWAP" off "$pid" "$device" || fail 'some errors: it cannot be taken away'
rm "$dir/fail"
finish_without 'some reads fail'
[ "$lost" -gt 0 ] || fail 'no read failed: this tested nothing'
[ "$lost" -lt 6000 ] || fail 'more than fails was lost'

# All fail: it stays, with all but the first few pages; then it can go.
serve --filter=error file "$dir/image" error-pread=EIO error-pread-rate=1 \
    error-pread-file="$dir/fail"
begin_beside ''
touch "$dir/fail"
! "$USWAP" off "$pid" "$device" 2>"$dir/off" || fail 'all fail: it was taken away'
grep -q 'it is away, and pages are on it' "$dir/off" || fail "$(cat "$dir/off")"
"$USWAP" info "$pid" | grep -q '(away)' || fail 'it is not shown as away'
rm "$dir/fail"
"$USWAP" off -f "$pid" "$device" || fail 'it cannot be taken away afterwards'
finish_without 'all reads fail'
[ "$lost" -le 8 ] || fail 'more than the first were lost'

# It dies in the middle, and is back in time: nobody notices.
serve --filter=delay file "$dir/image" rdelay=20ms
begin_beside ,timeout=60
"$USWAP" off "$pid" "$device" 2>"$dir/off" &
off=$!
sleep 0.3
stop
sleep 1
serve file "$dir/image"
wait $off || fail "back in time: $(cat "$dir/off")"
finish_without 'back in time'
[ "$lost" -eq 0 ] || fail 'pages were lost'

# It is back too late: it stays in use, and keeps its pages.
serve --filter=delay file "$dir/image" rdelay=20ms
begin_beside ,timeout=2
"$USWAP" off "$pid" "$device" 2>"$dir/off" &
off=$!
sleep 0.3
stop
! wait $off || fail 'it was taken away without its server'
grep -q 'it is away, and pages are on it' "$dir/off" || fail "$(cat "$dir/off")"
! "$USWAP" on "$pid" "nbd+unix:///x?socket=$dir/sock" 2>"$dir/on" ||
    fail 'a server that is not there was taken'
[ "$(wc -l <"$dir/on")" -eq 1 ] || fail "not one line: $(cat "$dir/on")"
serve file "$dir/image"
# A command that is ended while it waits for a server ends nothing else.
kill -STOP "$server"
"$USWAP" on "$pid" "nbd+unix:///y?socket=$dir/sock" 2>"$dir/on" &
on=$!
sleep 0.3
kill "$on"
! wait "$on" || fail 'on: the server had not answered'
"$USWAP" info "$pid" >"$dir/info" || fail 'it does not answer'
! grep -q 'y?socket' "$dir/info" || fail 'added without an answer'
kill -CONT "$server"
for _ in $(seq 200); do
	! "$USWAP" off "$pid" "nbd+unix:///y?socket=$dir/sock" 2>"$dir/off" ||
	    break
	sleep 0.1
done
! "$USWAP" info "$pid" | grep -q 'y?socket' || fail "on: $(cat "$dir/off")"
for _ in $(seq 200); do
	"$USWAP" info "$pid" | grep -q '(away)' || break
	sleep 0.1
done
"$USWAP" off "$pid" "$device" || fail 'it cannot be taken away when it is back'
finish_without 'back too late'
[ "$lost" -eq 0 ] || fail 'pages were lost'

# Over means over, however a program ends.
serve memory 512M
"$USWAP" run --ram 32M --swap "$spec" -- "$bin/closefds" 512 2>"$dir/err" &
for _ in $(seq 100); do
	! pgrep -f "^uswap-nbd .*$dir" >"$dir/pids" || break
	sleep 0.1
done
[ -s "$dir/pids" ] || fail 'it has no connection'
kill -9 $! || fail 'ended too early'
wait $! 2>"$dir/kill"
stop
for _ in $(seq 30); do
	pgrep -f "^uswap-nbd .*$dir" >"$dir/pids" || break
	sleep 0.1
done
[ ! -s "$dir/pids" ] || fail 'a process was left'
exit $bad
