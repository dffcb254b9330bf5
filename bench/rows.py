# SPDX-License-Identifier: BSD-2-Clause
"""rows: what is run (jobs), which numbers of it are shown (rows), and what each
should reach (goals).  README.md says what the numbers are."""
from dataclasses import dataclass

ALL = ("uswap", "inline", "kernel")
FITS = ("uswap", "inline", "native")
FILES = ALL + ("mmap", "mmap-random")


@dataclass
class Job:
    """One program, run once on each side in each round."""
    name: str
    what: tuple = ()        # arguments of touch, or the name in apps.APPS
    mib: int = 1024         # data
    ram: int = 512          # memory, MiB
    sides: tuple = ALL
    fio: tuple = ()         # arguments of fio: then the disk is a side, too
    app: bool = False
    quick: bool = False     # part of the quick run

    def all_sides(self):
        return self.sides + (("disk",) if self.fio else ())


@dataclass
class Row:
    """One number of one job.  goals: (side, peer, least ratio)."""
    label: str
    job: str
    metric: str
    unit: str
    better: int = 1         # 1: more is better, -1: less; 0: neither
    table: str = "memory"
    base: str = "kernel"    # the side that ratios are to, or "best"
    goals: tuple = ()
    floor: float = 0        # the quick run fails below this ratio
    points: bool = False    # compared by difference, in percent points


def both(peer, least):
    """A goal of both of our sides."""
    return (("uswap", peer, least), ("inline", peer, least))


def each(peer, uswap, inline):
    return (("uswap", peer, uswap), ("inline", peer, inline))


READ = ("--rw=read", "--bs=1M", "--iodepth=4")
WRITE = ("--rw=write", "--bs=1M", "--iodepth=4")


def random_fio(depth):
    return ("--rw=randread", "--bs=4k", f"--iodepth={depth}")


JOBS = [
    Job("fill", ("fill",), fio=WRITE, quick=True),
    Job("seqread", ("seqread",), fio=READ, quick=True),
    Job("seqrmw", ("seqrmw",), quick=True),
    Job("stride", ("stride",)),
    Job("descend", ("descend",)),
    *[Job(f"randread-{n}", ("randread", "--threads", n), fio=random_fio(n),
          quick=n in (1, 8)) for n in (1, 2, 8, 32)],
    *[Job(f"randwrite-{n}", ("randwrite", "--threads", n), quick=n == 2)
      for n in (1, 2, 8, 32)],
    Job("randread-8-later", ("randread", "--warm", 400000, "--threads", 8)),
    Job("randread-quarter", ("randread",), ram=256),
    Job("randread-eighth", ("randread",), ram=128),
    Job("zipf", ("zipf", "--warm", 300000, "--touches", 300000)),
    Job("loguniform", ("loguniform", "--warm", 300000, "--touches", 300000)),
    Job("hotscan", ("hotscan", "--part", 128), sides=ALL + ("native",),
        quick=True),
    Job("inram", ("randwrite", "--untimed"), mib=384, sides=FITS),
    Job("active", ("randwrite", "--untimed", "--part", 256, "--warm", 1000000),
        sides=FITS),
    Job("blist", ("blist",), sides=("uswap",), app=True),

    Job("sort", ("sort", 1000), mib=512, ram=256, app=True),
    Job("sqlite", ("sqlite",), mib=600, ram=256, app=True),
    Job("redis", ("redis",), app=True),
    Job("numpy", ("numpy",), mib=512, ram=256, app=True),
    Job("fits", ("fits",), mib=600, ram=4096, sides=FITS, app=True),

    *[Job(f"big-{name}", what, mib=2560, ram=640, sides=FILES)
      for name, what in {
          "randread-1": ("randread",),
          "randread-4": ("randread", "--threads", 4),
          "randwrite-1": ("randwrite",),
          "randwrite-4": ("randwrite", "--threads", 4),
          "seqread": ("seqread", "--seconds", 15),
          "seqrmw": ("seqrmw", "--seconds", 15),
      }.items()],
]


def memory(label, job, metric="rate", unit="pages/s", **more):
    return Row(label, job, metric, unit, **more)


def times(label, job, kind, base, goal=()):
    """Three percentiles of one kind of fault."""
    return [Row(f"{label}, {name}", job, f"{kind}_{p}", "µs", better=-1,
                table="faults", base=base, goals=goal if p == "p50" else ())
            for p, name in (("p50", "p50"), ("p99", "p99"),
                            ("p999", "p99.9"))]


def app(label, job, metric="seconds", unit="s", better=-1):
    return Row(label, job, metric, unit, better=better, table="applications",
               goals=both("kernel", 1.3))


def big(label, job, metric, uswap, inline, unit="pages/s", better=1):
    return Row(label, f"big-{job}", metric, unit, better=better, table="big",
               base="best", goals=each("best", uswap, inline))


ROWS = [
    memory("first fill", "fill", "fill", goals=both("kernel", 2), floor=1.3),
    memory("page-out", "fill", "late"),
    memory("sequential read", "seqread", floor=1.5,
           goals=both("kernel", 8) + both("disk", 0.8)),
    memory("sequential rewrite", "seqrmw", floor=1.5, goals=both("kernel", 5)),
    memory("every 7th page", "stride"),
    memory("descending", "descend"),
    memory("random read, 1 thread", "randread-1", floor=0.5,
           goals=both("kernel", 1.1)),
    memory("random read, 2 threads", "randread-2", goals=both("kernel", 1.2)),
    memory("random read, 8 threads", "randread-8", floor=0.5,
           goals=both("kernel", 1.2)),
    memory("random read, 32 threads", "randread-32"),
    memory("random write, 1 thread", "randwrite-1", goals=both("kernel", 1.1)),
    memory("random write, 2 threads", "randwrite-2", floor=0.5),
    memory("random write, 8 threads", "randwrite-8"),
    memory("random write, 32 threads", "randwrite-32"),
    memory("random read, 8 threads, later", "randread-8-later"),
    memory("random read, 1/4 in RAM", "randread-quarter"),
    memory("random read, 1/8 in RAM", "randread-eighth"),
    memory("Zipf 0.99", "zipf", goals=both("kernel", 1.2)),
    memory("Zipf 0.99: hits", "zipf", "hit", "%", points=True,
           goals=both("kernel", -2)),
    memory("log-uniform", "loguniform"),
    memory("log-uniform: hits", "loguniform", "hit", "%", points=True),
    memory("hot set + scan: hot", "hotscan", "rate", floor=0.4,
           goals=both("kernel", 2)),
    memory("hot set + scan: scan", "hotscan", "scan"),
    memory("hot set + scan: both", "hotscan", "both", goals=both("kernel", 2)),
    memory("all in RAM: fill", "inram", "fill", base="native",
           goals=both("native", 0.98)),
    memory("all in RAM: random write", "inram", base="native",
           goals=both("native", 0.98)),
    memory("hot set in RAM, rest out", "active", base="native",
           goals=both("native", 0.98)),
    memory("metadata", "fill", "metadata", "B/page", better=0),
    memory("blist: take and give back", "blist", "rate", "ops/s", better=0),

    *times("zero", "fill", "zero", "kernel"),
    *times("soft", "randread-1", "soft", "kernel"),
    *times("disk", "randread-1", "miss", "kernel", both("disk", 0.8)),

    app("GNU sort", "sort"),
    app("sqlite3", "sqlite"),
    app("redis GET", "redis", "get", "ops/s", 1),
    app("redis SET", "redis", "set", "ops/s", 1),
    app("python3 + numpy", "numpy"),
    Row("a python3 job that fits", "fits", "seconds", "s", better=-1,
        table="applications", base="native", goals=both("native", 0.98)),

    big("fill", "randread-1", "fill", 1.3, 1.5),
    big("random read, 1 thread", "randread-1", "rate", 1.0, 1.05),
    big("random read, 4 threads", "randread-4", "rate", 1.05, 1.2),
    big("random write, 1 thread", "randwrite-1", "rate", 1.0, 1.1),
    big("random write, 4 threads", "randwrite-4", "rate", 1.05, 1.2),
    big("sequential read", "seqread", "rate", 1.0, 1.05),
    big("sequential rewrite", "seqrmw", "rate", 2.0, 2.5),
    big("random read, p50", "randread-1", "p50", 1 / 1.1, 1.0, "µs", -1),
    big("random read, p99", "randread-1", "p99", 1 / 1.5, 1 / 1.2, "µs", -1),
]

# The geometric mean of the applications' ratios.
APPS_MEAN = both("kernel", 2)
