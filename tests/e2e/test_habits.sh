#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# Programs that do to their process what daemons, sandboxes and run-time systems
# do, before they need a pager and after.
. "$(dirname "$0")/../support/e2e.sh"

mkdir "$dir/root"
chmod 711 "$dir"

# runs HABIT WHEN: as if it were alone in the world.
runs() {
	timeout --foreground -k 5 "$limit" "$USWAP" run --ram 16M \
	    --swap tmp,size=256M -- "$bin/habits" "$1" "$2" "$dir/root" \
	    2>"$dir/err"
	status=$?
	[ $status -eq 0 ] || fail "$1 $2: exit code $status: $(cat "$dir/err")"
}

# ends HABIT WHEN CODE TEXT: it cannot, and says why.
ends() {
	timeout --foreground -k 5 "$limit" "$USWAP" run --ram 16M \
	    --swap tmp,size=256M -- "$bin/habits" "$1" "$2" "$dir/root" \
	    2>"$dir/err"
	status=$?
	[ $status -eq "$3" ] || fail "$1 $2: exit code $status, not $3"
	[ -z "$4" ] || grep -q "$4" "$dir/err" ||
	    fail "$1 $2: $(cat "$dir/err")"
}

n=0
for habit in $("$bin/habits" list); do
	for when in early late; do
		n=$((n + 1))
		"$bin/habits" "$habit" "$when" "$dir/root" 2>"$dir/err" || {
			echo "$test: $habit $when: not here: $(cat "$dir/err")"
			continue
		}
		case "$habit $when" in
		'no-files early')
			ends $habit $when 125 'ulimit -n' ;;
		'no-new-bytes early')
			ends $habit $when 125 '' ;;
		'sandbox early' | 'sandbox-all early')
			ends $habit $when 125 'not permitted' ;;
		'sandbox-kill early')
			ends $habit $when 159 '' ;;
		'sandbox-all late')
			ends $habit $when 134 'forbidden io_uring' ;;
		*)
			runs $habit $when ;;
		esac
	done
done
echo "$test: $n habits"
