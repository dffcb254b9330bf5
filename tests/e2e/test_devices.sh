#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Swap space on devices that are real to the kernel: a block device, one that
# vanishes, one that is fuller than it says, a file system that dies.
. "$(dirname "$0")/../support/e2e.sh"

need losetup mkswap mkfs.ext4 mount umount
[ "$(id -u)" -eq 0 ] || skip 'not root: no loop devices'

loops= mounts= pids= zram=
at_exit() {
	for what in $pids; do
		kill -9 "$what"
	done 2>"$dir/kill"
	wait
	for what in $mounts; do
		umount -l "$what"
	done
	for what in $loops; do
		losetup -d "$what"
	done
	[ -z "$zram" ] || echo "$zram" >/sys/class/zram-control/hot_remove
	rm -rf "$dir"
}

# loop FILE: a loop device on it, as $loop.
loop() {
	loop=$(losetup -f --show "$1" 2>"$dir/loop") ||
	    skip "no loop devices: $(cat "$dir/loop")"
	loops="$loops $loop"
}

# device SIZE NAME: a block device for swapping, as $loop, on $dir/NAME.
device() {
	truncate -s "$1" "$dir/$2"
	loop "$dir/$2"
	mkswap "$loop" >"$dir/mkswap" || fail 'mkswap'
}

# mounted SIZE NAME: an ext4 of that size, mounted at $dir/NAME.
mounted() {
	truncate -s "$1" "$dir/$2.img"
	mkfs.ext4 -q "$dir/$2.img" || fail 'mkfs'
	loop "$dir/$2.img"
	mkdir "$dir/$2"
	mount "$loop" "$dir/$2" || skip 'may not mount'
	mounts="$mounts $dir/$2"
}

# start ARGS...: uswap run of gone, as $pid, which reads lines from descriptor
# 9; returns when its memory is filled.
start() {
	rm -f "$dir/go"
	mkfifo "$dir/go"
	timeout --foreground -k 5 120 "$USWAP" run --ram 32M \
	    --stats "$dir/stats" "$@" -- "$bin/gone" 96 <"$dir/go" \
	    >"$dir/out" 2>"$dir/err" &
	runner=$!
	pids="$pids $runner"
	exec 9>"$dir/go"
	await filled
	pid=$("$USWAP" list | awk '/gone/ { print $1 }')
	[ -n "$pid" ] || fail "not listed: $("$USWAP" list)"
}

# await WORD: until the program has said it.
await() {
	for _ in $(seq 600); do
		! grep -q "$1" "$dir/out" || return 0
		kill -0 $runner 2>"$dir/kill" || break
		sleep 0.1
	done
	fail "never $1: $(cat "$dir/out" "$dir/err")"
}

# onwards WORD: another line; until it has said WORD.
onwards() {
	echo >&9
	await "$1"
}

end() {
	echo >&9
	exec 9>&-
	wait $runner || fail "exit code $?: $(cat "$dir/out" "$dir/err")"
	pids=
	echo "$test: $(grep good "$dir/out" | tr '\n' ' ')"
}

# count WORD: the number behind it in the program's first look.
count() {
	grep -m1 good "$dir/out" | tr ' ' '\n' | sed -n "/^$1\$/{n;p;}"
}

# used DEVICE: pages on it.
used() {
	"$USWAP" info --json "$pid" | python3 -c '
import json, sys
for d in json.load(sys.stdin)["devices"]:
    if d["device"] == sys.argv[1]:
        print(d["used"] // 4096)' "$1"
}

seed=${USWAP_SEED:-$(date +%s)}
echo "seed $seed"

# ---- a block device ----

device 256M disk
"$USWAP" run --ram 32M --swap "$loop" --stats "$dir/stats" -- \
    "$bin/threads" 128 4 5 "$seed" >"$dir/out" 2>"$dir/err" ||
    fail "threads: $(cat "$dir/err")"
grep -q 'all right' "$dir/out" || fail 'not all right on a block device'
[ ! -s "$dir/err" ] || fail "it spoke: $(cat "$dir/err")"
[ "$(number pages_in)" -gt 10000 ] || fail 'little was paged in'

# Added and taken away while it runs; nobody else may have it meanwhile.
start --swap "$dir/first,size=128M"
"$USWAP" on "$pid" "$loop" || fail 'cannot add a block device'
! "$USWAP" run --swap "$loop" true 2>"$dir/busy" || fail 'it is used twice'
"$USWAP" off "$pid" "$dir/first" || fail 'cannot move to a block device'
[ "$(used "$loop")" -gt 10000 ] || fail "only $(used "$loop") pages are there"
onwards seen
"$USWAP" on "$pid" "$dir/first" || fail 'cannot add the file again'
"$USWAP" off "$pid" "$loop" || fail 'cannot take a block device away'
! "$USWAP" info "$pid" | grep -q "$loop" || fail 'it is still in use'
mkswap "$loop" >"$dir/mkswap" || fail 'it is still open'
end
[ "$(count lost)" -eq 0 ] || fail 'pages were lost'
rm "$dir/first"

# ---- a block device that vanishes ----

# The kernel says of a disk that was pulled out that it has no blocks.
start --swap "$loop"
truncate -s 0 "$dir/disk"
losetup -c "$loop"
[ "$(blockdev --getsize64 "$loop")" -eq 0 ] || fail 'the device is still there'
onwards seen
[ "$(count wrong)" -eq 0 ] || fail 'wrong contents'
[ "$(count lost)" -gt 10000 ] || fail 'it was not lost'
[ "$(count good)" -gt 1000 ] || fail 'memory was lost as well'
[ "$(grep -c 'is away: .* failed with ENXIO;' "$dir/err")" -eq 1 ] ||
    fail "not said once: $(cat "$dir/err")"
"$USWAP" info "$pid" | grep -q "$loop (away)" || fail 'not shown as away'
"$USWAP" on "$pid" "$dir/other,size=256M" || fail 'cannot add another'
! "$USWAP" off "$pid" "$loop" 2>"$dir/off" || fail 'it went, with its pages'
grep -q 'away, and pages are on it' "$dir/off" || fail "$(cat "$dir/off")"
"$USWAP" off -f "$pid" "$loop" || fail 'it cannot be given up'
end
[ "$(number blocks_bad)" -eq 0 ] || fail 'blocks were retired'
rm "$dir/other"

# ---- a file system that dies ----

# Beside one that does not, whose pages are as they were: of each two pages one
# is lost at most.
mounted 200M fs
start --swap "$dir/fs/swap,size=150M" --swap "$dir/first,size=256M"
python3 - "$dir/fs" <<'EOT' || fail 'cannot shut it down'
import fcntl, os, struct, sys
EXT4_IOC_SHUTDOWN, NOLOGFLUSH = 0x8004587d, 2
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.ioctl(fd, EXT4_IOC_SHUTDOWN, struct.pack("I", NOLOGFLUSH))
EOT
there=$(used "$dir/first")
onwards seen
[ "$(count wrong)" -eq 0 ] || fail 'wrong contents'
[ "$(count lost)" -gt 1000 ] || fail 'nothing was lost: it did not die'
[ "$(count good)" -ge "$there" ] || fail 'pages on the other file were lost'
[ "$(grep -c 'fs/swap: is away' "$dir/err")" -eq 1 ] ||
    fail "not said once: $(cat "$dir/err")"
"$USWAP" off -f "$pid" "$dir/fs/swap" || fail 'it cannot be given up'
end
umount "$dir/fs" || fail 'the file is still open'
mounts=

# ---- a device with fewer blocks than it says ----

# Some writes fail, for ever; it is written to as far as it goes, the rest is
# elsewhere, and no page is lost.
if id=$(cat /sys/class/zram-control/hot_add 2>"$dir/zram"); then
	zram=$id
	echo 256M >"/sys/block/zram$id/disksize" || fail 'zram'
	echo 24M >"/sys/block/zram$id/mem_limit" || fail 'zram'
	mkswap "/dev/zram$id" >"$dir/mkswap" || fail 'mkswap'
	"$USWAP" run --ram 32M --stats "$dir/stats" \
	    --swap "/dev/zram$id,prio=1" --swap "$dir/first" -- \
	    "$bin/threads" 128 4 8 "$seed" >"$dir/out" 2>"$dir/err" &
	pids=$!
	for _ in $(seq 60); do
		! "$USWAP" info $! 2>"$dir/kill" | grep -q '(away)' || break
		sleep 0.1
	done
	"$USWAP" info $! | grep -q "/dev/zram$id (away)" ||
	    fail "not shown as away: $(cat "$dir/err")"
	wait $! || fail "exit code $?: $(cat "$dir/out" "$dir/err")"
	pids=
	grep -q 'all right' "$dir/out" || fail 'not all right'
	[ "$(number read_errors)" -eq 0 ] || fail 'reads failed'
	[ "$(number write_errors)" -gt 7 ] || fail 'no write failed'
	echo "$test: $(number write_errors) writes failed," \
	    "$(number blocks_bad) blocks are bad"
	[ "$(number blocks_bad)" -le 100 ] || fail 'they were all tried'
else
	echo "$test: no zram: a device that is full is not tested"
fi

# A file that a file system cannot hold is refused before it begins.
mounted 32M small
! "$USWAP" run --swap "$dir/small/file,size=64M" true 2>"$dir/err" ||
    fail 'a full file system was taken'
[ "$(wc -l <"$dir/err")" -eq 1 ] || fail "not one line: $(cat "$dir/err")"
[ ! -e "$dir/small/file" ] || fail 'it left a file behind'
exit 0
