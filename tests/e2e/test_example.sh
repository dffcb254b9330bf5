#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# The first C program of README.md compiles and runs, against the library in
# the build directory that USWAP's path names.
root=$(cd "$(dirname "$0")/../.." && pwd) || exit 1
build=$(cd "$(dirname "${USWAP:-$root/build/uswap}")" && pwd) || exit 1
dir=$(mktemp -d /var/tmp/uswap-example.XXXXXX) || exit 1
trap 'rm -rf "$dir"' EXIT

# Its swap file goes where it is removed in the end.
sed -n '/^```c$/,/^```$/{/^```c$/d;/^```$/q;p}' "$root/README.md" |
	sed "s|/var/tmp/a.swap|$dir/a.swap|" >"$dir/example.c" || exit 1
if ! [ -s "$dir/example.c" ]; then
	echo "README.md has no C example"
	exit 1
fi
${CC:-cc} -Wall -I "$root/include" -o "$dir/example" "$dir/example.c" \
	-L "$build" -luswap -Wl,-rpath,"$build" || exit 1
cd "$dir" && TMPDIR=$dir timeout 60 ./example
