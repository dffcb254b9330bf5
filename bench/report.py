# SPDX-License-Identifier: BSD-2-Clause
"""report: from rounds to medians, ratios and goals; the table."""
import statistics

from rows import APPS_MEAN, ROWS

MIB = 1 << 20
ALLOWANCE = 32 * MIB
OURS = ("uswap", "inline")
OTHERS = ("kernel", "mmap", "mmap-random")
TITLES = {
    "memory": "Memory: 1 GiB of data in 512 MiB",
    "faults": "How long one touch took, by kind of fault",
    "applications": "Applications",
    "big": "2560 MiB of data in 640 MiB",
}


def summary(values):
    if not values:
        return None
    median = statistics.median(values)
    return {"median": median, "rounds": values,
            "spread": (max(values) - min(values)) / median if median else 0}


def quotient(row, ours, other):
    """Above 1 ours is better; for points, the difference."""
    if row.points:
        return ours - other
    if not ours or not other:
        return None
    return ours / other if row.better > 0 else other / ours


def ratio(row, cells, side, peer):
    """The quotient of the medians, and of each round, lowest and highest."""
    if side not in cells or peer not in cells:
        return None
    a, b = cells[side], cells[peer]
    value = quotient(row, a["median"], b["median"])
    if value is None:
        return None
    each = [quotient(row, x, y) for x, y in zip(a["rounds"], b["rounds"])]
    each = [q for q in each if q is not None] or [value]
    return {"value": value, "low": min(each), "high": max(each)}


def best_other(row, cells):
    there = [s for s in OTHERS if s in cells]
    if not there:
        return None
    return (max if row.better > 0 else min)(
        there, key=lambda s: cells[s]["median"])


def within(metrics, budget):
    """Whether every round stayed in its memory; None where it is not known."""
    known = [m for m in metrics if "peak_rss" in m]
    if not known:
        return None
    return all(m["peak_rss"] <= budget + ALLOWANCE + m.get("unmanaged", 0) and
               m.get("ram_peak", 0) <= budget for m in known)


def evaluate(row, job, raw):
    """raw: {side: [metrics of each round]}"""
    cells = {}
    for side, metrics in raw.items():
        cell = summary([m[row.metric] for m in metrics if row.metric in m])
        if cell:
            cells[side] = cell
    base = best_other(row, cells) if row.base == "best" else row.base
    out = {"label": row.label, "job": row.job, "metric": row.metric,
           "unit": row.unit, "table": row.table, "better": row.better,
           "data_mib": job.mib, "ram_mib": job.ram, "base": base,
           "sides": cells, "ratios": {}, "goals": [], "memory": {}}
    for side in OURS:
        if row.better and base and ratio(row, cells, side, base):
            out["ratios"][side] = ratio(row, cells, side, base)
        metrics = raw.get(side, [])
        peaks = [m["peak_rss"] for m in metrics if "peak_rss" in m]
        if peaks:
            out["memory"][side] = {
                "peak_rss": max(peaks),
                "within": within(metrics, job.ram * MIB)}
    for side, peer, least in row.goals:
        peer = base if peer == "best" else peer
        got = ratio(row, cells, side, peer) if peer else None
        if got:
            out["goals"].append({"side": side, "peer": peer, "least": least,
                                 "got": got["value"],
                                 "met": got["value"] >= least})
    return out


def geometric_mean(rows):
    """Of the applications' ratios to the kernel, on each of our sides."""
    mean = {}
    for side in OURS:
        ratios = [r["ratios"][side]["value"] for r in rows
                  if r["table"] == "applications" and r["base"] == "kernel"
                  and side in r["ratios"]]
        if ratios:
            mean[side] = statistics.geometric_mean(ratios)
    return mean


def evaluate_all(jobs, raw):
    by_name = {j.name: j for j in jobs}
    return [evaluate(row, by_name[row.job], raw.get(row.job, {}))
            for row in ROWS if row.job in by_name]


# ---- the table -----------------------------------------------------------------

def number(value, unit):
    if unit in ("pages/s", "ops/s"):
        return f"{value:,.0f}"
    return f"{value:,.1f}"


def cell(row, side):
    c = row["sides"].get(side)
    if c is None:
        return f"{'':>16}"
    spread = f"±{c['spread']:.0%}" if len(c["rounds"]) > 1 else ""
    return f"{number(c['median'], row['unit']):>11}{spread:>5}"


def ratio_cell(row, side):
    r = row["ratios"].get(side)
    if r is None:
        return f"{'':>7}"
    if row["unit"] == "%":
        return f"{r['value']:+7.1f}"
    return f"{r['value']:7.2f}"


def goal_cell(row):
    """One word for each side and goal."""
    words = []
    for g in row["goals"]:
        sign = "met" if g["met"] else "MISSED"
        what = "" if g["peer"] == row["base"] else f" {g['peer']}"
        words.append(f"{g['side'][0]}≥{g['least']:.3g}{what} {sign}"
                     + ("" if not what else f" ({g['got']:.2f})"))
    return ", ".join(words)


def memory_cell(row):
    words = []
    for side in OURS:
        m = row["memory"].get(side)
        words.append(f"{m['peak_rss'] / MIB:6.0f}{' ' if m['within'] else '!'}"
                     if m else f"{'':7}")
    return "".join(words)


def print_table(rows, table):
    sides = {"big": OURS + OTHERS}.get(table, OURS + ("kernel", "native",
                                                       "disk"))
    mine = [r for r in rows if r["table"] == table and r["sides"]]
    if not mine:
        return
    sides = [s for s in sides if any(s in r["sides"] for r in mine)]
    base = "best other" if table == "big" else "kernel*"
    print(f"\n{TITLES[table]}\n")
    print(f"{'':26} {'unit':8}" + "".join(f"{s:>11}{'':5}" for s in sides)
          + f"| to {base:14}| peak RSS MiB |")
    print(f"{'':26} {'':8}" + f"{'':16}" * len(sides)
          + f"|{'uswap':>8}{'inline':>8} |{'uswap':>6}{'inline':>7} | goals")
    for r in mine:
        print(f"{r['label']:26} {r['unit']:8}"
              + "".join(cell(r, s) for s in sides)
              + f"| {ratio_cell(r, 'uswap')} {ratio_cell(r, 'inline')} |"
              + f"{memory_cell(r)}| {goal_cell(r)}")


def print_all(rows):
    for table in TITLES:
        print_table(rows, table)
    mean = geometric_mean(rows)
    for side, _, least in APPS_MEAN:
        if side in mean:
            print(f"\ngeometric mean of the applications, {side}/kernel: "
                  f"{mean[side]:.2f} (goal {least}: "
                  f"{'met' if mean[side] >= least else 'MISSED'})")
    goals = [g for r in rows for g in r["goals"]]
    goals += [{"side": side, "met": mean[side] >= least}
              for side, _, least in APPS_MEAN if side in mean]
    print()
    for side in OURS:
        mine = [g["met"] for g in goals if g["side"] == side]
        if mine:
            print(f"{side}: {sum(mine)} of {len(mine)} goals met")
    over = [f"{r['label']} ({side})" for r in rows
            for side, m in r["memory"].items() if m["within"] is False]
    print("memory: " + ("every run of ours stayed within its budget"
                        if not over else
                        "BEYOND THE BUDGET: " + ", ".join(over)))
    print("* or to native, in the rows that have it; above 1 uswap is better")
