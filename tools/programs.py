#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""programs.py [--quick] [--json] [--docs] [NAME...]: runs real programs natively
and within a memory budget that is a part of what they need, and compares what
they say.  Prints a table; --docs writes it into docs/PROGRAMS.md.  The jobs are
in tests/programs.

Exit code 0: all are right and within bounds; a program that is not installed is
left out.  Environment: USWAP (default build/uswap), TMPDIR (default /var/tmp)."""
import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "tests", "programs"))
# pylint: disable=wrong-import-position
from jobs import JOBS               # noqa: E402
import servers                      # noqa: E402,F401
import redis_jobs                   # noqa: E402,F401
from measure import MIB, Failed, Run  # noqa: E402

# What a program may have beyond its budget: text and libraries, which are
# measured, and stacks and the pager's own.
BESIDES = 32 * MIB


def version(job):
    """None where the program is not installed."""
    if shutil.which(job.version[0]) is None:
        return None
    try:
        said = subprocess.run(job.version, capture_output=True, check=True)
    except subprocess.CalledProcessError:
        return None
    text = (said.stdout + said.stderr).decode(errors="replace")
    found = re.search(r"\d+(\.\d+)+", text)
    return found.group() if found else "?"


def one_run(job, uswap, ram, mib, where, shared):
    os.mkdir(where)
    run = Run(uswap, ram, mib, where, shared)
    try:
        return run, job.run(run)
    finally:
        run.stop_all()


def judge(row, native, ours, said):
    """The first thing that is wrong, or None."""
    row["seconds"], row["peak"] = ours.seconds, ours.peak
    row["files"] = ours.files
    bound = row["ram"] * MIB + BESIDES + ours.files
    if said[0] != said[1]:
        return "WRONG: it says something else than natively"
    if ours.peak > bound:
        return f"its memory passes {bound >> 20} MiB"
    if native.peak < max(bound, 2 * row["ram"] * MIB):
        return "natively it needs too little: this tested nothing"
    return None


def run_job(job, uswap, quick):
    ram, mib = job.quick if quick else (job.ram, job.mib)
    row = {"name": job.name, "package": job.package, "version": version(job),
           "load": job.load.format(mib=mib), "ram": ram}
    if row["version"] is None:
        row["result"] = "not installed"
        return row
    with tempfile.TemporaryDirectory(
            prefix=f"uswap-{job.name}.",
            dir=os.environ.get("TMPDIR", "/var/tmp")) as top:
        shared = os.path.join(top, "shared")
        os.mkdir(shared)
        try:
            native, first = one_run(job, None, ram, mib,
                                    os.path.join(top, "native"), shared)
            row["needs"], row["native"] = native.peak, native.seconds
            ours, second = one_run(job, uswap, ram, mib,
                                   os.path.join(top, "uswap"), shared)
            wrong = judge(row, native, ours, (first, second))
        except Failed as e:
            wrong = str(e)
    row["result"] = wrong or "right"
    return row


COLUMNS = ("program", "load", "budget", "needs", "peak", "native", "uswap",
           "slower", "result")


def cells(row):
    def mib(name):
        return f"{row[name] >> 20} MiB" if name in row else "-"

    def seconds(name):
        return f"{row[name]:.1f} s" if name in row else "-"
    slower = (f"{row['seconds'] / row['native']:.1f}"
              if "seconds" in row and row["native"] else "-")
    return (f"{row['name']} {row['version'] or ''}".strip(), row["load"],
            f"{row['ram']} MiB", mib("needs"), mib("peak"), seconds("native"),
            seconds("seconds"), slower, row["result"])


def say(row, first):
    form = "{0:24} {2:>8} {3:>9} {4:>8} {5:>8} {6:>8} {7:>6}  {8}"
    if first:
        print(form.format(*COLUMNS))
    print(form.format(*cells(row)), flush=True)


def write_docs(rows):
    """Into the table; what was not run stays as it is there."""
    path = os.path.join(ROOT, "docs", "PROGRAMS.md")
    with open(path) as f:
        head, _, rest = f.read().partition("| program ")
    table, blank, tail = rest.partition("\n\n")
    lines = {line.split()[1]: line for line in table.splitlines()[2:]}
    for row in rows:
        if row["version"] is not None:
            lines[row["name"]] = "| " + " | ".join(cells(row)) + " |"
    with open(path, "w") as f:
        f.write(head + "\n".join(
            ["| " + " | ".join(COLUMNS) + " |", "|---" * len(COLUMNS) + "|"]
            + [lines[name] for name in JOBS if name in lines]) + blank + tail)


def main():
    parse = argparse.ArgumentParser(description=__doc__)
    parse.add_argument("--quick", action="store_true",
                       help="the small loads of make check")
    parse.add_argument("--json", action="store_true")
    parse.add_argument("--docs", action="store_true",
                       help="rewrite the table of docs/PROGRAMS.md")
    parse.add_argument("names", nargs="*", metavar="NAME",
                       help=" ".join(JOBS))
    args = parse.parse_args()
    uswap = os.path.realpath(os.environ.get("USWAP", ROOT + "/build/uswap"))
    jobs = [JOBS[n] for n in args.names] if args.names else [
        j for j in JOBS.values() if j.quick or not args.quick]
    rows = []
    for job in jobs:
        rows.append(run_job(job, uswap, args.quick))
        if not args.json:
            say(rows[-1], len(rows) == 1)
    if args.docs:
        write_docs(rows)
    if args.json:
        print(json.dumps(rows, indent=1))
    return any(r["result"] not in ("right", "not installed") for r in rows)


if __name__ == "__main__":
    sys.exit(main())
