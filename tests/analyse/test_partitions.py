#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""MBR and GPT, made by sfdisk and sgdisk, with a file system in each partition."""

import pathlib
import re
import struct

import analyse_rig
import rig
from analyse_rig import DONE, MIB, SECTOR, Ranges, fill_free, peek, place, poke, run

SIZE = 96 * MIB


class Partitions(analyse_rig.Case):
    def put_file_systems(self, image):
        """One ext4 in every partition that is no container; where they are."""
        text = run("sfdisk", "--dump", image)
        places = [(int(start) * SECTOR, int(size) * SECTOR, kind) for start, size, kind in
                  re.findall(r"start= *(\d+), size= *(\d+), type=([^,\n]+)", text)]
        places = [(start, size) for start, size, kind in places if kind not in ("5", "f")]
        for start, size in places:
            part = self.image("part", size)
            run("mkfs.ext4", "-q", "-F", part)
            place(image, start, part)
            part.unlink()
        return places

    def mbr(self, script):
        image = self.image("image", SIZE)
        run("sfdisk", "-q", image, input=f"label: dos\n{script}")
        return image, self.put_file_systems(image)

    def gpt(self, *options):
        image = self.image("image", SIZE)
        run("sgdisk", *options, image)
        return image, self.put_file_systems(image)

    def check_partitions(self, image, places, *options):
        """Each is understood, and nothing outside of them is free; returns the extents."""
        extents, _ = self.map(image, *options)
        free = self.ranges(extents, "deallocated")
        for start, size in places:
            inside = size - Ranges([(start, start + size)]).minus(free).total()
            self.assertGreater(inside, size // 4)
            self.assertLess(inside, size)
        return extents, free

    def check_nothing_outside(self, free, places):
        for low, high in free.pieces:
            self.assertTrue(any(start <= low and high <= start + size for start, size in places),
                            f"{low}-{high}")

    def test_the_partitions_of_an_mbr(self):
        image, places = self.mbr("size=16M, type=83\nsize=20M, type=83\n,,83\n")
        extents, free = self.check_partitions(image, places)
        self.check_nothing_outside(free, places)
        self.assertEqual({e["why"] for e in extents},
                         {"gap between partitions", "partition 1, ext4", "partition 2, ext4",
                          "partition 3, ext4"})

    def test_logical_partitions(self):
        image, places = self.mbr("size=16M, type=83\ntype=5\nsize=16M, type=83\n"
                                 "size=20M, type=83\nsize=12M, type=83\n")
        self.assertEqual(len(places), 4)
        extents, free = self.check_partitions(image, places)
        self.check_nothing_outside(free, places)
        self.assertIn("partition 7, ext4", {e["why"] for e in extents})

    def test_the_chain_of_logical_partitions_is_kept_though_gaps_are_skipped(self):
        image, places = self.mbr("size=16M, type=83\ntype=5\nsize=16M, type=83\n"
                                 "size=20M, type=83\n")
        _, free = self.check_partitions(image, places, "--skip-gaps")
        fill_free(image, free)
        copy, _ = self.copy(image, "--skip-gaps")
        self.assertEqual(run("sfdisk", "--dump", image).replace("image", ""),
                         run("sfdisk", "--dump", copy).replace("copy", ""))
        for start, size in places:
            part = self.folder / "part"
            part.write_bytes(peek(copy, start, size))
            run("e2fsck", "-fn", part)

    def test_a_loop_in_the_chain_ends_and_frees_nothing(self):
        image, places = self.mbr("size=16M, type=83\ntype=5\nsize=16M, type=83\n"
                                 "size=20M, type=83\n")
        extended = struct.unpack("<I", peek(image, 446 + 16 + 8, 4))[0]
        link = extended * SECTOR + 446 + 16
        target = struct.unpack("<I", peek(image, link + 8, 4))[0]
        poke(image, (extended + target) * SECTOR + 446 + 16 + 4,
             bytes([5]) + b"\0\0\0" + struct.pack("<II", target, 100))
        self.check_all_allocated(image, "does not end")

    def check_in_both_units(self, image, places, *options):
        """What the image's own table calls free is free in a volume with larger blocks, too, and no more."""
        _, free = self.check_partitions(image, places, *options)
        extents = self.expect(DONE, "map", "--source-map=analyse", "--json", *options,
                              self.volume(image)).json["extents"]
        allocated = Ranges([(e["lba"] * 4096, (e["lba"] + e["blocks"]) * 4096) for e in extents
                            if e["status"] == "mapped"])
        self.assertEqual(free.inverse(SIZE).minus(allocated).pieces, [])
        self.assertGreater(SIZE - allocated.total(), free.total() // 2)

    def volume(self, image):
        """The image's bytes in a volume with blocks of 4096 bytes."""
        volume = self.folder / "volume"
        volume.unlink(missing_ok=True)
        pathlib.Path(f"{volume}.thin").unlink(missing_ok=True)
        run(rig.THINVOL, "create", "--block-size=4096", volume, f"{SIZE // MIB}M")
        place(volume, 0, image)
        return f"thin:{volume}"

    def in_units_of_4096(self, *commands):
        """A disk with blocks of 4096 bytes, as fdisk parts it."""
        disk = self.image("disk", SIZE)
        run("fdisk", "-b", "4096", disk, input="\n".join([*commands, "w", ""]))
        return disk

    def test_the_unit_of_an_mbr_is_its_own(self):
        """It was made in units of 512 bytes, and is read in blocks of 4096 bytes."""
        for script in ("start=1M, size=16M, type=83\nstart=40M, size=20M, type=83\n",
                       "size=16M, type=83\ntype=5\nsize=16M, type=83\nsize=20M, type=83\n",
                       "start=1M, size=8M, type=83\n"):
            for options in [], ["--skip-gaps"]:
                with self.subTest(script=script, options=options):
                    self.check_in_both_units(*self.mbr(script), *options)

    def test_an_mbr_in_units_of_4096_bytes_is_read_from_a_raw_file(self):
        image = self.in_units_of_4096("o", "n", "p", "1", "2048", "+16M", "n", "p", "2", "15360", "")
        places = [(8 * MIB, 16 * MIB), (60 * MIB, SIZE - 60 * MIB)]
        for start, size in places:
            part = self.image("part", size)
            run("mkfs.ext4", "-q", "-F", part)
            place(image, start, part)
        _, free = self.check_partitions(image, places, "--skip-gaps")
        self.assertGreater(free.total(), 70 * MIB)

    def test_an_mbr_that_may_be_in_either_unit_frees_nothing(self):
        """Nothing that is known begins where it says in one unit, or something does in both."""
        image = self.image("image", SIZE)
        run("sfdisk", "-q", image, input="label: dos\nstart=1M, size=8M, type=83\n")
        self.check_all_allocated(image, "of 512 and of 4096", options=["--skip-gaps"])
        part = self.image("part", 8 * MIB)
        run("mkfs.ext4", "-q", "-F", part)
        place(image, MIB, part)
        self.check_partitions(image, [(MIB, 8 * MIB)], "--skip-gaps")
        place(image, 8 * MIB, part)
        self.check_all_allocated(image, "of 512 and of 4096", options=["--skip-gaps"])

    def test_a_gpt_in_either_unit_frees_nothing(self):
        """A short table in units of 512 bytes leaves room for one in units of 4096 bytes."""
        image, _ = self.gpt("-S", "4", "-n", "1:1M:+20M")
        other = self.in_units_of_4096("g", "n", "1", "", "")
        poke(image, 4096, peek(other, 4096, 20480))
        poke(image, SIZE - 20480, peek(other, SIZE - 20480, 16384 + 512))
        self.check_all_allocated(image, "of 512 and of 4096")

    def test_a_dynamic_disk_of_windows_frees_nothing(self):
        image, _ = self.mbr("size=16M, type=83\nsize=20M, type=42\n")
        self.check_all_allocated(image, "dynamic disk")
        image, _ = self.mbr("size=16M, type=83\ntype=5\nsize=16M, type=83\nsize=20M, type=42\n")
        self.check_all_allocated(image, "dynamic disk")
        for kind in "4200", "4201":
            image, _ = self.gpt("-n", "1:0:+20M", "-n", "2:0:+20M", "-t", f"2:{kind}")
            self.check_all_allocated(image, "dynamic disk")
        image, _ = self.mbr("start=1M, size=16M, type=83\nsize=20M, type=83\n")
        poke(image, 6 * SECTOR, b"PRIVHEAD")
        self.check_all_allocated(image, "dynamic disk")

    def test_overlapping_partitions_free_nothing(self):
        image, _ = self.mbr("size=16M, type=83\nsize=20M, type=83\n")
        poke(image, 446 + 12, struct.pack("<I", 40960))
        self.check_all_allocated(image, "overlap")

    def test_a_partition_beyond_the_end_frees_nothing(self):
        image, _ = self.mbr("size=16M, type=83\nsize=20M, type=83\n")
        poke(image, 446 + 16 + 12, struct.pack("<I", SIZE // SECTOR))
        self.check_all_allocated(image, "beyond the end")

    def test_the_partitions_of_a_gpt(self):
        image, places = self.gpt("-n", "1:0:+20M", "-n", "5:0:+30M", "-n", "2:0:0")
        extents, free = self.check_partitions(image, places)
        self.check_nothing_outside(free, places)
        self.assertEqual({e["why"] for e in extents},
                         {"gap between partitions", "partition 1, ext4", "partition 2, ext4",
                          "partition 5, ext4"})

    def test_what_is_refused_late_leaves_nothing_to_the_next_partition(self):
        """The sum of free blocks is the last thing that is looked at."""
        image, places = self.gpt("-n", "1:0:+30M", "-n", "2:0:0")
        part = self.folder / "part"
        part.write_bytes(peek(image, *places[0]))
        run("debugfs", "-w", "-R", "ssv free_blocks_count 5000", part)
        place(image, places[0][0], part)
        _, free = self.check_partitions(image, places[1:])
        self.check_nothing_outside(free, places[1:])

    def test_both_tables_are_kept_though_gaps_are_skipped(self):
        image, places = self.gpt("-n", "1:40960:+20M", "-n", "2:0:+20M")
        _, free = self.check_partitions(image, places, "--skip-gaps")
        self.assertGreater(free.total(), 70 * MIB)
        fill_free(image, free)
        copy, _ = self.copy(image, "--skip-gaps")
        self.assertIn("No problems found", run("sgdisk", "-v", copy))
        self.assertEqual(run("sfdisk", "--dump", image).replace("image", ""),
                         run("sfdisk", "--dump", copy).replace("copy", ""))

    def test_one_sound_table_is_enough(self):
        image, places = self.gpt("-n", "1:0:+20M", "-n", "2:0:+20M")
        first = peek(image, 0, 34 * SECTOR)
        poke(image, SECTOR + 20, b"\xff")
        _, notes = self.map(image)
        self.assertIn("the backup counts", notes)
        self.check_partitions(image, places)
        poke(image, 0, first)
        poke(image, 2 * SECTOR + 40, b"\xff")
        self.check_partitions(image, places)
        poke(image, 0, first)
        poke(image, SIZE - SECTOR + 20, b"\xff")
        _, notes = self.map(image)
        self.assertIn("the first table counts", notes)
        self.check_partitions(image, places)

    def test_a_table_that_something_newer_was_put_over_frees_nothing(self):
        for newer in (b"\xeb\x52\x90NTFS    ", b"\xeb\x76\x90EXFAT   ", b"?"):
            image, _ = self.gpt("-n", "1:1M:+20M", "-n", "2:0:+20M")
            poke(image, 0, newer.ljust(34 * SECTOR, b"\0"))
            self.check_all_allocated(image)

    def test_a_table_in_the_boot_sector_of_an_older_file_system_frees_nothing(self):
        """sfdisk leaves the rest of the first sector as it was."""
        for make in (("mkfs.fat", "-F", "12"), ("mkfs.fat", "-F", "16"), ("mkfs.fat", "-F", "32"),
                     ("mkntfs", "-q", "-F", "-Q"), ("mkfs.exfat",)):
            with self.subTest(make=make):
                image = self.image("image", 8 * MIB if "12" in make else SIZE)
                run(*make, image)
                self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)
                run("sfdisk", "-q", "--wipe=never", "--force", image,
                    input="label: dos\nsize=3M, type=83\n")
                self.check_all_allocated(image)

    def test_without_its_protective_mbr_a_gpt_counts_for_nothing(self):
        image, _ = self.gpt("-n", "1:0:+20M", "-n", "2:0:+20M")
        poke(image, 446, bytes(66))
        self.check_all_allocated(image, "protective MBR is gone")

    def test_two_torn_tables_free_nothing(self):
        image, _ = self.gpt("-n", "1:0:+20M", "-n", "2:0:+20M")
        poke(image, SECTOR + 20, b"\xff")
        poke(image, SIZE - SECTOR + 20, b"\xff")
        self.check_all_allocated(image, "neither")

    def test_two_tables_that_differ_free_nothing(self):
        image, _ = self.gpt("-n", "1:0:+20M", "-n", "2:0:+20M")
        other = self.image("other", SIZE)
        run("sgdisk", "-n", "1:0:+30M", other)
        poke(image, SIZE - 33 * SECTOR, peek(other, SIZE - 33 * SECTOR, 33 * SECTOR))
        self.check_all_allocated(image, "not the same")

    def test_an_empty_disk_is_all_allocated(self):
        self.check_all_allocated(self.image("image", MIB), "no table of contents")


if __name__ == "__main__":
    analyse_rig.main()
