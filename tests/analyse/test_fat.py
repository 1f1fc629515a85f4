#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""FAT12, FAT16 and FAT32 by mkfs.fat, filled, deleted from and fragmented by mtools."""

import os
import random
import re
import struct

import analyse_rig
from analyse_rig import DONE, MIB, Ranges, peek, poke, run

SIZES = {12: 8 * MIB, 16: 40 * MIB, 32: 72 * MIB}
os.environ["MTOOLS_SKIP_CHECK"] = "1"


class Fat(analyse_rig.Case):
    def make(self, bits, *options):
        image = self.image(f"fat{bits}", SIZES[bits])
        sectors = 4 if bits == 12 else 1 if bits == 32 else 2
        run("mkfs.fat", "-F", bits, "-s", sectors, *options, image)
        return image

    def fill(self, image):
        """Many files, half of them deleted, and larger ones in the gaps."""
        part = self.folder / "part"
        for i in range(40):
            part.write_bytes(random.randbytes(random.randrange(1, 40_000)))
            run("mcopy", "-i", image, part, f"::file{i}")
        for i in range(0, 40, 2):
            run("mdel", "-i", image, f"::file{i}")
        run("mmd", "-i", image, "::folder")
        for i in range(4):
            part.write_bytes(random.randbytes(300_000))
            run("mcopy", "-i", image, part, f"::folder/large{i}")
        return image

    def needed(self, image, bits):
        """Everything but the free clusters, by a walk over the table as short as can be."""
        boot = peek(image, 0, 512)
        sector, cluster, reserved, tables, entries, small = struct.unpack_from("<HBHBHH", boot, 11)
        length = struct.unpack_from("<H", boot, 22)[0] or struct.unpack_from("<I", boot, 36)[0]
        total = small or struct.unpack_from("<I", boot, 32)[0]
        first = reserved + tables * length + (entries * 32 + sector - 1) // sector
        count = (total - first) // cluster
        table = int.from_bytes(peek(image, reserved * sector, length * sector), "little")
        free = [i for i in range(2, count + 2) if not table >> i * bits & ((1 << min(bits, 28)) - 1)]
        return Ranges([((first + (i - 2) * cluster) * sector, (first + (i - 1) * cluster) * sector)
                       for i in free]).inverse(SIZES[bits])

    def table(self, image):
        return struct.unpack_from("<H", peek(image, 14, 2))[0] * 512

    def test_free_clusters_are_free(self):
        for bits in SIZES:
            with self.subTest(bits=bits):
                image = self.fill(self.make(bits))
                extents = self.check(image, self.needed(image, bits), ratio=1)
                self.assertIn("FAT", {e["why"] for e in extents})
                self.assertLess(self.ranges(extents, "mapped").total(), SIZES[bits] * 2 // 3)

    def test_an_empty_one(self):
        for bits in SIZES:
            image = self.make(bits)
            self.check(image, self.needed(image, bits), ratio=1)

    def test_what_partclone_copies_is_allocated(self):
        # Of a FAT12 partclone 0.3.23 takes free clusters for used ones; fsck.fat counts below.
        for bits in (16, 32):
            with self.subTest(bits=bits):
                self.check_by_partclone(f"fat{bits}", self.fill(self.make(bits)))

    def test_as_many_clusters_are_used_as_fsck_counts(self):
        for bits in SIZES:
            with self.subTest(bits=bits):
                image = self.fill(self.make(bits))
                used, count = map(int, re.search(r"(\d+)/(\d+) clusters", run("fsck.fat", "-n",
                                                                              image)).groups())
                cluster = peek(image, 13, 1)[0] * 512
                free = self.ranges(self.map(image)[0], "deallocated").total()
                self.assertEqual(free, (count - used) * cluster)

    def test_a_copy_is_clean_and_holds_every_file(self):
        for bits in SIZES:
            with self.subTest(bits=bits):
                image = self.fill(self.make(bits))
                copy, _ = self.copy(image)
                run("fsck.fat", "-n", copy)
                for name in ("file1", "file39", "folder/large0", "folder/large3"):
                    self.assertEqual(run("mtype", "-i", image, f"::{name}", errors="replace"),
                                     run("mtype", "-i", copy, f"::{name}", errors="replace"))

    def test_verify_runs_its_checker(self):
        image = self.fill(self.make(16))
        copy, _ = self.copy(image)
        got = self.expect(DONE, "verify", "--allocated", "--source-map=analyse", "--json", image,
                          copy).json
        self.assertIn("fsck.fat", str(got["checks"]))

    def test_dirty_ones_are_allocated_whole(self):
        for bits, offset in ((12, 37), (16, 37), (32, 65)):
            image = self.fill(self.make(bits))
            poke(image, offset, b"\1")
            self.check_all_allocated(image, "not unmounted cleanly")
        for bits, width in ((16, 2), (32, 4)):
            for flag in (b"\x7f", b"\xbf") if bits == 16 else (b"\x07", b"\x0b"):
                image = self.fill(self.make(bits))
                for table in self.tables(image):
                    poke(image, table + 2 * width - 1, flag)
                self.check_all_allocated(image, "not unmounted cleanly")

    def tables(self, image):
        boot = peek(image, 0, 512)
        length = struct.unpack_from("<H", boot, 22)[0] or struct.unpack_from("<I", boot, 36)[0]
        return [self.table(image), self.table(image) + length * 512]

    def test_tables_that_differ_are_allocated_whole(self):
        for bits in SIZES:
            image = self.fill(self.make(bits))
            poke(image, self.tables(image)[1] + 700, b"\x5a\x5a")
            self.check_all_allocated(image, "contradict")

    def test_a_chain_that_leads_nowhere_is_allocated_whole(self):
        for bits, width, value in ((16, 2, 0xFFF0), (16, 2, 1), (32, 4, 0x0FFFFFF0), (32, 4, 1)):
            image = self.fill(self.make(bits))
            for table in self.tables(image):
                poke(image, table + 9 * width, value.to_bytes(width, "little"))
            self.check_all_allocated(image, "beyond its end")

    def test_a_chain_that_leads_to_a_free_cluster_is_allocated_whole(self):
        for bits, width in ((16, 2), (32, 4)):
            for step in (1, -1):
                image = self.fill(self.make(bits))
                entries = [int.from_bytes(peek(image, self.table(image) + i * width, width), "little")
                           for i in range(2, 2000)]
                free = next(i + 2 for i in range(400, 1900) if entries[i] == 0)
                used = free - 100 if step > 0 else free + 50
                for table in self.tables(image):
                    poke(image, table + used * width, free.to_bytes(width, "little"))
                self.check_all_allocated(image, "leads to a free one")

    def test_bad_clusters_and_loops_are_allocated(self):
        for bits, width in ((16, 2), (32, 4)):
            image = self.fill(self.make(bits))
            for table in self.tables(image):
                poke(image, table + 3000 * width, (0x0FFFFFF7 & (1 << bits) - 1).to_bytes(width, "little"))
                poke(image, table + 3100 * width, (3101).to_bytes(width, "little"))
                poke(image, table + 3101 * width, (3100).to_bytes(width, "little"))
            self.check(image, self.needed(image, bits), ratio=1)

    def test_a_table_that_does_not_begin_as_one_is_allocated_whole(self):
        for bits in SIZES:
            image = self.fill(self.make(bits, "-f", 1))
            poke(image, self.table(image), bytes(512))
            self.check_all_allocated(image, "does not begin as one")

    def test_a_root_directory_that_leads_to_a_free_cluster_is_allocated_whole(self):
        for bits, width in ((16, 2), (32, 4)):
            with self.subTest(bits=bits):
                image = self.fill(self.make(bits))
                entry = self.root_entry(image, b"FOLDER ")
                for table in self.tables(image):
                    poke(image, table + width * struct.unpack_from("<H", entry, 26)[0],
                         bytes(width))
                self.check_all_allocated(image, "root directory leads to a free cluster")

    def test_a_root_directory_that_is_free_is_allocated_whole(self):
        image = self.make(32)
        for table in self.tables(image):
            poke(image, table + 2 * 4, bytes(4))
        self.check_all_allocated(image, "root directory is free")

    def test_clusters_that_are_elsewhere_than_the_boot_sector_says_free_nothing(self):
        for entries in (528, 496):
            with self.subTest(entries=entries):
                image = self.fill(self.make(16))
                self.assertEqual(struct.unpack("<H", peek(image, 17, 2)), (512,))
                poke(image, 17, struct.pack("<H", entries))
                self.check_all_allocated(image, "a directory is not where it should be")

    def root_entry(self, image, name):
        """Of a root directory that lies behind the tables, as in all images here."""
        first, second = self.tables(image)
        root = 2 * second - first
        entries = peek(image, root, 512 * 32)
        return next(entries[i:i + 32] for i in range(0, len(entries), 32)
                    if entries[i:].startswith(name))

    def test_a_boot_sector_that_makes_no_sense_is_allocated_whole(self):
        damage = [(32, 32, b"\xff\xff\xff\x7f"), (32, 36, b"\1\0\0\0"), (32, 40, b"\x80\0"),
                  (32, 42, b"\1"), (32, 44, b"\xff\xff\xff\x0f"), (16, 22, b"\1\0"),
                  (16, 22, b"\xff\xff"), (32, 36, b"\xff\xff\xff\xff"), (32, 13, b"\x80")]
        for bits, offset, value in damage:
            with self.subTest(bits=bits, offset=offset, value=value):
                image = self.fill(self.make(bits))
                poke(image, offset, value)
                extents, notes = self.map(image)
                self.assertEqual({e["status"] for e in extents}, {"mapped"}, notes)

    def test_what_lacks_a_mark_of_a_fat_is_none(self):
        for offset, value in ((0, b"\0"), (2, b"\0"), (11, b"\0\3"), (11, b"\0\0"), (13, b"\0"),
                              (13, b"\3"), (14, b"\0\0"), (16, b"\0"), (16, b"\3"), (21, b"\x12"),
                              (54, b"NOT"), (510, b"\0"), (511, b"\0")):
            with self.subTest(offset=offset, value=value):
                image = self.make(16)
                poke(image, offset, value)
                self.check_all_allocated(image)

    def test_blocks_of_other_sizes_and_other_numbers_of_tables(self):
        for options in (["-S", "4096", "-s", "1"], ["-f", "1"], ["-R", "100"]):
            image = self.image("other", 300 * MIB)
            run("mkfs.fat", "-F", "32", *options, image)
            extents, notes = self.map(image)
            self.assertGreater(self.ranges(extents, "deallocated").total(), 250 * MIB, notes)
            copy, _ = self.copy(image)
            run("fsck.fat", "-n", copy)


if __name__ == "__main__":
    analyse_rig.main()
