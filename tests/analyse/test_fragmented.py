#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""File systems whose free space is in very many pieces: each of them is told."""

import pathlib
import re
import sys

import analyse_rig
from analyse_rig import MIB, Ranges, run

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

from fragmented_ext import fragment  # noqa: E402

SMALL, DIRECTORIES, FILES = 1024, 60, 200


class Fragmented(analyse_rig.Case):
    def free_of(self, image):
        """What dumpe2fs calls free, in bytes."""
        text = run("dumpe2fs", image)
        block = int(re.search(r"^Block size: *(\d+)", text, re.M).group(1))
        return Ranges([(int(first) * block, (int(last or first) + 1) * block)
                       for line in re.findall(r"^  Free blocks: (.+)$", text, re.M)
                       for first, last in re.findall(r"(\d+)(?:-(\d+))?", line)])

    def check_exact(self, image, pieces):
        free = self.free_of(image)
        self.assertGreater(len(free.pieces), pieces)
        extents, _ = self.map(image)
        self.assertEqual(self.ranges(extents, "deallocated").pieces, free.pieces)

    def test_an_ext4_with_gaps_of_one_block_between_its_files(self):
        tree = self.folder / "tree"
        for directory in range(DIRECTORIES):
            (tree / f"d{directory}").mkdir(parents=True)
            for file in range(FILES):
                (tree / f"d{directory}" / f"f{file:03}").write_bytes(b"x" * SMALL)
        for options in (["-b", "1024"], ["-b", "1024", "-O", "^metadata_csum,^64bit"]):
            with self.subTest(options):
                image = self.image("image", 64 * MIB)
                run("mkfs.ext4", "-q", "-F", "-N", "20000", "-d", tree, *options, image)
                lines = [f"rm d{directory}/f{file:03}" for directory in range(DIRECTORIES)
                         for file in range(0, FILES, 2)]
                run("debugfs", "-w", "-f", "-", image, input="\n".join(lines) + "\n")
                run("e2fsck", "-fn", image)
                self.check_exact(image, DIRECTORIES * FILES // 3)
                self.check_by_partclone("extfs", image)
                image.unlink()

    def test_an_ext4_with_more_pieces_than_a_list_should_hold(self):
        image = self.image("image", 20 << 30)
        run("mkfs.ext4", "-q", "-F", "-O", "^64bit,^uninit_bg,^metadata_csum", "-E", "nodiscard",
            image)
        fragment(image)
        self.check_exact(image, 600_000)


if __name__ == "__main__":
    analyse_rig.main()
