#!/usr/bin/env python3
# SPDX-License-Identifier: BSD-2-Clause
"""work.py objects|numpy MIB: fills about that much memory, and says what it
found there."""
import hashlib
import sys

kind, mib = sys.argv[1], int(sys.argv[2])
digest = hashlib.sha256()

if kind == "objects":
    # A string, its place in a list and in a dictionary: about 200 bytes.
    n = mib * 5200
    words = [f"{i * 7919 % 1000003}-{i}" for i in range(n)]
    places = {w: i for i, w in enumerate(words)}
    words.reverse()
    for w in words[::3]:
        places[w] += 1
    for i, w in enumerate(words):
        assert places[w] == n - 1 - i + (i % 3 == 0), w
    del words[::2]
    more = [w.upper() + "x" * 40 for w in words]
    for w in more:
        digest.update(w.encode())
    print(len(words), len(places), sum(places.values()))
else:
    import numpy as np
    a = np.random.default_rng(1).random(mib << 17)
    print(a.sum())
    side = int(len(a) ** 0.5) // 64 * 64
    m = a[:side * side].reshape(side, side)
    print(m.sum(axis=0)[::997], m.sum(axis=1)[::997])
    # In place, a large block moved, and one given back.
    m *= 2
    b = np.concatenate([a[len(a) // 2:], a[:len(a) // 2]])
    del m, a
    b.sort()
    assert (b[1:] >= b[:-1]).all()
    digest.update(b[::7].tobytes())
print(digest.hexdigest())
