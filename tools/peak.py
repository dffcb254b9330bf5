#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""peak.py FILE PROGRAM ARGS...: runs PROGRAM and writes "SECONDS BYTES" to FILE:
the time it took and the peak RSS of the largest process it had, as the kernel
counts.  Exits with PROGRAM's status, 128 + N after signal N."""
import resource
import subprocess
import sys
import time

start = time.monotonic()
status = subprocess.call(sys.argv[2:])
seconds = time.monotonic() - start
peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024
with open(sys.argv[1], "w") as out:
    print(f"{seconds:.1f} {peak}", file=out)
sys.exit(status if status >= 0 else 128 - status)
