#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""ext2, ext3 and ext4, made by mkfs.ext4, filled by debugfs, judged by dumpe2fs and e2fsck."""

import random
import re
import subprocess

import analyse_rig
from analyse_rig import MIB, Ranges, fill_free, peek, poke, run

VARIANTS = {
    "ext2": ["-t", "ext2"],
    "ext3": ["-t", "ext3"],
    "1 KiB blocks": ["-b", "1024"],
    "4 KiB blocks": ["-b", "4096"],
    "bigalloc": ["-b", "4096", "-O", "bigalloc", "-C", "16384"],
    "32 bit, no checksums": ["-O", "^64bit,^metadata_csum"],
    "meta_bg": ["-b", "1024", "-O", "meta_bg,^resize_inode"],
    "no flex_bg": ["-O", "^flex_bg"],
    "inline data": ["-O", "inline_data"],
    "no journal": ["-O", "^has_journal"],
    "sparse_super2": ["-O", "sparse_super2,^resize_inode"],
    "no uninit groups": ["-O", "^uninit_bg,^metadata_csum"],
}


class Ext(analyse_rig.Case):
    def make(self, *options, size=128 * MIB):
        """A file system with holes: many files, a third of them deleted."""
        image = self.folder / "image"
        image.unlink(missing_ok=True)
        self.image("image", size)
        run("mkfs.ext4", "-q", "-F", *options, image)
        file = self.file("data", 200_000, [(0, 200_000)])
        lines = [f"write {file} f{i}" for i in range(60)]
        lines += [f"rm f{i}" for i in range(0, 60, 3)]
        run("debugfs", "-w", "-f", "-", image, input="\n".join(lines) + "\n")
        run("e2fsck", "-fn", image)
        return image

    def free_of(self, image):
        """What dumpe2fs calls free, in bytes."""
        text = run("dumpe2fs", image)
        block = int(re.search(r"^Block size: *(\d+)", text, re.M).group(1))
        cluster = re.search(r"^Cluster size: *(\d+)", text, re.M)
        last_of_cluster = int(cluster.group(1)) // block if cluster else 1
        pieces = []
        for line in re.findall(r"^  Free blocks: (.*)$", text, re.M):
            for piece in filter(None, line.strip().split(", ")):
                first, _, last = piece.partition("-")
                pieces.append((int(first) * block,
                               (int(last or first) + last_of_cluster) * block))
        return Ranges(pieces)

    def test_every_variant_is_what_dumpe2fs_says_it_is(self):
        for name, options in VARIANTS.items():
            with self.subTest(name):
                image = self.make(*options)
                free = self.free_of(image)
                fill_free(image, free)
                self.assertGreater(free.total(), 64 * MIB)
                extents = self.check(image, free.inverse(128 * MIB))
                self.assertEqual({e["why"] for e in extents}, {"ext4"})

    def test_partclone_would_copy_the_same(self):
        for name in ("ext2", "1 KiB blocks", "32 bit, no checksums", "no flex_bg", "inline data"):
            with self.subTest(name):
                self.check_by_partclone("extfs", self.make(*VARIANTS[name]))

    def test_a_copy_passes_e2fsck_and_its_files_are_alike(self):
        image = self.make("-b", "4096")
        fill_free(image, self.free_of(image))
        copy, got = self.copy(image)
        run("e2fsck", "-fn", copy)
        self.assertLess(got["written_bytes"], 32 * MIB)
        for name in ("f1", "f58"):
            both = []
            for side in (image, copy):
                run("debugfs", "-R", f"dump {name} {self.folder}/out", side)
                both.append((self.folder / "out").read_bytes())
            self.assertEqual(len(both[0]), 200_000)
            self.assertEqual(both[0], both[1])

    def test_what_is_not_clean_is_allocated_whole(self):
        image = self.make()
        self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)
        run("debugfs", "-w", "-R", "feature needs_recovery", image)
        self.check_all_allocated(image, "journal has to be replayed")
        image = self.make("-O", "^has_journal")
        run("debugfs", "-w", "-R", "ssv state 0", image)
        self.check_all_allocated(image, "not unmounted cleanly")
        image = self.make()
        run("debugfs", "-w", "-R", "ssv state 3", image)
        self.check_all_allocated(image, "has errors")

    def test_errors_that_the_kernel_has_counted_are_allocated_whole(self):
        """They stay counted until e2fsck has looked, whatever the state says."""
        image = self.make()
        run("debugfs", "-w", "-R", "ssv error_count 1", image)
        self.assertIn("clean\n", re.search(r"Filesystem state:.*\n", run("dumpe2fs", "-h", image)).group())
        self.assertRegex(run("dumpe2fs", "-h", image), "FS Error count: *1\n")
        self.check_all_allocated(image, "has errors")
        subprocess.run(["e2fsck", "-fy", image], check=False, capture_output=True)
        self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)

    def test_what_the_library_objects_to_is_said_in_its_words(self):
        """Not as "Unknown code ext2 145"."""
        image = self.make()
        poke(image, 1024 + 120, b"spoilt")
        said = subprocess.run(["dumpe2fs", "-h", image], capture_output=True, text=True,
                              check=False).stderr
        words = re.search(r"^dumpe2fs: (.*) while trying to open", said, re.M).group(1)
        self.assertNotIn("nknown code", words)
        self.check_all_allocated(image, words)

    def test_an_unknown_feature_is_allocated_whole(self):
        image = self.make("-O", "^metadata_csum")
        poke(image, 1024 + 0x60 + 3, bytes([peek(image, 1024 + 0x63, 1)[0] | 0x40]))
        self.check_all_allocated(image, "ext4")

    def test_an_unknown_feature_that_a_reader_may_do_without_is_allocated_whole(self):
        for bit in 0x40000000, 0x80, 0x800, 0x10000:
            image = self.make("-b", "4096", "-O", "^metadata_csum")
            features = int.from_bytes(peek(image, 1024 + 0x64, 4), "little") | bit
            poke(image, 1024 + 0x64, features.to_bytes(4, "little"))
            self.check_all_allocated(image, "a feature that is not known")

    def test_meta_bg_with_resize_inode_is_allocated_whole(self):
        image = self.make("-b", "4096", "-O", "^metadata_csum")
        poke(image, 1024 + 0x60, bytes([peek(image, 1024 + 0x60, 1)[0] | 0x10]))
        self.check_all_allocated(image, "two things about where its groups are")

    def test_a_group_without_a_bitmap_that_has_something_in_it_is_allocated_whole(self):
        """The flag is set; the files, and the count of free blocks, are as they were."""
        for options in [], ["-O", "^metadata_csum,uninit_bg"], ["-O", "bigalloc", "-C", "4096"]:
            with self.subTest(options):
                image = self.make("-b", "1024", *options)
                file = self.file("large", 60 * MIB, [(0, 60 * MIB)])
                run("debugfs", "-w", "-R", f"write {file} large", image)
                text = run("dumpe2fs", image)
                group = re.findall(r"Group (\d+): .*\n(?:  .*\n)*?  0 free ", text)[-1]
                run("debugfs", "-w", "-f", "-", image,
                    input=f"set_bg {group} flags 0x3\nset_bg {group} checksum calc\n")
                self.assertIn("BLOCK_UNINIT", re.search(rf"Group {group}: .*", run("dumpe2fs", image)).group())
                self.check_all_allocated(image, "without a bitmap has something in it")

    def test_a_wrong_bitmap_is_allocated_whole(self):
        for options, says in ([], "checksum"), (["-O", "^metadata_csum"], "contradict"):
            image = self.make("-b", "4096", *options)
            text = run("dumpe2fs", image)
            place = int(re.search(r"Block bitmap at (\d+)", text).group(1)) * 4096
            poke(image, place + 4000, bytes([peek(image, place + 4000, 1)[0] ^ 1]))
            self.check_all_allocated(image, says)

    def free_block(self, image, block):
        """Marks it free in the bitmap, and makes all counts and checksums fit."""
        text = run("dumpe2fs", image)
        blocks = int(re.search(r"^Blocks per group: *(\d+)", text, re.M).group(1))
        first = int(re.search(r"^First block: *(\d+)", text, re.M).group(1))
        group = (block - first) // blocks
        count = int(re.search(r"^Free blocks: *(\d+)", text, re.M).group(1)) + 1
        of_group = int(re.search(rf"Group {group}: .*\n(?:  .*\n)*?  (\d+) free ", text).group(1)) + 1
        run("debugfs", "-w", "-f", "-", image,
            input=f"freeb {block}\nssv free_blocks_count {count}\n"
                  f"set_bg {group} free_blocks_count {of_group}\nset_bg {group} checksum calc\n")
        self.assertEqual(run("debugfs", "-R", f"testb {block}", image), f"Block {block} not in use\n")

    def test_a_bitmap_that_frees_what_the_file_system_needs_itself_is_allocated_whole(self):
        for options in [], ["-O", "^extent,^64bit,^metadata_csum"], ["-O", "^flex_bg"]:
            image = self.make("-b", "1024", *options)
            text = run("dumpe2fs", image)
            sound = image.read_bytes()
            of_inode = {number: int(run("debugfs", "-R", f"bmap <{number}> {at}", image))
                        for number, at in ((2, 0), (8, 100))}
            places = {
                "root": of_inode[2], "journal": of_inode[8],
                "bitmap": int(re.findall(r"Block bitmap at (\d+)", text)[1]),
                "inode bitmap": int(re.findall(r"Inode bitmap at (\d+)", text)[1]),
                "inodes": int(re.findall(r"Inode table at (\d+)", text)[0]) + 3,
            }
            for name, block in places.items():
                with self.subTest(options=options, name=name):
                    self.free_block(image, block)
                    self.check_all_allocated(image, "calls blocks free that it needs itself")
                    image.write_bytes(sound)

    def test_bad_blocks_are_allocated_or_all_of_it_is(self):
        bad = self.folder / "bad"
        bad.write_text("40000\n40001\n", encoding="utf-8")
        image = self.make("-b", "1024", "-l", bad)
        self.assertIn("40000", run("dumpe2fs", "-b", image))
        self.check(image, self.free_of(image).inverse(128 * MIB))
        self.free_block(image, 40001)
        self.check_all_allocated(image, "calls blocks free that it needs itself")

    def test_a_reserved_inode_that_its_bitmap_frees_is_allocated_whole(self):
        for number in 2, 7, 8, 10:
            image = self.make("-b", "1024", "-O", "^metadata_csum")
            run("debugfs", "-w", "-R", f"freei <{number}>", image)
            self.check_all_allocated(image, "calls a reserved inode free")

    def test_reserved_inodes_that_make_no_sense_are_allocated_whole(self):
        for number, field in ((8, "block[IND]"), (8, "block[0]"), (2, "block[0]"), (1, "block[0]")):
            with self.subTest(number=number, field=field):
                image = self.make("-b", "1024", "-O", "^metadata_csum,^64bit,^extent")
                run("debugfs", "-w", "-R", f"sif <{number}> {field} 2000000000", image)
                self.check_all_allocated(image, f"reserved inode {number} makes no sense")

    def test_a_file_system_that_was_cut_off_is_allocated_whole(self):
        image = self.make("-b", "4096")
        with open(image, "r+b") as file:
            file.truncate(100 * MIB)
        self.check_all_allocated(image, "larger than the place")

    def test_what_lies_behind_a_file_system_is_allocated(self):
        image = self.make("-b", "4096")
        with open(image, "r+b") as file:
            file.truncate(144 * MIB)
        self.check(image, Ranges([*self.free_of(image).inverse(128 * MIB).pieces,
                                  (128 * MIB, 144 * MIB)]))

    def test_what_was_put_over_a_file_system_and_is_not_understood_counts(self):
        image = self.make("-b", "4096")
        for offset, mark, name in ((0, b"LUKS\xba\xbe", "LUKS"),
                                   (0, b"integrt\0", "dm-integrity"),
                                   (0, b"SnAp", "snapshot"),
                                   (32, b"ORCLDISK", "Oracle"),
                                   (16384 + 20, b"\0\0\0\x07version", "ZFS"),
                                   (4096 + 24, bytes.fromhex("c68573f64e1a45ca"), "bcache"),
                                   (65536 + 52, b"ReIsEr2Fs", "ReiserFS"),
                                   (32769, b"CD001", "ISO 9660"),
                                   (128 * MIB - 1024, b"Intel Raid ISM Cfg Sig. ", "Intel"),
                                   (128 * MIB - 512, bytes.fromhex("de11de11"), "DDF")):
            with self.subTest(name):
                before = peek(image, offset, len(mark))
                poke(image, offset, mark)
                self.check_all_allocated(image, name)
                poke(image, offset, before)
        self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)

    def test_the_superblock_must_count_what_the_groups_count(self):
        for feature in "^metadata_csum", "metadata_csum":
            image = self.make("-b", "4096", "-O", feature)
            self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)
            run("debugfs", "-w", "-R", "ssv free_blocks_count 5000", image)
            self.check_all_allocated(image, "count different free blocks")

    def test_the_superblock_must_count_as_many_free_inodes_as_the_groups(self):
        for feature in "^metadata_csum", "metadata_csum":
            image = self.make("-b", "4096", "-O", feature)
            run("debugfs", "-w", "-R", "ssv free_inodes_count 5000", image)
            self.check_all_allocated(image, "count different free inodes")

    def test_garbage_in_its_tables_never_frees_what_is_used(self):
        image = self.make("-b", "4096")
        needed = self.free_of(image).inverse(128 * MIB)
        sound = image.read_bytes()[:MIB]
        for _ in range(60):
            for _ in range(random.randrange(1, 4)):
                poke(image, random.choice([1024, 4096]) + random.randrange(1024),
                     random.randbytes(random.randrange(1, 5)))
            extents, _ = self.map(image)
            self.assertEqual(needed.minus(self.ranges(extents, "mapped")).pieces, [])
            poke(image, 0, sound)


if __name__ == "__main__":
    analyse_rig.main()
