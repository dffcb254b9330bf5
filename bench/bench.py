#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""bench: uswap beside the kernel's swap, files and the bare disk, interleaved.
What is measured and what the numbers mean: README.md."""
import argparse
import contextlib
import fcntl
import json
import os
import random
import re
import shutil
import signal
import sys
import tempfile
import time

import apps
import draw
import machine
import process
import report
from process import Failed
from rows import JOBS, ROWS
from sides import MIB, ROOT, SIDES


def arguments():
    env = os.environ.get
    p = argparse.ArgumentParser(description=__doc__)
    p.add_argument("--rounds", type=int, default=env("BENCH_ROUNDS"))
    p.add_argument("--seconds", type=float, help="of each random pattern",
                   default=env("BENCH_SECONDS"))
    p.add_argument("--rows", default=env("BENCH_ROWS", ""),
                   help="only rows whose name (or job) this regular "
                   "expression is found in")
    p.add_argument("--sides", default=env("BENCH_SIDES", ""),
                   help="only these, separated by commas")
    p.add_argument("--seed", type=int, default=env("BENCH_SEED"),
                   help="of the order in which the sides take turns")
    p.add_argument("--quick", action="store_true",
                   help="a few rows, one round; fails below a floor")
    p.add_argument("--list", action="store_true", help="list the rows")
    p.add_argument("--dir", default=env("TMPDIR", "/var/tmp"),
                   help="on the disk that is measured")
    a = p.parse_args()
    a.rounds = int(a.rounds or (1 if a.quick else 3))
    a.seconds = float(a.seconds or (2 if a.quick else 3))
    a.seed = int(time.time() if a.seed is None else a.seed)
    return a


def choose(a):
    found = re.compile(a.rows, re.I).search
    names = {r.job for r in ROWS if found(r.label) or found(r.job)}
    return [j for j in JOBS if j.name in names and (j.quick or not a.quick)]


class Bench:
    def __init__(self, a):
        self.args = a
        self.seconds = f"{a.seconds:g}"
        self.jobs = choose(a)
        self.uswap = os.path.realpath(
            os.environ.get("USWAP", f"{ROOT}/build/uswap"))
        self.touch = os.path.realpath(f"{ROOT}/build/bench/touch")
        # Enough for the largest, and for what is freed late.
        self.swap_size = max([j.mib for j in self.jobs] + [1024]) * 8 // 5 * MIB
        self.dir = None
        self.sides = {}
        self.order = random.Random(a.seed)
        self.raw = {}           # job: side: [numbers of each round]
        self.expected = {}      # job: what the program says
        self.failures = []
        self.begin = time.monotonic()

    def path(self, name):
        return os.path.join(self.dir, name)

    def say(self, text):
        print(f"[{time.monotonic() - self.begin:5.0f} s] {text}",
              file=sys.stderr, flush=True)

    @contextlib.contextmanager
    def quiet(self):
        """Where a machine is shared: BENCH_LOCK names a file that is locked
        while something is measured."""
        path = os.environ.get("BENCH_LOCK")
        if not path:
            yield
            return
        with open(path, "a") as f:
            fcntl.flock(f, fcntl.LOCK_EX)
            yield

    # ---- preparing ----

    def prepare(self):
        self.dir = tempfile.mkdtemp(prefix="uswap-bench.", dir=self.args.dir)
        need = self.swap_size * 2 + 5 * 1024 * MIB
        free = shutil.disk_usage(self.dir).free
        if free < need:
            raise Failed(f"{self.args.dir} has {free // MIB} MiB free; this "
                         f"needs {need // MIB}: set TMPDIR to a larger disk")
        wanted = {s for j in self.jobs for s in j.all_sides()}
        if self.args.sides:
            wanted &= set(self.args.sides.split(","))
        for name, kind in SIDES.items():
            if name not in wanted:
                continue
            self.say(f"preparing: {name}")
            try:
                with self.quiet():
                    side = kind(self)
            except (Failed, OSError) as e:
                self.say(f"no column {name}: {e}")
                continue
            self.sides[name] = side
            if side.why_not:
                self.say(f"no column {name}: {side.why_not}")
                side.close()
                del self.sides[name]

    def close(self):
        process.stop_all()
        for side in self.sides.values():
            side.close()
        if self.dir:
            shutil.rmtree(self.dir, ignore_errors=True)

    # ---- measuring ----

    def measure(self, job, name, head):
        side = self.sides[name]
        try:
            with self.quiet():
                if name == "disk":
                    m = side.fio(job)
                elif job.app:
                    m = apps.APPS[job.what[0]](side, job)
                else:
                    m = side.touch(job)
        except Failed as e:
            self.say(f"{head} FAILED: {e}")
            self.failures.append(str(e))
            return
        self.raw.setdefault(job.name, {}).setdefault(name, []).append(m)
        shown = [(r.metric, m[r.metric]) for r in ROWS
                 if r.job == job.name and r.metric in m]
        self.say(head + "".join(f"  {k} {v:,.4g}" if v < 1000 else
                                f"  {k} {v:,.0f}" for k, v in shown[:3]))

    def run(self):
        rounds = self.args.rounds
        for n in range(rounds):
            for job in self.jobs:
                sides = [s for s in job.all_sides() if s in self.sides]
                # What the one before it has left, in free memory above all, is no
                # property of any side.
                self.order.shuffle(sides)
                for name in sides:
                    self.measure(job, name, f"round {n + 1} of {rounds}  "
                                 f"{job.name:18} {name:11}")

    # ---- results ----

    def write(self, rows):
        commit, dirty = machine.commit()
        result = {
            "commit": commit, "dirty": dirty,
            "date": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
            "seconds": time.monotonic() - self.begin,
            "settings": vars(self.args),
            "machine": machine.facts(self.dir),
            "versions": machine.versions(self.uswap),
            "failures": self.failures, "rows": rows, "raw": self.raw,
        }
        os.makedirs(f"{ROOT}/bench/results", exist_ok=True)
        stem = (f"{ROOT}/bench/results/{time.strftime('%Y-%m-%dT%H%M%S')}-"
                + ("quick-" if self.args.quick else "")
                + f"{(commit or 'unknown')[:10]}{'-dirty' if dirty else ''}")
        with open(f"{stem}.json", "w") as f:
            json.dump(result, f, indent=1)
            f.write("\n")
        print(f"\n{stem}.json")
        for path in draw.draw_all(rows, stem):
            print(path)

    def below_floor(self, rows):
        floors = {(r.job, r.metric): r.floor for r in ROWS if r.floor}
        low = []
        for r in rows:
            floor = floors.get((r["job"], r["metric"]))
            got = r["ratios"].get("uswap")
            if floor and got and got["value"] < floor:
                low.append(f"{r['label']}: {got['value']:.2f} of the kernel's "
                           f"is below the floor of {floor:g}")
        return low


def main():
    a = arguments()
    os.environ["LC_ALL"] = "C"
    if a.list:
        for r in ROWS:
            print(f"{r.job:20} {r.label}")
        return 0
    for sig in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(sig, lambda number, _: sys.exit(128 + number))
    bench = Bench(a)
    try:
        bench.prepare()
        bench.run()
        rows = report.evaluate_all(bench.jobs, bench.raw)
        report.print_all(rows)
        bench.write(rows)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except Failed as e:
        print(e, file=sys.stderr)
        return 1
    finally:
        bench.close()
    low = bench.below_floor(rows) if a.quick else []
    for text in bench.failures + low:
        print(text, file=sys.stderr)
    return 1 if bench.failures or low else 0


if __name__ == "__main__":
    sys.exit(main())
