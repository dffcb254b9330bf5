# SPDX-License-Identifier: BSD-2-Clause
"""peek.py PID SECONDS: reads what another process has mapped, as those do that dump
or move processes, each part by a process of its own: one that waits for a page that
nobody has is killed.  Says how many parts could be read."""
import ctypes
import os
import re
import signal
import sys
import time

PAGE = 4096
libc = ctypes.CDLL(None, use_errno=True)


class Iovec(ctypes.Structure):
    _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]


def read(pid, start, end):
    buf = ctypes.create_string_buffer(PAGE)
    here = Iovec(ctypes.addressof(buf), PAGE)
    for va in range(start, end, PAGE):
        there = Iovec(va, PAGE)
        libc.process_vm_readv(pid, ctypes.byref(here), 1, ctypes.byref(there),
                              1, 0)


def main():
    target, end = int(sys.argv[1]), time.time() + float(sys.argv[2])
    readers = []
    with open(f"/proc/{target}/maps", encoding="ascii") as maps:
        for line in maps:
            m = re.match(r"([0-9a-f]+)-([0-9a-f]+) rw", line)
            if m is None:
                continue
            pid = os.fork()
            if pid == 0:
                read(target, int(m[1], 16), int(m[2], 16))
                os._exit(0)
            readers.append(pid)
    total = len(readers)
    while readers and time.time() < end:
        readers = [p for p in readers if os.waitpid(p, os.WNOHANG)[0] == 0]
        time.sleep(0.05)
    print(total - len(readers), "of", total)
    for pid in readers:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


main()
