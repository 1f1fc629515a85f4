#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""exFAT by mkfs.exfat, filled and fragmented by a few lines here that fsck.exfat finds clean."""

import random
import re
import struct

import analyse_rig
from analyse_rig import DONE, MIB, Ranges, peek, poke, run

SIZE = 96 * MIB
FLAGS, TABLES = 106, 110


class Volume:
    """Writes files into a fresh exFAT: runs of clusters, with or without a chain."""

    def __init__(self, path):
        self.path = path
        boot = peek(path, 0, 512)
        table, _, heap, self.clusters, self.root = struct.unpack_from("<IIIII", boot, 80)
        self.sector = 1 << boot[108]
        self.cluster = self.sector << boot[109]
        self.table, self.heap = table * self.sector, heap * self.sector
        for at in range(0, 256, 32):
            entry = peek(path, self.place(self.root) + at, 32)
            if entry[0] == 0x81:
                self.bitmap = self.place(struct.unpack_from("<I", entry, 20)[0])
            if entry[0] == 0x82:
                self.upcase = struct.unpack_from("<I", entry, 20)[0]
            if entry[0] == 0:
                self.next_entry = self.place(self.root) + at
                break
        self.files = {}

    def place(self, cluster):
        return self.heap + (cluster - 2) * self.cluster

    def bits(self):
        return bytearray(peek(self.path, self.bitmap, (self.clusters + 7) // 8))

    def free(self):
        bits = self.bits()
        return [i + 2 for i in range(self.clusters) if not bits[i // 8] >> i % 8 & 1]

    def mark(self, clusters, value):
        bits = self.bits()
        for i in clusters:
            bits[(i - 2) // 8] &= ~(1 << (i - 2) % 8)
            bits[(i - 2) // 8] |= value << (i - 2) % 8
        poke(self.path, self.bitmap, bits)

    def chain(self, clusters):
        for this, after in zip(clusters, clusters[1:] + [0xFFFFFFFF]):
            poke(self.path, self.table + 4 * this, struct.pack("<I", after))

    def add(self, name, clusters, chained):
        """A file that fills these clusters."""
        self.mark(clusters, 1)
        if chained:
            self.chain(clusters)
        for cluster in clusters:
            poke(self.path, self.place(cluster), random.randbytes(self.cluster))
        hashed = 0
        for byte in name.upper().encode("utf-16-le"):
            hashed = ((hashed << 15 | hashed >> 1) + byte) & 0xFFFF
        length = len(clusters) * self.cluster
        stream = struct.pack("<BBxBHxxQxxxxIQ", 0xC0, 1 if chained else 3, len(name), hashed, length,
                             clusters[0], length)
        entries = bytearray(struct.pack("<BBHH26x", 0x85, 2, 0, 0x20) + stream +
                            struct.pack("<Bx30s", 0xC1, name.encode("utf-16-le")))
        total = 0
        for i, byte in enumerate(entries):
            if i not in (2, 3):
                total = ((total << 15 | total >> 1) + byte) & 0xFFFF
        struct.pack_into("<H", entries, 2, total)
        poke(self.path, self.next_entry, entries)
        self.files[name] = (self.next_entry, clusters)
        self.next_entry += len(entries)

    def remove(self, name):
        entry, clusters = self.files.pop(name)
        for at in range(entry, entry + 96, 32):
            poke(self.path, at, bytes([peek(self.path, at, 1)[0] & 0x7F]))
        self.mark(clusters, 0)

    def fix_checksum(self):
        total = 0
        for i, byte in enumerate(peek(self.path, 0, 11 * self.sector)):
            if i not in (106, 107, 112):
                total = ((total << 31 | total >> 1) + byte) & 0xFFFFFFFF
        poke(self.path, 11 * self.sector, struct.pack("<I", total) * (self.sector // 4))


class Exfat(analyse_rig.Case):
    def make(self, *options):
        image = self.image("exfat", SIZE)
        run("mkfs.exfat", *options, image)
        return image, Volume(image)

    def fill(self, *options):
        """Many files, half of them deleted, and longer ones in the gaps."""
        image, volume = self.make("-c", "16K", *options)
        for i in range(60):
            free = volume.free()
            volume.add(f"FILE{i}", free[:random.randrange(1, 30)], chained=i % 2)
        for i in range(0, 60, 2):
            volume.remove(f"FILE{i}")
        for i in range(4):
            volume.add(f"LARGE{i}", volume.free()[:200], chained=True)
        run("fsck.exfat", "-n", image)
        return image, volume

    def needed(self, volume):
        return Ranges([(volume.place(i), volume.place(i + 1)) for i in volume.free()]).inverse(SIZE)

    def test_free_clusters_are_free(self):
        image, volume = self.fill()
        extents = self.check(image, self.needed(volume), ratio=1)
        self.assertIn("exFAT", {e["why"] for e in extents})
        self.assertLess(self.ranges(extents, "mapped").total(), SIZE // 4)

    def test_an_empty_one_has_as_many_free_clusters_as_dump_counts(self):
        for options in ([], ["-c", "512"], ["-c", "128K"], ["-b", "2M"]):
            with self.subTest(options=options):
                image, volume = self.make(*options)
                self.check(image, self.needed(volume), ratio=1)
                said = re.search(r"Free Clusters:\s+(\d+)", run("dump.exfat", image)).group(1)
                free = self.ranges(self.map(image)[0], "deallocated").total()
                self.assertEqual(free, int(said) * volume.cluster)

    def test_what_partclone_copies_is_allocated(self):
        image, _ = self.fill()
        self.check_by_partclone("exfat", image)

    def test_a_copy_is_clean_and_holds_every_file(self):
        image, volume = self.fill()
        copy, _ = self.copy(image)
        run("fsck.exfat", "-n", copy)
        for _, clusters in volume.files.values():
            for cluster in clusters:
                self.assertEqual(peek(image, volume.place(cluster), volume.cluster),
                                 peek(copy, volume.place(cluster), volume.cluster))

    def test_verify_runs_its_checker(self):
        image, _ = self.fill()
        copy, _ = self.copy(image)
        got = self.expect(DONE, "verify", "--allocated", "--source-map=analyse", "--json", image,
                          copy).json
        self.assertIn("fsck.exfat", str(got["checks"]))

    def test_a_dirty_one_and_one_with_failures_is_allocated_whole(self):
        for flags in (2, 4):
            image, _ = self.fill()
            poke(image, FLAGS, bytes([flags]))
            self.check_all_allocated(image, "not unmounted cleanly")

    def test_damaged_boot_sectors_are_allocated_whole(self):
        image, _ = self.fill()
        poke(image, 3 * 512 + 100, b"\1")
        self.check_all_allocated(image, "checksum of its boot sectors")
        fields = [(108, b"\x20"), (109, b"\x1f"), (72, b"\xff" * 8), (80, b"\1\0\0\0"),
                  (88, b"\xff" * 4), (92, b"\xff" * 4), (92, b"\0" * 4), (84, b"\1\0\0\0"),
                  (96, b"\0" * 4), (96, b"\xff" * 4), (510, b"\0")]
        for offset, value in fields:
            with self.subTest(offset=offset, value=value):
                image, volume = self.fill()
                poke(image, offset, value)
                volume.fix_checksum()
                self.check_all_allocated(image, "exFAT")

    def test_another_revision_and_two_tables_are_allocated_whole(self):
        for offset, value, says in ((105, b"\2", "revision"), (TABLES, b"\2", "TexFAT"),
                                    (FLAGS, b"\1", "TexFAT")):
            image, volume = self.fill()
            poke(image, offset, value)
            volume.fix_checksum()
            self.check_all_allocated(image, says)

    def test_chains_that_loop_or_lead_nowhere_are_allocated_whole(self):
        for first in ("root", "bitmap", "upcase"):
            for target in (0, 1, 0xFFFFFFF7, "itself", "beyond"):
                with self.subTest(first=first, target=target):
                    image, volume = self.fill()
                    cluster = {"root": volume.root, "bitmap": 2, "upcase": volume.upcase}[first]
                    to = {"itself": cluster, "beyond": volume.clusters + 2}.get(target, target)
                    poke(image, volume.table + 4 * cluster, struct.pack("<I", to))
                    self.check_all_allocated(image, "a chain of clusters")

    def test_a_bitmap_that_calls_its_own_clusters_free_is_not_believed(self):
        for name in ("root", "bitmap", "upcase"):
            image, volume = self.fill()
            cluster = {"root": volume.root, "bitmap": 2, "upcase": volume.upcase}[name]
            volume.mark([cluster], 0)
            self.check_all_allocated(image, "calls free what it needs")

    def test_a_bitmap_that_calls_a_file_of_the_root_directory_free_is_not_believed(self):
        image, volume = self.make("-c", "16K")
        free = volume.free()
        volume.add("CHAINED", free[:3], chained=True)
        volume.add("WHOLE", free[3:6], chained=False)
        self.check(image, self.needed(volume), ratio=1)
        for cluster in (free[0], free[3], free[5]):
            with self.subTest(cluster=cluster):
                volume.mark([cluster], 0)
                self.check_all_allocated(image, "calls free what it needs")
                volume.mark([cluster], 1)
        for first in (1, volume.clusters + 1):
            poke(image, volume.files["WHOLE"][0] + 32 + 20, struct.pack("<I", first))
            self.check_all_allocated(image, "leads beyond its end")

    def test_without_a_bitmap_or_with_two_it_is_allocated_whole(self):
        image, volume = self.fill()
        root = volume.place(volume.root)
        at = next(i for i in range(0, 256, 32) if peek(image, root + i, 1) == b"\x81")
        entry = peek(image, root + at, 32)
        poke(image, root + at, b"\1")
        self.check_all_allocated(image, "bitmap is missing")
        poke(image, root + at, entry)
        poke(image, volume.next_entry, entry)
        self.check_all_allocated(image, "contradicts itself")
        poke(image, volume.next_entry, bytes(32))
        poke(image, root + at + 24, b"\1")
        self.check_all_allocated(image, "another size")

    def test_a_bitmap_in_pieces_is_followed(self):
        image, volume = self.make("-c", "512")
        clusters = list(range(2, 2 + -(-((volume.clusters + 7) // 8) // 512)))
        moved = volume.free()[5000]
        poke(image, volume.place(moved), peek(image, volume.place(clusters[7]), 512))
        volume.mark([moved], 1)
        volume.chain(clusters[:7] + [moved] + clusters[8:])
        # The bit of the moved cluster is in one of those that did not move.
        self.assertNotEqual((moved - 2) // 8 // 512, 7)
        poke(image, volume.place(clusters[7]), b"\xff" * 512)
        extents, notes = self.map(image)
        self.assertGreater(self.ranges(extents, "deallocated").total(), SIZE * 8 // 10, notes)


if __name__ == "__main__":
    analyse_rig.main()
