#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""swapoff: how fast a device is taken away, beside the disk itself.

swapoff reads one file and writes another, at once; so does its peer, fio with
direct I/O of 1 MiB, four requests in flight in either direction.  Both move the
same amount from a file that was written to one that was allocated only, in turn,
and the medians are compared.  Goal: 60 % of the disk's."""
import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.realpath(__file__)))


def swapoff(mib):
    """MiB/s of the test program, which verifies every page afterwards."""
    out = subprocess.run(
        [os.path.join(ROOT, "build/tests/test_api_swapoff")], check=True,
        env=dict(os.environ, USWAP_SPEED=str(mib)),
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    # Once with UFFDIO_MOVE and once without: the disk is the same.
    return [float(x) for x in re.findall(r"s: (\d+) MiB/s read", out)]


def copy(mib, where):
    """MiB/s of a copy: the slower one of the reader and the writer."""
    source, target = (os.path.join(where, name) for name in ("from", "to"))
    common = ["fio", "--direct=1", "--ioengine=io_uring", "--bs=1M",
              "--iodepth=4", f"--size={mib}M"]
    subprocess.run(common + ["--name=fill", "--rw=write",
                             f"--filename={source}"],
                   check=True, stdout=subprocess.DEVNULL)
    subprocess.run(["fallocate", "-l", f"{mib}M", target], check=True)
    out = subprocess.run(
        common + ["--output-format=json",
                  "--name=reader", "--rw=read", f"--filename={source}",
                  "--name=writer", "--rw=write", f"--filename={target}",
                  "--overwrite=0", "--fallocate=none"],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    os.unlink(source)
    os.unlink(target)
    jobs = json.loads(out[out.index("{"):])["jobs"]
    ms = max(max(j["read"]["runtime"], j["write"]["runtime"]) for j in jobs)
    return mib * 1000 / ms


def main():
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--mib", type=int, default=1024)
    p.add_argument("--rounds", type=int, default=5)
    a = p.parse_args()
    ours, disk = [], []
    for _ in range(a.rounds):
        with tempfile.TemporaryDirectory(dir="/var/tmp") as where:
            ours += swapoff(a.mib)
            disk.append(copy(a.mib, where))
        print(f"swapoff {' '.join(f'{x:.0f}' for x in ours[-2:])}, "
              f"copy {disk[-1]:.0f} MiB/s", flush=True)
    ratio = statistics.median(ours) / statistics.median(disk)
    print(f"median: swapoff {statistics.median(ours):.0f}, copy "
          f"{statistics.median(disk):.0f} MiB/s: {ratio:.0%}")
    return 0 if ratio >= 0.6 else 1


if __name__ == "__main__":
    sys.exit(main())
