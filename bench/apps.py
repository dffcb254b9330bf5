# SPDX-License-Identifier: BSD-2-Clause
"""apps: jobs that are programs people have."""
import os

import process
from sides import ROOT


def blist(side, job):
    out, _, _ = process.run([os.path.join(ROOT, "build/bench/blistops")])
    return {"rate": float(out)}


APPS = {"blist": blist}
