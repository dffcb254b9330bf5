# SPDX-License-Identifier: BSD-2-Clause
"""machine: on what it was measured."""
import os
import re
import shutil
import subprocess

from sides import ROOT


def read(path):
    try:
        with open(path) as f:
            return f.read().strip()
    except OSError:
        return None


def first_line(*argv):
    try:
        out = subprocess.run(argv, capture_output=True, text=True, check=False)
    except OSError:
        return None
    text = (out.stdout or out.stderr).strip()
    return text.splitlines()[0] if text else None


def git(*argv):
    # Whoever runs this as root may not own the tree.
    return first_line("git", "-c", f"safe.directory={ROOT}", "-C", ROOT, *argv)


def cpu_model():
    text = read("/proc/cpuinfo") or ""
    found = re.search(r"^(?:model name|CPU part)\s*:\s*(.*)", text, re.M)
    return found.group(1) if found else None


def meminfo(name):
    found = re.search(rf"^{name}:\s*(\d+) kB", read("/proc/meminfo") or "",
                      re.M)
    return int(found.group(1)) << 10 if found else None


def disk(path):
    """The file system, and what the kernel says of the disk below it."""
    facts = {"mount": first_line("findmnt", "-n", "-o",
                                 "SOURCE,FSTYPE,OPTIONS", "-T", path)}
    dev = os.stat(path).st_dev
    base = f"/sys/dev/block/{os.major(dev)}:{os.minor(dev)}"
    if os.path.exists(f"{base}/partition"):
        base = os.path.realpath(f"{base}/..")
    for name in ("queue/rotational", "queue/scheduler", "queue/write_cache",
                 "device/model"):
        facts[name.split("/")[1]] = read(f"{base}/{name}")
    return facts


def facts(directory):
    return {
        "cpu": cpu_model(),
        "cores": len(os.sched_getaffinity(0)),
        "memory": meminfo("MemTotal"),
        "kernel": f"{os.uname().release} {os.uname().machine}",
        "hypervisor": " hypervisor" in (read("/proc/cpuinfo") or ""),
        "disk": disk(directory),
        "swaps": (read("/proc/swaps") or "").splitlines()[1:],
        "swappiness": read("/proc/sys/vm/swappiness"),
        "page_cluster": read("/proc/sys/vm/page-cluster"),
        "zswap": read("/sys/module/zswap/parameters/enabled"),
        "huge_pages": read("/sys/kernel/mm/transparent_hugepage/enabled"),
        "cgroup": 2 if os.path.exists("/sys/fs/cgroup/cgroup.controllers")
                  else 1,
    }


def versions(uswap):
    asked = {
        "uswap": (uswap, "--version"),
        "fio": ("fio", "--version"),
        "sort": ("sort", "--version"),
        "sqlite3": ("sqlite3", "--version"),
        "redis": ("redis-server", "--version"),
        "python3": ("/usr/bin/python3", "--version"),
        "numpy": ("/usr/bin/python3", "-c",
                  "import numpy; print(numpy.__version__)"),
        "mkswap": ("mkswap", "--version"),
    }
    return {name: first_line(*argv) if shutil.which(argv[0]) else None
            for name, argv in asked.items()}


def commit():
    """The commit, and whether a file that it names was changed since."""
    return (git("rev-parse", "HEAD"),
            git("status", "--porcelain", "--untracked-files=no") is not None)
