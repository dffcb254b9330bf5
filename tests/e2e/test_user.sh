#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# A user without privileges where only faults of user mode are permitted: what works
# is `uswap run --inline`, by which system calls are made again.
probe_options=--inline
. "$(dirname "$0")/../support/e2e.sh"
need setpriv sort sqlite3 perl

# ---- the user, and the state of the machine

# A copy: others may not look into the build directory.
mkdir "$dir/bin" "$dir/files"
for file in "$USWAP" "${USWAP%/*}/libuswap-preload.so" \
    "${USWAP%/*}/libuswap-syscalls.so" "$bin/syscalls" "$bin/lines"; do
	cp "$file" "$dir/bin" || fail "no copy of $file"
done

knob=/proc/sys/vm/unprivileged_userfaultfd
device=/dev/userfaultfd
as=
if [ "$(id -u)" -eq 0 ]; then
	old_knob=$(cat $knob)
	old_mode=$(stat -c %a $device 2>/dev/null)
	at_exit() {
		echo "$old_knob" >$knob
		[ -z "$old_mode" ] || chmod "$old_mode" $device
		rm -rf "$dir"
	}
	echo 0 >$knob || skip "$knob cannot be set"
	[ -z "$old_mode" ] || chmod 600 $device
	chown -R 65534:65534 "$dir"
	as='setpriv --reuid 65534 --regid 65534 --clear-groups'
fi
as="$as env PATH=/usr/bin:/bin"
printf '#!/bin/sh\nexec %s %s/bin/uswap "$@"\n' "$as" "$dir" >"$dir/as-user"
chmod 755 "$dir/as-user"
USWAP=$dir/as-user
[ "$(cat $knob)" = 0 ] || skip "$knob is not 0"
$as python3 -c "open('$device')" 2>/dev/null && skip "$device can be opened"

# ---- what is said, and what is preloaded

"$USWAP" run true >"$dir/out" 2>&1
[ $? -eq 125 ] || fail 'what cannot work is not refused'
cat "$dir/out"
[ "$(wc -l <"$dir/out")" -eq 1 ] || fail 'not one line'
for word in 'vm.unprivileged_userfaultfd=1' "chmod 666 $device" \
    'uswap run --inline'; do
	grep -Fq "$word" "$dir/out" || fail "the refusal does not name: $word"
done
ours="$dir/bin/libuswap-syscalls.so:$dir/bin/libuswap-preload.so"
"$USWAP" run --inline sh -c "exec '$dir/bin/uswap' run --inline env" |
    sed -n 's/^LD_PRELOAD=//p' >"$dir/out"
[ "$(cat "$dir/out")" = "$ours" ] ||
    fail "preloaded: $(cat "$dir/out"), not $ours"

# The note that go build leaves, in place of another.
python3 - "$dir/go" <<'EOF'
import shutil, sys
data = open(shutil.which("true"), "rb").read()
note = b"\x04\0\0\0" b"\x14\0\0\0" b"\x03\0\0\0" b"GNU\0"
assert data.count(note) == 1
go = b"\x04\0\0\0" b"\x14\0\0\0" b"\x04\0\0\0" b"Go\0\0"
open(sys.argv[1], "wb").write(data.replace(note, go))
EOF
chmod 755 "$dir/go"
$as "$dir/go" || fail 'a changed note'
"$USWAP" run --inline "$dir/go" 2>"$dir/err"
[ $? -eq 125 ] || fail 'a program written in Go is not refused'
grep -q 'written in Go' "$dir/err" || fail "Go: $(cat "$dir/err")"

# ---- system calls

# Each by itself: what cannot work may end the process.  Of memory that is out, and of
# such as has only been read since, which is write-protected.
results=0 different=
for name in $($as "$dir/bin/syscalls" "$dir/files" | cut -d: -f1 | uniq); do
	$as "$dir/bin/syscalls" "$dir/files" "$name" >"$dir/native.1"
	results=$((results + $(wc -l <"$dir/native.1")))
	for how in '' read; do
		timeout -k 5 30 "$USWAP" run --inline --ram 16M \
		    "$dir/bin/syscalls" "$dir/files" "$name" $how \
		    >"$dir/paged.1" 2>"$dir/err"
		cmp -s "$dir/native.1" "$dir/paged.1" && continue
		different="$different $name${how:+ ($how)}"
		diff "$dir/native.1" "$dir/paged.1"
		cat "$dir/err"
	done
done
echo "$test: $results results each, different:$different"
[ "$results" -eq 263 ] || fail "$results results natively, not 263"
# Another process cannot look into pages that are out, nor write to protected ones.
[ "$different" = ' outside outside (read)' ] ||
    fail 'not those that are known to be different'

# What threads wait for stays.  That it leaves in the wrong microsecond is too rare to
# rely on it above.
"$USWAP" run --inline --ram 16M --stats "$dir/stats" "$dir/bin/syscalls" \
    "$dir/files" locks >"$dir/out" || fail 'locks'
wired=$(number pages_wired)
echo "$test: $wired pages of locks are kept"
[ "$wired" -gt 0 ] || fail 'nothing that threads wait for is kept'

# ---- programs

run_options=--inline
swap_size=$(scale 1G 4G)
# both MIB PROGRAM ARGS...: natively, and in MIB.
both() {
	budget=$1
	shift
	$as "$@" <"$dir/input" >"$dir/native" || fail "natively: $1"
	swapped "$budget" "$@" <"$dir/input" >"$dir/mine"
	same "$dir/mine" "$dir/native"
}

"$dir/bin/lines" "$(scale 100 1024)" 1000 1 >"$dir/lines" || fail 'no lines'
: >"$dir/input"
both "$(scale 32 256)" sort -S "$(scale 160M 1500M)" --parallel=2 -T "$dir" \
    "$dir/lines"

rows=$(scale 90000 850000)
cat >"$dir/input" <<SQL
CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows)
    INSERT INTO t SELECT i, i * 2654435761 % 1000003,
    printf('%0640d', i * 40503 % 65521) FROM n;
UPDATE t SET v = v || id WHERE id % 7 = 0;
SELECT count(*), sum(k), sum(substr(v, 630)) FROM t;
.once |sha256sum
SELECT * FROM t WHERE id % 5 = 0;
PRAGMA integrity_check;
SQL
both 24 sqlite3 :memory:
grep -qx ok "$dir/mine" || fail 'the database is not sound'

# Files, pipes, threads, other programs, and what the C library reads by itself.
cat >"$dir/work.py" <<'PYTHON'
import hashlib, os, pwd, subprocess, sys, tempfile, threading, time

n = int(sys.argv[1]) * 4000
lines = [b"%d %s\n" % (i * 7919 % 1000003, b"x" * (i % 400)) for i in range(n)]
with tempfile.TemporaryFile() as f:
    f.writelines(lines)
    f.seek(0)
    print(sum(a == b for a, b in zip(f, lines)) == n)
    f.seek(0)
    whole = f.read()
print(hashlib.sha256(whole).hexdigest())
print(subprocess.run(["sha256sum"], input=whole, capture_output=True).stdout)
found = [None] * 4

def part(i):
    digest = hashlib.sha256()
    for line in lines[i::4]:
        digest.update(line)
    found[i] = digest.hexdigest()

threads = [threading.Thread(target=part, args=(i,)) for i in range(4)]
for t in threads:
    t.start()
for t in threads:
    t.join()
print(found)
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
print(time.localtime(0)[:6], pwd.getpwnam("nobody").pw_dir)
print(os.system("exit 3"), os.popen("echo $TZ").read(), len(os.listdir("/etc")))
PYTHON
: >"$dir/input"
both 32 /usr/bin/python3 "$dir/work.py" "$(scale 32 400)"

cat >"$dir/work.pl" <<'PERL'
my $n = $ARGV[0] * 3000;
my @lines = map { ($_ * 7919 % 1000003) . " " . "y" x ($_ % 300) . "\n" } 0 .. $n;
open(my $f, "+>", "$ENV{TMPDIR}/perl") or die;
print $f $_ for @lines;
seek($f, 0, 0);
my $same = 0;
for my $want (@lines) { $same += <$f> eq $want }
seek($f, 0, 0);
sysread($f, my $all, -s $f) == -s $f or die;
print "$same of $n, ", unpack("%32C*", $all), " ", length($all), "\n";
print join(" ", map { length } @lines[0 .. 9]), " ", join(" ", localtime(0)), "\n";
PERL
both 32 perl "$dir/work.pl" "$(scale 48 400)"
