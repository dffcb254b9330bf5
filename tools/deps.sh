#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# deps.sh build|check|demo|bench|programs: makes sure that what is needed is there.
# Installs it as root; otherwise names the one command to type, and fails.
#
# It asks for the thing, not for the package, so that it agrees with systems
# that have it from elsewhere, and is quick enough to run before every build.

missing=
lack() {
	missing="$missing $1"
}
program() {
	command -v "$1" >/dev/null || lack "$2"
}
# A library for development: by its pkg-config file.
devel() {
	pkg-config --exists "$1" 2>/dev/null || lack "$2"
}
# A library to be linked in: the file, where the compiler looks.
archive() {
	case $("${CC:-cc}" -print-file-name="$1" 2>/dev/null) in
	/*) ;;
	*) lack "$2" ;;
	esac
}
# A library that is loaded by its name.
shared() {
	/sbin/ldconfig -p | grep -q "$1" || lack "$2"
}

look() {
	missing=
	program "${CC:-cc}" gcc
	program "${CC:-cc}" libc6-dev
	program meson meson
	program ninja ninja-build
	program pkg-config pkg-config
	devel liburing liburing-dev
	devel libxxhash libxxhash-dev
	archive libjemalloc_pic.a libjemalloc-dev
	devel jansson libjansson-dev
	archive libjansson.a libjansson-dev
	devel nettle nettle-dev
	archive libnettle.a nettle-dev
	case $1 in
	check)
		# uswap can be built without, but is tested with.
		devel libnbd libnbd-dev
		program nbdkit nbdkit
		devel cmocka libcmocka-dev
		shared libmimalloc.so.2 libmimalloc2.0
		shared libjemalloc.so.2 libjemalloc2
		program python3 python3
		perl -MDigest::SHA -e 1 2>/dev/null || lack perl
		;;
	programs)
		program python3 python3
		/usr/bin/python3 -c 'import numpy' 2>/dev/null ||
		    lack python3-numpy
		perl -MDigest::SHA -e 1 2>/dev/null || lack perl
		program xz xz-utils
		program zstd zstd
		program sqlite3 sqlite3
		program /usr/bin/convert imagemagick
		program ruby ruby
		program R r-base-core
		program octave-cli octave
		program ffmpeg ffmpeg
		program node nodejs
		program javac openjdk-17-jdk-headless
		program go golang-go
		program redis-server redis-server
		program memcached memcached
		program nginx nginx-light
		program /usr/lib/postgresql/15/bin/postgres postgresql-15
		program stress-ng stress-ng
		;;
	demo)
		program python3 python3
		;;
	bench)
		program python3 python3
		/usr/bin/python3 -c 'import numpy' 2>/dev/null ||
		    lack python3-numpy
		program fio fio
		program redis-server redis-server
		program redis-benchmark redis-tools
		program sqlite3 sqlite3
		program mkswap util-linux
		program swapon mount
		;;
	esac
	missing=${missing# }
}

look "${1:-build}"
[ -n "$missing" ] || exit 0

if [ "$(id -u)" -ne 0 ]; then
	echo "sudo apt-get install $missing"
	exit 1
fi
if ! command -v apt-get >/dev/null; then
	echo "missing (by their Debian names): $missing" >&2
	exit 1
fi

install() {
	# shellcheck disable=SC2086 # a list of packages
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
	    --no-install-recommends -o DPkg::Lock::Timeout=120 $missing \
	    </dev/null
}
echo "installing $missing" >&2
# The package lists of a fresh machine are empty or old: refresh on failure only.
log=$(mktemp) || exit 1
trap 'rm -f "$log"' EXIT
if ! install >"$log" 2>&1; then
	{ apt-get update -qq </dev/null && install; } >"$log" 2>&1 ||
	    cat "$log" >&2
fi

# Debian starts what it installs; nobody asked for a service.
for service in redis-server memcached nginx postgresql; do
	case " $missing" in
	*" $service"*)
		service $service stop
		update-rc.d $service disable
		;;
	esac
done >"$log" 2>&1

look "${1:-build}"
[ -n "$missing" ] || exit 0
echo "cannot install: $missing" >&2
exit 1
