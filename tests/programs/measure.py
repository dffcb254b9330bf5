# SPDX-License-Identifier: BSD-2-Clause
"""measure: one run of a program, natively or under uswap, with its peak memory
and time.  A job gets a Run and says what the program said; see jobs.py."""
import contextlib
import hashlib
import os
import resource
import signal
import subprocess
import threading
import time

MIB = 1 << 20
TIMEOUT = int(os.environ.get("PROGRAMS_TIMEOUT", 180))  # seconds; then it hangs


class Failed(Exception):
    """What is wrong, in a sentence for the table."""


def family(pid):
    """A process and those that it and they have started and not outlived."""
    parents = {}
    for name in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError, IndexError):
            with open(f"/proc/{name}/stat") as f:
                parent = int(f.read().rpartition(")")[2].split()[1])
            parents.setdefault(parent, []).append(int(name))
    found = [pid]
    for one in found:
        found += parents.get(one, [])
    return found


class Files(threading.Thread):
    """The most memory of files that a process of the family has: text and
    libraries, which are not managed and which the kernel can drop; shared
    memory, too."""

    def __init__(self, pid):
        super().__init__(daemon=True)
        self.pid = pid
        self.peak = 0
        self.over = threading.Event()
        self.start()

    def run(self):
        while not self.over.wait(0.2):
            for pid in family(self.pid):
                with contextlib.suppress(OSError):
                    self.look(pid)

    def look(self, pid):
        with open(f"/proc/{pid}/status") as f:
            self.peak = max(self.peak, sum(
                int(line.split()[1]) << 10 for line in f
                if line.startswith(("RssFile:", "RssShmem:"))))


class Run:
    """One side of a job.
    dir      an empty directory, the current one of the program
    shared   a directory that both sides see, for input that is made once
    mib      the size of the load
    peak     bytes, of the largest process so far, as the kernel counts
    files    bytes of peak at most that were file-backed
    seconds  from the start of the first program to the end of the last
    """

    def __init__(self, uswap, ram, mib, where, shared):
        self.uswap, self.ram, self.mib = uswap, ram, mib
        self.dir, self.shared = where, shared
        self.peak = self.files = 0
        self.begin = self.last = None
        self.busy = {}
        self.errors = os.path.join(where, "stderr")

    @property
    def seconds(self):
        return self.last - self.begin

    def path(self, name):
        return os.path.join(self.dir, name)

    def input(self, name, make):
        """A file of the shared directory; make(path) writes it if need be."""
        path = os.path.join(self.shared, name)
        if not os.path.exists(path):
            make(path + ".new")
            os.rename(path + ".new", path)
        return path

    def start(self, argv, **more):
        """A process in a session of its own.  more: as of Popen, and env."""
        # The kernel counts what a process was before it became the program.
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10 < 60
        argv = [str(a) for a in argv]
        if self.uswap:
            argv = [self.uswap, "run", "--ram", f"{self.ram}M", "--swap",
                    f"tmp,size={max(4096, 10 * self.ram)}M", "--"] + argv
        more["env"] = {**os.environ, "TMPDIR": self.dir, "LC_ALL": "C",
                       "XDG_RUNTIME_DIR": self.dir, **more.get("env", {})}
        with open(self.errors, "ab") as err:
            more.setdefault("stderr", err)
            more.setdefault("stdin", subprocess.DEVNULL)
            more.setdefault("cwd", self.dir)
            self.begin = self.begin or time.monotonic()
            p = subprocess.Popen(argv, start_new_session=True, **more)
        self.busy[p] = Files(p.pid)
        return p

    def end(self, p, timeout=TIMEOUT, expect=(0,)):
        """Waits for the end of a process, which must be a success."""
        status, late = self.reap(p, timeout)
        self.last = time.monotonic()
        if late:
            raise Failed(f"not done after {timeout} s")
        if status not in expect:
            how = f"signal {-status}" if status < 0 else f"exit code {status}"
            raise Failed(f"{how}: {self.said()}")

    def reap(self, p, timeout):
        """wait4: the peak includes that of children that p has waited for."""
        late = False
        deadline = time.monotonic() + timeout
        while True:
            pid, status, used = os.wait4(p.pid, os.WNOHANG)
            if pid:
                break
            if time.monotonic() > deadline and not late:
                late = True
                self.kill(p)
            time.sleep(0.01)
        p.returncode = os.waitstatus_to_exitcode(status)
        files = self.busy.pop(p)
        files.over.set()
        self.peak = max(self.peak, used.ru_maxrss << 10)
        self.files = max(self.files, files.peak)
        return p.returncode, late

    def said(self):
        """The last sentence of uswap's on stderr, else of the program's."""
        with open(self.errors, errors="replace") as f:
            lines = [line.strip() for line in f if line.strip()]
        ours = [line for line in lines if line.startswith("uswap")]
        return (ours or lines or ["nothing on stderr"])[-1]

    def stop(self, p, sig=signal.SIGTERM):
        """Ends a server, in the way it is told to."""
        p.send_signal(sig)
        self.end(p, 60, expect=(0, -sig, 128 + sig))

    def stop_all(self):
        for p in list(self.busy):
            self.kill(p)
            self.reap(p, 10)

    @staticmethod
    def kill(p):
        for pid in family(p.pid):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    def __call__(self, argv, out=None, silent=False, **more):
        """Runs to the end.  Returns the digest of its output, or that of the
        file `out` that it was told to write; None if it is to say nothing."""
        path = self.path("stdout")
        with open(path, "wb") as f:
            p = self.start(argv, stdout=f, **more)
        self.end(p)
        return None if silent else digest(self.path(out) if out else path)


def digest(path):
    with open(path, "rb") as f:
        text = hashlib.file_digest(f, "sha256") if hasattr(
            hashlib, "file_digest") else read_digest(f)
    if os.path.getsize(path) == 0:
        raise Failed("it said nothing")
    return text.hexdigest()


def read_digest(f):
    text = hashlib.sha256()
    while chunk := f.read(MIB):
        text.update(chunk)
    return text
