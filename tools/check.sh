#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# check.sh: builds and tests everything.  The last line is
# "N passed, N failed[, N skipped]"; exits 0 only when nothing failed.
cd "$(dirname "$0")/.." || exit 1

passed=0
failed=0
skipped=0
log=$(mktemp) || exit 1
failures=$(mktemp) || exit 1
trap 'rm -f "$log" "$failures"' EXIT
mkdir -p build && rm -f build/check.result

say() {
	printf '\n== %s ==\n' "$*"
}

# The one place where results are counted.
count() {
	passed=$((passed + $1))
	failed=$((failed + $2))
	skipped=$((skipped + $3))
}

# What failed is said again at the end: of a long log the end is what is kept.
finish() {
	if [ -s "$failures" ]; then
		printf '\n== what failed ==\n'
		cat "$failures"
	fi
	result="$passed passed, $failed failed"
	[ $skipped -eq 0 ] || result="$result, $skipped skipped"
	printf '\n%s\n' "$result" | tee build/check.result
	[ $failed -eq 0 ]
	exit
}

lint() {
	say "lint: $1"
	tools/lint.sh "$1"
	case $? in
	0) count 1 0 0 ;;
	77) count 0 0 1 ;;
	*)
		count 0 1 0
		echo "lint: $1" >>"$failures"
		;;
	esac
}

# build DIR TARGETS OPTION...: a build that fails is one failure, and what
# could be built is tested all the same.
build() {
	dir=$1
	targets=$2
	shift 2
	say "build: $dir"
	# shellcheck disable=SC2086 # a list of targets
	if ! { tools/setup.sh "$dir" "$@" &&
	    ninja --quiet -C "$dir" -k 0 $targets; }; then
		count 0 1 0
		echo "build: $dir" >>"$failures"
	fi
}

# A number of Meson's summary, from lines such as "Ok:                 12".
number() {
	sed -n "s/^$1: *\([0-9][0-9]*\).*/\1/p" "$log" | grep . || echo 0
}

# run DIR OPTION...: `meson test`, counted.  A run that says nothing countable,
# or that fails without a failed test, is itself a failure.
run() {
	dir=$1
	shift
	say "test: $dir $*"
	{
		$wrap meson test -C "$dir" --no-rebuild --print-errorlogs "$@"
		echo "exit code: $?"
	} 2>&1 | tee "$log" | grep -v '^exit code: '
	bad=$(($(number Fail) + $(number Timeout) + $(number 'Unexpected Pass')))
	good=$(($(number Ok) + $(number 'Expected Fail')))
	idle=$(number Skipped)
	if [ $bad -eq 0 ] &&
	    { [ $((good + idle)) -eq 0 ] || [ "$(number 'exit code')" -ne 0 ]; }
	then
		bad=1
	fi
	count $good $bad "$idle"
	[ $bad -eq 0 ] || name_failures
}

# The tests that failed in the last run, and what they printed.
name_failures() {
	{
		echo "test: $dir"
		grep -vE '^ *[0-9]+/[0-9]+ .* OK |^$' "$log" | tail -n 300
	} >>"$failures"
}

if ! tools/deps.sh check; then
	count 0 1 0
	finish
fi

lint format
lint arrows
lint listed
lint seed
lint clang

# Warnings are errors in the builds with gcc and with clang; the sanitizers make
# gcc warn of what is not so.
wrap=
build build 'all test-programs'
build build/asan test-programs -Db_sanitize=address,undefined -Dwerror=false
build build/tsan test-programs -Db_sanitize=thread -Dwerror=false

run build --no-suite e2e
run build/asan --timeout-multiplier 3
# The other suites are one thread each: the thread sanitizer would see nothing.
# It wants its shadow where a kernel that randomises much may have put something
# else.
if setarch -R true 2>/dev/null; then
	wrap='setarch -R'
fi
run build/tsan --suite unit --suite stress --timeout-multiplier 5
wrap=
# They wait for disks, servers and one another a part of the time.
run build --suite e2e --num-processes $(($(nproc) + 1))

finish
