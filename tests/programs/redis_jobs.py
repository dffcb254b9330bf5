# SPDX-License-Identifier: BSD-2-Clause
"""redis_jobs: redis, and what it does in forked children: the dump, the rewritten
append-only file and the first copy for a replica.  A second server, always native,
gets what the first one has written: that is what is in question."""
import contextlib
import random
import socket
import subprocess
import time

from jobs import job
from measure import MIB, TIMEOUT, Failed
from servers import SIZE, connect, groups, value


class Redis:
    """A connection that speaks just enough of the protocol."""

    def __init__(self, path, server):
        self.sock = connect(path, server)
        self.file = self.sock.makefile("rb")

    def send(self, commands):
        self.sock.sendall(b"".join(
            b"*%d\r\n" % len(c) + b"".join(
                b"$%d\r\n%s\r\n" % (len(w), w) for w in c)
            for c in commands))
        return [self.answer() for _ in commands]

    def answer(self):
        line = self.file.readline().rstrip()
        if not line or line.startswith(b"-"):
            raise Failed(f"redis: {line[1:].decode() or 'gone'}")
        if not line.startswith(b"$"):
            return line[1:]
        n = int(line[1:])
        return self.file.read(n + 2)[:n] if n >= 0 else None

    def __call__(self, *words):
        return self.send([[str(w).encode() for w in words]])[0]

    def set(self, keys, turn=0):
        self.send([[b"SET", b"%d" % k, value(k, turn)] for k in keys])

    def get(self, keys):
        return self.send([[b"GET", b"%d" % k] for k in keys])

    def quit(self, run, server):
        """An answer does not come."""
        with contextlib.suppress(Failed, OSError):
            self("SHUTDOWN", "NOSAVE")
        if server in run.busy:
            run.end(server)


def start(run, name, *options):
    path = run.path(name)
    server = run.start(
        ["redis-server", "--port", 0, "--unixsocket", path, "--save", "",
         "--dir", run.dir, *options], stdout=subprocess.DEVNULL)
    return server, Redis(path, server)


@contextlib.contextmanager
def natively(run):
    """What is started and ended in here counts for neither side."""
    before = run.uswap, run.peak, run.files
    run.uswap = None
    yield
    run.uswap, run.peak, run.files = before


def verify(client, keys, turn=0):
    for some in groups(keys):
        for key, got in zip(some, client.get(some)):
            if got != value(key, turn):
                raise Failed(f"WRONG: key {key} has another value than was set")


def change(client, keys):
    for some in groups(keys):
        client.set(some, 1)


def filled(run, *options):
    """A server that has all keys."""
    keys = list(range(run.mib * MIB // SIZE))
    server, client = start(run, "socket", *options)
    for some in groups(keys):
        client.set(some)
    return keys, server, client


@job("redis-server", ["redis-server", "--version"],
     "{mib} MiB of values set, all fetched in random order", 96, 300)
def redis(run):
    keys, server, client = filled(run)
    random.Random(1).shuffle(keys)
    verify(client, keys)
    client.quit(run, server)
    return "right"


def wait_until(client, section, *lines):
    """Each of the lines is in what the server says of itself."""
    deadline = time.monotonic() + TIMEOUT
    while time.monotonic() < deadline:
        info = client("INFO", section).split(b"\r\n")
        if all(line in info for line in lines):
            return
        time.sleep(0.1)
    raise Failed(f"redis: {lines[-1].decode()} never came")


@job("redis-server", ["redis-server", "--version"],
     "BGSAVE of {mib} MiB while every tenth is changed; a second server loads it",
     64, 160)
def redis_bgsave(run):
    keys, server, client = filled(run)
    client("BGSAVE")
    change(client, keys[::10])
    wait_until(client, "persistence", b"rdb_bgsave_in_progress:0",
               b"rdb_last_bgsave_status:ok")
    verify(client, keys[::10], 1)
    client.quit(run, server)
    with natively(run):
        server, client = start(run, "second")
        wait_until(client, "persistence", b"loading:0")
        verify(client, keys)    # As they were at the moment of the fork.
        client.quit(run, server)
    return "right"


@job("redis-server", ["redis-server", "--version"],
     "BGREWRITEAOF of {mib} MiB while every tenth is changed; a second server "
     "loads it", 64, 160)
def redis_aof(run):
    options = "--appendonly", "yes", "--auto-aof-rewrite-percentage", 0
    keys, server, client = filled(run, *options)
    client("BGREWRITEAOF")
    change(client, keys[::10])
    wait_until(client, "persistence", b"aof_rewrite_in_progress:0",
               b"aof_rewrite_scheduled:0", b"aof_last_bgrewrite_status:ok")
    change(client, keys[1::10])
    client.quit(run, server)
    with natively(run):
        server, client = start(run, "second", *options)
        wait_until(client, "persistence", b"loading:0")
        verify(client, [k for k in keys if k % 10 > 1])
        verify(client, keys[::10] + keys[1::10], 1)
        client.quit(run, server)
    return "right"


def free_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


@job("redis-server", ["redis-server", "--version"],
     "a replica copies {mib} MiB while every tenth is changed", 64, 160)
def redis_replica(run):
    port = free_port()
    keys, server, client = filled(run, "--port", port,
                                  "--repl-diskless-sync-delay", 0)
    with natively(run):
        second, replica = start(run, "second", "--replicaof",
                                f"127.0.0.1 {port}")
        wait_until(client, "replication", b"connected_slaves:1")
        change(client, keys[::10])
        wait_until(replica, "replication", b"master_link_status:up")
        if client("WAIT", 1, TIMEOUT * 500) != b"1":
            raise Failed("redis: the replica does not follow")
        verify(replica, [k for k in keys if k % 10])
        verify(replica, keys[::10], 1)
        replica.quit(run, second)
    client.quit(run, server)
    return "right"
