#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What cannot work is refused with one line and 125, 126 or 127, and leaves
# nothing behind; what ends in the middle, ends loudly.
. "$(dirname "$0")/../support/e2e.sh"

# ---- what people type ----

refused 125 '' bogus
refused 125 '' run
refused 125 '' run --bogus true
for size in 1K 15M -5 12X '' 99999999999999999999 99999999T 1G1; do
	refused 125 '' run --ram "$size" true
done
for spec in '' ,size=1G "$dir/f" "$dir/f,size=0" "$dir/f,size=-1" \
    "$dir/f,size=1Q" "$dir/f,size=1G,bogus=1" "$dir/f,size=1G,prio=99999" \
    "$dir/f,size=8E" "$dir/f,size=99999T" "$dir/none/f,size=1G" \
    "$dir,size=1G" /dev/null "$dir/none,size=" tmp,dir=/nonexistent; do
	refused 125 '' run --swap "$spec" true
done
[ ! -e "$dir/f" ] || { what='a refused swap file' && wrong 'was left'; }
refused 125 '' run --stats /nonexistent/stats true
# What was made before the refusal goes, what was there stays.
refused 125 '' run --swap "$dir/f,size=1M" --swap "$dir/none/f,size=1M" true
refused 125 '' run --swap "$dir/f,size=1M" --stats /nonexistent/stats true
[ ! -e "$dir/f" ] || wrong 'left the swap file'
ends 0 run --swap "$dir/f,size=1M" true
refused 125 '' run --swap "$dir/f" --swap "$dir/none/f,size=1M" true
[ -e "$dir/f" ] || wrong 'removed a file that was there'
rm -f "$dir/f"
cp "$(command -v env)" "$dir/busy"
exec 9>>"$dir/busy"
refused 126 'busy: Text file busy' run --swap "$dir/f,size=1M" \
    --stats "$dir/s" "$dir/busy"
{ [ ! -e "$dir/f" ] && [ ! -e "$dir/s" ]; } || wrong 'left a file'
exec 9>&-
refused 127 '' run "$dir/absent"
refused 127 '' run no-such-program-anywhere
refused 126 '' run "$dir"
: >"$dir/noexec"
refused 126 '' run "$dir/noexec"
ends 7 run sh -c 'exit 7'
ends 0 run -- sh -c 'exit 0'
ends 137 run sh -c 'kill -9 $$'

if echo 'int main(void) { return 0; }' | ${CC:-cc} -x c -static \
    -o "$dir/static" - 2>"$dir/err"; then
	refused 125 'static' run "$dir/static"
fi

# ---- swap space that is something else ----

echo 'my only copy' >"$dir/data"
refused 125 '' run --swap "$dir/data" true
refused 125 '' run --swap "$dir/data,size=64M" true
[ "$(cat "$dir/data")" = 'my only copy' ] || wrong 'destroyed a file'
: >"$dir/target"
ln -s target "$dir/link"
refused 125 '' run --swap "$dir/link,size=64M" true

# ---- a full disk ----

if mkdir "$dir/mnt" && truncate -s 64M "$dir/image" &&
    mkfs.ext4 -q "$dir/image" 2>"$dir/err" &&
    mount -o loop "$dir/image" "$dir/mnt" 2>"$dir/err"; then
	at_exit() {
		umount "$dir/mnt"
		rm -rf "$dir"
	}
	refused 125 '' run --swap "$dir/mnt/f,size=1G" true
	[ ! -e "$dir/mnt/f" ] || wrong 'left the file'
	refused 125 '' run --swap "tmp,size=1G,dir=$dir/mnt" true
	[ "$(ls "$dir/mnt")" = lost+found ] || wrong 'left a file'
else
	echo "$test: cannot mount: no disk to fill"
fi

# ---- what a process may have ----

# limited LIMIT COMMAND...: with `ulimit LIMIT`.
limited() {
	(
		# shellcheck disable=SC2086 # -f 100
		ulimit $1 || exit 1
		shift
		"$@"
		exit $bad
	) || bad=1
}
# late: a program that passes its budget, so that the pager is started.
late="run --ram 16M -- $bin/closefds 48"

limited '-f 1000' refused 125 '' run --swap "$dir/f,size=64M" true
[ ! -e "$dir/f" ] || wrong 'left the file'
limited '-f 1000' refused 125 'ulimit -f' run --swap tmp,size=64M true
limited '-f 100' refused 125 '' run true
# Without a size a temporary file is as large as it may be.
# shellcheck disable=SC2086 # words
limited '-f 120000' ends 0 $late
# shellcheck disable=SC2086 # words
limited '-v 4000000' refused 125 'ulimit -v' $late
refused 125 '' run --swap tmp,dir=/proc true
refused 125 '' run --swap "tmp,dir=$dir/data" true

# As in many containers: io_uring is forbidden.
cat >"$dir/norings" <<'EOF'
#!/usr/bin/env python3
import ctypes, os, struct, sys
libc = ctypes.CDLL(None)
code = ctypes.create_string_buffer(struct.pack("=" + "HBBI" * 4,
    0x20, 0, 0, 0,               # the number of the system call
    0x15, 0, 1, 425,             # is it io_uring_setup?
    0x06, 0, 0, 0x00050000 | 1,  # EPERM
    0x06, 0, 0, 0x7fff0000))     # allowed
prog = struct.pack("HxxxxxxP", 4, ctypes.addressof(code))
if libc.prctl(38, 1, 0, 0, 0) != 0 or libc.prctl(22, 2, prog) != 0:
    sys.exit("no seccomp")
os.execvp(sys.argv[1], sys.argv[1:])
EOF
chmod 755 "$dir/norings"
as=$dir/norings
refused 125 'io_uring' run true
as=

# ---- nobody ----

# Where nobody can get at the command; copied, as a checkout may be private.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$dir"
	mkdir -m 1777 "$dir/nobody"
	cp "$USWAP" "$(dirname "$USWAP")/libuswap-preload.so" "$bin/closefds" \
	    "$dir/nobody"
	own=$USWAP
	USWAP=$dir/nobody/uswap
	export TMPDIR="$dir/nobody"
	late="run --ram 16M -- $dir/nobody/closefds 48"
	drop='setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs'
	as=$drop
	if [ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] &&
	    ! $as test -w /dev/userfaultfd; then
		refused 125 'userfaultfd' run true
	fi

	# Where the device is open to everybody: in a mount name space.
	cat >"$dir/permitted" <<EOF
#!/bin/sh
exec unshare -m sh -c 'mount -t tmpfs none "\$0" &&
    mknod -m 666 "\$0/uffd" c $(stat -c '0x%t 0x%T' /dev/userfaultfd) &&
    mount --bind "\$0/uffd" /dev/userfaultfd && exec "\$@"' "$dir/dev" "\$@"
EOF
	chmod 755 "$dir/permitted"
	mkdir "$dir/dev"
	as="$dir/permitted $drop"
	if $as test -w /dev/userfaultfd 2>"$dir/err"; then
		# shellcheck disable=SC2086 # words
		$as "$USWAP" $late || wrong 'does not run'
		chmod 600 "$dir/target"
		refused 125 'permission denied' run \
		    --swap "$dir/target,size=64M" true
		: >"$dir/nobody/mine" && chown 65534 "$dir/nobody/mine"
		chmod 000 "$dir/nobody/mine"
		refused 125 '' run --swap "$dir/nobody/mine,size=64M" true
		refused 125 '' run --swap "$dir/f,size=64M" true
		refused 125 '' run --swap "tmp,dir=$dir" true
		refused 125 '' run --stats "$dir/s" --swap "$dir/nobody/f,size=1M" \
		    true
		[ ! -e "$dir/nobody/f" ] || wrong 'left the file'
		as="$as prlimit --nproc=1"
		# shellcheck disable=SC2086 # words
		refused 125 'ulimit -u' $late
	else
		echo "$test: no mount name space: less is tested as nobody"
	fi
	USWAP=$own
	export TMPDIR="$dir"
	as=
fi

# ---- swap space that runs out ----

# Three times what there is room for: it is said once, and goes on in memory.
ends_full() {
	what="uswap $*"
	timeout -k 5 120 "$USWAP" "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq 0 ] || wrong "exit code $status"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || wrong 'not one line'
	grep -q '^uswap: swap space is full.*--swap' "$dir/err" ||
	    wrong 'not the message'
}
ends_full run --ram 32M --swap "$dir/small,size=32M" -- "$bin/closefds" 192
ends_full run --ram 32M --swap tmp,size=64K -- "$bin/closefds" 64
rm -f "$dir/small"

# It may end there instead, or wait: within the budget, for as long as it takes.
timeout -k 5 60 "$USWAP" run --ram 32M --swap tmp,size=32M --when-full kill -- \
    "$bin/closefds" 192 >"$dir/out" 2>"$dir/err"
[ $? -eq 137 ] || wrong 'does not end by SIGKILL'
grep -q '^uswap: swap space is full.*ends here.*--swap' "$dir/err" ||
    wrong 'not the message'
timeout -s KILL 5 "$USWAP" run --ram 32M --swap tmp,size=32M --when-full stop \
    -- "$bin/closefds" 192 >"$dir/out" 2>"$dir/err"
[ $? -eq 137 ] || wrong 'does not wait'
[ "$(grep -c '^uswap: swap space is full.*waits' "$dir/err")" -eq 1 ] ||
    wrong 'not the message'
refused 125 '' run --when-full later -- true
# The names of the sockets of the dead go; timeout does not wait for their end.
for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
	"$USWAP" list >/dev/null
	[ -n "$(ls "$dir/uswap" 2>/dev/null)" ] || break
	sleep 0.25
done

# The disk had room when the program began, and has none when it grows.
if mountpoint -q "$dir/mnt"; then
	refused 125 '' run --ram 16M --swap "tmp,size=40M,dir=$dir/mnt" -- sh -c \
	    'head -c 30000000 /dev/zero >"$0/fill"; exec "$1" 48' \
	    "$dir/mnt" "$bin/closefds"
	grep -q 'use a smaller size=\|name another place' "$dir/err" ||
	    wrong 'does not say what would help'
	rm "$dir/mnt/fill"
	[ "$(ls "$dir/mnt")" = lost+found ] || wrong 'left a file'
fi

# Killed in the middle: nobody is left to clean up, and nothing is left to.
what='killed'
"$USWAP" run --ram 16M "$bin/closefds" 256 2>"$dir/err" &
sleep 1
kill -9 $! || wrong 'ended too early'
wait $! 2>/dev/null
[ $? -eq 137 ] || wrong 'not killed'

# But for the name of its control socket, which goes when somebody looks.
what='sockets'
# shellcheck disable=SC2012 # a number
[ "$(ls "$dir/uswap" | wc -l)" -eq 1 ] || wrong 'more than one was left'
"$USWAP" list >"$dir/out" 2>"$dir/err"
[ ! -s "$dir/out" ] || wrong 'one of them lives'
rmdir "$dir/uswap" || wrong 'it was not removed'

# Over now means over: no process, no temporary file.
what='after all this'
for file in probe out noexec static data target link image nobody busy \
    norings permitted dev; do
	rm -rf "${dir:?}/$file"
done
find "$dir" -mindepth 1 ! -name err ! -path "$dir/mnt*" >"$dir/err"
[ ! -s "$dir/err" ] || wrong 'files were left'
pgrep -f "$dir" >"$dir/err" && wrong 'processes were left'
exit $bad
