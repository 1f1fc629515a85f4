#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Swap areas by mkswap, and members of software RAIDs, whose superblocks are written here as the
kernel would: there is no md where the tests run."""

import random
import struct

import analyse_rig
from analyse_rig import MIB, Ranges, place, poke, run

SIZE = 48 * MIB


class Swap(analyse_rig.Case):
    def make(self, *options):
        image = self.image("image", SIZE)
        poke(image, 0, random.randbytes(MIB))
        run("mkswap", *options, image)
        return image

    def test_only_the_first_page_is_allocated(self):
        for page in (4096, 65536):
            self.check(self.make("-f", "-p", page), Ranges([(0, page)]), ratio=1)

    def test_a_suspended_machine_is_allocated_whole(self):
        for mark in (b"S1SUSPEND\0", b"ULSUSPEND\0", b"LINHIB0001"):
            image = self.make("-f")
            poke(image, 4086, mark)
            self.check_all_allocated(image, "suspended")

    def test_a_header_that_makes_no_sense_is_allocated_whole(self):
        for offset, value in ((1024, 2), (1028, SIZE // 4096), (1028, 0), (1032, 700)):
            image = self.make("-f")
            poke(image, offset, struct.pack("<I", value))
            self.check_all_allocated(image, "swap")


class Raid(analyse_rig.Case):
    def member(self, version, level=1, features=0, data=MIB):
        """A member with an ext4 in it, and what of it that file system leaves free."""
        size = SIZE - data - MIB
        part = self.image("part", size)
        run("mkfs.ext4", "-q", "-F", part)
        free = self.ranges(self.map(part)[0], "deallocated")
        image = self.image("image", SIZE)
        where = {"1.0": SIZE - 8192, "1.1": 0, "1.2": 4096}[version]
        place(image, data, part)
        super_block = bytearray(256 + 4)
        struct.pack_into("<III", super_block, 0, 0xA92B4EFC, 1, features)
        struct.pack_into("<i", super_block, 72, level)
        struct.pack_into("<Q", super_block, 80, size // 512)
        struct.pack_into("<QQQ", super_block, 128, data // 512, size // 512, where // 512)
        struct.pack_into("<I", super_block, 220, 2)
        total = sum(struct.unpack(f"<{len(super_block) // 4}I", super_block))
        struct.pack_into("<I", super_block, 216, (total & 0xFFFFFFFF) + (total >> 32) & 0xFFFFFFFF)
        poke(image, where, bytes(super_block))
        return image, Ranges(free.moved(data)), where

    def test_a_member_of_a_raid1_is_looked_into(self):
        for version, data in (("1.0", 0), ("1.1", MIB), ("1.2", MIB)):
            with self.subTest(version):
                image, free, _ = self.member(version, data=data)
                self.assertGreater(free.total(), 20 * MIB)
                extents, _ = self.map(image)
                self.assertEqual(self.ranges(extents, "deallocated").pieces, free.pieces)
                self.assertIn("RAID1, ext4", {e["why"] for e in extents})

    def test_a_member_of_version_0_90(self):
        part = self.image("part", 32 * MIB)
        run("mkfs.ext4", "-q", "-F", part)
        free = self.ranges(self.map(part)[0], "deallocated")
        for order in "<>":
            for level in (1, 5):
                image = self.image("image", SIZE)
                place(image, 0, part)
                poke(image, SIZE - 65536,
                     struct.pack(order + "9I", 0xA92B4EFC, 0, 90, 0, 0, 0, 0, level, 32 * 1024))
                extents, _ = self.map(image)
                self.assertEqual(self.ranges(extents, "deallocated").pieces,
                                 free.pieces if level == 1 else [])

    def test_other_levels_and_unfinished_members_are_allocated_whole(self):
        self.check_all_allocated(self.member("1.2", level=5)[0], "no RAID1")
        self.check_all_allocated(self.member("1.2", level=0)[0], "no RAID1")
        self.check_all_allocated(self.member("1.2", features=2)[0], "being rebuilt")
        image, _, where = self.member("1.2")
        poke(image, where + 100, b"\1")
        self.check_all_allocated(image, "checksum")


if __name__ == "__main__":
    analyse_rig.main()
