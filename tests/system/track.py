#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The change record of a LUN as an initiator sees it, asked with sg_raw by the tables of
docs/change-record.md, against a list of who wrote what.

usage: track.py PART WRITER ASKER [STATE]
PART: writes (one after the other), running (points are cut while threads write), begin (writes, and leaves in
the file STATE what there is to be known), after (is that still so?). WRITER is a disk, ASKER an SG node.
Ends with 1, and says why, when something is not as it should be.
"""

import json
import mmap
import os
import random
import struct
import subprocess
import sys
import threading
import time

STATUS, CUT, CHANGED, FORGET, RELEASE = range(5)
GRANULE = 4096
HEADER = ">8sBBHI16sQIBBBB16s16sQQ"
CONSUMER = 0x7AC0


def check(holds, what):
    if not holds:
        sys.exit(what)


def ask(device, function, argument, length):
    """READ BUFFER(16): the header's fields and the descriptors, whole ones."""
    cdb = struct.pack(">BBQIBB", 0x9B, 1, argument, length, function, 0)
    got = subprocess.run(["sg_raw", "-b", "-r", str(length), device, *(f"{byte:02x}" for byte in cdb)],
                         check=False, capture_output=True)
    check(got.returncode == 0, f"function {function}: {got.stderr.decode(errors='replace')}")
    size = struct.calcsize(HEADER)
    fields = struct.unpack(HEADER, got.stdout[:size])
    check(fields[:4] == (b"TMRECORD", 1, function, size), f"function {function}: another header: {fields}")
    each = 16 if function == CHANGED else 64
    check(fields[11] == each, f"descriptors of {fields[11]} bytes")
    rest = got.stdout[size:size + fields[4] * each]
    return fields, [rest[i:i + each] for i in range(0, len(rest) - each + 1, each)]


def cut(device, nonce):
    fields, points = ask(device, CUT, CONSUMER << 32 | nonce, 4096)
    check(fields[8] == 1 and len(points) == 1, f"CUT: {fields}")
    check(struct.unpack(">II", points[0][16:24]) == (CONSUMER, nonce), "CUT: another point")
    return points[0][:16]


def changed(device, block_size, point, length):
    """The granules, from replies of that length."""
    found, at = set(), 0
    while True:
        fields, ranges = ask(device, CHANGED, struct.unpack(">I", point[:4])[0] << 32 | at, length)
        check(fields[13] == point and fields[14] == at, "CHANGED: about something else")
        for one in ranges:
            lba, blocks, kind = struct.unpack(">QIB3x", one)
            check(kind == 1, f"CHANGED: LBA {lba} is of kind {kind}")
            first, last = lba * block_size // GRANULE, ((lba + blocks) * block_size - 1) // GRANULE
            check(first >= at and not found or first > max(found, default=-1), "CHANGED: not in order")
            found.update(range(first, last + 1))
        check(fields[15] > at, "CHANGED: it does not go on")
        at = fields[15]
        if at == (fields[6] - 1) // GRANULE + 1:
            return found


class Writer:
    def __init__(self, disk, seed):
        self.fd = os.open(disk, os.O_RDWR | os.O_DIRECT)
        self.disk, self.any, self.log = disk, random.Random(seed), []
        self.size = os.lseek(self.fd, 0, os.SEEK_END)
        self.buffer = mmap.mmap(-1, 1 << 17)

    def write(self):
        """Somewhere, of some length, in blocks of 4096 bytes; now and then an UNMAP."""
        blocks = self.any.choice((1, 1, 1, 2, 7, 32))
        first = self.any.randrange(self.size // GRANULE - blocks)
        began = time.monotonic()
        if self.any.random() < 0.05:
            subprocess.run(["blkdiscard", "-o", str(first * GRANULE), "-l", str(blocks * GRANULE), self.disk],
                           check=True)
        else:
            self.buffer.seek(0)
            self.buffer.write(self.any.randbytes(blocks * GRANULE))
            os.pwritev(self.fd, [memoryview(self.buffer)[:blocks * GRANULE]], first * GRANULE)
        self.log.append((began, time.monotonic(), set(range(first, first + blocks))))

    def some(self, count):
        for _ in range(count):
            self.write()
        return set().union(*(granules for _, _, granules in self.log[-count:]))


def block_size_of(disk):
    return int(subprocess.run(["blockdev", "--getss", disk], check=True, capture_output=True).stdout)


def writes(disk, asker):
    size, writer = block_size_of(disk), Writer(disk, 1)
    writer.some(5)
    first = cut(asker, 1)
    one = writer.some(40)
    check(changed(asker, size, first, 1 << 20) == one, "since the first point: not what was written")
    check(changed(asker, size, first, 96 + 16 * 3) == one, "the same in small replies")
    check(cut(asker, 1) == first, "the same CUT gave another point")
    second = cut(asker, 2)
    check(second != first, "another CUT gave the same point")
    check(changed(asker, size, second, 4096) == set(), "changes where nothing was written")
    two = writer.some(40)
    check(changed(asker, size, first, 4096) == one | two, "since the first point, later")
    check(changed(asker, size, second, 4096) == two, "since the second point")
    ids = [point[:16] for point in ask(asker, STATUS, 0, 4096)[1]]
    check(ids == [first, second], f"STATUS lists {ids}")
    ask(asker, RELEASE, struct.unpack(">Q", second[:8])[0], 4096)
    check([point[:16] for point in ask(asker, STATUS, 0, 4096)[1]] == [second], "RELEASE")
    for _ in range(2):
        ask(asker, FORGET, struct.unpack(">Q", second[:8])[0], 4096)
    check(ask(asker, STATUS, 0, 4096)[1] == [], "FORGET")


def running(disk, asker):
    size, writers = block_size_of(disk), [Writer(disk, seed) for seed in range(3)]
    ends, points = threading.Event(), []

    def run(writer):
        while not ends.is_set():
            writer.write()

    threads = [threading.Thread(target=run, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    for nonce in range(100, 108):
        asked = time.monotonic()
        point = cut(asker, nonce)
        points.append((asked, time.monotonic(), point))
        time.sleep(0.3)
    ends.set()
    for thread in threads:
        thread.join()
    log = [entry for writer in writers for entry in writer.log]
    for asked, answered, point in points:
        found = changed(asker, size, point, 1 << 20)
        must = set().union(*(granules for began, _, granules in log if began > answered))
        may = set().union(*(granules for _, ended, granules in log if ended > asked))
        check(must <= found, f"missed: {sorted(must - found)}")
        check(found <= may, f"not written since: {sorted(found - may)}")
    print(f"{len(log)} writes, {len(points)} points")


def begin(disk, asker, state):
    writer = Writer(disk, 7)
    point = cut(asker, 77)
    with open(state, "w", encoding="ascii") as file:
        json.dump({"point": point.hex(), "granules": sorted(writer.some(30))}, file)


def after(disk, asker, state):
    with open(state, encoding="ascii") as file:
        known = json.load(file)
    point = bytes.fromhex(known["point"])
    check(cut(asker, 77) == point, "the point is gone")
    check(changed(asker, block_size_of(disk), point, 4096) == set(known["granules"]), "not what was written")


if __name__ == "__main__":
    globals()[sys.argv[1]](*sys.argv[2:])
