#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DASD volumes as images of their tracks: Hercules' dasdload makes them, its dasdls reads the copy.
Labels that dasdload does not write (Formats 3, 7, 8 and 9) come from dasd_image."""

import os
import random
import shutil
import struct
import time

import analyse_rig
import dasd_image
from analyse_rig import DONE, Ranges, peek, poke, run
from dasd_image import HEADS, TRACK, cchh, extent, start

CONTROL = """TEST01 3390 20
SYS1.VTOC vtoc trk 3
PROD.TEXT.DATA text data.txt cyl 2 1 0 ps fb 80 27920 0
PROD.EMPTY.PDS empty cyl 3 1 20 po fb 80 27920 0
"""
TEXT, EMPTY, UNUSED = 3, 4, 5  # records of the VTOC's first track
DSCB = 8 + 44 + 96


def label_at(record, offset=0):
    """Where a byte of a label lies: behind the home address, R0 and the labels before it."""
    return start(1) + 5 + 16 + (record - 1) * DSCB + 8 + offset


class Dasd(analyse_rig.Case):
    def dasd(self):
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
            low_cc, low_hh, high_cc, high_hh = struct.unpack(">4H", peek(image, label_at(record, 107), 8))
            needed.append((start(low_cc * HEADS + low_hh), start(high_cc * HEADS + high_hh + 1)))
        needed += [(start(track), start(track) + 512) for track in range(20 * HEADS)]
        return Ranges(needed)

    def test_what_data_sets_have_is_allocated_and_the_begin_of_each_track(self):
        image = self.dasd()
        extents = self.check(image, self.used(image), ratio=1)
        why = {e["why"] for e in extents}
        self.assertTrue(any("PROD.TEXT.DATA" in text for text in why), why)

    def leave_records(self, image, tracks):
        """What data sets that were deleted leave behind: records, short and long."""
        for track in tracks:
            records = [(random.randbytes(random.choice([0, 8])), random.randbytes(length))
                       for length in random.choice([[80] * 40, [27920], [12], [27998, 27998]])]
            poke(image, start(track), dasd_image.ckd_track(track, records).ljust(TRACK, b"\xa5"))

    def expect_volume(self, image, copy, free):
        """Each track of the copy is a track; the free ones are empty, the others as they were."""
        for track in range(20 * HEADS):
            found = dasd_image.parse_track(peek(copy, start(track), TRACK), track)
            if track in free:
                self.assertEqual(len(found), 1)
            else:
                self.assertEqual(peek(copy, start(track), TRACK), peek(image, start(track), TRACK))

    def free_tracks(self, image):
        used = self.used(image).pieces
        return [t for t in range(20 * HEADS)
                if not any(low < start(t + 1) - 1 and start(t) + 512 < high for low, high in used)]

    def test_a_copy_lists_the_same_data_sets_and_its_free_tracks_are_empty_tracks(self):
        for options in ((), ("--keep-free",)):
            image = self.dasd()
            free = self.free_tracks(image)
            self.assertGreater(len(free), 100)
            self.leave_records(image, free[::2])
            copy = self.image("copy", os.path.getsize(image))
            args = ("--source-map=analyse", image, copy)
            self.expect(DONE, "sync", "--verify", *options, *args)
            self.expect(DONE, "verify", "--allocated", *args)
            lists = [run("dasdls", "-info", path).splitlines()[1:] for path in (image, copy)]
            self.assertEqual(lists[0], lists[1])
            self.assertIn("PROD.EMPTY.PDS", "".join(lists[1]))
            self.expect_volume(image, copy, free)
            if shutil.which("dasdcopy"):
                # It reads every track.
                (self.folder / "again").unlink(missing_ok=True)
                run("dasdcopy", "-q", copy, self.folder / "again")

    def test_verify_tells_a_free_track_that_was_cut_off_from_an_empty_one(self):
        image = self.dasd()
        track = self.free_tracks(image)[7]
        self.leave_records(image, [track])
        copy, _ = self.copy(image)
        verify = ("verify", "--allocated", "--source-map=analyse")
        poke(copy, start(track), peek(image, start(track), 512))
        self.expect(analyse_rig.rig.DIFFERENT, *verify, image, copy)
        shutil.copyfile(image, copy)
        self.expect(analyse_rig.rig.DIFFERENT, *verify, image, copy)
        # A copy of all of it is one, too.
        self.expect(DONE, "verify", image, copy)
        self.expect(DONE, "verify", "--allocated", image, copy)
        poke(copy, start(track) + 2, b"\7")
        self.expect(analyse_rig.rig.DIFFERENT, "verify", image, copy)

    def test_a_free_track_without_its_addresses_is_left_as_it_is(self):
        image = self.dasd()
        track = self.free_tracks(image)[9]
        self.leave_records(image, [track])
        for offset in (0, 4, 9, 10, 12):
            old = peek(image, start(track) + offset, 1)
            poke(image, start(track) + offset, b"\x55")
            copy, _ = self.copy(image)
            self.assertEqual(peek(image, start(track), 512), peek(copy, start(track), 512))
            poke(image, start(track) + offset, old)

    def test_tracks_that_are_taken_while_they_are_copied_are_copied_as_they_are(self):
        image = self.dasd()
        free = self.free_tracks(image)
        self.leave_records(image, free)
        copy = self.image("copy", os.path.getsize(image))
        process = self.start("sync", "--source-map=analyse", "--verify", "--rate=2M", image, copy)
        time.sleep(0.5)
        taken = [free[0], free[-1]]
        label = dasd_image.format1("NEW.SET", [extent(track, track) for track in taken])
        poke(image, label_at(UNUSED), label[:44])
        poke(image, label_at(UNUSED, 44), label[44:])
        # Its only extent goes; those tracks are copied as they were, or as empty ones.
        low, high = struct.unpack(">4H", peek(image, label_at(TEXT, 107), 8))[::2]
        poke(image, label_at(TEXT), bytes(140))
        _, notes = process.communicate(timeout=60)
        self.assertEqual(process.returncode, DONE, notes)
        self.assertIn("was in use", notes)
        for track in range(20 * HEADS):
            there = peek(copy, start(track), TRACK)
            found = dasd_image.parse_track(there, track)
            if track in taken:
                self.assertEqual(there, peek(image, start(track), TRACK))
            elif track in free:
                self.assertEqual(len(found), 1)
            elif low <= track // HEADS <= high:
                self.assertEqual(there, peek(image, start(track), TRACK))

    def test_a_volume_on_blocks_of_4096_bytes(self):
        image = self.dasd()
        free = self.free_tracks(image)
        self.leave_records(image, free)
        size = -(-os.path.getsize(image) // 4096) * 4096
        primary, copy = (self.volume(name, size, block_size=4096) for name in ("primary", "copy"))
        with open(primary, "r+b") as file:
            file.write(image.read_bytes())
        args = ("--source-map=analyse", f"thin:{primary}", f"thin:{copy}")
        got = self.expect(DONE, "sync", "--verify", "--json", *args)
        self.assertLess(got.json["written_bytes"], size // 2)
        self.expect(DONE, "verify", "--allocated", *args)
        self.expect_volume(image, copy, free)

    def test_a_large_volume_takes_little_memory(self):
        image = self.folder / "image"
        label = dasd_image.format1("A.B", [extent(20 * HEADS, 30 * HEADS - 1)])
        dasd_image.write_ckd(image, 36000, [label])
        got = self.expect(DONE, "sync", "--dry-run", "--source-map=analyse", "--json", image,
                          self.image("copy", os.path.getsize(image)))
        tracks = 36000 * HEADS
        self.assertEqual(got.json["mapped_bytes"],
                         512 + 152 * TRACK + (tracks - 152) * 512)

    def test_cylinders_beyond_the_65520th_are_understood(self):
        image = self.folder / "image"
        far, high = 65600 * HEADS, 65700 * HEADS
        labels = [
            dasd_image.format1("A.LARGE", [extent(20 * HEADS, far - 1), extent(high, high + 3),
                                           extent(high + 5, high + 5)],
                               cchh(1) + b"\3", kind=0xF8),
            dasd_image.format9(cchh(1) + b"\4"),
            dasd_image.format3([extent(high + 7, high + 8)]),
            # What it says of free space is wrong, and does not count.
            dasd_image.format7([(2, 20 * HEADS), (high, high + 21 * HEADS)]),
        ]
        labels[0] = dasd_image.put(labels[0], (59, b"\4"))
        dasd_image.write_ckd(image, 65721, labels)
        tracks = set(range(2)) | set(range(20 * HEADS, far)) | {high + n for n in (0, 1, 2, 3, 5, 7, 8)}
        needed = [(0, 512)] + [(start(t), start(t) + 512) for t in range(20 * HEADS)]
        needed += [(start(t), start(t) + 512) for t in range(far, 65721 * HEADS)]
        needed += [(start(t), start(t + 1)) for t in tracks if t < 2 or t >= far]
        needed.append((start(20 * HEADS), start(far)))
        self.check(image, Ranges(needed), ratio=1)

    def cut(self, label, extents, written):
        """A volume with one data set, of which only so many tracks shall be kept."""
        image = self.folder / "image"
        dasd_image.write_ckd(image, 40, label if isinstance(label, list) else [label])
        tracks = [t for low, high in extents for t in range(low, high + 1)]
        for track in tracks:
            poke(image, start(track), dasd_image.ckd_track(track, [(b"", bytes([track % 251]) * 999)]))
        kept = set(range(2)) | set(tracks[:written])
        needed = [(0, 512)] + [(start(t), start(t) + 512) for t in range(40 * HEADS)]
        needed += [(start(t), start(t + 1)) for t in kept]
        return image, Ranges(needed), kept

    def check_cut(self, label, extents, written):
        image, needed, _ = self.cut(label, extents, written)
        allocated = self.ranges(self.map(image, "--vtoc-lstar")[0], "mapped")
        self.assertEqual((needed.minus(allocated).pieces, allocated.minus(needed).pieces), ([], []))

    def test_with_vtoc_lstar_data_sets_end_where_they_were_written_to(self):
        places = [(30, 34), (60, 60), (90, 99)]
        extents = [extent(*place, kind=0x81 if i else 1, number=i) for i, place in enumerate(places)]
        last_volume = (93, b"\x80")
        for organisation in (0x4000, 0x4001, 0x0200):
            for last, written in ((0, 2), (2, 4), (4, 6), (5, 7), (6, 8), (15, 16), (99, 16)):
                label = dasd_image.format1("A.B", extents, organisation=organisation, last=(last, 1, 0))
                with self.subTest(organisation=organisation, last=last):
                    self.check_cut(dasd_image.put(label, last_volume), places, written)
        # Three bytes of track.
        large = dasd_image.format1("A.B", extents, last=(3, 1, 0), flags=0x08)
        self.check_cut(dasd_image.put(large, last_volume, (104, b"\1")), places, 16)
        # In the labels behind it.
        pointer = cchh(1) + b"\3"
        first = dasd_image.format1("A.B", extents, pointer, last=(17, 1, 0))
        labels = [dasd_image.put(first, last_volume, (59, b"\4")),
                  dasd_image.format3([extent(200, 209, number=3)])]
        self.check_cut(labels, [*places, (200, 209)], 19)

    def test_a_data_set_that_does_not_tell_its_end_is_kept_whole(self):
        place = (30, 39)
        plain = dasd_image.put(dasd_image.format1("A.B", [extent(*place)], last=(2, 1, 0)), (93, b"\x80"))
        self.check_cut(plain, [place], 4)
        cases = {"VSAM": (82, b"\0\x08"), "direct": (82, b"\x20\0"), "both": (82, b"\x42\0"),
                 "PDSE": (78, b"\x08"), "extended format": (78, b"\x04"), "HFS": (78, b"\x02"),
                 "another volume": (93, b"\0"), "no last track": (98, b"\0\0\0"),
                 "split cylinders": (105, b"\x80"), "user labels": (105, b"\x40"),
                 "out of order": (106, b"\1")}
        for name, change in cases.items():
            with self.subTest(name):
                self.check_cut(dasd_image.put(plain, change), [place], 10)
        # And all are, without the option.
        image, _, _ = self.cut(plain, [place], 4)
        _, needed, _ = self.cut(plain, [place], 10)
        self.check(image, needed, ratio=1)

    def test_a_copy_up_to_the_last_track_has_empty_tracks_behind_it(self):
        image = self.dasd()
        poke(image, label_at(TEXT, 98), struct.pack(">HB", 11, 1))
        poke(image, label_at(TEXT, 93), b"\x80")
        copy, _ = self.copy(image, "--vtoc-lstar")
        low, high = struct.unpack(">4H", peek(image, label_at(TEXT, 107), 8))[::2]
        for track in range(low * HEADS, (high + 1) * HEADS):
            there = peek(copy, start(track), TRACK)
            if track < low * HEADS + 13:
                self.assertEqual(there, peek(image, start(track), TRACK))
            else:
                self.assertEqual(len(dasd_image.parse_track(there, track)), 1)
        run("dasdls", "-info", copy)

    def test_a_chain_of_labels_is_followed(self):
        for middle in (None, 0xF9):
            image = self.dasd()
            third = UNUSED + 1 if middle else UNUSED
            poke(image, label_at(TEXT, 135), cchh(1) + bytes([UNUSED]))
            if middle:
                poke(image, label_at(TEXT, 44), b"\xf8")
                poke(image, label_at(UNUSED, 44), bytes([middle]))
                poke(image, label_at(UNUSED, 135), cchh(1) + bytes([third]))
            poke(image, label_at(third, 44), b"\xf3")
            poke(image, label_at(third, 4), extent(200, 203))
            poke(image, label_at(third, 45), extent(210, 210))
            poke(image, label_at(TEXT, 59), b"\x03")
            needed = self.used(image).pieces + [(start(200), start(204)), (start(210), start(211))]
            self.check(image, Ranges(needed), ratio=1)

    def test_a_chain_that_is_none_is_allocated_whole(self):
        for target in (UNUSED, TEXT, 51):
            image = self.dasd()
            poke(image, label_at(TEXT, 135), cchh(1) + bytes([target]))
            self.check_all_allocated(image, "not a chain")
        image = self.dasd()
        poke(image, label_at(TEXT, 135), cchh(1) + bytes([UNUSED]))
        poke(image, label_at(UNUSED, 44), b"\xf3")
        poke(image, label_at(UNUSED, 135), cchh(1) + bytes([UNUSED]))
        self.check_all_allocated(image, "not a chain")

    def test_extents_that_make_no_sense_are_allocated_whole(self):
        for place, data, says in ((105, extent(30, 20 * HEADS), "beyond its bounds"),
                                  (105, extent(31, 30), "beyond its bounds"),
                                  (105, extent(1, 2), "another one's"),
                                  (59, b"\x04", "missing")):
            image = self.dasd()
            poke(image, label_at(TEXT, place), data)
            self.check_all_allocated(image, says)

    def test_a_volume_that_is_damaged_is_allocated_whole(self):
        cases = ((label_at(1, 44), b"\xf1", "Format 4"), (label_at(1, 58), b"\x84", "interrupted"),
                 (label_at(1, 62), b"\x00\x16", "larger"), (label_at(1, 64), b"\x00\x10", "no sense"),
                 (label_at(1, 74), b"\x31", "no sense"), (label_at(UNUSED, 44), b"\xfa", "no sense"),
                 (label_at(UNUSED, 44), b"\xf3", "no data set"), (start(2), b"\x01", "home address"),
                 (start(2) + 5 + 16, b"\x01", "a record"), (17, b"\x01", "several files"),
                 (0, b"CKD_C370", "compressed"), (8, bytes(4), "header"))
        image = self.dasd()
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
