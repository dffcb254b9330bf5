#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""ctl_attack.py SOCKET KIND: does something bad to a control socket, and exits
with 0 if that was answered as it should be."""
import json
import os
import random
import resource
import socket
import sys
import time

path, kind = sys.argv[1:]


def connect():
    s = socket.socket(socket.AF_UNIX)
    s.connect(path)  # waits its turn, which it would not with a timeout
    s.settimeout(30)
    return s


def ask(s, text=b'{"request": "info"}\n'):
    s.sendall(text)
    return json.loads(s.makefile().readline())


def garbage():
    rng = random.Random(int(os.environ.get("USWAP_SEED", "1")))
    for _ in range(200):
        s = connect()
        try:
            s.sendall(rng.randbytes(rng.randrange(1, 20000)))
        except OSError:
            pass  # it has heard enough
        s.close()
    for line in (b"\n", b"[]\n", b'{"request": "rm"}\n', b"\0\0\n",
                 b'{"request": "info"' * 100 + b"\n", b"[" * 5000 + b"\n"):
        assert ask(connect(), line)["error"] == "EINVAL"


def long_line():
    s = connect()
    try:
        for _ in range(100):
            s.sendall(b"x" * (1 << 20))
        assert False, "100 MiB were read"
    except OSError:
        pass
    s.close()


def crowd():
    resource.setrlimit(resource.RLIMIT_NOFILE, (2048, 2048))
    held = [connect() for _ in range(1000)]
    # The next one is served all the same.
    assert ask(connect())["ok"]
    time.sleep(2)
    assert ask(connect())["ok"]
    del held


def half():
    held = []
    for text in (b"", b'{"requ', b'{"request": "info"}'):
        s = connect()
        s.sendall(text)
        held.append(s)
    assert ask(connect())["ok"]
    for s in held:
        assert s.recv(1) == b"", "silence was answered"


def deaf():
    s = connect()
    s.settimeout(2)
    try:
        while True:
            s.sendall(b'{"request": "info"}\n')
    except OSError:
        pass
    assert ask(connect())["ok"]


def flood():
    end = time.monotonic() + 3
    clients = [connect() for _ in range(8)]
    while time.monotonic() < end:
        for s in clients:
            s.sendall(b'{"request": "info"}\n' * 4)
        for s in clients:
            answers = 0
            while answers < 4:
                text = s.recv(1 << 16)
                assert text, "cut off"
                answers += text.count(b"\n")


def stranger():
    """Somebody else, although the files would let him."""
    os.setgroups([])
    os.setgid(65534)
    os.setuid(65534)
    s = connect()
    try:
        s.sendall(b'{"request": "info"}\n')
        assert s.recv(1) == b"", "a stranger was answered"
    except OSError:
        pass


globals()[kind]()
