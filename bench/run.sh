#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# run.sh: uswap beside the kernel's own swap, in one run, interleaved.  What is
# measured and what the numbers mean: bench/README.md.  Environment:
#	USWAP, FLOOR	the programs (default in build/)
#	BENCH_MIB=1024 BENCH_RAM=512	data and memory, in MiB
#	BENCH_ROUNDS=3	the medians are over so many
#	BENCH_SECONDS=5	of each random pattern
#	TMPDIR=/var/tmp	the disk that is swapped to
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
uswap=$(realpath "${USWAP:-build/uswap}")
floor=$(realpath "${FLOOR:-build/bench/floor}")
mib=${BENCH_MIB:-1024}
ram=${BENCH_RAM:-512}
rounds=${BENCH_ROUNDS:-3}
seconds=${BENCH_SECONDS:-5}

for program in "$uswap" "$floor"; do
	[ -x "$program" ] || { echo "no $program: type make"; exit 1; }
done
dir=$(mktemp -d "${TMPDIR:-/var/tmp}/uswap-bench.XXXXXX") || exit 1
swapfile=
clean() {
	[ -z "$swapfile" ] || swapoff "$swapfile"
	rm -rf "$dir"
}
trap clean EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM

# ---- the other side: a swap file beside ours, and a limit by control group ----

# Only when it is the only swap space: else we would measure that of others.
if [ "$(id -u)" -eq 0 ] && [ "$(wc -l </proc/swaps)" -eq 1 ] &&
    tools/memlimit.sh $((ram << 20)) true &&
    dd if=/dev/zero of="$dir/kernel.swap" bs=1M count=$((mib * 2)) \
	status=none && chmod 600 "$dir/kernel.swap" &&
    mkswap "$dir/kernel.swap" >"$dir/log" 2>&1 &&
    swapon "$dir/kernel.swap"; then
	swapfile=$dir/kernel.swap
else
	echo "the kernel's swap cannot be measured here (needs root, no other" \
	    'swap space, and a memory controller)'
fi

on_uswap() {
	"$uswap" run --ram "${ram}M" --swap "$dir/uswap.swap,size=$((mib * 2))M" \
	    -- "$@"
}
on_kernel() {
	tools/memlimit.sh $((ram << 20)) "$@"
}

# measure NAME SIDE COMMAND...: COMMAND prints numbers; they become a line.
measure() {
	name=$1
	side=$2
	shift 2
	printf '  %-14s %s\n' "$name" "$side" >&2
	if numbers=$("$@"); then
		echo "$name $side $numbers" >>"$dir/numbers"
	else
		echo "  failed: $*" >&2
		failed=1
	fi
}

# job: seconds of a python3 job, "$@" before it.
python=$(python3 -c 'import sys; print(sys.executable)')
job() {
	tools/peak.py "$dir/peak" "$@" "$python" -c '
a = [str(i) * 4 for i in range(3000000)]
a.sort()
d = {s: i for i, s in enumerate(a)}
assert d["0000"] == 0' || return
	read -r took _ <"$dir/peak"
	echo "$took"
}

failed=0
for round in $(seq "$rounds"); do
	echo "round $round of $rounds" >&2
	for pattern in fill seqread seqrmw randread randwrite; do
		case $pattern in
		rand*) amount=$seconds ;;
		*) amount=1 ;;
		esac
		for threads in 1 2; do
			set -- "$floor" "$mib" $pattern $threads "$amount"
			measure $pattern-$threads uswap on_uswap "$@"
			[ -z "$swapfile" ] ||
			    measure $pattern-$threads kernel on_kernel "$@"
		done
	done
	measure fits uswap job "$uswap" run --ram 4G --
	measure fits native job
done

python3 bench/table.py "$dir/numbers" \
    "bench/results/$(date +%Y-%m-%dT%H%M%S).json" "$mib" "$ram" || exit 1
exit $failed
