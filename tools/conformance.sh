#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# conformance.sh: docs/CONFORMANCE.md has each item once, with a verdict, and
# the functions and tests that its rows name exist.
cd "$(dirname "$0")/.." || exit 1

page=docs/CONFORMANCE.md
# The items, by the last of each kind: constants, messages, panics, functions,
# invariants, and bugs of FreeBSD's pager.
items='K23 M6 P9 F36 I14 B39'

# words DIRECTORY...: FILE, and FILE:WORD for each word in it.
words() {
	find "$@" -type f | sed 's|.*/||'
	grep -roE --include='*.[ch]' --include='*.sh' '[A-Za-z_][A-Za-z_0-9]*' \
	    "$@" | sed 's|^.*/||'
}

# unknown COLUMN: the names in it, in backquotes, that are not on the input.
unknown() {
	awk -F'|' -v column="$1" '
	NR == FNR { have[$0]; next }
	/^\| [A-Z][0-9]+ \|/ {
		while (match($column, /`[^`]*`/)) {
			name = substr($column, RSTART + 1, RLENGTH - 2)
			$column = substr($column, RSTART + RLENGTH)
			if (!(name in have))
				print substr($2, 2) ": there is no " name
		}
	}' - $page
}

complaints=$(
	for last in $items; do
		seq -f "${last%%[0-9]*}%g" "${last#?}"
	done | awk -F'|' '
	NR == FNR { rows[$0] = 0; next }
	!/^\| [A-Z][0-9]+ \|/ { next }
	{ gsub(/ /, "", $2) }
	!($2 in rows) { print $2 ": not an item"; next }
	{ rows[$2]++ }
	NF != 8 || $3 ~ /^ *$/ || $4 ~ /^ *$/ { print $2 ": not six columns" }
	$5 !~ /^ (same|better|has no meaning|not yet) $/ {
		print $2 ": no verdict:" $5
	}
	$5 ~ /^ (same|better) $/ && $7 !~ /`/ { print $2 ": no test shows it" }
	END {
		for (id in rows)
			if (rows[id] != 1)
				print id ": " rows[id] " rows"
	}' - $page
	words src include | unknown 6
	words tests | sed -E 's/\.(c|sh)(:|$)/\2/' | unknown 7
)
[ -z "$complaints" ] && exit
echo "$complaints" | sed "s|^|$page: |" >&2
exit 1
