#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# arrows.sh: checks that each room includes only what lies below it.
#
#	cmd, preload -> uswap.h -> lib -> daemon -> pager -+-> page ----------+
#							   +-> swap -> block -+-> base
#	nbd, a program of its own -> block/nbd_wire.h
cd "$(dirname "$0")/.." || exit 1

find src -name '*.[ch]' -exec \
    grep -EHn '^[[:space:]]*#[[:space:]]*include[[:space:]]*("|<uswap.h>)' {} + |
awk '
BEGIN {
	may["base"] = "base"
	may["block"] = "block base"
	may["swap"] = "swap block base"
	may["page"] = "page base"
	may["pager"] = "pager page swap block base"
	may["daemon"] = "daemon " may["pager"]
	may["lib"] = "lib uswap.h " may["daemon"]
	may["cmd"] = "cmd uswap.h"
	may["preload"] = "preload uswap.h"
	may["nbd"] = "nbd block base"
}
{
	# src/ROOM/FILE:LINE:#include "TARGET/..."
	split($0, at, ":")
	split(at[1], dir, "/")
	split($0, quoted, "[\"<>]")
	room = dir[2]
	target = quoted[2]
	sub("/.*", "", target)
	if (index(" " may[room] " ", " " target " ") == 0) {
		printf "%s:%s: %s must not include \"%s\"\n", at[1], at[2],
		    room, quoted[2]
		wrong = 1
	}
}
END { exit wrong + 0 }'
