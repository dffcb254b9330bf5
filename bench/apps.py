# SPDX-License-Identifier: BSD-2-Clause
"""apps: jobs that are programs people have.  Each takes a side and a job,
returns numbers, and compares what the program says with what it said on the
side that ran it first."""
import contextlib
import hashlib
import os
import random
import shutil
import socket
import subprocess
import time

import process
from process import Failed
from sides import ROOT

PYTHON = "/usr/bin/python3"     # Debian's, which has Debian's numpy


def need(*programs):
    for name in programs:
        if shutil.which(name) is None:
            raise Failed(f"{name} is not installed")


def same(side, job, output):
    first = side.bench.expected.setdefault(job.name, output)
    if output != first:
        raise Failed(f"WRONG: {job.name} on {side.name} says something else "
                     "than on the side before")


def timed(side, job, argv, stdin=None):
    """Runs to the end; seconds, memory, and whether the output is right."""
    side.prepare(job)
    out, seconds, files = process.run(
        side.command(job, argv), f"{job.name} on {side.name}", sample=True,
        stdin=stdin)
    same(side, job, hashlib.sha256(out).hexdigest())
    return {"seconds": seconds, "unmanaged": files, **side.finish()}


def blist(side, job):
    out, _, _ = process.run([os.path.join(ROOT, "build/bench/blistops")])
    return {"rate": float(out)}


# ---- sort ----------------------------------------------------------------------


def sort_input(bench, mib, length):
    path = bench.path(f"lines-{mib}-{length}")
    if not os.path.exists(path):
        with open(path, "wb") as f:
            process.run([os.path.join(ROOT, "build/bench/lines"), mib, length,
                     1],
                        stdout=f)
    # Into the page cache, and on nobody's account.
    with open(path, "rb", buffering=0) as f:
        while f.read(1 << 20):
            pass
    return path


def sort(side, job):
    path = sort_input(side.bench, job.mib, job.what[1])
    side.prepare(job)
    begin = time.monotonic()
    p = process.start(
        side.command(job, ["sort", "-S", f"{job.mib * 1500 // 1024}M", "--parallel=2", "-T",
                           side.bench.dir, path]),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    sampler = process.Sampler(p.pid)
    total = process.start(["md5sum"], stdin=p.stdout, stdout=subprocess.PIPE)
    p.stdout.close()
    p.stdout = None
    process.wait(p, f"sort on {side.name}")
    out, _ = process.wait(total, "md5sum")
    seconds = time.monotonic() - begin
    sampler.over.set()
    same(side, job, out)
    return {"seconds": seconds, "unmanaged": sampler.peak, **side.finish()}


# ---- sqlite3 -------------------------------------------------------------------

SQL = """
PRAGMA temp_store = memory;
CREATE TABLE t (id INTEGER PRIMARY KEY, k INTEGER, v TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1500000)
    INSERT INTO t SELECT i, i * 2654435761 % 1000003,
    printf('%0350d', i * 40503 % 65521) FROM n;
CREATE INDEX tk ON t (k);
SELECT count(*), sum(k), sum(length(v)), min(v), max(v) FROM t;
SELECT count(*), sum(id * k % 1000), sum(substr(v, -5)) FROM t
    WHERE k BETWEEN 1000 AND 40000;
UPDATE t SET v = v || id WHERE id % 13 = 0;
SELECT count(*), sum(a.k), sum(length(b.v)) FROM t a JOIN t b
    ON b.k = a.k + 1 WHERE a.id % 50 = 0;
SELECT count(*), sum(k), sum(substr(v, 346, 5)) FROM t;
"""


def sqlite(side, job):
    need("sqlite3")
    path = side.bench.path("sql")
    with open(path, "w") as f:
        f.write(SQL)
    with open(path) as f:
        return timed(side, job, ["sqlite3", ":memory:"], stdin=f)


# ---- python3 -------------------------------------------------------------------

NUMPY = """
import numpy as np
a = np.random.default_rng(1).random(64 << 20)
print(a.sum())
m = a.reshape(8192, 8192)
print(m.sum(axis=0)[::1000], m.sum(axis=1)[::1000])
a.sort()
print(a[:: 4 << 20], a.sum())
assert (a[1:] >= a[:-1]).all()
"""

FITS = """
a = [str(i) * 4 for i in range(3000000)]
a.sort()
d = {s: i for i, s in enumerate(a)}
assert d["0000"] == 0
"""


def numpy(side, job):
    if subprocess.run([PYTHON, "-c", "import numpy"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise Failed("python3-numpy is not installed")
    # One thread: BLAS takes no part, and would only map memory.
    return timed(side, job, ["env", "OPENBLAS_NUM_THREADS=1", PYTHON, "-c",
                             NUMPY])


def fits(side, job):
    return timed(side, job, [PYTHON, "-c", FITS])


# ---- redis ---------------------------------------------------------------------

KEYS = 900000       # with what redis adds to each, 1 GiB
VALUE = 1000
REQUESTS = 60000
# Keys as redis-benchmark makes them; a value says whose it is.
LOAD = """
for i = ARGV[1], ARGV[2] - 1 do
    local key = string.format('key:%012d', i)
    redis.call('SET', key, string.sub(string.rep(key, 63), 1, ARGV[3]))
end
"""


class Redis:
    """A connection that speaks just enough of the protocol."""

    def __init__(self, path):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(process.TIMEOUT)
        self.sock.connect(path)
        self.file = self.sock.makefile("rb")

    def __call__(self, *words):
        words = [str(w).encode() for w in words]
        self.sock.sendall(b"*%d\r\n" % len(words) + b"".join(
            b"$%d\r\n%s\r\n" % (len(w), w) for w in words))
        line = self.file.readline().rstrip()
        if line.startswith(b"-"):
            raise Failed(f"redis: {line.decode()}")
        if not line.startswith(b"$"):
            return line[1:]
        n = int(line[1:])
        return self.file.read(n + 2)[:n] if n >= 0 else None


def connect(path, server):
    for _ in range(200):
        with contextlib.suppress(OSError):
            return Redis(path)
        if server.poll() is not None:
            break
        time.sleep(0.05)
    raise Failed("redis-server does not answer")


def check_values(side, redis, changed=None):
    """Samples; those that the benchmark has changed hold its own."""
    draw = random.Random(1)
    for _ in range(2000):
        key = f"key:{draw.randrange(KEYS):012d}"
        value = redis("GET", key)
        if value not in ((key * 63)[:VALUE].encode(), changed):
            raise Failed(f"WRONG: redis on {side.name}: {key} has another "
                         "value than was set")


def benchmark_start(path, what, *more):
    return process.start(["redis-benchmark", "-s", path, "-t", what, "-d",
                          VALUE, "--csv", *more],
                         stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def benchmark_value(path, redis):
    """What it sets each key to: the same in every run."""
    process.wait(benchmark_start(path, "set", "-n", 1), "redis-benchmark")
    return redis("GET", "key:__rand_int__")


def benchmark(path, what, seeds):
    """It draws keys by time ^ pid: with a seed of before, of `seeds`, it would ask
    for the very keys that are in memory since then."""
    while True:
        p = benchmark_start(path, what, "-r", KEYS, "-n", REQUESTS, "-c", 16)
        now = int(time.time())
        mine = {second ^ p.pid for second in (now - 1, now, now + 1)}
        if not mine & seeds:
            break
        process.stop(p)
    seeds |= mine
    out, _ = process.wait(p, "redis-benchmark")
    for line in out.decode().splitlines():
        words = line.replace('"', "").split(",")
        if words[0].lower() == what:
            return float(words[1])
    raise Failed(f"redis-benchmark has no line for {what}")


def redis(side, job):
    need("redis-server", "redis-benchmark")
    side.prepare(job)
    path = side.bench.path("redis.sock")
    server = process.start(
        side.command(job, ["redis-server", "--port", 0, "--unixsocket", path,
                           "--save", "", "--appendonly", "no", "--dir",
                           side.bench.dir]),
        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    sampler = process.Sampler(server.pid)
    try:
        client = connect(path, server)
        for i in range(0, KEYS, 10000):
            client("EVAL", LOAD, 0, i, min(i + 10000, KEYS), VALUE)
        seeds = set()
        m = {"get": benchmark(path, "get", seeds)}
        check_values(side, client)
        m["set"] = benchmark(path, "set", seeds)
        check_values(side, client, benchmark_value(path, client))
        with contextlib.suppress(OSError):
            client("SHUTDOWN", "NOSAVE")
        process.wait(server, f"redis-server on {side.name}", 60)
    except OSError as e:
        raise Failed(f"redis on {side.name}: {e}") from None
    finally:
        sampler.over.set()
        if server in process.running:
            process.stop(server)
    return {"unmanaged": sampler.peak, **m, **side.finish()}


APPS = {"blist": blist, "sort": sort, "sqlite": sqlite, "redis": redis,
        "numpy": numpy, "fits": fits}
