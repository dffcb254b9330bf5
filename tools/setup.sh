#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# setup.sh DIR [OPTION...]: configures a build directory; an existing one again,
# for what was installed since.
dir=$1
shift
if [ -f "$dir/build.ninja" ]; then
	again=--reconfigure
fi
# Quiet unless it fails: Meson's own log is long and says little.
out=$(meson setup ${again:+"$again"} "$@" "$dir" 2>&1) || {
	echo "$out" >&2
	exit 1
}
echo "$out" | grep -E '(WARNING|ERROR): ' | sed "s|^|$dir: |" >&2
exit 0
