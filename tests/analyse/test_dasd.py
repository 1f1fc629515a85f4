#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DASD volumes as images of their tracks: Hercules' dasdload makes them, its dasdls reads the copy.
Labels that dasdload does not write (Formats 3, 8 and 9) are put into its VTOC here."""

import os
import struct

import analyse_rig
from analyse_rig import Ranges, fill_free, peek, poke, run

TRACK, HEADS, HEADER = 56832, 15, 512
CONTROL = """TEST01 3390 20
SYS1.VTOC vtoc trk 3
PROD.TEXT.DATA text data.txt cyl 2 1 0 ps fb 80 27920 0
PROD.EMPTY.PDS empty cyl 3 1 20 po fb 80 27920 0
"""
TEXT, EMPTY, UNUSED = 3, 4, 5  # records of the VTOC's first track
DSCB = 8 + 44 + 96


def start(track):
    return HEADER + track * TRACK


def cchh(track):
    return struct.pack(">HH", track // HEADS, track % HEADS)


def extent(low, high, kind=1):
    return bytes([kind, 0]) + cchh(low) + cchh(high)


def label(record, offset=0):
    """Where a byte of a label lies: behind the home address, R0 and the labels before it."""
    return start(1) + 5 + 16 + (record - 1) * DSCB + 8 + offset


class Dasd(analyse_rig.Case):
    def volume(self):
        (self.folder / "data.txt").write_text("".join(f"line {i}\n" for i in range(9000)))
        (self.folder / "control").write_text(CONTROL)
        image = self.folder / "image"
        image.unlink(missing_ok=True)
        run("dasdload", "-lfs", "control", image, "0", cwd=self.folder)
        return image

    def used(self, image):
        """The truth, from the extents that the labels of Format 1 tell, read independently."""
        size = os.path.getsize(image)
        needed = [(0, start(4)), (start(20 * HEADS), size)]
        for record in (TEXT, EMPTY):
            low_cc, low_hh, high_cc, high_hh = struct.unpack(">4H", peek(image, label(record, 107), 8))
            needed.append((start(low_cc * HEADS + low_hh), start(high_cc * HEADS + high_hh + 1)))
        needed += [(start(track), start(track) + 512) for track in range(20 * HEADS)]
        return Ranges(needed)

    def test_what_data_sets_have_is_allocated_and_the_begin_of_each_track(self):
        image = self.volume()
        extents = self.check(image, self.used(image), ratio=1)
        why = {e["why"] for e in extents}
        self.assertTrue(any("PROD.TEXT.DATA" in text for text in why), why)

    def test_a_copy_lists_the_same_data_sets(self):
        image = self.volume()
        fill_free(image, Ranges([(start(t) + 512, start(t + 1)) for t in range(9 * HEADS, 12 * HEADS)]))
        copy, _ = self.copy(image)
        lists = [run("dasdls", "-info", path).splitlines()[1:] for path in (image, copy)]
        self.assertEqual(lists[0], lists[1])
        self.assertIn("PROD.EMPTY.PDS", "".join(lists[1]))
        for track in (2 * HEADS, 10 * HEADS):
            self.assertEqual(peek(image, start(track), 512), peek(copy, start(track), 512))

    def test_a_chain_of_labels_is_followed(self):
        for middle in (None, 0xF9):
            image = self.volume()
            third = UNUSED + 1 if middle else UNUSED
            poke(image, label(TEXT, 135), cchh(1) + bytes([UNUSED]))
            if middle:
                poke(image, label(TEXT, 44), b"\xf8")
                poke(image, label(UNUSED, 44), bytes([middle]))
                poke(image, label(UNUSED, 135), cchh(1) + bytes([third]))
            poke(image, label(third, 44), b"\xf3")
            poke(image, label(third, 4), extent(200, 203))
            poke(image, label(third, 45), extent(210, 210))
            poke(image, label(TEXT, 59), b"\x03")
            needed = self.used(image).pieces + [(start(200), start(204)), (start(210), start(211))]
            self.check(image, Ranges(needed), ratio=1)

    def test_a_chain_that_is_none_is_allocated_whole(self):
        for target in (UNUSED, TEXT, 51):
            image = self.volume()
            poke(image, label(TEXT, 135), cchh(1) + bytes([target]))
            self.check_all_allocated(image, "not a chain")
        image = self.volume()
        poke(image, label(TEXT, 135), cchh(1) + bytes([UNUSED]))
        poke(image, label(UNUSED, 44), b"\xf3")
        poke(image, label(UNUSED, 135), cchh(1) + bytes([UNUSED]))
        self.check_all_allocated(image, "not a chain")

    def test_extents_that_make_no_sense_are_allocated_whole(self):
        for place, data, says in ((105, extent(30, 20 * HEADS), "beyond its bounds"),
                                  (105, extent(31, 30), "beyond its bounds"),
                                  (105, extent(1, 2), "another one's"),
                                  (59, b"\x04", "missing")):
            image = self.volume()
            poke(image, label(TEXT, place), data)
            self.check_all_allocated(image, says)

    def test_a_volume_that_is_damaged_is_allocated_whole(self):
        cases = ((label(1, 44), b"\xf1", "Format 4"), (label(1, 58), b"\x84", "interrupted"),
                 (label(1, 62), b"\x00\x16", "larger"), (label(1, 64), b"\x00\x10", "no sense"),
                 (label(1, 74), b"\x31", "no sense"), (label(UNUSED, 44), b"\xfa", "no sense"),
                 (label(UNUSED, 44), b"\xf3", "no data set"), (start(2), b"\x01", "home address"),
                 (start(2) + 5 + 16, b"\x01", "a record"), (17, b"\x01", "several files"),
                 (0, b"CKD_C370", "compressed"), (8, bytes(4), "header"))
        image = self.volume()
        for offset, data, says in cases:
            with self.subTest(says):
                old = peek(image, offset, len(data))
                poke(image, offset, data)
                self.check_all_allocated(image, says)
                poke(image, offset, old)

    def test_a_volume_without_a_vtoc_is_allocated_whole(self):
        image = self.folder / "image"
        run("dasdinit", "-lfs", image, "3390", "TEST02", "5")
        self.check_all_allocated(image, "DASD")


if __name__ == "__main__":
    analyse_rig.main()
