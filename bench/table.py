#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""table.py NUMBERS JSON MIB RAM: what run.sh measured as a table, and as JSON.

A line of NUMBERS is "NAME SIDE VALUE [P50 P99]"; lines of the same name and
side are rounds."""
import json
import os
import statistics
import sys

numbers, out, mib, ram = sys.argv[1:]
rounds = {}
for line in open(numbers):
    name, side, *values = line.split()
    rounds.setdefault(name, {}).setdefault(side, []).append(
        [float(v) for v in values])


def summary(rows):
    """Medians over the rounds, and the spread of the first number:
    (highest - lowest) / median."""
    if not rows:
        return None
    columns = list(zip(*rows))
    median = [statistics.median(c) for c in columns]
    spread = (max(columns[0]) - min(columns[0])) / median[0]
    return {"median": median[0], "spread": round(spread, 3),
            "p50_us": median[1] if len(median) > 1 else None,
            "p99_us": median[2] if len(median) > 2 else None,
            "rounds": [r[0] for r in rows]}


def cell(side):
    if side is None:
        return f"{'-':>9} {'':>6} {'':>15}"
    return (f"{side['median']:9,.0f} {side['spread']:6.0%} "
            f"{side['p50_us']:6,.0f} / {side['p99_us']:6,.0f}")


result = {"mib": int(mib), "ram_mib": int(ram), "kernel": os.uname().release,
          "cpus": os.cpu_count(), "results": {}}
head = f"{'pages/s':>9} {'spread':>6} {'p50 / p99 µs':>15}"
print(f"\n{mib} MiB of data in {ram} MiB of memory")
print(f"{'pattern-threads':16}|{'uswap':>20}{'':12}|{'kernel swap':>20}"
      f"{'':12}| uswap/kernel")
print(f"{'':16}|{head}|{head}|")
for name, sides in rounds.items():
    s = {side: summary(rows) for side, rows in sides.items()}
    base = s.get("kernel") or s.get("native")
    ratio = (s["uswap"]["median"] / base["median"]
             if base and "uswap" in s else None)
    result["results"][name] = dict(s, ratio=ratio and round(ratio, 3))
    if name != "fits":
        print(f"{name:16}|{cell(s.get('uswap'))}|{cell(s.get('kernel'))}|"
              + (f"{ratio:13.2f}" if ratio else ""))
fits = result["results"].get("fits")
if fits and fits["ratio"]:
    u, n = fits["uswap"], fits["native"]
    print(f"\na job that fits in its memory: {u['median']:.1f} s with uswap "
          f"(spread {u['spread']:.0%}), {n['median']:.1f} s without "
          f"({n['spread']:.0%}): {fits['ratio']:.2f} times")

os.makedirs(os.path.dirname(out), exist_ok=True)
with open(out, "w") as f:
    json.dump(result, f, indent=1)
    f.write("\n")
print(f"\n{out}")
