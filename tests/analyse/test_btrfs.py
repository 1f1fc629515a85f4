#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""btrfs by mkfs.btrfs, which fills it from a folder; what is needed as btrfs's own dump of its
trees has it."""

import filecmp
import os
import random
import re
import struct

import analyse_rig
from analyse_rig import DONE, MIB, Ranges, peek, poke, run

SIZE = 192 * MIB
SUPER, SUPER_BYTES = 65536, 4096
CSUM_TYPE, FLAGS, DEVICES, LOG_ROOT, INCOMPAT, COMPAT_RO = 196, 56, 136, 96, 188, 180
SECTOR_SIZE, NODE_SIZE, DEVICE_BYTES, ARRAY, ARRAY_SIZE = 144, 148, 209, 811, 160
HEADER, ITEM = 101, 25
EXTENT, METADATA, GROUP, CHUNK = 168, 169, 192, 228


def make_table():
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        yield byte


TABLE = list(make_table())


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ TABLE[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def seal(path, offset, length):
    """The checksum of a superblock or node that was changed."""
    poke(path, offset, struct.pack("<I", crc32c(peek(path, offset + 32, length - 32))))


class Volume:
    """Where things are, as `btrfs inspect-internal` tells."""

    def __init__(self, path):
        self.path = path
        self.node_bytes, = struct.unpack("<I", peek(path, SUPER + NODE_SIZE, 4))
        self.chunks = []
        dump = run("btrfs", "inspect-internal", "dump-tree", "-t", "chunk", path)
        for item in dump.split("\titem ")[1:]:
            found = re.search(r"CHUNK_ITEM (\d+)\)[^\n]*\n\s+length (\d+)", item)
            if found:
                logical, length = map(int, found.groups())
                places = [int(place) for place in re.findall(r"stripe \d devid 1 offset (\d+)", item)]
                self.chunks.append((logical, length, places))

    def places(self, logical):
        for start, length, places in self.chunks:
            if start <= logical < start + length:
                return [place + logical - start for place in places]
        raise AssertionError(f"{logical} lies in no chunk")

    def extents(self):
        dump = run("btrfs", "inspect-internal", "dump-tree", "-t", "extent", self.path)
        for start, kind, length in re.findall(r"key \((\d+) (EXTENT|METADATA)_ITEM (\d+)\)", dump):
            yield int(start), int(length) if kind == "EXTENT" else self.node_bytes

    def needed(self, size):
        """All copies of all extents, the first MiB, the superblocks' copies."""
        pieces = [(0, MIB), (64 * MIB, 64 * MIB + 65536)]
        for start, length in self.extents():
            pieces += [(place, place + length) for place in self.places(start)]
        return Ranges([(start, min(end, size)) for start, end in pieces if start < size])

    def nodes(self, tree):
        """Its nodes' addresses, the root first."""
        dump = run("btrfs", "inspect-internal", "dump-tree", "-t", tree, self.path)
        return [int(logical) for logical in re.findall(r"(?m)^(?:leaf|node) (\d+) ", dump)]

    def change(self, logical, offset, data, sealed=True):
        """Writes into all copies of a node."""
        for place in self.places(logical):
            poke(self.path, place + offset, data)
            if sealed:
                seal(self.path, place, self.node_bytes)

    def items(self, logical):
        """(number, type, place of the data in the node) of a leaf."""
        node = peek(self.path, self.places(logical)[0], self.node_bytes)
        for number in range(struct.unpack_from("<I", node, 96)[0]):
            at = HEADER + number * ITEM
            yield number, node[at + 8], HEADER + struct.unpack_from("<I", node, at + 17)[0]


class Btrfs(analyse_rig.Case):
    def tree(self, files, sizes):
        """A folder that becomes the file system."""
        folder = self.folder / "tree"
        if not folder.exists():
            folder.mkdir()
            for i in range(files):
                part = folder / f"part{i % 10}"
                part.mkdir(exist_ok=True)
                (part / f"file{i}").write_bytes(random.randbytes(random.randrange(*sizes)))
        return folder

    def make(self, *options, files=60, sizes=(1, 150000)):
        image = self.image("btrfs", SIZE)
        run("mkfs.btrfs", "-q", "-f", "--rootdir", self.tree(files, sizes), *options, image)
        return image, Volume(image)

    def damage(self, cases, *options):
        """Yields each of the cases, with a sound image and where its parts are."""
        good, volume = self.make(*options)
        volume.path = self.folder / "damaged"
        for case in cases:
            with self.subTest(case=case):
                run("cp", "--sparse=always", good, volume.path)
                yield volume.path, volume, case

    def change_super(self, image, offset, data):
        poke(image, SUPER + offset, data)
        seal(image, SUPER, SUPER_BYTES)

    def test_free_space_is_free_in_every_copy(self):
        for options in ([], ["-m", "single"], ["-d", "dup"], ["-M"], ["-n", "4096", "-M"],
                        ["-n", "65536"], ["-O", "^skinny-metadata"], ["-O", "^no-holes"],
                        ["-R", "^free-space-tree"]):
            with self.subTest(options=options):
                image, volume = self.make(*options)
                extents = self.check(image, volume.needed(SIZE), ratio=1)
                self.assertEqual({e["why"] for e in extents}, {"btrfs"})

    def test_trees_of_several_levels_are_walked(self):
        image, volume = self.make("-n", "4096", "-m", "single", files=6500,
                                  sizes=(4000, 6000))
        root = volume.nodes("extent")[0]
        self.assertGreaterEqual(peek(image, volume.places(root)[0] + 100, 1)[0], 2)
        self.check(image, volume.needed(SIZE), ratio=1)

    def test_a_copy_is_clean_and_holds_every_file(self):
        image, volume = self.make()
        analyse_rig.fill_free(image, volume.needed(SIZE).inverse(SIZE))
        copy, _ = self.copy(image)
        run("btrfs", "check", "--readonly", copy)
        restored = self.folder / "restored"
        restored.mkdir()
        run("btrfs", "restore", copy, restored)
        names = [path.relative_to(self.folder / "tree")
                 for path in (self.folder / "tree").rglob("file*")]
        same, *other = filecmp.cmpfiles(self.folder / "tree", restored, names, shallow=False)
        self.assertEqual((len(same), other), (60, [[], []]))

    def test_verify_runs_its_checker(self):
        image, _ = self.make()
        copy, _ = self.copy(image)
        got = self.expect(DONE, "verify", "--allocated", "--source-map=analyse", "--json", image,
                          copy).json
        self.assertIn("btrfs check", str(got["checks"]))
        self.assertIn("clean", str(got["checks"]))

    def test_one_with_a_log_is_allocated_whole(self):
        image, volume = self.make()
        self.change_super(image, LOG_ROOT, struct.pack("<Q", volume.nodes("root")[0]))
        self.check_all_allocated(image, "log has to be replayed")

    def test_what_is_not_known_here_is_allocated_whole(self):
        cases = [(CSUM_TYPE, b"\1", "not CRC32C"), (FLAGS + 4, b"\1", "unusual"),
                 (INCOMPAT + 1, b"\x10", "features"), (COMPAT_RO, b"\x0b", "features"),
                 (DEVICES, b"\2", "several disks")]
        for image, _, (offset, data, says) in self.damage(cases):
            self.change_super(image, offset, data)
            self.check_all_allocated(image, says)
        image, _ = self.make("--csum", "xxhash")
        self.check_all_allocated(image, "not CRC32C")

    def test_a_damaged_superblock_is_allocated_whole(self):
        image, _ = self.make()
        poke(image, SUPER + 300, b"x")
        self.check_all_allocated(image, "checksum of its superblock")
        cases = [(48, bytes(8)), (SECTOR_SIZE, bytes(4)), (SECTOR_SIZE, struct.pack("<I", 4097)),
                 (NODE_SIZE, struct.pack("<I", 1 << 20)), (NODE_SIZE, struct.pack("<I", 2048)),
                 (DEVICE_BYTES, struct.pack("<Q", SIZE + 4096)), (ARRAY_SIZE, b"\xff" * 4),
                 (ARRAY_SIZE, struct.pack("<I", 16)), (ARRAY_SIZE, struct.pack("<I", 60)),
                 (ARRAY_SIZE, bytes(4)), (ARRAY + 8, b"\1"), (ARRAY + 17, bytes(8)),
                 (80, bytes(8)), (80, b"\xff" * 8), (88, b"\xff" * 8), (72, b"\xff"), (164, b"\xff"),
                 (198, b"\1"), (198, b"\xff"), (199, b"\7"), (201, b"\2"), (267, b"other"),
                 (32, b"another identity")]
        for image, _, (offset, data) in self.damage(cases):
            self.change_super(image, offset, data)
            self.check_all_allocated(image, "btrfs")

    def test_a_damaged_node_is_allocated_whole(self):
        cases = [(tree, offset) for tree in ("root", "chunk", "extent")
                 for offset in (200, 32, 48, 80, 88)]
        for image, volume, (tree, offset) in self.damage(cases):
            volume.change(volume.nodes(tree)[0], offset, b"x", sealed=offset != 200)
            self.check_all_allocated(image, "nodes")

    def test_items_that_make_no_sense_are_not_believed(self):
        cases = [(17, b"\xff" * 4, "beyond its node"), (21, b"\xff" * 4, "beyond its node"),
                 (17, bytes(4), "beyond its node"), (3 * ITEM, bytes(8), "do not ascend")]
        for image, volume, (offset, data, says) in self.damage(cases):
            volume.change(volume.nodes("extent")[0], HEADER + offset, data)
            self.check_all_allocated(image, says)

    def test_chunks_on_other_disks_and_over_each_other_are_not_believed(self):
        cases = [(24, b"\x09", "RAID"), (24, b"\0", "make no sense"), (44, b"\3", "make no sense"),
                 (48, b"\2", "another disk"), (56, b"\xff" * 6, "beyond its end"),
                 (0, bytes(8), "make no sense"), (0, struct.pack("<Q", 100), "make no sense"),
                 (56, struct.pack("<Q", MIB), "share a place")]
        for image, volume, (offset, data, says) in self.damage(cases, "-m", "single"):
            node = volume.nodes("chunk")[0]
            *_, last = (at for _, kind, at in volume.items(node) if kind == CHUNK)
            volume.change(node, last + offset, data)
            self.check_all_allocated(image, says)

    def test_extents_that_do_not_add_up_are_not_believed(self):
        cases = [(GROUP, None, b"\1", "add up"), (EXTENT, 9, b"\1", "chunk"),
                 (GROUP, 8, b"\xff", "add up"), (EXTENT, 8, b"\0", "add up"),
                 (GROUP, 9, b"\1", "block group"), (EXTENT, 16, b"\x10", "chunk")]
        for image, volume, (kind, offset, data, says) in self.damage(cases):
            node = volume.nodes("extent")[0]
            number, at = next((number, at) for number, found, at in volume.items(node)
                              if found == kind)
            volume.change(node, at if offset is None else HEADER + number * ITEM + offset, data)
            self.check_all_allocated(image, says)

    def test_extents_that_overlap_are_not_believed(self):
        image, volume = self.make()
        node = volume.nodes("extent")[0]
        number = next(number for number, kind, _ in volume.items(node) if kind == EXTENT)
        at = volume.places(node)[0] + HEADER + number * ITEM + 9
        length, = struct.unpack("<Q", peek(image, at, 8))
        volume.change(node, HEADER + number * ITEM + 9, struct.pack("<Q", length + 4096))
        self.check_all_allocated(image, "overlap")

    def test_one_that_was_cut_is_allocated_whole(self):
        image, _ = self.make()
        os.truncate(image, SIZE - MIB)
        self.check_all_allocated(image, "larger than the place")

    def test_what_lies_behind_it_is_allocated(self):
        image, volume = self.make()
        os.truncate(image, SIZE + 8 * MIB)
        needed = Ranges(volume.needed(SIZE).pieces + [[SIZE, SIZE + 8 * MIB]])
        self.check(image, needed, ratio=1)


if __name__ == "__main__":
    analyse_rig.main()
