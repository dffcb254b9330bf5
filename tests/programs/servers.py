# SPDX-License-Identifier: BSD-2-Clause
"""servers: jobs that are servers, and the clients that verify what they say."""
import contextlib
import hashlib
import os
import random
import shutil
import signal
import socket
import subprocess
import threading
import time

from jobs import job
from measure import MIB, TIMEOUT, Failed

SIZE = 1000     # bytes of a value


def value(key, turn=0):
    """What is stored under a key, different for each."""
    one = hashlib.sha256(f"{key} {turn}".encode()).hexdigest()
    return (one * (SIZE // len(one) + 1))[:SIZE].encode()


def connect(path, server):
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline and server.poll() is None:
        sock = socket.socket(socket.AF_UNIX)
        sock.settimeout(TIMEOUT)
        with contextlib.suppress(OSError):
            sock.connect(path)
            return sock
        sock.close()
        time.sleep(0.05)
    raise Failed("the server does not answer")


def orders(n):
    """All keys, in order, then far from in order, in groups."""
    keys = list(range(n))
    yield "set", keys
    random.Random(1).shuffle(keys)
    yield "get", keys


def groups(keys, n=100):
    for i in range(0, len(keys), n):
        yield keys[i:i + n]


# ---- memcached -----------------------------------------------------------------


@job("memcached", ["memcached", "--version"],
     "{mib} MiB of values set, all fetched in random order", 96, 300)
def memcached(run):
    path = run.path("socket")
    server = run.start(["memcached", "-u", "root", "-s", path, "-m",
                        run.mib * 2, "-t", 2])
    sock = connect(path, server)
    file = sock.makefile("rb")
    for kind, keys in orders(run.mib * MIB // SIZE):
        for some in groups(keys):
            if kind == "set":
                sock.sendall(b"".join(
                    b"set %d 0 0 %d\r\n%s\r\n" % (k, SIZE, value(k))
                    for k in some))
                for _ in some:
                    if file.readline() != b"STORED\r\n":
                        raise Failed("memcached does not store")
                continue
            sock.sendall(b"get " + b" ".join(b"%d" % k for k in some) + b"\r\n")
            for _ in some:
                _, key, _, size = file.readline().split()
                if file.read(int(size) + 2) != value(int(key)) + b"\r\n":
                    raise Failed(f"WRONG: key {key} has another value")
            if file.readline() != b"END\r\n":
                raise Failed("memcached lost a key")
    run.stop(server)
    return "right"


# ---- nginx ---------------------------------------------------------------------

NGINX = """
user root;
daemon off;
pid nginx.pid;
error_log stderr;
worker_processes 1;
events {{ worker_connections 256; }}
http {{
    access_log off;
    client_body_temp_path body;
    proxy_temp_path proxy;
    fastcgi_temp_path fastcgi;
    uwsgi_temp_path uwsgi;
    scgi_temp_path scgi;
    server {{
        listen unix:{front};
        location / {{
            proxy_pass http://unix:{back}:/;
            proxy_buffering on;
            proxy_buffer_size 64k;
            proxy_buffers {buffers} 64k;
            proxy_busy_buffers_size 256k;
            proxy_max_temp_file_size 0;
            proxy_read_timeout 600s;
            send_timeout 600s;
        }}
    }}
}}
"""
CLIENTS = 8
PIECE = 128 << 10


def pieces(which, size):
    """The body of an answer.  Never much of it at once, by some threads at a
    time: what the harness has would count as the peak of those it starts."""
    draw = random.Random(which)
    for at in range(0, size, PIECE):
        yield draw.randbytes(min(PIECE, size - at))


def upstream(path, size):
    """Answers /N with the Nth body."""
    listen = socket.socket(socket.AF_UNIX)
    listen.bind(path)
    listen.listen(64)

    def serve(sock):
        with sock, contextlib.suppress(OSError):
            which = int(sock.recv(4096).split()[1][1:])
            sock.sendall(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n"
                         % size)
            for piece in pieces(which, size):
                sock.sendall(piece)

    def loop():
        while True:
            threading.Thread(target=serve, args=(listen.accept()[0],),
                             daemon=True).start()
    threading.Thread(target=loop, daemon=True).start()


def read_answer(run, sock, which, size):
    file = sock.makefile("rb")
    said = file.readline()
    if said.split()[1:2] != [b"200"]:
        raise Failed(f"nginx: answer {which} begins {said}: {run.said()}")
    while file.readline().strip():
        pass
    done = 0
    for piece in pieces(which, size):
        got = file.read(len(piece))
        at = next((i for i, (a, b) in enumerate(zip(got, piece)) if a != b),
                  len(got)) if got != piece else len(piece)
        if at < len(got):
            raise Failed(f"WRONG: answer {which} of nginx is another at byte "
                         f"{done + at}: {got[at:at + 16].hex()}")
        if at < len(piece):
            raise Failed(f"nginx: answer {which} is cut short at {done + at}: "
                         f"{run.said()}")
        done += at


@job("nginx-light", ["nginx", "-v"],
     "a proxy that holds {mib} MiB of answers for slow clients", 64, 320)
def nginx(run):
    size = run.mib * MIB // CLIENTS
    front, back = run.path("front"), run.path("back")
    with open(run.path("nginx.conf"), "w") as f:
        f.write(NGINX.format(front=front, back=back,
                             buffers=(size >> 16) + 16))
    upstream(back, size)
    server = run.start(["nginx", "-p", run.dir, "-c", "nginx.conf"])
    socks = []
    for i in range(CLIENTS):
        sock = connect(front, server)
        sock.sendall(b"GET /%d HTTP/1.0\r\n\r\n" % i)
        socks.append(sock)
    # Nobody reads until the proxy has it all.
    time.sleep(8)
    for i, sock in enumerate(socks):
        read_answer(run, sock, i, size)
    run.stop(server, signal.SIGQUIT)
    return "right"


# ---- postgres ------------------------------------------------------------------

POSTGRES = "/usr/lib/postgresql/15/bin/"
# It refuses to be root; so it is called otherwise in a user namespace.
NOBODY = ["unshare", "--user", "--map-user=1000", "--map-group=1000"]


@job("postgresql-15", [POSTGRES + "postgres", "--version"],
     "a sort and a hash join of {mib} MiB with a `work_mem` of 2 GB", 96, 250)
def postgres(run):
    data = run.path("data")

    def make(path):
        subprocess.check_call(
            NOBODY + [POSTGRES + "initdb", "-D", path, "-U", "x", "-A",
                      "trust", "--no-sync", "--locale=C"],
            stdout=subprocess.DEVNULL)
    shutil.copytree(run.input("cluster", make), data)
    os.chmod(data, 0o700)
    rows = run.mib * 4500
    server = run.start(
        NOBODY + [POSTGRES + "postgres", "-D", data, "-k", run.dir, "-c",
                  "listen_addresses=", "-c", "fsync=off", "-c",
                  "shared_buffers=16MB", "-c", "work_mem=2GB", "-c",
                  "max_parallel_workers_per_gather=0", "-c",
                  "hash_mem_multiplier=1", "-c", "jit=off"])
    connect(run.path(".s.PGSQL.5432"), server).close()
    sql = f"""
CREATE FUNCTION k(i bigint) RETURNS bigint LANGUAGE sql IMMUTABLE
    AS 'SELECT i * 2654435761 % 1000003';
SELECT count(*), sum(n * k % 1000003), md5(string_agg(v, '' ORDER BY n) FILTER
    (WHERE n % 1000 = 0)) FROM (SELECT row_number() OVER (ORDER BY v, i) n, k, v
    FROM (SELECT i, k(i) k, repeat(md5(i::text), 3) v
        FROM generate_series(1, {rows}::bigint) i) t) s;
SELECT count(*), sum(a.i % 1000 * b.i), min(a.v), max(b.v) FROM
    (SELECT i, repeat(md5(i::text), 3) v FROM generate_series(1, {rows}::bigint) i) a
    JOIN (SELECT i, md5(i::text) v FROM generate_series(1, {rows}::bigint) i) b
    ON b.i = a.i * 7919 % {rows};
"""
    said = subprocess.run(
        [POSTGRES + "psql", "-h", run.dir, "-U", "x", "-d", "postgres", "-XAt",
         "-v", "ON_ERROR_STOP=1"], input=sql.encode(), capture_output=True,
        timeout=TIMEOUT, check=False)
    if said.returncode != 0:
        raise Failed("postgres: " + said.stderr.decode().strip()[-200:])
    run.stop(server, signal.SIGINT)
    return said.stdout
