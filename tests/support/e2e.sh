# SPDX-License-Identifier: BSD-2-Clause
# e2e.sh: what the scripts in tests/e2e share.  Sourced, not run.
#
# A script runs a program that knows nothing of uswap, natively and in less
# memory than it needs, and compares what it says.  Environment:
#	USWAP		the command (default build/uswap)
#	USWAP_SCALE	check (default: seconds) or full (minutes)
#	TMPDIR		where the data goes (default /var/tmp); must be a disk
# What the script needs may be had by an option of `uswap run` only: probe_options.
# Exit codes: 0 passed, 77 skipped, else failed.
# shellcheck shell=sh disable=SC2034 # bin is for them

set -u
export LC_ALL=C
test=$(basename "$0" .sh)
here=$(cd "$(dirname "$0")" && pwd)
USWAP=$(realpath "${USWAP:-$here/../../build/uswap}")
bin=$(dirname "$USWAP")/tests
root=$here/../..

skip() {
	echo "$test: skipped: $*"
	exit 77
}

fail() {
	echo "$test: $*" >&2
	exit 1
}

# scale CHECK FULL: the one that this run asks for.
scale() {
	if [ "${USWAP_SCALE:-check}" = full ]; then
		echo "$2"
	else
		echo "$1"
	fi
}

# need PROGRAM...: skips the test without them.
need() {
	for program; do
		command -v "$program" >/dev/null || skip "no $program"
	done
}

dir=$(mktemp -d "${TMPDIR:-/var/tmp}/uswap-$test.XXXXXX") || exit 1
at_exit() {
	rm -rf "$dir"
}
trap at_exit EXIT
trap 'exit 130' INT
trap 'exit 143' HUP TERM
# All temporary files, the unnamed swap file too, so that one look shows what
# was left behind.
export TMPDIR="$dir"
# Control sockets, too, of programs that are killed.
export XDG_RUNTIME_DIR="$dir"

[ -x "$USWAP" ] || skip "no $USWAP"
need python3
# shellcheck disable=SC2086 # no options are no argument
if ! "$USWAP" run ${probe_options:-} true 2>"$dir/probe"; then
	if grep -q 'userfaultfd' "$dir/probe"; then
		skip "$(cat "$dir/probe")"
	fi
	fail "uswap run true: $(cat "$dir/probe")"
fi

# wrong WORDS...: said of $what; the script goes on, and ends with `exit $bad`.
bad=0
wrong() {
	echo "$test: $what: $*" >&2
	sed 's/^/    /' "$dir/err" >&2
	bad=1
}

# outcome CODE ARGS...: `$as uswap ARGS` exits with CODE; what it says is in
# $dir/out and $dir/err.
as=
outcome() {
	code=$1
	shift
	what="uswap $*"
	# shellcheck disable=SC2086 # a command prefix
	timeout -k 5 60 $as "$USWAP" "$@" >"$dir/out" 2>"$dir/err"
	status=$?
	[ $status -eq "$code" ] || wrong "exit code $status, not $code"
}

# refused CODE PATTERN ARGS...: that says why, in one line that has the pattern.
refused() {
	code=$1
	pattern=$2
	shift 2
	outcome "$code" "$@"
	[ "$(wc -l <"$dir/err")" -eq 1 ] || wrong 'not one line'
	grep -Eq "^uswap: .*$pattern" "$dir/err" || wrong "not about $pattern"
	[ ! -s "$dir/out" ] || wrong 'output'
}

# ends CODE ARGS...: the program's own end is handed on, in silence, but for what
# the shell may say of it.
ends() {
	outcome "$@"
	! grep -qv '^Killed$' "$dir/err" || wrong 'noise'
}

# number NAME: a number of the statistics that the last run left.
number() {
	python3 -c '
import json, sys
print(json.load(open(sys.argv[1]))[sys.argv[2]])' "$dir/stats" "$1"
}

# So long may one run take: a fault that is never answered must end, too.
limit=$(scale 120 7200)

# swapped MIB PROGRAM ARGS...: runs it in MIB of memory and fails unless it
# succeeds, did swap, and stayed within MIB + 32 MiB by its own count and by
# the kernel's.
swap_size=4G
run_options=
swapped() {
	ram=$1
	shift
	rm -f "$dir/stats"
	"$root/tools/peak.py" "$dir/peak" timeout --foreground -k 5 "$limit" \
	    "$USWAP" run $run_options --ram "${ram}M" \
	    --swap "$dir/swap,size=$swap_size" --stats "$dir/stats" -- "$@" ||
	    fail "exit code $? of: $*"
	read -r seconds kernel <"$dir/peak"
	peak=$(number peak_rss) || fail 'no statistics'
	[ "$kernel" -le "$peak" ] || peak=$kernel
	out=$(number pages_out)
	echo "$test: ${ram}M: ${seconds} s, peak $((peak >> 20)) MiB," \
	    "$out pages out: $1" >&2
	[ "$out" -gt 0 ] || fail 'nothing was paged out: this tested nothing'
	[ $((peak >> 20)) -le $((ram + 32)) ] ||
	    fail "peak memory is $((peak >> 20)) MiB of ${ram} + 32"
}

# same FILE1 FILE2: they must be equal, and say something.
same() {
	[ -s "$1" ] || fail "$1 is empty"
	cmp "$1" "$2" || fail 'the result differs from the native one'
}
