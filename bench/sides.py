# SPDX-License-Identifier: BSD-2-Clause
"""sides: on what a job runs.  A side says whether it can be had here, which
command runs a program on it, and what is known when that has ended."""
import ctypes
import json
import mmap
import os
import subprocess

import process
from process import Failed

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MIB = 1 << 20


def write_file(path, size):
    """A file that is written throughout, with what no disk can shrink, past
    the page cache."""
    chunk = 4 * MIB
    buf = mmap.mmap(-1, chunk)
    buf.write(os.urandom(chunk))
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
    try:
        fd = os.open(path, flags | os.O_DIRECT, 0o600)
    except OSError:
        fd = os.open(path, flags, 0o600)
    try:
        os.posix_fallocate(fd, 0, size)
        for offset in range(0, size, chunk):
            os.pwrite(fd, buf, offset)
        os.fsync(fd)
    finally:
        os.close(fd)


def percentile(hist, total, part):
    """In µs.  hist: [[ns, count], ...], rising."""
    seen = 0
    for ns, count in hist:
        seen += count
        if seen >= part * total:
            return ns / 1000
    return None


def slowest(hist, n, skip=0):
    """Of the touches by falling time: n, after `skip` slower ones."""
    part = []
    for ns, count in reversed(hist):
        skipped = min(skip, count)
        skip -= skipped
        taken = min(n, count - skipped)
        n -= taken
        if taken:
            part.insert(0, [ns, taken])
    return part


def three(metrics, kind, hist):
    total = sum(count for _, count in hist)
    # A percentile of too few is the accident of one of them.
    for name, part, least in (("p50", 0.5, 10), ("p99", 0.99, 200),
                              ("p999", 0.999, 2000)):
        if total >= least:
            metrics[f"{kind}_{name}"] = percentile(hist, total, part)


def touch_metrics(text, disk_faults=None, soft_faults=None):
    """What touch printed, and how many faults of which kind there were, if
    the side knows better than the kernel's counters of the process."""
    t = json.loads(text)
    m = {}

    def rate(phase):
        return t[phase]["touches"] * 1e9 / t[phase]["ns"]
    m["fill"] = rate("fill")
    m["late"] = rate("late")
    three(m, "zero", t["late"]["hist"])
    r = t.get("run")
    if r is None:
        return m
    m["rate"] = rate("run")
    if disk_faults is None:
        disk_faults, soft_faults = r["majflt"], r["minflt"]
    if "scan" in t:
        m["scan"] = rate("scan")
        m["both"] = m["rate"] + m["scan"]
        return m
    touches = r["touches"] + r["warm"]
    m["disk_faults"], m["soft_faults"] = disk_faults, soft_faults
    m["hit"] = 100 * (1 - min(disk_faults / touches, 1))
    if r["warm"] == 0 and r["hist"]:
        total = r["touches"]
        for name, part in (("p50", 0.5), ("p99", 0.99), ("p999", 0.999)):
            m[name] = percentile(r["hist"], total, part)
        three(m, "miss", slowest(r["hist"], disk_faults))
        three(m, "soft", slowest(r["hist"], soft_faults, disk_faults))
    return m


class Side:
    """Runs programs as they are: also the side "native"."""
    name = "native"
    why_not = None          # a sentence, where it cannot be had

    def __init__(self, bench):
        self.bench = bench

    def prepare(self, job):
        pass

    def command(self, job, argv):
        return list(argv)

    def finish(self):
        """What is known when the program has ended."""
        return {}

    def close(self):
        pass

    def touch(self, job):
        self.prepare(job)
        argv = [self.bench.touch, "--mib", job.mib, "--seconds",
                self.bench.seconds, *job.what, *self.touch_options()]
        out, _, _ = process.run(self.command(job, argv),
                                f"{job.name} on {self.name}")
        m = self.finish()
        m.update(touch_metrics(out, *self.fault_counts(m)))
        if "metadata" in m:
            m["metadata"] /= job.mib << 8
        return m

    def touch_options(self):
        return ()

    def fault_counts(self, m):
        return ()


class Uswap(Side):
    name = "uswap"
    options = ()

    def __init__(self, bench):
        super().__init__(bench)
        self.swap = bench.path("uswap.swap")
        self.stats = bench.path("stats.json")
        if not os.path.exists(self.swap):
            write_file(self.swap, bench.swap_size)
            process.run(["mkswap", self.swap])
        try:
            process.run(self.command(None, ["true"]))
        except Failed as e:
            self.why_not = str(e)

    def command(self, job, argv):
        ram = job.ram if job else 64
        return [self.bench.uswap, "run", "--ram", f"{ram}M", "--swap",
                f"{self.swap},size={self.bench.swap_size}", "--stats",
                self.stats, *self.options, "--", *argv]

    def finish(self):
        with open(self.stats) as f:
            st = json.load(f)
        m = {"peak_rss": st["peak_rss"]}
        for name in ("ram_peak", "metadata", "faults_zero", "faults_soft",
                     "faults_disk", "pages_in", "pages_ahead", "pages_out",
                     "over_budget"):
            if name in st:
                m[name] = st[name]
        return m

    def fault_counts(self, m):
        if "faults_disk" not in m:
            return ()
        return m["faults_disk"], m["faults_soft"]


class Inline(Uswap):
    name = "inline"
    options = ("--inline",)

    def __init__(self, bench):
        text, _, _ = process.run([bench.uswap, "run", "--help"])
        if b"--inline" not in text:
            self.bench = bench
            self.why_not = "this uswap has no --inline"
            return
        super().__init__(bench)


class Limited(Side):
    """A control group's limit."""

    def command(self, job, argv):
        return [os.path.join(ROOT, "tools/memlimit.sh"), job.ram * MIB, "-w",
                *argv]

    def check_limit(self):
        try:
            process.run([os.path.join(ROOT, "tools/memlimit.sh"), 64 * MIB,
                         "true"])
        except Failed as e:
            self.why_not = str(e)


class Kernel(Limited):
    name = "kernel"
    PRIORITY = 32767        # the highest: whatever else there is stays unused

    def __init__(self, bench):
        super().__init__(bench)
        self.swap = bench.path("kernel.swap")
        self.on = False
        self.check_limit()
        if self.why_not is None:
            self.swapon()

    def swapon(self):
        with open("/proc/swaps") as f:
            taken = [line.split()[-1] for line in f.readlines()[1:]]
        if str(self.PRIORITY) in taken:
            self.why_not = "there is swap space of the highest priority"
            return
        write_file(self.swap, self.bench.swap_size)
        try:
            process.run(["mkswap", self.swap])
            process.run(["swapon", "-p", self.PRIORITY, self.swap])
            self.on = True
        except (Failed, OSError) as e:
            self.why_not = str(e)

    def close(self):
        if self.on:
            subprocess.run(["swapoff", self.swap], check=False)
            self.on = False


class Mmap(Limited):
    name = "mmap"
    advice = ()

    def __init__(self, bench):
        super().__init__(bench)
        self.file = bench.path("mmap.data")
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.check_limit()

    def prepare(self, job):
        """A file that is allocated and was never written: first touches read
        nothing, and no space has to be found."""
        fd = os.open(self.file, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            size = job.mib * MIB
            os.posix_fallocate(fd, 0, size)
            zero_range = 0x10
            if self.libc.fallocate(fd, zero_range, ctypes.c_long(0),
                                   ctypes.c_long(size)) != 0:
                raise Failed(f"{self.file}: cannot be made unwritten again: "
                             + os.strerror(ctypes.get_errno()))
            os.fsync(fd)
        finally:
            os.close(fd)

    def touch_options(self):
        return ("--file", self.file, *self.advice)


class MmapRandom(Mmap):
    name = "mmap-random"
    advice = ("--random",)


class Disk(Side):
    """fio, past the page cache, on a file that is written throughout."""
    name = "disk"

    def __init__(self, bench):
        super().__init__(bench)
        self.file = bench.path("fio.data")
        write_file(self.file, 1024 * MIB)

    def fio(self, job):
        out, _, _ = process.run([
            "fio", "--name=disk", f"--filename={self.file}", "--direct=1",
            "--ioengine=io_uring", "--size=1024M", "--time_based",
            f"--runtime={self.bench.seconds}", "--randrepeat=0", "--norandommap",
            "--lat_percentiles=1", "--clat_percentiles=0",
            "--percentile_list=50:99:99.9", "--output-format=json", *job.fio],
            f"fio for {job.name}")
        side = json.loads(out)["jobs"][0]
        side = side["write" if "--rw=write" in job.fio else "read"]
        at = side["lat_ns"]["percentile"]
        rate = side["bw_bytes"] / 4096
        m = {"rate": rate, "fill": rate, "late": rate}
        if "--bs=4k" in job.fio:
            for name, key in (("p50", "50.000000"), ("p99", "99.000000"),
                              ("p999", "99.900000")):
                m[f"miss_{name}"] = at[key] / 1000
        return m


SIDES = {s.name: s for s in (Uswap, Inline, Kernel, Mmap, MmapRandom, Disk,
                             Side)}
