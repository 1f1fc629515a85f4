#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""--keep-free leaves alone what the tables of contents call free, and nothing else: what the target
calls unmapped reads as zeros on the primary, and a file system may count on that."""

import itertools
import os
import random
import re
import subprocess

import analyse_rig
from analyse_rig import DONE, MIB, poke, run
from rig import DIFFERENT, GRAIN

SIZES = {"ext4": 16 * MIB, "xfs": 300 * MIB}
PART = MIB  # where the file system begins on a disk with partitions
MAPS = ["", "lba-status", "analyse", "both", "full"]
TABLES = ["analyse", "both"]


def unmap_zeros(path):
    """What reads as zeros is a hole, or an unwritten extent (anchored): as behind mkfs on a thin
    LUN. Returns where that is."""
    found = []
    size = os.path.getsize(path)
    with open(path, "rb") as file:
        for at in range(0, size, GRAIN):
            if file.read(GRAIN).strip(b"\0"):
                continue
            if found and sum(found[-1]) == at:
                found[-1][1] += GRAIN
            else:
                found.append([at, GRAIN])
    for offset, length in found:
        run("fallocate", "-p", "-o", offset, "-l", length, path)
        if random.random() < 0.3:
            run("fallocate", "-o", offset, "-l", min(length, MIB), path)
    return found


class KeepFree(analyse_rig.Case):
    def make(self, kind, parted):
        """A primary with a file system as it is after mkfs and a little use."""
        name = f"{kind}-{parted}"
        image = self.file(name, SIZES[kind])
        if kind == "xfs":
            run("mkfs.xfs", "-q", "-f", image)
        else:
            run("mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0", image)
            run("debugfs", "-w", "-R", f"write {self.file('data', MIB, [(0, MIB)])} f", image)
        if not parted:
            return image, unmap_zeros(image)
        disk = self.file(f"{name}-disk", SIZES[kind] + 2 * PART)
        run("sfdisk", "-q", disk, input=f"2048,{SIZES[kind] // 512},L\n")
        analyse_rig.place(disk, PART, image)
        image.unlink()
        return disk, unmap_zeros(disk)

    def part(self, copy, kind, parted):
        """The file system alone."""
        if not parted:
            return copy
        image = self.folder / "part"
        run("dd", f"if={copy}", f"of={image}", "bs=1M", f"skip={PART // MIB}",
            f"count={SIZES[kind] // MIB}", "conv=sparse", "status=none")
        return image

    def inode_table(self, copy, kind, parted):
        """Where that of the first group begins, in bytes."""
        said = run("dumpe2fs", self.part(copy, kind, parted))
        size = int(re.search(r"(?m)^Block size: +(\d+)", said)[1])
        return size * int(re.search(r"Inode table at (\d+)-", said)[1])

    def log(self, copy, kind, parted):
        """Where the log begins, in bytes."""
        part = self.part(copy, kind, parted)
        block = run("xfs_db", "-r", "-c", "sb 0", "-c", "p logstart", part).split("=")[1]
        said = run("xfs_db", "-r", "-c", f"convert fsblock {int(block)} daddr", part)
        return 512 * int(re.search(r"\((\d+)\)", said)[1])

    def check_file_system(self, kind, copy, parted):
        image = copy
        if parted:
            image = self.part(copy, kind, parted)
        checker = ["xfs_repair", "-n"] if kind == "xfs" else ["e2fsck", "-fn"]
        done = subprocess.run([*checker, image], capture_output=True, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        if kind == "xfs":
            # A log that is not clean would be replayed, and cannot be; xfs_repair -n does not say.
            said = run("xfs_logprint", "-t", image)
            self.assertIn("<CLEAN>", said)

    def expect_equal_and_whole(self, kind, parted, image, primary, options):
        copy = self.folder / "copy"
        size = os.path.getsize(image)
        copy.write_bytes(random.randbytes(MIB) * (size // MIB))
        self.expect(DONE, "sync", "--overwrite", "--keep-free", "--verify", *options, primary, copy)
        self.check_file_system(kind, copy, parted)
        return copy

    def sweep(self, kind, parted):
        """By every source map, of which a few for the larger; of a file or of a LUN."""
        image, unmapped = self.make(kind, parted)
        run(analyse_rig.rig.THINVOL, "create", "--adopt", image)
        ways = [way for way in itertools.product(MAPS, (False, True))
                if way[0] in TABLES or not way[1]]
        if kind == "xfs":
            ways = [("", False), ("both", random.random() < 0.5), random.choice(ways)]
        for source, gaps in ways:
            options = [f"--source-map={source}"] if source else []
            options += ["--skip-gaps"] if gaps else []
            primary = random.choice([image, f"thin:{image}"])
            with self.subTest(kind=kind, parted=parted, options=options, primary=primary):
                copy = self.expect_equal_and_whole(kind, parted, image, primary, options)
                self.check_verify(kind, parted, copy, primary, options, unmapped)

    def check_verify(self, kind, parted, copy, primary, options, unmapped):
        """What is neither mapped nor free is compared: garbage in the log, or an inode table."""
        begin = self.log(copy, kind, parted) if kind == "xfs" else self.inode_table(copy, kind, parted)
        at = (PART if parted else 0) + begin + 8 * GRAIN
        self.assertTrue(any(start <= at < start + length for start, length in unmapped))
        poke(copy, at, b"x")
        verify = ("verify", "--allocated", *options, primary, copy)
        self.expect(DIFFERENT, *verify, says=[f"block {at // 512}"])

    def test_ext4_is_whole_by_every_source_map(self):
        self.sweep("ext4", False)

    def test_ext4_in_a_partition_is_whole_by_every_source_map(self):
        self.sweep("ext4", True)

    def test_xfs_is_whole_by_every_source_map(self):
        self.sweep("xfs", False)

    def test_xfs_in_a_partition_is_whole_by_every_source_map(self):
        self.sweep("xfs", True)


if __name__ == "__main__":
    analyse_rig.rig.main()
