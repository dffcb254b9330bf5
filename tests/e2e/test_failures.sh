#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# What cannot work is refused with one line and 125, 126 or 127, and leaves
# nothing behind; what ends in the middle, ends loudly.
. "$(dirname "$0")/../support/e2e.sh"

bad=0
wrong() {
	echo "$test: $what: $*" >&2
	sed 's/^/    /' "$dir/err" >&2
	bad=1
}

# refused CODE ARGS...: `uswap ARGS` says one line and exits with CODE.
as=
refused() {
	code=$1
	shift
	what="uswap $*"
	# shellcheck disable=SC2086 # a command prefix
	timeout -k 5 60 $as "$USWAP" "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq "$code" ] || wrong "exit code $status, not $code"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || wrong 'not one line'
	[ ! -s "$dir/out" ] || wrong 'output'
}

# ends CODE ARGS...: the program's own end is handed on.
ends() {
	code=$1
	shift
	what="uswap $*"
	timeout -k 5 60 "$USWAP" "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq "$code" ] || wrong "exit code $status, not $code"
	! grep -q "^uswap" "$dir/err" || wrong "uswap spoke"
}

# ---- what people type ----

refused 125 bogus
refused 125 run
refused 125 run --bogus true
for size in 1K 15M -5 12X '' 99999999999999999999 99999999T 1G1; do
	refused 125 run --ram "$size" true
done
for spec in '' ,size=1G "$dir/f" "$dir/f,size=0" "$dir/f,size=-1" \
    "$dir/f,size=1Q" "$dir/f,size=1G,bogus=1" "$dir/f,size=1G,prio=99999" \
    "$dir/f,size=8E" "$dir/f,size=99999T" "$dir/none/f,size=1G" \
    "$dir,size=1G" /dev/null "$dir/none,size=" tmp,dir=/nonexistent; do
	refused 125 run --swap "$spec" true
done
[ ! -e "$dir/f" ] || { what='a refused swap file' && wrong 'was left'; }
refused 125 run --stats /nonexistent/stats true
# What was made before the refusal goes, what was there stays.
refused 125 run --swap "$dir/f,size=1M" --swap "$dir/none/f,size=1M" true
refused 125 run --swap "$dir/f,size=1M" --stats /nonexistent/stats true
[ ! -e "$dir/f" ] || wrong 'left the swap file'
ends 0 run --swap "$dir/f,size=1M" true
refused 125 run --swap "$dir/f" --swap "$dir/none/f,size=1M" true
[ -e "$dir/f" ] || wrong 'removed a file that was there'
rm -f "$dir/f"
cp "$(command -v env)" "$dir/busy"
exec 9>>"$dir/busy"
refused 126 run --swap "$dir/f,size=1M" --stats "$dir/s" "$dir/busy"
grep -q 'busy: Text file busy' "$dir/err" || wrong 'another reason'
{ [ ! -e "$dir/f" ] && [ ! -e "$dir/s" ]; } || wrong 'left a file'
exec 9>&-
refused 127 run "$dir/absent"
refused 127 run no-such-program-anywhere
refused 126 run "$dir"
: >"$dir/noexec"
refused 126 run "$dir/noexec"
ends 7 run sh -c 'exit 7'
ends 0 run -- sh -c 'exit 0'
ends 137 run sh -c 'kill -9 $$'

if echo 'int main(void) { return 0; }' | ${CC:-cc} -x c -static \
    -o "$dir/static" - 2>"$dir/err"; then
	refused 125 run "$dir/static"
	grep -q static "$dir/err" || wrong 'does not say why'
fi

# ---- swap space that is something else ----

echo 'my only copy' >"$dir/data"
refused 125 run --swap "$dir/data" true
refused 125 run --swap "$dir/data,size=64M" true
[ "$(cat "$dir/data")" = 'my only copy' ] || wrong 'destroyed a file'
: >"$dir/target"
ln -s target "$dir/link"
refused 125 run --swap "$dir/link,size=64M" true

# ---- a full disk ----

if mkdir "$dir/mnt" && truncate -s 64M "$dir/image" &&
    mkfs.ext4 -q "$dir/image" 2>"$dir/err" &&
    mount -o loop "$dir/image" "$dir/mnt" 2>"$dir/err"; then
	at_exit() {
		umount "$dir/mnt"
		rm -rf "$dir"
	}
	refused 125 run --swap "$dir/mnt/f,size=1G" true
	[ ! -e "$dir/mnt/f" ] || wrong 'left the file'
	refused 125 run --swap "tmp,size=1G,dir=$dir/mnt" true
	[ "$(ls "$dir/mnt")" = lost+found ] || wrong 'left a file'
else
	echo "$test: cannot mount: no disk to fill"
fi

# ---- nobody ----

# Where nobody can get at the command; copied, as a checkout may be private.
if [ "$(id -u)" -eq 0 ] && command -v setpriv >/dev/null; then
	chmod 755 "$dir"
	mkdir -m 1777 "$dir/nobody"
	cp "$USWAP" "$(dirname "$USWAP")/libuswap-preload.so" "$dir/nobody"
	own=$USWAP
	USWAP=$dir/nobody/uswap
	as='setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs'
	if [ "$(cat /proc/sys/vm/unprivileged_userfaultfd)" = 0 ] &&
	    ! $as test -w /dev/userfaultfd; then
		refused 125 run true
		grep -q userfaultfd "$dir/err" || wrong 'does not name it'
	fi
	chmod 600 "$dir/target"
	refused 125 run --swap "$dir/target,size=64M" true
	USWAP=$own
	as=
fi

# ---- swap space that runs out ----

# Three times what there is room for: right to the end, or a loud end.
what='swap space exhausted'
timeout -k 5 120 "$USWAP" run --ram 32M --swap "$dir/small,size=32M" -- \
    "$bin/closefds" 192 >"$dir/out" 2>"$dir/err"
status=$?
[ $status -ne 124 ] || wrong 'hangs'
grep -q '^uswap' "$dir/err" || wrong 'no message'
! grep -q '^closefds' "$dir/err" || wrong 'wrong bytes'
rm -f "$dir/small"

# Over now means over: no process, no temporary file.
what='after all this'
for file in probe out noexec static data target link image nobody busy; do
	rm -rf "${dir:?}/$file"
done
find "$dir" -mindepth 1 ! -name err ! -path "$dir/mnt*" >"$dir/err"
[ ! -s "$dir/err" ] || wrong 'files were left'
pgrep -f "$dir" >"$dir/err" && wrong 'processes were left'
exit $bad
