#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""XFS, made by mkfs.xfs or filled by a kernel (golden/, see make_kernel_images), judged by xfs_db and
xfs_repair."""

import os
import random
import re
import struct

import analyse_rig
from analyse_rig import MIB, Ranges, fill_free, peek, place, poke, run

NO_LIST = 1 << 20  # what the free lists of all groups hold at most


class Xfs(analyse_rig.Case):
    def make(self, *options, size=320 * MIB):
        """Empty, or with the files of a prototype."""
        image = self.folder / "image"
        image.unlink(missing_ok=True)
        self.image("image", size)
        data = self.file("data", 3 * MIB, [(0, 3 * MIB)])
        prototype = self.folder / "prototype"
        prototype.write_text("x\n0 0\nd--755 0 0\n" +
                             "".join(f"f{i} ---644 0 0 {data}\n" for i in range(12)) + "$\n")
        run("mkfs.xfs", "-q", "-f", "-p", prototype, *options, image)
        return image

    def free_of(self, image):
        """What xfs_db finds in the trees and the free lists, in bytes."""
        fields = dict(re.findall(r"(?m)^(\w+) = (\d+)", run("xfs_db", "-r", "-c", "sb 0", "-c", "p",
                                                             image)))
        block, group = int(fields["blocksize"]), int(fields["agblocks"])
        pieces = []
        for line in run("xfs_db", "-r", "-c", "freesp -d", image).splitlines():
            words = line.split()
            if len(words) == 3 and all(word.isdigit() for word in words):
                start = int(words[0]) * group + int(words[1])
                pieces.append((start * block, (start + int(words[2])) * block))
            elif words[:1] == ["from"]:
                break
        return Ranges(pieces)

    def check_free(self, image):
        """What is allocated is what xfs_db does not call free, and the blocks of the free lists."""
        free = self.free_of(image)
        size = os.path.getsize(image)
        self.assertGreater(free.total(), 0)
        fill_free(image, Ranges([p for p in free.pieces if p[1] - p[0] > 65536]))
        self.check(image, free.inverse(size), ratio=1, slack=NO_LIST)
        return free

    def enlarge_free(self, image, group, record, start, count):
        """Has the trees and the counts of a group call more free, as one."""
        before = {name: int(re.search(rf"{name} = (\d+)", run("xfs_db", "-r", "-c", f"agf {group}", "-c", "p",
                                                               image)).group(1)) for name in ("freeblks", "longest")}
        tree = run("xfs_db", "-r", "-c", f"agf {group}", "-c", "addr bnoroot", "-c", "p recs", image)
        old = int(re.search(rf"{record}:\[\d+,(\d+)\]", tree).group(1))
        words = [f"agf {group}", f"write freeblks {before['freeblks'] + count - old}",
                 f"write longest {max(before['longest'], count)}"]
        for root in "bnoroot", "cntroot":
            words += [f"agf {group}", f"addr {root}", f"write recs[{record}].startblock {start}",
                      f"write recs[{record}].blockcount {count}"]
        run("xfs_db", "-x", *(part for word in words for part in ("-c", word)), image)

    def test_trees_that_free_what_the_file_system_needs_itself_are_allocated_whole(self):
        """The log, a group's headers and the roots of its trees: all counts and checksums fit."""
        for version in 1, 0:
            image = self.image("image", 320 * MIB)
            run("mkfs.xfs", "-q", "-f", "-m", f"crc={version}", image)
            sound = image.read_bytes()
            fields = dict(re.findall(r"(?m)^(\w+) = (\d+)", run("xfs_db", "-r", "-c", "sb 0", "-c", "p", image)))
            of_log = int(fields["logstart"]) >> int(fields["agblklog"])
            for group, what in ((of_log, "log"), (1, "headers"), (1, "roots")):
                image.write_bytes(sound)
                with self.subTest(version=version, what=what):
                    tree = run("xfs_db", "-r", "-c", f"agf {group}", "-c", "addr bnoroot", "-c", "p recs", image)
                    start, count = map(int, re.search(r"1:\[(\d+),(\d+)\]", tree).groups())
                    self.assertEqual(tree.count(":["), 1)
                    begin = {"log": start - 100, "headers": 0, "roots": 1}[what]
                    self.enlarge_free(image, group, 1, begin, count + start - begin)
                    self.check_all_allocated(image, "calls blocks free that it needs itself")

    def test_every_variant_is_what_xfs_db_says_it_is(self):
        for options in ([], ["-m", "crc=0"], ["-b", "size=1024"], ["-d", "agcount=2"],
                        ["-m", "rmapbt=1,reflink=1"], ["-s", "size=4096"], ["-l", "su=65536"],
                        ["-m", "crc=1,finobt=0"], ["-i", "nrext64=1"]):
            with self.subTest(options):
                self.check_free(self.make(*options))

    def test_a_file_system_that_a_kernel_filled_is_what_xfs_db_says_it_is(self):
        image = self.golden("xfs-v5")
        free = self.check_free(image)
        self.assertGreater(len(free.pieces), 300)
        copy, _ = self.copy(image)
        run("xfs_repair", "-n", copy)

    def test_partclone_would_copy_the_same(self):
        for options in ([], ["-m", "crc=0"], ["-d", "agcount=2"]):
            with self.subTest(options):
                self.check_by_partclone("xfs", self.make(*options))
        self.check_by_partclone("xfs", self.golden("xfs-v5"))

    def test_a_copy_passes_xfs_repair(self):
        for options in ([], ["-m", "crc=0"]):
            image = self.make(*options)
            self.check_free(image)
            copy, got = self.copy(image)
            run("xfs_repair", "-n", copy)
            self.assertLess(got["written_bytes"], 128 * MIB)

    def test_another_last_record_in_the_log_is_not_clean(self):
        image = self.make()
        text = run("xfs_db", "-r", "-c", "sb 0", "-c", "convert fsblock " +
                   re.search(r"logstart = (\d+)", run("xfs_db", "-r", "-c", "sb 0", "-c", "p",
                                                      image)).group(1) + " byte", image)
        log = int(re.search(r"\((\d+)\)", text).group(1))
        for offset, data in ((512 + 9, b"\0"), (40, struct.pack(">I", 2)), (304, b"\1"),
                             (512, b"\0\0\0\0"), (12, struct.pack(">I", 1024))):
            before = peek(image, log + offset, len(data))
            self.assertNotEqual(before, data)
            poke(image, log + offset, data)
            self.check_all_allocated(image)
            poke(image, log + offset, before)
        self.check_free(image)

    def test_a_log_elsewhere_or_a_realtime_section_is_allocated_whole(self):
        log = self.image("log", 80 * MIB)
        self.check_all_allocated(self.make("-l", f"logdev={log},size=70m"), "another device")
        realtime = self.image("rt", 320 * MIB)
        self.check_all_allocated(self.make("-r", f"rtdev={realtime}"), "realtime")

    def test_a_file_system_that_was_cut_off_is_allocated_whole(self):
        image = self.make()
        os.truncate(image, 300 * MIB)
        self.check_all_allocated(image, "larger than the place")

    def test_wrong_checksums_and_counts_are_allocated_whole(self):
        for options, offset, says in (([], 112, "superblock"), ([], 512 + 100, "group 0"),
                                      ([], 4096 + 100, "tree"), (["-m", "crc=0"], 512 + 55, "free blocks"),
                                      (["-m", "crc=0"], 4096 + 16, "tree")):
            image = self.make(*options)
            poke(image, offset, bytes([peek(image, offset, 1)[0] ^ 0x41]))
            self.check_all_allocated(image, says)

    def test_version_4_trees_that_contradict_each_other_are_allocated_whole(self):
        """The first free extent begins a block earlier: no count tells, and there are no checksums."""
        image = self.make("-m", "crc=0")
        start = int.from_bytes(peek(image, 4096 + 16, 4), "big")
        poke(image, 4096 + 16, (start - 1).to_bytes(4, "big"))
        self.check_all_allocated(image, "contradict each other")

    def test_garbage_in_its_tables_never_frees_what_is_used(self):
        image = self.make()
        needed = self.free_of(image).inverse(320 * MIB)
        sound = peek(image, 0, 65536)
        for _ in range(40):
            poke(image, random.choice([0, 512, 4096]) + random.randrange(256),
                 random.randbytes(random.randrange(1, 5)))
            self.assertEqual(needed.minus(self.ranges(self.map(image)[0], "mapped")).pieces, [])
            poke(image, 0, sound)

    def test_in_a_partition(self):
        part = self.make()
        image = self.image("disk", 330 * MIB)
        run("sgdisk", "-n", "1:2048:+320M", image)
        place(image, MIB, part)
        free = self.free_of(part)
        os.unlink(part)
        extents, _ = self.map(image)
        got = self.ranges(extents, "deallocated")
        self.assertEqual(got.minus(Ranges(free.moved(MIB))).pieces, [])
        self.assertGreater(got.total(), free.total() - NO_LIST)


if __name__ == "__main__":
    analyse_rig.main()
