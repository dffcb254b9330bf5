#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# lint.sh format|arrows|listed|seed|clang: one check of the source text.
# Exit codes: 0 clean, 77 the tool for it is not installed, else not clean.
cd "$(dirname "$0")/.." || exit 1

need() {
	if ! command -v "$1" >/dev/null; then
		echo "no $1" >&2
		exit 77
	fi
}

case $1 in
format)
	need clang-format
	find . -name build -prune -o -name '*.[ch]' -exec \
	    clang-format --dry-run -Werror {} +
	;;
arrows)
	tools/arrows.sh
	;;
listed)
	# Meson wants each source named: a test that is not would never run.
	status=0
	for path in src/*/*.c tests/*/*.c tests/e2e/*.sh tests/e2e/*.py; do
		name=${path##*/}
		[ -e "$path" ] || continue
		if ! grep -qE "'(.*/)?${name%.c}(\.c)?'" meson.build tests/meson.build
		then
			echo "$path: not in meson.build" >&2
			status=1
		fi
	done
	exit $status
	;;
seed)
	tools/conformance.sh
	;;
clang)
	# The second compiler's warnings; they do not depend on optimisation.
	need clang
	CC=clang tools/setup.sh build/clang -Doptimization=0 &&
	    ninja --quiet -C build/clang -k 0 all test-programs
	;;
*)
	echo "usage: lint.sh format|arrows|listed|seed|clang" >&2
	exit 2
	;;
esac
