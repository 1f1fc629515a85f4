#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""DASDs as Linux on Z shows them, numbered blocks: dasd_image writes their labels, mkfs.ext4 and
mkswap what the partitions hold, and dumpe2fs and e2fsck judge it."""

import os
import random
import re
import struct

import analyse_rig
import dasd_image
from analyse_rig import DONE, MIB, Ranges, fill_free, peek, place, poke, run
from dasd_image import HEADS, extent, put

CYLINDERS = 60
TRACKS = CYLINDERS * HEADS
EXT, SWAP, OTHER = (2, 401), (420, 479), (500, 509)  # tracks
PER_TRACK = {4096: (12, 10), 2048: (21, 18), 1024: (33, 31), 512: (49, 46)}


class Blocks(analyse_rig.Case):
    def ext4(self, size):
        """A file system in a file of its own, and what of it dumpe2fs calls free."""
        part = self.image("part", size)
        run("mkfs.ext4", "-q", "-F", "-b", "1024", part)
        data = self.file("data", 300_000, [(0, 300_000)])
        lines = [f"write {data} f{i}" for i in range(6)] + ["rm f0", "rm f3"]
        run("debugfs", "-w", "-f", "-", part, input="\n".join(lines) + "\n")
        free = re.findall(r"(?m)^  Free blocks: (.+)$", run("dumpe2fs", part))
        pieces = [piece.partition("-") for line in free for piece in line.split(", ")]
        return part, Ranges([(int(low) * 1024, (int(high or low) + 1) * 1024) for low, _, high in pieces])

    def disk(self, block=4096, per_track=12, labels=None):
        """A volume with three partitions, and what of it is needed. Nothing on it is zeros."""
        image, track = self.folder / "image", block * per_track
        if labels is None:
            labels = dasd_image.block_labels(CYLINDERS, [EXT, SWAP, OTHER], per_track)
        dasd_image.write_blocks(image, CYLINDERS, labels, block, per_track)
        low, high = EXT
        part, free = self.ext4((high - low + 1) * track)
        place(image, low * track, part)
        swap = self.image("swap", (SWAP[1] - SWAP[0] + 1) * track)
        run("mkswap", swap)
        place(image, SWAP[0] * track, swap)
        poke(image, OTHER[0] * track, random.randbytes(10 * track))
        needed = Ranges([(0, 2 * track), (OTHER[0] * track, (OTHER[1] + 1) * track),
                         (SWAP[0] * track, SWAP[0] * track + 4096),
                         *Ranges([(0, os.path.getsize(part))]).minus(free).moved(low * track)])
        fill_free(image, needed.inverse(os.path.getsize(image)))
        return image, needed

    def test_partitions_are_analysed_in_turn_and_free_tracks_are_free(self):
        image, needed = self.disk()
        why = {e["why"] for e in self.check(image, needed)}
        self.assertTrue(any("partition 1, ext4" in text for text in why), why)
        self.assertTrue(any("partition 2, swap" in text for text in why), why)

    def test_every_size_of_a_block_on_both_kinds_of_disks(self):
        for block, counts in PER_TRACK.items():
            for per_track in counts:
                with self.subTest(block=block, per_track=per_track):
                    self.check(*self.disk(block, per_track))

    def test_a_copy_on_a_thin_volume_passes_e2fsck(self):
        image, needed = self.disk()
        track, size = 12 * 4096, os.path.getsize(image)
        for block_size in (512, 4096):
            copy = self.volume(f"copy{block_size}", size, block_size=block_size)
            primary = image
            if block_size == 4096:
                primary = self.volume("primary", size, block_size=4096)
                place(primary, 0, image)
                primary = f"thin:{primary}"
            args = ("--source-map=analyse", primary, f"thin:{copy}")
            got = self.expect(DONE, "sync", "--verify", "--json", *args)
            self.assertLessEqual(got.json["written_bytes"], needed.total() * 1.02)
            self.expect(DONE, "verify", "--allocated", *args)
            part = self.folder / "part"
            part.write_bytes(peek(copy, EXT[0] * track, 400 * track))
            run("e2fsck", "-fn", part)
            for low, high in needed.pieces:
                self.assertEqual(peek(copy, low, high - low), peek(image, low, high - low))

    def test_what_lies_behind_the_last_cylinder_is_allocated(self):
        image, needed = self.disk()
        size = os.path.getsize(image)
        poke(image, size, random.randbytes(MIB))
        self.check(image, Ranges([*needed.pieces, (size, size + MIB)]))

    def test_large_volumes_have_other_labels(self):
        image = self.folder / "image"
        extents = [(2, 65600 * HEADS - 1), (65601 * HEADS, 65601 * HEADS)]
        dasd_image.write_blocks(image, 65700, dasd_image.block_labels(65700, extents))
        extents, notes = self.map(image)
        self.assertNotIn("allocated", notes)
        track = 12 * 4096
        needed = Ranges([(0, 65600 * HEADS * track), (65601 * HEADS * track, (65601 * HEADS + 1) * track)])
        self.assertEqual(self.ranges(extents, "mapped").pieces, needed.pieces)

    def test_a_data_set_in_many_pieces_is_allocated(self):
        far = [extent(100 + 10 * i, 101 + 10 * i, number=i) for i in range(6)]
        pairs = [(100 + 10 * i, 101 + 10 * i) for i in range(6)]
        base = dasd_image.block_labels(CYLINDERS, pairs)[:2]
        chained = [*base, put(dasd_image.format1("A.B", far, dasd_image.cchh(1) + b"\4", organisation=0)),
                   dasd_image.format3(far[3:])]
        image, track = self.folder / "image", 12 * 4096
        dasd_image.write_blocks(image, CYLINDERS, chained)
        needed = [(0, 2 * track), *((low * track, (high + 1) * track) for low, high in pairs)]
        self.check(image, Ranges(needed), ratio=1)

    def test_tracks_that_nobody_calls_free_are_kept(self):
        extents = [EXT, SWAP, OTHER]
        for listed in ([], [(600, 610)], [(480, 500)]):
            with self.subTest(listed):
                image, needed = self.disk(labels=dasd_image.block_labels(CYLINDERS, extents, free=listed))
                track = 12 * 4096
                called = Ranges([(low * track, end * track) for low, end in listed])
                inside = Ranges([(low * track, (high + 1) * track) for low, high in (EXT, SWAP)])
                outside = Ranges([(0, TRACKS * track)]).minus(called).minus(inside)
                self.check(image, Ranges([*needed.pieces, *outside.pieces]))
                self.assertIn("are not called free", self.map(image)[1])

    def test_free_space_that_is_not_kept_is_not_asked(self):
        extents = [EXT, SWAP, OTHER]
        f4, _, *sets = dasd_image.block_labels(CYLINDERS, extents)
        used, free = [EXT], dasd_image.free_tracks(TRACKS, extents)
        f7 = dasd_image.format7([(low, end - 1) for low, end in free])
        for status, labels in ((b"\x80", [dasd_image.format5()]), (b"\x80", [dasd_image.format5(used)]),
                               (b"\xa0", [dasd_image.format5(used), f7])):
            with self.subTest(status=status):
                image, needed = self.disk(labels=[put(f4, (58, status)), *labels, *sets])
                self.check(image, needed)
                self.assertNotIn("called free", self.map(image)[1])

    def test_labels_that_contradict_each_other_mean_all_of_it(self):
        labels = dasd_image.block_labels(CYLINDERS, [EXT, SWAP, OTHER])
        f4, f5, one, two, three = labels
        behind = dasd_image.cchh(1)
        cases = {
            "beyond its bounds": [f4, f5, put(one, (105, extent(2, TRACKS))), two, three],
            "another one's too": [f4, f5, one, put(two, (105, extent(401, 420))), three],
            "larger than the place": [put(f4, (62, struct.pack(">H", 61))), f5, one, two, three],
            "Format 4 makes no sense": [put(f4, (74, b"\x0a")), f5, one, two, three],
            "4 makes no sense": [put(f4, (64, struct.pack(">H", 14))), f5, one, two, three],
            "no label of Format 4": [put(f4, (20, b"\0")), f5, one, two, three],
            "was interrupted": [put(f4, (58, b"\x04")), f5, one, two, three],
            "longer than a track": [put(f4, (105, extent(1, 2))), f5, one, two, three],
            "VTOC lies beyond": [put(f4, (105, extent(3, 3))), f5, one, two, three],
            "free and in use at once": [f4, dasd_image.format5([(401, 403)]), one, two, three],
            "in use at once": [f4, dasd_image.format5([(0, 1)]), one, two, three],
            "free space lies beyond": [f4, dasd_image.format5([(700, TRACKS + 1)]), one, two, three],
            "bounds": [f4, f5, dasd_image.format7([(9, 8)]), one, two, three],
            "are not a chain": [f4, f5, put(one, (135, behind + b"\3")), two, three],
            "not a chain": [f4, f5, put(one, (59, b"\4"), (135, behind + b"\6")), two, three,
                            dasd_image.format3([], behind + b"\6")],
            "extents of LINUX": [f4, f5, put(one, (59, b"\2")), two, three],
            "belongs to no data set": [f4, f5, one, two, three, dasd_image.format3([])],
            "makes no sense": [f4, f5, put(one, (44, b"\x55")), two, three],
            "VTOC makes no sense": [f4, f5, put(one, (44, b"\0")), two, three],
        }
        image, _ = self.disk()
        whole = image.read_bytes()
        for says, torn in cases.items():
            with self.subTest(says):
                dasd_image.write_blocks(self.folder / "labels", 1, torn)
                image.write_bytes(whole)
                poke(image, 12 * 4096, peek(self.folder / "labels", 12 * 4096, 12 * 4096))
                self.check_all_allocated(image, says)

    def test_a_volume_that_is_not_what_its_label_says_is_allocated(self):
        image, _ = self.disk()
        os.truncate(image, os.path.getsize(image) - 4096)
        self.check_all_allocated(image, "larger than the place")
        image, _ = self.disk()
        poke(image, 8192 + 18, b"\2")
        self.check_all_allocated(image, "does not begin on its second track")
        image, _ = self.disk()
        poke(image, 4096, peek(image, 8192, 84))
        self.check_all_allocated(image, "more than one volume label")

    def test_blocks_smaller_than_the_luns_are_not_understood(self):
        image, _ = self.disk(512, 49)
        size = -(-os.path.getsize(image) // 4096) * 4096
        volume = self.volume("primary", size, block_size=4096)
        place(volume, 0, image)
        got = self.expect(DONE, "map", "--source-map=analyse", "--json", f"thin:{volume}",
                          says=["smaller than the LUN's"])
        self.assertNotIn("deallocated", got.out)

    def test_the_partition_behind_a_linux_label(self):
        for block in (512, 1024, 2048, 4096):
            for sized in (False, True):
                with self.subTest(block=block, sized=sized):
                    part, free = self.ext4(12 * MIB)
                    begin, size = 3 * block, 12 * MIB + 3 * block
                    image = self.image("image", size + 65536)
                    place(image, begin, part)
                    poke(image, 2 * block, dasd_image.linux_label(size // block if sized else None))
                    poke(image, size, random.randbytes(65536))
                    needed = Ranges(free.moved(begin)).inverse(size + 65536)
                    self.check(image, needed)

    def test_a_linux_label_that_tells_of_too_many_blocks_means_all_of_it(self):
        part, _ = self.ext4(12 * MIB)
        image = self.image("image", 12 * MIB + 3 * 4096)
        place(image, 3 * 4096, part)
        for blocks in (12 * MIB // 4096 + 4, 2, 1 << 60):
            poke(image, 8192, dasd_image.linux_label(blocks))
            self.check_all_allocated(image, "larger than the place")

    def test_the_reserved_file_of_a_cms_minidisk(self):
        part, free = self.ext4(12 * MIB)
        blocks = 12 * MIB // 4096 + 8
        image = self.image("image", blocks * 4096)
        place(image, 7 * 4096, part)
        poke(image, 8192, dasd_image.cms_label(4096, blocks, 7))
        self.check(image, Ranges(free.moved(7 * 4096)).inverse(blocks * 4096))
        for says, label in (("minidisk are not understood", (4096, blocks)),
                            ("minidisk makes no sense", (2048, blocks, 7)),
                            ("larger than the place", (4096, blocks + 2, 7)),
                            ("larger than the place", (4096, blocks, blocks))):
            poke(image, 8192, dasd_image.cms_label(*label))
            self.check_all_allocated(image, says)


if __name__ == "__main__":
    analyse_rig.main()
