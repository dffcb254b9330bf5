#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# demo.sh: sorts 1 GiB in 256 MiB of memory, and shows what happens to the same
# job without uswap.  Environment: USWAP (default build/uswap), DEMO_MIB (1024),
# TMPDIR (default /var/tmp; a disk with five times the data free).
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
uswap=$(realpath "${USWAP:-build/uswap}")
mib=${DEMO_MIB:-1024}
ram=$((mib / 4))
buffer=$((mib * 1500 / 1024))
# What the program is besides its managed memory: the same for both.
limit=$((ram + 32))

say() {
	printf '[%4d s] %s\n' $(($(date +%s) - begin)) "$*"
}
begin=$(date +%s)

[ -x "$uswap" ] || { echo "no $uswap: type make"; exit 1; }
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/uswap-demo.XXXXXX") || exit 1
# Ctrl-C reaches the job, too; what is in the background does not hear it.
ticker=
trap '[ -z "$ticker" ] || kill $ticker 2>/dev/null; rm -rf "$dir"' EXIT
trap 'echo; echo interrupted; exit 130' INT
trap 'exit 143' HUP TERM

free=$(($(df -Pk "$dir" | awk 'NR == 2 { print $4 }') / 1024))
if [ $free -lt $((mib * 5)) ]; then
	echo "$dir has $free MiB free; this needs $((mib * 5))." \
	    'Set TMPDIR to a larger disk.'
	exit 1
fi

say "making $mib MiB of random lines in $dir"
${CC:-cc} -O2 -D_GNU_SOURCE -o "$dir/lines" tests/e2e/lines.c &&
    "$dir/lines" "$mib" 1000 1 >"$dir/in" || exit 1

# job NAME PROGRAM...: runs it on the lines; leaves $status, $seconds, $peak.
job() {
	out=$dir/$1
	shift
	# To be seen to be alive.
	while sleep 10; do
		say '   ... still sorting'
	done &
	ticker=$!
	tools/peak.py "$dir/peak" "$@" -S "${buffer}M" --parallel=2 -T "$dir" \
	    -o "$out" "$dir/in"
	status=$?
	kill $ticker
	wait $ticker 2>/dev/null
	ticker=
	read -r seconds peak <"$dir/peak"
	peak=$((peak >> 20))
}

# row NAME LIMIT RESULT PEAK SECONDS: for the table at the end.
rows=$dir/rows
row() {
	printf '%-34s %10s %18s %10s %8s\n' "$1" "$2" "$3" "$4" "$5" >>"$rows"
}
row 'what ran' 'memory' 'result' 'peak' 'time'

say "1. as much memory as it wants: sort -S ${buffer}M"
job native sort
[ $status -eq 0 ] || { say "sort failed: $status"; exit 1; }
row "sort -S ${buffer}M" unlimited sorted "$peak MiB" "$seconds s"

say "2. in $limit MiB, by a limit of the kernel's, without swap space"
job limited tools/memlimit.sh $((limit << 20)) -n sort
case $status in
0)	row 'the same' "$limit MiB" sorted "$peak MiB" "$seconds s" ;;
77)	row 'the same' "$limit MiB" 'could not be shown' - - ;;
137)	say '   killed by the kernel: out of memory'
	row 'the same' "$limit MiB" 'KILLED' "$peak MiB" "$seconds s" ;;
*)	row 'the same' "$limit MiB" "failed ($status)" "$peak MiB" "$seconds s" ;;
esac
rm -f "$dir/limited"

say "3. in $ram MiB with uswap"
job managed "$uswap" run --ram "${ram}M" -v -- sort
if [ $status -ne 0 ]; then
	say "failed: exit code $status"
	exit 1
fi

say 'comparing the results'
if cmp "$dir/native" "$dir/managed"; then
	row "uswap run --ram ${ram}M sort ..." "$ram MiB" 'sorted, the same' \
	    "$peak MiB" "$seconds s"
else
	say 'THE RESULTS DIFFER'
	exit 1
fi

say 'done'
echo
cat "$rows"
if [ $peak -gt $limit ]; then
	echo "more than $ram MiB + 32 MiB for the program itself: too much"
	exit 1
fi
