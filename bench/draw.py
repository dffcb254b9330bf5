# SPDX-License-Identifier: BSD-2-Clause
"""draw: bar charts of ratios, as SVG.

The axis is logarithmic, so that twice as fast and half as fast are equally
long.  A bar begins at 1; the whisker is the lowest and highest ratio of one
round; the notch is the goal."""
import math
from html import escape

LABEL, PLOT, VALUE = 230, 520, 60       # widths
BAR, GAP, TOP = 13, 12, 74              # heights
COLORS = {"uswap": "#2f6db5", "inline": "#e08a1e"}
CHARTS = {
    "memory": "Memory: 1 GiB of data in 512 MiB",
    "faults": "Time of one touch, by kind of fault",
    "applications": "Applications",
    "big": "2560 MiB of data in 640 MiB",
}
STYLE = """
text { font: 12px system-ui, sans-serif; fill: #222 }
.title { font-size: 16px; font-weight: 600 }
.note, .tick { fill: #666; font-size: 11px }
.label { text-anchor: end } .tick { text-anchor: middle }
.grid { stroke: #e4e4e4 } .one { stroke: #444; stroke-width: 1.5 }
.whisker { stroke: #111; stroke-width: 1.2 }
.goal { stroke: #c02020; stroke-width: 2 }
"""


class Axis:
    """From a ratio to a place; whole powers of two at both ends."""

    def __init__(self, values):
        logs = [math.log2(v) for v in values if v > 0]
        # What is longer than 64 times is cut: the number stands beside it.
        self.low = max(min(math.floor(min(logs)), -1), -6)
        self.high = min(max(math.ceil(max(logs)), 1), 6)

    def x(self, value):
        at = min(max(math.log2(value), self.low), self.high)
        return LABEL + PLOT * (at - self.low) / (self.high - self.low)

    def ticks(self):
        return [(2.0 ** e, f"{2 ** e}" if e >= 0 else f"1/{2 ** -e}")
                for e in range(self.low, self.high + 1)]


def line(kind, x1, y1, x2, y2):
    return (f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" '
            f'x2="{x2:.1f}" y2="{y2:.1f}"/>')


def text(x, y, words, kind=""):
    return f'<text x="{x:.1f}" y="{y:.1f}" class="{kind}">{escape(words)}</text>'


def bar(axis, y, side, ratio, goal):
    one, end = axis.x(1), axis.x(ratio["value"])
    low, high = axis.x(ratio["low"]), axis.x(ratio["high"])
    middle = y + BAR / 2
    out = [f'<rect x="{min(one, end):.1f}" y="{y}" width="{abs(end - one):.1f}"'
           f' height="{BAR}" fill="{COLORS[side]}"/>']
    if high > low:
        out += [line("whisker", low, middle, high, middle),
                line("whisker", low, middle - 3, low, middle + 3),
                line("whisker", high, middle - 3, high, middle + 3)]
    if goal:
        at = axis.x(goal)
        out.append(line("goal", at, y - 1, at, y + BAR + 1))
    # In a column of their own, where they hide nothing.
    out.append(text(LABEL + PLOT + 10, y + BAR - 2, f"{ratio['value']:.2f}"))
    return out


def chart(title, rows):
    sides = [s for s in COLORS if any(s in r["ratios"] for r in rows)]
    values = [v for r in rows for q in r["ratios"].values()
              for v in q.values()]
    values += [g["least"] for r in rows for g in r["goals"]
               if g["peer"] == r["base"]]
    axis = Axis(values)
    step = len(sides) * BAR + GAP
    bottom = TOP + step * len(rows)
    width, height = LABEL + PLOT + VALUE, bottom + 34
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" '
           f'height="{height}" viewBox="0 0 {width} {height}">',
           f"<style>{STYLE}</style>",
           f'<rect width="{width}" height="{height}" fill="#fff"/>',
           text(16, 26, title, "title")]
    x = 16
    for side in sides:
        out += [f'<rect x="{x}" y="38" width="12" height="12" '
                f'fill="{COLORS[side]}"/>', text(x + 17, 48, side)]
        x += 75
    bases = sorted({"the best of the others" if r["table"] == "big"
                    else r["base"] for r in rows})
    out.append(text(x, 48, f"times as good as {' or '.join(bases)}; whisker: "
                    "lowest and highest round; red: goal", "note"))
    for value, words in axis.ticks():
        at = axis.x(value)
        out += [line("one" if value == 1 else "grid", at, TOP - 8, at, bottom),
                text(at, bottom + 16, words, "tick")]
    for i, r in enumerate(rows):
        y = TOP + i * step
        label = r["label"] + (" (native)" if r["base"] == "native" else "")
        out.append(text(LABEL - 10, y + len(sides) * BAR / 2 + 4, label,
                        "label"))
        goals = {g["side"]: g["least"] for g in r["goals"]
                 if g["peer"] == r["base"]}
        for n, side in enumerate(sides):
            if side in r["ratios"]:
                out += bar(axis, y + n * BAR, side, r["ratios"][side],
                           goals.get(side))
    return "\n".join(out + ["</svg>"]) + "\n"


def draw_all(rows, stem):
    """One picture for each table; returns the paths."""
    paths = []
    for table, title in CHARTS.items():
        mine = [r for r in rows if r["table"] == table and r["ratios"]
                and r["unit"] != "%"]
        if not mine:
            continue
        paths.append(f"{stem}-{table}.svg")
        with open(paths[-1], "w") as f:
            f.write(chart(title, mine))
    return paths
