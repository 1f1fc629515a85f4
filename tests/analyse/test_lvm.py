#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Physical volumes that LVM2's own programs wrote (golden/, see make_lvm_images), with what pvs said
of them."""

import os
import struct
import zlib

import analyse_rig
import dasd_image
from analyse_rig import GOLDEN, MIB, Ranges, peek, poke, run

METADATA = b" LVM2 x[5A%r0N*>"
FIRST_CRC = 0xF597A6CF


def crc(data):
    """LVM's own: the usual one with another start and no inversion."""
    return zlib.crc32(data, FIRST_CRC ^ 0xFFFFFFFF) ^ 0xFFFFFFFF


class Lvm(analyse_rig.Case):
    def segments(self, name):
        """(place, bytes, volume, kind) of each segment, as pvs lists them."""
        found = []
        for line in (GOLDEN / f"lvm-{name}.segments").read_text().splitlines():
            words = line.split()
            first, count, start, extent = (int(words[i]) for i in (0, 1, -2, -1))
            volume = words[2] if len(words) == 6 else None
            found.append((start + first * extent, count * extent, volume, words[-3]))
        return found

    def used(self, name):
        """All but the free extents."""
        return Ranges([(start, start + size) for start, size, volume, _ in self.segments(name)
                       if not volume]).inverse(64 * MIB)

    def put_file_system(self, image, name, volume):
        """ext4 in a linear volume of several segments; what of the volume it leaves free."""
        pieces = [s for s in self.segments(name) if s[2] == volume]
        part = self.image("part", sum(size for _, size, _, _ in pieces))
        run("mkfs.ext4", "-q", "-F", "-O", "^has_journal", part)
        at, free = 0, []
        extents, _ = self.map(part)
        inside = self.ranges(extents, "deallocated")
        for start, size, _, _ in pieces:
            poke(image, start, peek(part, at, size))
            free += [(max(low, at) - at + start, min(high, at + size) - at + start)
                     for low, high in inside.pieces if low < at + size and high > at]
            at += size
        return Ranges(free)

    def metadata_area(self, image):
        return [i * 512 for i in range(2 * MIB // 512)
                if peek(image, i * 512 + 4, 16) == METADATA][0]

    def poke_header(self, image, area, offset, data):
        """Changes the header of a metadata area and mends its checksum."""
        header = bytearray(peek(image, area, 512))
        header[offset:offset + len(data)] = data
        header[:4] = struct.pack("<I", crc(bytes(header[4:])))
        poke(image, area, bytes(header))

    def test_free_extents_are_free_and_nothing_else(self):
        for name in ("plain", "ring"):
            image = self.golden(f"lvm-{name}")
            extents, _ = self.map(image)
            got = self.ranges(extents, "deallocated")
            self.assertEqual(got.pieces, self.used(name).inverse(64 * MIB).pieces)

    def test_a_file_system_in_a_linear_volume_of_several_segments(self):
        image = self.golden("lvm-plain")
        free = self.put_file_system(image, "plain", "root")
        extents, _ = self.map(image)
        self.assertGreater(free.total(), 20 * MIB)
        self.assertEqual(self.ranges(extents, "deallocated", "root, ext4").pieces, free.pieces)
        self.assertEqual(self.ranges(extents, "deallocated", "LV vg/root").pieces, free.pieces)
        copy, got = self.copy(image)
        self.assertLess(got["written_bytes"], 24 * MIB)
        self.assertEqual(self.map(copy)[0], extents)

    def test_a_volume_that_lies_on_two_disks_is_allocated_whole(self):
        image = self.golden("lvm-plain")
        start, size = next(s[:2] for s in self.segments("plain") if s[2] == "striped")
        part = self.image("part", size)
        run("mkfs.ext4", "-q", "-F", part)
        poke(image, start, part.read_bytes())
        extents, _ = self.map(image)
        allocated = self.ranges(extents, "mapped")
        self.assertEqual(Ranges([(start, start + size)]).minus(allocated).pieces, [])

    def test_tracks_of_a_dasd_in_a_volume_of_one_piece_and_of_several(self):
        labels = [dasd_image.format1("A.B", [dasd_image.extent(10, 19)])]
        part = self.folder / "part"
        for volume, cylinders in (("other", 7), ("root", 30)):
            with self.subTest(volume):
                image = self.golden("lvm-plain")
                pieces = [s[:2] for s in self.segments("plain") if s[2] == volume]
                dasd_image.write_ckd(part, cylinders, labels)
                os.truncate(part, sum(size for _, size in pieces))
                at = 0
                for start, size in pieces:
                    poke(image, start, peek(part, at, size))
                    at += size
                extents, notes = self.map(image)
                mapped = self.ranges(extents, "mapped")
                lost = Ranges([(start, start + size) for start, size in pieces]).minus(mapped)
                if len(pieces) == 1:
                    self.assertGreater(lost.total(), 4 * MIB)
                else:
                    self.assertEqual(lost.pieces, [])
                    self.assertIn("does not lie in one piece", notes)

    def test_an_old_text_in_the_ring_is_not_believed(self):
        image = self.golden("lvm-plain")
        area = self.metadata_area(image)
        text = peek(image, area + 512, 64 * 1024)
        first = text.index(b"vg {")
        old = text[first:text.index(b"\0", first) + 1]
        self.assertIn(b"seqno = 1\n", old)
        self.poke_header(image, area, 40, struct.pack("<QQ", 512 + first, len(old)))
        self.check_all_allocated(image, "checksum of its metadata")

    def test_copies_that_differ_are_allocated_whole(self):
        image = self.golden("lvm-plain")
        area = self.metadata_area(image)
        text = peek(image, area + 512, 64 * 1024)
        first = text.index(b"vg {")
        old = text[first:text.index(b"\0", first) + 1]
        self.poke_header(image, area, 40,
                         struct.pack("<QQI", 512 + first, len(old), crc(old)))
        self.check_all_allocated(image, "not the same")

    def test_damage_is_allocated_whole(self):
        image = self.golden("lvm-plain")
        area = self.metadata_area(image)
        for offset, data, says in ((512 + 40, b"X", "label"), (area + 100, b"X", "header"),
                                   (area + 20, b"\2", "header")):
            before = peek(image, offset, len(data))
            poke(image, offset, data)
            self.check_all_allocated(image, says)
            poke(image, offset, before)
        self.poke_header(image, area, 60, b"\1")
        self.check_all_allocated(image, "other volumes")
        self.poke_header(image, area, 60, b"\0")
        self.poke_header(image, area, 72, b"\1")
        self.check_all_allocated(image, "being changed")
        self.poke_header(image, area, 72, b"\0")
        self.poke_header(image, area, 40, struct.pack("<Q", 1 << 40))
        self.check_all_allocated(image, "makes no sense")

    def test_a_volume_that_was_cut_off_is_allocated_whole(self):
        image = self.golden("lvm-plain")
        os.truncate(image, 50 * MIB)
        self.check_all_allocated(image)


if __name__ == "__main__":
    analyse_rig.main()
