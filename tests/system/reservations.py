#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reservations on the kernel's target, from three nexuses of one LUN, by SG_IO.

usage: reservations.py PART HOLDER REGISTRANT STRANGER VOLUME [DEVICE NAME]
PART: table, sweep, copy or read_only. The devices are those of one LUN, VOLUME the file below it; copy takes
a device of another LUN of its group, and NAME the folder of the LUN's backstore. Ends with 1, and says
why, when something is not as it should be.
"""

import ctypes
import fcntl
import hashlib
import os
import random
import struct
import sys

SG_IO = 0x2285
NONE, OUT, IN = -1, -2, -3
GOOD, CHECK, CONFLICT = 0x00, 0x02, 0x18
KEY = 0xAA
RESERVE_6, RELEASE_6 = [0x16, 0, 0, 0, 0, 0], [0x17, 0, 0, 0, 0, 0]

# What SBC-4 has without Data-Out, and what changes the LUN: FORMAT UNIT, SANITIZE BLOCK ERASE and EXIT
# FAILURE MODE, WRITE SAME(16) with NDOB, also with UNMAP.
WITHOUT_DATA = {
    "WRITE SAME with NDOB": [0x93, 0x01, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
    "WRITE SAME with NDOB and UNMAP": [0x93, 0x09, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0],
    "FORMAT UNIT": [0x04, 0, 0, 0, 0, 0],
    "SANITIZE BLOCK ERASE": [0x48, 0x02, 0, 0, 0, 0, 0, 0, 0, 0],
    "SANITIZE EXIT FAILURE MODE": [0x48, 0x1F, 0, 0, 0, 0, 0, 0, 0, 0],
}
# The same effects with Data-Out, which the kernel looks at itself.
WITH_DATA = {
    "WRITE SAME": ([0x93, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 8, 0, 0], bytes(512)),
    "FORMAT UNIT with a list": ([0x04, 0x10, 0, 0, 0, 0], bytes(4)),
    "UNMAP": ([0x42, 0, 0, 0, 0, 0, 0, 0, 24, 0],
              struct.pack(">HH4xQI4x", 22, 16, 0, 8)),
}
# Who may write, by SPC-4 table 63 (persistent) and SPC-2 5.5.1.
MAY_WRITE = {0: "hrs", 1: "h", 3: "h", 5: "hr", 6: "hr", 7: "hr", 8: "hr", "RESERVE": "h"}
WRITE_EXCLUSIVE = (1, 5, 7)

problems = []


class Reply:
    def __init__(self, status, sense, data):
        self.status, self.sense, self.data = status, bytes(sense), bytes(data)
        self.key = self.sense[2] & 0x0F if status == CHECK else 0

    def __str__(self):
        return f"status {self.status:02x}, sense {self.sense[:18].hex()}"


class Device:
    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR | os.O_NONBLOCK)

    def once(self, cdb, direction=NONE, data=b"", size=0):
        buffer = ctypes.create_string_buffer(data, max(len(data), 1)) if direction == OUT else \
            ctypes.create_string_buffer(max(size, 1))
        command = ctypes.create_string_buffer(bytes(cdb), len(cdb))
        sense = ctypes.create_string_buffer(96)
        length = {NONE: 0, OUT: len(data), IN: size}[direction]
        header = bytearray(struct.pack(
            "@iiBBHIPPPIIiPBBBBHHiII", ord("S"), direction, len(cdb), 96, 0, length,
            ctypes.addressof(buffer) if length else 0, ctypes.addressof(command),
            ctypes.addressof(sense), 60000, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0))
        fcntl.ioctl(self.fd, SG_IO, header)
        status = struct.unpack("@iiBBHIPPPIIiPBBBBHHiII", header)[13]
        return Reply(status & 0x3E, sense.raw, buffer.raw[:size])

    def send(self, cdb, direction=NONE, data=b"", size=0):
        """Unit attentions, of which a change of reservations makes some, are passed over."""
        for _ in range(8):
            reply = self.once(cdb, direction, data, size)
            if reply.key != 6:
                break
        return reply

    def reserve_out(self, action, key=KEY, new_key=0, kind=0):
        cdb = [0x5F, action, kind, 0, 0, 0, 0, 0, 24, 0]
        return self.send(cdb, OUT, struct.pack(">QQ8x", key, new_key))


def problem(text):
    problems.append(text)


def must_be_good(what, reply):
    if reply.status != GOOD:
        problem(f"{what}: {reply}")


def reserve(nexuses, kind):
    holder, registrant = nexuses["h"], nexuses["r"]
    if kind == "RESERVE":
        must_be_good("RESERVE", holder.send(RESERVE_6))
    elif kind:
        must_be_good("REGISTER", holder.reserve_out(0, 0, KEY))
        must_be_good("REGISTER", registrant.reserve_out(0, 0, KEY + 1))
        must_be_good(f"RESERVE, type {kind}", holder.reserve_out(1, kind=kind))


def release(nexuses, kind):
    if kind == "RESERVE":
        must_be_good("RELEASE", nexuses["h"].send(RELEASE_6))
    elif kind:
        must_be_good("CLEAR", nexuses["h"].reserve_out(3))


class Volume:
    def __init__(self, path):
        self.fd = os.open(path, os.O_RDWR)
        self.bytes = os.fstat(self.fd).st_size

    def fill(self, device):
        data = bytes([0x5A]) * 65536
        for at in range(0, self.bytes, len(data)):
            device.send([0x8A, 0, *struct.pack(">QI", at // 512, len(data) // 512), 0, 0], OUT, data)

    def picture(self):
        return hashlib.md5(os.pread(self.fd, self.bytes, 0)).hexdigest(), os.fstat(self.fd).st_blocks


def table(nexuses, volume):
    """Every command x every reservation x everybody."""
    for kind, writers in MAY_WRITE.items():
        reserve(nexuses, kind)
        for who, device in nexuses.items():
            for name, cdb in WITHOUT_DATA.items():
                volume.fill(nexuses["h"])
                before = volume.picture()
                reply = device.send(cdb)
                # Under Write Exclusive the kernel lets all of these through, so the handler none.
                allowed = kind not in WRITE_EXCLUSIVE and who in writers
                if reply.status != (GOOD if allowed else CONFLICT):
                    problem(f"{name} under {kind} by {who}: {reply}")
                if not allowed and volume.picture() != before:
                    problem(f"{name} under {kind} by {who} changes the LUN")
            for name, (cdb, data) in WITH_DATA.items():
                reply = device.send(cdb, OUT, data)
                if reply.status != (GOOD if who in writers else CONFLICT):
                    problem(f"{name} under {kind} by {who}: {reply}")
        release(nexuses, kind)


def random_cdb(chance, operations):
    opcode, action, length = chance.choice(operations)
    cdb = bytearray(length)
    for i in range(1, length):
        if chance.random() < 0.3:
            cdb[i] = 1 << chance.randrange(8)
    cdb[0], cdb[-1] = opcode, 0
    if action is not None:
        cdb[1] = cdb[1] & 0xE0 | action
    if length >= 10 and chance.random() < 0.5:
        cdb[2:13 if length == 16 else 8] = bytes(11 if length == 16 else 6)
    return bytes(cdb)


def served(device):
    """What REPORT SUPPORTED OPERATION CODES lists, without what has CDBs that SG_IO does not take here, and
    without reservations themselves."""
    reply = device.send([0xA3, 0x0C, 0, 0, 0, 0, 0, 0, 0x10, 0, 0, 0], IN, size=4096)
    length = struct.unpack(">I", reply.data[:4])[0]
    found = []
    for at in range(4, 4 + length, 8):
        opcode, action, flags, cdb_length = struct.unpack(">BxHxBH", reply.data[at:at + 8])
        if opcode not in (0x7F, 0x56, 0x57, 0x5E, 0x5F, 0x16, 0x17, 0xA0):
            found.append((opcode, action if flags & 1 else None, cdb_length))
    return found


def sweep(nexuses, volume, seed=18, rounds=250):
    """No command of a stranger that carries no Data-Out changes a reserved LUN, whatever its fields
    say. Nor does one that is told to have Data-In; under Write Exclusive that holds for commands
    without data only, as the kernel believes the initiator's word for the direction."""
    chance = random.Random(seed)
    stranger = nexuses["s"]
    operations = served(stranger)
    for kind in MAY_WRITE:
        if not kind:
            continue
        volume.fill(nexuses["h"])
        reserve(nexuses, kind)
        before = volume.picture()
        for number in range(rounds):
            cdb = random_cdb(chance, operations)
            lied_to = kind not in WRITE_EXCLUSIVE or list(cdb) in WITHOUT_DATA.values()
            direction = IN if lied_to and chance.random() < 0.3 else NONE
            stranger.send(cdb, direction, size=512 if direction == IN else 0)
            if volume.picture() != before:
                problem(f"seed {seed}, {kind}, {number}: {cdb.hex()} changes the LUN")
                volume.fill(nexuses["h"])
                before = volume.picture()
        release(nexuses, kind)


def naa(device):
    """The designator of the logical unit, from VPD page 83h."""
    page = device.send([0x12, 1, 0x83, 1, 0, 0], IN, size=256).data
    at = 4
    while at < 4 + struct.unpack(">H", page[2:4])[0]:
        if page[at + 1] & 0x3F == 3:
            return page[at:at + 20]
        at += 4 + page[at + 3]
    raise SystemExit("no NAA designator")


def copy_list(source, destination):
    """EXTENDED COPY(LID1) of 8 blocks, SPC-4 6.4."""
    cscds = b"".join(struct.pack(">BBxx20s4xBBH", 0xE4, 0, name, 0, 0, 512)
                     for name in (source, destination))
    segment = struct.pack(">BBHHHHHQQ", 2, 0, 24, 0, 1, 0, 8, 0, 0)
    return struct.pack(">BBHIII", 0, 0x18, len(cscds), 0, len(segment), 0) + cscds + segment


def extended_copy(device, source, destination):
    data = copy_list(source, destination)
    return device.send([0x83, 0, *[0] * 8, *struct.pack(">I", len(data)), 0, 0], OUT, data)


def copy(nexuses, volume, other):
    """From another LUN of the group into the reserved one, and out of it."""
    here, there = naa(nexuses["h"]), naa(other)
    other.send([0x8A, 0, *struct.pack(">QI", 0, 8), 0, 0], OUT, bytes([0x33]) * 4096)
    for kind in MAY_WRITE:
        volume.fill(nexuses["h"])
        reserve(nexuses, kind)
        before = volume.picture()
        into = extended_copy(other, there, here)
        if kind and (into.key != 0xA or into.sense[12:14] != b"\x0d\x01" or
                     CONFLICT not in into.sense[18:]):
            problem(f"a copy into the LUN under {kind}: {into}")
        if kind and volume.picture() != before:
            problem(f"a copy changes the LUN under {kind}")
        if not kind:
            must_be_good("a copy into a LUN that is not reserved", into)
        out_of = extended_copy(other, here, there)
        if (out_of.status == GOOD) != (kind in (0, *WRITE_EXCLUSIVE)):
            problem(f"a copy out of the LUN under {kind}: {out_of}")
        must_be_good(f"a copy that the holder sends to the LUN itself under {kind}",
                     extended_copy(nexuses["h"], there, here))
        release(nexuses, kind)


def read_only(nexuses, volume):
    """A stranger whose mapping is read-only; the device of the stranger is that."""
    volume.fill(nexuses["h"])
    before = volume.picture()
    for who in "sh":
        for name, cdb in WITHOUT_DATA.items():
            reply = nexuses[who].send(cdb)
            if reply.key != 7 or reply.sense[12:14] != b"\x27\x00":
                problem(f"{name} by {who}, where somebody's mapping is read-only: {reply}")
            if volume.picture() != before:
                problem(f"{name} by {who} changes the LUN")
    for name, (cdb, data) in WITH_DATA.items():
        must_be_good(f"{name} by who may write", nexuses["h"].send(cdb, OUT, data))


def main():
    part, volume = sys.argv[1], Volume(sys.argv[5])
    nexuses = {who: Device(path) for who, path in zip("hrs", sys.argv[2:5])}
    others = [Device(path) for path in sys.argv[6:]]
    {"table": table, "sweep": sweep, "copy": copy, "read_only": read_only}[part](
        nexuses, volume, *others)
    print("\n".join(problems[:20]))
    sys.exit(bool(problems))


main()
