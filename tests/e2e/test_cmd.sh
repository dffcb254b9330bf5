#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# cmd: what `uswap run` refuses and how it ends, and what it costs a program
# that needs no pager.  usage: test_cmd.sh [BUILD-DIRECTORY]
build=${1:-${BUILD:-}}
[ -z "$build" ] || USWAP=$build/uswap
. "$(dirname "$0")/../support/e2e.sh"

# ---- the command line

refused 125 '--when-half' run --when-half=stop true
refused 125 'unknown option -x' run -x true
refused 125 'unknown option -x' run -vx true
refused 125 'needs a value' run --ram
refused 125 'needs a program' run
refused 125 'needs a program' run --ram 64M --
refused 125 'no command frobnicate' frobnicate
refused 125 'no option --frob' --frob
"$USWAP" 2>/dev/null
[ $? -eq 125 ] || fail 'no arguments are not refused'
"$USWAP" --version | grep -Eq '^uswap [0-9]+\.[0-9]+\.[0-9]+$' ||
    fail 'no version'
for words in --help 'help' 'help run' 'run --help' 'run -h'; do
	# shellcheck disable=SC2086 # they are words
	"$USWAP" $words | grep -q '^usage: uswap' || fail "no help: $words"
done

for ram in x 64X -5 1x 0x10000000 inf '' 64MM; do
	refused 125 'not a size' run --ram "$ram" true
done
refused 125 'too little' run --ram 0 true
refused 125 'at least 16M' run --ram 15M true
for ram in 16M 16777216 16m 0.5G 1g 1T 64MiB 64MB; do
	ends 0 run --ram "$ram" true
done

# By default half of the least limit on the way up, here of the group above.
cat >"$dir/inner" <<'EOF'
base=/sys/fs/cgroup
[ ! -e $base/memory/memory.limit_in_bytes ] || base=$base/memory
outer=$base/uswap.$PPID
mkdir "$outer/inner" && echo $$ >"$outer/inner/cgroup.procs" || exit
"$1" run sh -c 'echo $USWAP_RAM'
echo $$ >"$outer/cgroup.procs"
for _ in 1 2 3 4 5 6 7 8 9 10; do
	rmdir "$outer/inner" 2>/dev/null && break
	sleep 0.2
done
EOF
"$root/tools/memlimit.sh" 209715200 sh "$dir/inner" "$USWAP" >"$dir/out" \
    2>"$dir/err"
case $? in
77) echo "$test: no control group: its limits are not looked at" ;;
*) [ "$(cat "$dir/out")" = 104857600 ] ||
    fail "the budget in a group of 200M: $(cat "$dir/out" "$dir/err")" ;;
esac

# ---- the program

ends 0 run true
ends 1 run false
ends 7 run -- sh -c 'exit 7'
ends 3 run sh -c 'exit 3' --ram
{ timeout 20 "$USWAP" run sh -c 'kill -9 $$'; } 2>/dev/null
[ $? -eq 137 ] || fail 'death by a signal does not come through'

refused 127 'no-such-program' run no-such-program
refused 127 'nowhere' run /nowhere/at/all
refused 127 'empty' run ''
refused 126 'directory' run /
echo 'echo hello' >"$dir/plain"
refused 126 'Permission denied' run "$dir/plain"
PATH=$dir:$PATH refused 126 'Permission denied' run plain
chmod +x "$dir/plain"
ends 0 run "$dir/plain"
[ "$(cat "$dir/out")" = hello ] || fail 'a script without #! does not run'
PATH=$dir:$PATH ends 0 run plain

script() {
	printf '#!%s\nexit 4\n' "$1" >"$dir/$2"
	chmod +x "$dir/$2"
}
script /bin/sh script
ends 4 run "$dir/script"
script '/nowhere/sh -e' lost
refused 126 '/nowhere/sh' run "$dir/lost"
script "$dir/loop" loop
refused 126 'names no program' run "$dir/loop"
script '' empty
refused 126 'names no program' run "$dir/empty"

# elf FILE OFFSET BYTE: a copy of true with one byte changed.
elf() {
	python3 - "$dir/$1" "$2" "$3" <<'EOF'
import os, shutil, sys
data = bytearray(open(shutil.which("true"), "rb").read())
if int(sys.argv[2]) >= 0:
    data[int(sys.argv[2])] = int(sys.argv[3])
open(sys.argv[1], "wb").write(data)
os.chmod(sys.argv[1], 0o755)
EOF
}
elf machine 18 8 # MIPS
refused 126 'another kind of processor' run "$dir/machine"
elf class 4 1 # ELFCLASS32
refused 125 '32-bit' run "$dir/class"
elf copy -1 0
ends 0 run "$dir/copy"

python3 - "$dir/copy" "$dir/static" <<'EOF'
import os, struct, sys
data = bytearray(open(sys.argv[1], "rb").read())
phoff, = struct.unpack_from("<Q", data, 32)
size, count = struct.unpack_from("<HH", data, 54)
for i in range(count):
    if struct.unpack_from("<I", data, phoff + i * size)[0] == 3:  # PT_INTERP
        struct.pack_into("<I", data, phoff + i * size, 0)  # PT_NULL
open(sys.argv[2], "wb").write(data)
os.chmod(sys.argv[2], 0o755)
EOF
refused 125 "$dir/static.*statically linked" run "$dir/static"
script "$dir/static" static-script
refused 125 "$dir/static.*statically linked" run "$dir/static-script"

if [ "$(id -u)" -eq 0 ]; then
	cp "$dir/copy" "$dir/setuid"
	chmod u+s "$dir/setuid"
	ends 0 run "$dir/setuid"
	chown 65534 "$dir/setuid"
	chmod u+s "$dir/setuid"
	refused 125 'set-user-ID' run "$dir/setuid"
	cp "$dir/copy" "$dir/setgid"
	chown :65534 "$dir/setgid"
	chmod g+s "$dir/setgid"
	refused 125 'set-group-ID' run "$dir/setgid"
	chmod 755 "$dir"
	if command -v setpriv >/dev/null && python3 - "$dir/copy" <<'EOF' &&
import os, struct, sys
os.setxattr(sys.argv[1], "security.capability",
    struct.pack("<5I", 0x02000001, 1 << 13, 0, 0, 0))
EOF
	    setpriv --reuid 65534 --clear-groups test -x "$USWAP"; then
		setpriv --reuid 65534 --clear-groups "$USWAP" run "$dir/copy" \
		    2>"$dir/err"
		[ $? -eq 125 ] || fail 'file capabilities are not refused'
		grep -q 'has file capabilities' "$dir/err" ||
		    fail "file capabilities: $(cat "$dir/err")"
		cat "$dir/err"
	fi
fi

# ---- swap space

refused 125 '' run --swap "$dir/new" true # a new file needs a size
[ ! -e "$dir/new" ] || fail 'a refused spec left a file'
refused 125 '' run --swap "$dir/new,size=lots" true
refused 125 '' run --swap "$dir/new,size=64M,colour=red" true
refused 125 '' run --swap '' true
refused 125 '' run --swap "$dir/new,size=900T" true
refused 125 '' run --swap 'tmp,size=900T' true
refused 125 '' run --swap "$dir/no/such/directory,size=64M" true
echo 'my thesis' >"$dir/thesis"
refused 125 'thesis' run --swap "$dir/thesis,size=64M" true
[ "$(cat "$dir/thesis")" = 'my thesis' ] || fail 'a file was overwritten'
ln -s thesis "$dir/link"
refused 125 'link' run --swap "$dir/link,size=64M" true
refused 127 '' run --swap "$dir/new,size=64M" no-such-program
[ ! -e "$dir/new" ] || fail 'a mistyped program left a swap file'
ends 0 run --swap "$dir/new,size=64M" true
[ "$(stat -c %a "$dir/new")" = 600 ] || fail 'the swap file is not private'
ends 0 run --swap "$dir/new" true
(cd "$dir" && "$USWAP" run --swap rel,size=64M \
    sh -c 'cd / && echo "$USWAP_SWAP"') >"$dir/out"
grep -Fqx "$dir/rel,size=64M" "$dir/out" || fail 'a relative swap file'
(cd / && "$USWAP" run --swap "tmp,dir=${dir#/},size=64M" \
    sh -c 'echo "$USWAP_SWAP"') >"$dir/out"
grep -Fqx "tmp,dir=/${dir#/},size=64M" "$dir/out" ||
    fail 'a relative directory for temporary files'

# ---- statistics

refused 125 'statistics' run --stats /nowhere/file true
(cd "$dir" && "$USWAP" run --stats s.json sh -c 'cd /; exit 0')
python3 - "$dir/s.json" <<'EOF' || fail 'statistics without a pager'
import json, sys
s = json.load(open(sys.argv[1]))
assert s["pager"] is False and s["program"] == "sh" and s["pid"] > 1, s
assert 500_000 < s["peak_rss"] < 100 << 20 and s["wall_ns"] > 0, s
EOF
"$USWAP" run -v true 2>&1 | grep -q 'no pager was started' || fail 'no summary'
# coreutils close their stderr themselves, subshells are not the top process.
[ "$("$USWAP" run -v sh -c '(:); (:); true' 2>&1 | wc -l)" -eq 1 ] ||
    fail 'not exactly one summary'

# ---- what a small program gets

# No thread, and the descriptors that it would have had without.
count='print(len(os.listdir("/proc/self/task")), os.listdir("/proc/self/fd"))'
python=$(python3 -c 'import os, sys; print(os.path.realpath(sys.executable))')
"$python" -c "import os; $count" >"$dir/without"
"$USWAP" run "$python" -c "import os; $count" >"$dir/with"
echo "$test: threads and descriptors: $(cat "$dir/with")"
same "$dir/with" "$dir/without"

# Programs that change their title write it over the environment they were given.
"$USWAP" run -v --ram 32M --swap tmp,size=512M --stats "$dir/title.json" \
    "$python" - 2>"$dir/err" <<'EOF' || fail 'without an environment'
import ctypes
environ = ctypes.POINTER(ctypes.c_void_p).in_dll(ctypes.CDLL(None), "environ")
i = 0
while environ[i]:
    ctypes.memset(environ[i], 0, len(ctypes.string_at(environ[i])))
    i += 1
blocks = [bytearray(b"x" * (1 << 20)) for _ in range(100)]
assert all(b[-1] == ord("x") for b in blocks)
EOF
grep -q 'swap on tmp, 512M' "$dir/err" ||
    fail "a changed title loses the swap space: $(cat "$dir/err")"
[ -s "$dir/title.json" ] || fail 'a changed title loses the statistics'

# Calls that change nothing must be told from one another by errno as always.
"$USWAP" run "$python" - <<'EOF' || fail 'errno of the hooked calls'
import ctypes, errno, mmap
libc = ctypes.CDLL(None, use_errno=True)
libc.mmap.restype = ctypes.c_void_p
def bad(want, result):
    assert ctypes.c_int(result).value == -1, result
    assert ctypes.get_errno() == want, ctypes.get_errno()
bad(errno.EINVAL, libc.munmap(ctypes.c_void_p(1), 4096))
bad(errno.EINVAL, libc.madvise(ctypes.c_void_p(1), 4096, 4))
bad(errno.ENOMEM, libc.mprotect(ctypes.c_void_p(4096), 4096, 1))
bad(errno.EINVAL, libc.mmap(None, ctypes.c_size_t(0), 3, 0x22, -1, 0))
bad(errno.EBADF, libc.mmap(None, ctypes.c_size_t(1 << 20), 3, 2, -1, 0))
EOF

# The same on memory that is paged, and after a fork.
for how in '' fork; do
	[ -x "$bin/hooks" ] || continue
	# shellcheck disable=SC2086 # no argument is no argument
	timeout -s KILL 30 "$USWAP" run --ram 32M --swap tmp,size=512M \
	    "$bin/hooks" $how 2>"$dir/err"
	[ $? -eq 5 ] || fail "hooks $how: $(cat "$dir/err")"
done

# Start-up: the median of 20 runs of true, with and without, within 5 ms.
for option in '' --inline; do
	"$USWAP" run $option true 2>/dev/null || continue # Linux before 6.9
	# shellcheck disable=SC2086 # no option is no argument
	python3 - "$USWAP" run $option <<'EOF' || fail 'the start takes too long'
import os, shutil, statistics, sys, time
true = shutil.which("true")
def median(args):
    times = []
    for _ in range(20):
        begin = time.monotonic()
        pid = os.posix_spawn(args[0], args, os.environ)
        assert os.waitpid(pid, 0)[1] == 0
        times.append(time.monotonic() - begin)
    return statistics.median(times) * 1000
# A machine that is busy with something else gets further tries.
for attempt in range(5):
    plain, ours = median([true]), median(sys.argv[1:] + [true])
    print("test_cmd: start-up: %.2f ms, without %.2f ms: %s" %
        (ours, plain, " ".join(sys.argv[2:])))
    if ours - plain < 5:
        sys.exit(0)
    time.sleep(3)
sys.exit(1)
EOF
done

# ---- what makes the hooks safe

# The preload library takes the place of these, and the pager's threads would
# wait in them for the program's: they must make the system calls themselves.
core=$(dirname "$USWAP")/libcore.a
if [ -e "$core" ] && command -v nm >/dev/null; then
	calls=$(nm -u "$core" 2>/dev/null | grep -wE -o \
	    'mmap|mmap64|munmap|mremap|madvise|mprotect|mlock2?|munlock|fork|_exit' |
	    sort -u | tr '\n' ' ')
	[ -z "$calls" ] || fail "the pager calls hooked functions: $calls"
	# The allocator may live in managed memory, its locks may be held by a
	# thread that waits for us, and stdio has both.
	calls=$(nm -u "$core" 2>/dev/null | grep -wE -o \
	    'malloc|calloc|realloc|free|posix_memalign|aligned_alloc|strn?dup|v?asprintf|f(open|dopen|printf|puts|write)|v?printf|puts|opendir|qsort|getline' |
	    sort -u | tr '\n' ' ')
	[ -z "$calls" ] || fail "the pager may allocate: $calls"
fi

exit $bad
