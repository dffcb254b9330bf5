# SPDX-License-Identifier: BSD-2-Clause
"""process: runs programs so that none outlives the benchmark."""
import os
import signal
import subprocess
import threading
import time

TIMEOUT = 900       # seconds; whatever takes longer hangs
running = set()     # Popen objects, each the leader of its own session


class Failed(Exception):
    """A run that gives no numbers."""


class Sampler(threading.Thread):
    """The most file-backed memory that a process was seen to have: its text
    and libraries, which are not managed."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.path = f"/proc/{pid}/status"
        self.peak = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.25):
            try:
                with open(self.path) as f:
                    for line in f:
                        if line.startswith("RssFile:"):
                            self.peak = max(self.peak,
                                            int(line.split()[1]) << 10)
            except OSError:
                return


def start(argv, **more):
    p = subprocess.Popen([str(a) for a in argv], start_new_session=True,
                         **more)
    running.add(p)
    return p


def stop(p):
    """Ends a process and whatever it has started."""
    for sig in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(p.pid, sig)
        except ProcessLookupError:
            pass
        try:
            p.wait(5)
            break
        except subprocess.TimeoutExpired:
            continue
    running.discard(p)


def stop_all():
    for p in list(running):
        stop(p)


def wait(p, name, timeout=TIMEOUT):
    """Output and error output of a started process, which must succeed."""
    try:
        out, err = p.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        stop(p)
        raise Failed(f"{name}: not done after {timeout} s") from None
    running.discard(p)
    if p.returncode != 0:
        last = (err or b"").decode(errors="replace").strip().splitlines()
        raise Failed(f"{name}: exit code {p.returncode}"
                     + (f": {last[-1]}" if last else ""))
    return out, err


def run(argv, name=None, sample=False, stdin=None, stdout=subprocess.PIPE):
    """Runs to the end.  Returns its output, the seconds, and the peak of its
    file-backed memory."""
    begin = time.monotonic()
    p = start(argv, stdin=stdin, stdout=stdout, stderr=subprocess.PIPE)
    sampler = Sampler(p.pid) if sample else None
    out, _ = wait(p, name or argv[0])
    seconds = time.monotonic() - begin
    if sampler:
        sampler.over.set()
    return out, seconds, sampler.peak if sampler else 0
