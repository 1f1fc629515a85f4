# SPDX-License-Identifier: Apache-2.0
"""DASD volumes and their labels, byte by byte: what the tools at hand cannot write."""

import struct

TRACK, HEADS, HEADER, LABEL, PER_TRACK = 56832, 15, 512, 140, 50
END = b"\xff" * 8


def ebcdic(text, length):
    return text.encode("cp037").ljust(length, b"\x40")


def start(track):
    """Where a track of a CKD image begins."""
    return HEADER + track * TRACK


def cchh(track, heads=HEADS):
    """Cylinder and head, the cylinder's upper 12 bits beside the head."""
    cylinder, head = divmod(track, heads)
    return struct.pack(">HH", cylinder & 0xFFFF, (cylinder >> 16) << 4 | head)


def extent(low, high, kind=1, number=0, heads=HEADS):
    return bytes([kind, number]) + cchh(low, heads) + cchh(high, heads)


def put(label, *fields):
    """A label with each (offset, bytes) put in."""
    label = bytearray(label)
    for offset, data in fields:
        label[offset:offset + len(data)] = data
    assert len(label) == LABEL
    return bytes(label)


def format1(name, extents, pointer=bytes(5), organisation=0x4000, last=(0, 0, 0), flags=0, kind=0xF1):
    """The first label of a data set; last: the track in the data set (LSTAR), record, and rest."""
    at = [(0, ebcdic(name, 44)), (44, bytes([kind])), (45, ebcdic("TEST01", 6)),
          (51, struct.pack(">H", 1)), (59, bytes([len(extents)])), (61, bytes([flags])),
          (82, struct.pack(">H", organisation)), (98, struct.pack(">HBH", *last)),
          (135, pointer)]
    return put(bytes(LABEL), *at, *((105 + 10 * i, e) for i, e in enumerate(extents[:3])))


def format3(extents, pointer=bytes(5)):
    """Extents 4 to 16 of a data set."""
    places = [4 + 10 * i for i in range(4)] + [45 + 10 * i for i in range(9)]
    return put(bytes(LABEL), (0, b"\x03" * 4), (44, b"\xf3"), (135, pointer), *zip(places, extents))


def format4(cylinders, vtoc, heads=HEADS, per_track=PER_TRACK, track_bytes=TRACK):
    """The VTOC's own label; vtoc: its first and last track."""
    small = min(cylinders, 0xFFFE) if cylinders <= 65520 else 0xFFFE
    at = [(0, b"\x04" * 44), (44, b"\xf4"), (58, b"\x80"), (62, struct.pack(">HHH", small, heads, track_bytes & 0xFFFF)),
          (74, bytes([per_track])), (105, extent(*vtoc, heads=heads))]
    if small == 0xFFFE:
        at.append((132, struct.pack(">I", cylinders)))
    return put(bytes(LABEL), *at)


def format5(free=(), heads=HEADS):
    """Free space: pairs of the first track and the one behind the last."""
    places = [4 + 5 * i for i in range(8)] + [45 + 5 * i for i in range(18)]
    return put(bytes(LABEL), (0, b"\x05" * 4), (44, b"\xf5"),
               *((place, struct.pack(">HHB", low, (end - low) // heads, (end - low) % heads))
                 for place, (low, end) in zip(places, free)))


def format7(free):
    """Free space of a large volume: pairs of the first track and the one behind the last."""
    places = [4 + 8 * i for i in range(5)] + [45 + 8 * i for i in range(11)]
    return put(bytes(LABEL), (0, b"\x07" * 4), (44, b"\xf7"),
               *((place, struct.pack(">II", *pair)) for place, pair in zip(places, free)))


def format9(pointer=bytes(5)):
    """Attributes of a data set whose first label is one of Format 8."""
    return put(bytes(LABEL), (0, b"\x09\x01"), (44, b"\xf9"), (135, pointer))


def record(track, number, key, data, heads=HEADS):
    return cchh(track, heads) + struct.pack(">BBH", number, len(key), len(data)) + key + data


def ckd_track(track, records=(), heads=HEADS):
    """Home address, record zero, then records of (key, data), and the end mark."""
    out = b"\0" + cchh(track, heads) + record(track, 0, b"", bytes(8), heads)
    for number, (key, data) in enumerate(records, 1):
        out += record(track, number, key, data, heads)
    return out + END


def volume_label(vtoc, serial="TEST01", heads=HEADS):
    """VOL1 with the address of the VTOC's first label."""
    return (ebcdic("VOL1" + serial, 10) + b"\x40" + cchh(vtoc, heads) + b"\x01").ljust(80, b"\x40")


def write_ckd(path, cylinders, labels, vtoc=1):
    """A volume whose VTOC fills tracks vtoc to the last that the labels need; the Format 4 comes by
    itself. Tracks that are not written are holes."""
    tracks = -(-(len(labels) + 1) // PER_TRACK)
    labels = [format4(cylinders, (vtoc, vtoc + tracks - 1)), *labels]
    labels += [bytes(LABEL)] * (tracks * PER_TRACK - len(labels))
    header = b"CKD_P370" + struct.pack("<IIBBH", HEADS, TRACK, 0x90, 0, 0)
    key = ebcdic("VOL1", 4)
    with open(path, "wb") as file:
        file.write(header.ljust(HEADER, b"\0"))
        file.write(ckd_track(0, [(b"", bytes(24)), (b"", bytes(144)), (key, volume_label(vtoc))]))
        for i in range(tracks):
            file.seek(start(vtoc + i))
            part = labels[i * PER_TRACK:(i + 1) * PER_TRACK]
            file.write(ckd_track(vtoc + i, [(one[:44], one[44:]) for one in part]))
        file.truncate(start(cylinders * HEADS))


def parse_track(data, track, heads=HEADS):
    """The records (number, key, data) of a track; ValueError when it is not one."""
    if data[0] != 0 or data[1:5] != cchh(track, heads):
        raise ValueError(f"track {track}: home address")
    at, found = 5, []
    while data[at:at + 8] != END:
        if at + 8 > len(data) or data[at:at + 4] != cchh(track, heads):
            raise ValueError(f"track {track}: record {len(found)}")
        number, key, length = struct.unpack_from(">BBH", data, at + 4)
        if number != len(found) or at + 8 + key + length > len(data):
            raise ValueError(f"track {track}: record {len(found)}")
        found.append((number, data[at + 8:at + 8 + key], data[at + 8 + key:at + 8 + key + length]))
        at += 8 + key + length
    if not found or found[0] != (0, b"", bytes(8)):
        raise ValueError(f"track {track}: no record zero")
    return found


def free_tracks(tracks, extents):
    """What (first, last) leave of the tracks behind the VTOC, as pairs of the first and the one
    behind the last."""
    free, at = [], 2
    for low, high in sorted(extents):
        free += [(at, low)] if at < low else []
        at = high + 1
    return free + ([(at, tracks)] if at < tracks else [])


def block_labels(cylinders, extents, per_track=12, free=None):
    """The VTOC that Linux writes: Formats 4 and 5, or 7 and 8 with 9, and a data set for each
    (first, last)."""
    tracks = cylinders * HEADS
    free = free_tracks(tracks, extents) if free is None else free
    large = tracks > 65535
    own = put(format4(cylinders, (1, 1), per_track=per_track), (58, b"\xa0" if large else b"\0"))
    labels = [own, format5() if large else format5(free)]
    if large:
        labels.append(format7([(low, end - 1) for low, end in free]))
    for number, (low, high) in enumerate(extents):
        name, one = f"LINUX.V0X0001.PART{number + 1:04}.NATIVE", [extent(low, high)]
        if large:
            behind = cchh(1) + bytes([len(labels) + 2])
            labels += [format1(name, one, behind, organisation=0, kind=0xF8), format9()]
        else:
            labels.append(format1(name, one, organisation=0))
    return labels


def write_blocks(path, cylinders, labels, block=4096, per_track=12):
    """A volume as Linux shows it: records of the first tracks are padded to a block."""
    first = [bytes(24), bytes(148), ebcdic("VOL1", 4) + volume_label(1)]
    labels = [*labels, *[bytes(LABEL)] * (per_track - len(labels))]
    with open(path, "wb") as file:
        for one in first:
            file.write(one.ljust(block, b"\xe5"))
        file.seek(per_track * block)
        for one in labels:
            file.write(one.ljust(block, b"\xe5"))
        file.truncate(cylinders * HEADS * per_track * block)


def linux_label(blocks=None):
    """LNX1; blocks: as many are formatted."""
    label = ebcdic("LNX1" + "0X0001", 79)
    return label + (b"\xf2" + struct.pack(">Q", blocks) if blocks else b"\x40" * 9)


def cms_label(block, blocks, reserved=0):
    """CMS1; reserved: the block at which the file begins that has the minidisk for itself."""
    return (ebcdic("CMS1" + "CMSVOL", 10) + bytes(2) + struct.pack(">IIIII", block, 0, 0, 0, blocks)
            ).ljust(52, b"\0") + struct.pack(">I", reserved).ljust(36, b"\0")
