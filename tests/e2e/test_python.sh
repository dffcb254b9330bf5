#!/bin/sh
# SPDX-License-Identifier: BSD-2-Clause
# python3: half its memory in buffers, half in small objects.
. "$(dirname "$0")/../support/e2e.sh"

cat >"$dir/objects.py" <<'PYTHON'
import sys, zlib

size = int(sys.argv[1]) << 20
# An int of 32 bytes and its place in the list: 40 bytes.
numbers = []
buffers = []
used = 0
while used < size:
    i = len(buffers)
    n = 1 + i * 7919 % 65536
    buffers.append(bytearray((i + j) % 256 for j in range(61)) * (n // 61 + 1))
    first = len(numbers)
    numbers.extend(range(first + (1 << 40), first + (1 << 40) + n // 40))
    used += 2 * n

# In order, every seventh changed; then far from in order.
for i in range(0, len(buffers), 7):
    buffers[i][i % 61] ^= 255
for i in range(0, len(numbers), 7):
    numbers[i] += 1
count = len(buffers)
check = 0
for i in range(count):
    check = zlib.crc32(buffers[i * 15485863 % count], check)
print(count, len(numbers), check)
for i, number in enumerate(numbers):
    assert number == i + (1 << 40) + (i % 7 == 0), i
# A part is given back and asked for again.
del numbers[::3], buffers[::2]
buffers += [bytearray([i % 256]) * 65536 for i in range(count // 4)]
check = 0
for b in buffers:
    check = zlib.crc32(b, check)
print(sum(numbers), check)
PYTHON

# The program itself: python3 may be a script of a version manager.
python=$(python3 -c 'import sys; print(sys.executable)')
mib=$(scale 256 1024)

"$python" "$dir/objects.py" "$mib" >"$dir/native" || fail 'native run'
swapped "$(scale 64 256)" "$python" "$dir/objects.py" "$mib" >"$dir/mine"
same "$dir/mine" "$dir/native"
