# SPDX-License-Identifier: Apache-2.0
"""What the tests of the tables of contents share: making images with the real tools, and comparing
the map of an image with what another program says of it."""

import json
import lzma
import os
import pathlib
import random
import re
import shutil
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "mirror"))

import rig  # noqa: E402
from rig import DONE, MIB  # noqa: E402,F401

SECTOR = 512
GOLDEN = pathlib.Path(__file__).parent / "golden"
os.environ["PATH"] += ":/usr/sbin:/sbin"


def run(*args, **kwargs):
    """The program's output; it must succeed."""
    done = subprocess.run(list(map(str, args)), capture_output=True, text=True, timeout=120,
                          check=False, **kwargs)
    if done.returncode != 0:
        raise AssertionError(f"{args}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


class Ranges:
    """A set of bytes as sorted ranges."""

    def __init__(self, pieces):
        self.pieces = []
        for start, end in sorted(map(tuple, pieces)):
            if self.pieces and start <= self.pieces[-1][1]:
                self.pieces[-1][1] = max(end, self.pieces[-1][1])
            elif start < end:
                self.pieces.append([start, end])

    def total(self):
        return sum(end - start for start, end in self.pieces)

    def minus(self, other):
        left = []
        for start, end in self.pieces:
            for low, high in other.pieces:
                if high <= start or low >= end:
                    continue
                if low > start:
                    left.append((start, low))
                start = max(start, high)
            if start < end:
                left.append((start, end))
        return Ranges(left)

    def inverse(self, size):
        return Ranges([(0, size)]).minus(self)

    def moved(self, by):
        return [(start + by, end + by) for start, end in self.pieces]


class Case(rig.Case):
    """Images, and what their maps must be."""

    def image(self, name, size):
        return self.file(name, size)

    def golden(self, name):
        """A file of golden/, unpacked."""
        image = self.folder / "image"
        with lzma.open(GOLDEN / f"{name}.xz") as packed, open(image, "wb") as file:
            while piece := packed.read(MIB):
                if piece.strip(b"\0"):
                    file.write(piece)
                else:
                    file.seek(len(piece), os.SEEK_CUR)
            file.truncate()
        return image

    def map(self, image, *options):
        """The extents of the image as thinmirror sees them, and what it notes."""
        result = self.expect(DONE, "map", "--source-map=analyse", "--json", *options, image)
        extents = result.json["extents"]
        at = 0
        for extent in extents:
            self.assertEqual(extent["lba"], at)
            self.assertGreater(extent["blocks"], 0)
            at += extent["blocks"]
        self.assertEqual(at * SECTOR, os.path.getsize(image))
        return extents, result.err

    def check_by_partclone(self, kind, image, ratio=1.02):
        """What partclone would copy of it is allocated, and not much more."""
        if not shutil.which(f"partclone.{kind}"):
            self.skipTest("partclone is not installed")
        domain = self.folder / "domain"
        domain.unlink(missing_ok=True)
        run(f"partclone.{kind}", "-D", "-s", image, "-o", domain, "-L", self.folder / "partclone.log")
        needed = Ranges([(int(start, 16), int(start, 16) + int(length, 16)) for start, length in
                         re.findall(r"(?m)^(0x\w+) +(0x\w+) +\+$", domain.read_text())])
        self.assertGreater(needed.total(), 0)
        self.check(image, needed, ratio=ratio)

    def ranges(self, extents, status, why=""):
        return Ranges([(e["lba"] * SECTOR, (e["lba"] + e["blocks"]) * SECTOR) for e in extents
                       if e["status"] == status and why in e["why"]])

    def check(self, image, needed, ratio=1.02, slack=0):
        """All that is needed is allocated, and not much more."""
        extents, _ = self.map(image)
        allocated = self.ranges(extents, "mapped")
        self.assertEqual(needed.minus(allocated).pieces, [])
        self.assertLessEqual(allocated.total(), needed.total() * ratio + slack)
        return extents

    def check_all_allocated(self, image, *says, options=()):
        extents, notes = self.map(image, *options)
        self.assertEqual({e["status"] for e in extents}, {"mapped"}, notes)
        for text in says:
            self.assertIn(text, notes)

    def copy(self, image, *options):
        """A copy of what is allocated, on a fresh file."""
        copy = self.folder / "copy"
        copy.unlink(missing_ok=True)
        with open(copy, "wb") as file:
            os.truncate(file.fileno(), os.path.getsize(image))
        got = self.expect(DONE, "sync", "--source-map=analyse", "--verify", "--overwrite", "--json",
                          *options, image, copy)
        self.assertEqual(got.json["source_map"], "analyse")
        self.expect(DONE, "verify", "--allocated", "--source-map=analyse", *options, image, copy)
        return copy, got.json


def poke(path, offset, data):
    with open(path, "r+b") as file:
        file.seek(offset)
        file.write(data)


def peek(path, offset, length):
    with open(path, "rb") as file:
        file.seek(offset)
        return file.read(length)


def place(image, offset, part):
    """Puts one image into another."""
    poke(image, offset, pathlib.Path(part).read_bytes())


def fill_free(image, free):
    """What is free is not zeros on a disk that was used."""
    for start, end in free.pieces:
        poke(image, start, random.randbytes(min(end - start, 4096)))


main = rig.main
