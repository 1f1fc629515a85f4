#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""NTFS by mkntfs, filled, truncated and fragmented by ntfs-3g's tools."""

import os
import random
import re
import struct

import analyse_rig
from analyse_rig import DONE, MIB, Ranges, peek, poke, run

SIZE = 64 * MIB
MFT, LOG, VOLUME, ROOT, BITMAP, BAD, UPCASE = 0, 2, 3, 5, 6, 8, 10
LIST, INFORMATION, DATA, INDEX, END = 0x20, 0x70, 0x80, 0xA0, 0xFFFFFFFF


class Volume:
    """Where things are in an NTFS, as far as the tests need to damage them."""

    def __init__(self, path):
        self.path = path
        boot = peek(path, 0, 512)
        sector, per_cluster = struct.unpack_from("<HB", boot, 11)
        self.cluster = sector * per_cluster
        sectors, mft, mirror = struct.unpack_from("<QQQ", boot, 40)
        self.clusters = sectors // per_cluster
        self.mft, self.mirror = mft * self.cluster, mirror * self.cluster
        self.record = 1 << 256 - boot[64] if boot[64] > 127 else boot[64] * self.cluster

    def record_at(self, number):
        return self.mft + number * self.record

    def attribute(self, number, kind):
        """Where an attribute's header is."""
        record = self.record_at(number)
        at = record + struct.unpack("<H", peek(self.path, record + 20, 2))[0]
        while True:
            found, length = struct.unpack("<II", peek(self.path, at, 8))
            if found == kind:
                return at
            if found == END:
                raise AssertionError(f"record {number} has no attribute {kind:#x}")
            at += length

    def runs_at(self, number, kind=DATA):
        at = self.attribute(number, kind)
        return at + struct.unpack("<H", peek(self.path, at + 32, 2))[0]

    def places(self, number, kind=DATA):
        """The pieces of a file, as offsets and lengths in bytes."""
        at, cluster, pieces = self.runs_at(number, kind), 0, []
        while head := peek(self.path, at, 1)[0]:
            numbers = peek(self.path, at + 1, (head & 15) + (head >> 4))
            count = int.from_bytes(numbers[:head & 15], "little")
            cluster += int.from_bytes(numbers[head & 15:], "little", signed=True)
            pieces.append((cluster * self.cluster, count * self.cluster))
            at += 1 + len(numbers)
        return pieces

    def attributes(self, number):
        """The attributes of a record, as bytes, and its sequence number."""
        record = bytearray(peek(self.path, self.record_at(number), self.record))
        fixups, = struct.unpack_from("<H", record, 4)
        for i in range(self.record // 512):
            record[i * 512 + 510:i * 512 + 512] = record[fixups + 2 + 2 * i:fixups + 4 + 2 * i]
        at, found = struct.unpack_from("<H", record, 20)[0], []
        while struct.unpack_from("<I", record, at)[0] != END:
            length, = struct.unpack_from("<I", record, at + 4)
            found.append(bytes(record[at:at + length]))
            at += length
        return found, struct.unpack_from("<H", record, 16)[0]

    def write_record(self, number, attributes, sequence, base=0, flags=1):
        """A record of these attributes, and its copy."""
        count = self.record // 512 + 1
        begin = 48 + 2 * count + 7 & ~7
        data = b"".join(sorted(attributes, key=lambda part: part[0])) + struct.pack("<II", END, 0)
        record = bytearray(self.record)
        struct.pack_into("<4sHHQHHHHIIQHHI", record, 0, b"FILE", 48, count, 0, sequence, 1, begin,
                         flags, begin + len(data), self.record, base, 99, 0, number)
        record[begin:begin + len(data)] = data
        for i in range(1, count):
            record[48 + 2 * i:50 + 2 * i] = record[i * 512 - 2:i * 512]
            record[i * 512 - 2:i * 512] = b"\7\0"
        record[48:50] = b"\7\0"
        for start in [self.mft] + [self.mirror] * (number < 4):
            poke(self.path, start + number * self.record, record)

    def split(self, number, pieces, others, begin=True, list_at=None, change=lambda entries: None,
              base=None):
        """The data of a file goes to these pieces (lists of clusters and counts), of which the
        first is told by its own record, unless begin is false, and each other one by one of the
        others. list_at is the cluster of the list of attributes, if it is not in the record."""
        attributes, sequence = self.attributes(number)
        data = next(part for part in attributes if struct.unpack_from("<IxxxxxB", part) == (DATA, 0))
        contents = b"".join(peek(self.path, *place) for place in self.places(number))
        base = number | sequence << 48 if base is None else base
        kept = [part for part in attributes if part is not data]
        entries = [struct.pack("<IHBBQQHxxxxxx", struct.unpack_from("<I", part)[0], 32, 0, 26, 0,
                               number | sequence << 48, struct.unpack_from("<H", part, 14)[0])
                   for part in kept if part[9] == 0]
        first, owners = 0, [number] * begin + list(others)
        for owner, piece in zip(owners, pieces):
            runs, last, count = b"", 0, sum(length for _, length in piece)
            for cluster, length in piece:
                runs += struct.pack("<BIi", 0x44, length, cluster - last)
                last = cluster
                poke(self.path, cluster * self.cluster, contents[:length * self.cluster])
                contents = contents[length * self.cluster:]
            header = bytearray(data[:64])
            struct.pack_into("<QQ", header, 16, first, first + count - 1)
            struct.pack_into("<H", header, 32, 64)
            header[40:64] = header[40:64] if first == 0 else bytes(24)
            part = bytes(header) + runs + bytes(8 - len(runs) % 8)
            part = part[:4] + struct.pack("<I", len(part)) + part[8:]
            owned_by = sequence if owner == number else 5
            entries.append(struct.pack("<IHBBQQHxxxxxx", DATA, 32, 0, 26, first,
                                       owner | owned_by << 48,
                                       struct.unpack_from("<H", data, 14)[0]))
            if owner == number:
                kept.append(part)
            else:
                self.write_record(owner, [part], owned_by, base)
            first += count
        entries.sort(key=lambda entry: entry[0])
        change(entries)
        self.write_record(number, kept + [self.attribute_list(b"".join(entries), list_at)], sequence)

    def attribute_list(self, entries, list_at):
        if list_at is None:
            value = entries + bytes(-len(entries) % 8)
            return struct.pack("<IIBBHHHIHH", LIST, 24 + len(value), 0, 0, 0, 0, 98, len(entries), 24,
                               0) + value
        poke(self.path, list_at * self.cluster, entries)
        return struct.pack("<IIBBHHHQQHHIQQQBIiBxxxxxx", LIST, 80, 1, 0, 0, 0, 98, 0, 0, 64, 0, 0,
                           self.cluster, len(entries), len(entries), 0x44, 1, list_at, 0)

    def bits(self):
        return b"".join(peek(self.path, *place) for place in self.places(BITMAP))

    def needed(self):
        bits = self.bits()
        free = [i for i in range(self.clusters) if not bits[i // 8] >> i % 8 & 1]
        return Ranges([(i * self.cluster, (i + 1) * self.cluster) for i in free]).inverse(
            self.path.stat().st_size)

    def poke(self, number, offset, data):
        """Into a record and into its copy. Not the last bytes of a sector."""
        assert all((offset + i) % 512 < 510 for i in range(len(data)))
        poke(self.path, self.record_at(number) + offset, data)
        if number < 4:
            poke(self.path, self.mirror + number * self.record + offset, data)

    def poke_attribute(self, number, kind, offset, data):
        self.poke(number, self.attribute(number, kind) + offset - self.record_at(number), data)

    def clear_bit(self, cluster):
        (start, _), = self.places(BITMAP)
        byte = peek(self.path, start + cluster // 8, 1)[0]
        poke(self.path, start + cluster // 8, bytes([byte & ~(1 << cluster % 8)]))

    def set_bits(self, clusters):
        (start, _), = self.places(BITMAP)
        bits = bytearray(self.bits())
        for i in clusters:
            bits[i // 8] |= 1 << i % 8
        poke(self.path, start, bits)

    def write_log(self, *pages):
        """The restart pages of 4096 bytes: sequence number, client in use, flags, version."""
        (start, length), = self.places(LOG)
        poke(self.path, start, bytes(length))
        for i, (sequence, client, flags, version) in enumerate(pages):
            page = bytearray(4096)
            struct.pack_into("<4sHHQIIHHH", page, 0, b"RSTR", 30, 9, 0, 4096, 4096, 48, version & 255,
                             version >> 8)
            struct.pack_into("<QHHHH", page, 48, sequence, 1, 0xFFFF, client, flags)
            for place in [30, *range(510, 4096, 512)]:
                struct.pack_into("<H", page, place, 7)
            poke(self.path, start + i * 4096, page)


class Ntfs(analyse_rig.Case):
    def make(self, *options, size=SIZE):
        image = self.image("ntfs", size)
        run("mkntfs", "-q", "-F", "-Q", *options, image)
        return image, Volume(image)

    def put(self, image, name, data):
        part = self.folder / "part"
        part.write_bytes(data)
        run("ntfscp", "-q", image, part, f"/{name}")

    def fill(self, *options, files=24):
        """Many files, every second one truncated, and longer ones in the gaps."""
        image, volume = self.make(*options)
        for i in range(files):
            self.put(image, f"file{i}", random.randbytes(random.randrange(1, 200_000)))
        for i in range(64, 64 + files, 2):
            run("ntfstruncate", "-q", image, i, 0)
        for i in range(3):
            self.put(image, f"large{i}", random.randbytes(900_000))
        return image, volume

    def test_free_clusters_are_free(self):
        image, volume = self.fill()
        extents = self.check(image, volume.needed(), ratio=1)
        self.assertIn("NTFS", {e["why"] for e in extents})
        self.assertLess(self.ranges(extents, "mapped").total(), SIZE // 4)
        self.assertGreater(len(extents), 10)

    def test_as_many_clusters_are_free_as_ntfsinfo_counts(self):
        for options in ([], ["-c", "512"], ["-c", "65536"], ["-s", "1024", "-c", "1024"],
                        ["-s", "4096", "-c", "4096"]):
            with self.subTest(options=options):
                image, volume = self.make(*options)
                self.put(image, "a", random.randbytes(1_000_000))
                self.check(image, volume.needed(), ratio=1)
                said = re.search(r"Free Clusters: (\d+)", run("ntfsinfo", "-m", image)).group(1)
                free = self.ranges(self.map(image)[0], "deallocated").total()
                self.assertEqual(free, int(said) * volume.cluster)

    def test_what_partclone_copies_is_allocated(self):
        image, _ = self.fill()
        self.check_by_partclone("ntfs", image)

    def test_what_is_free_belongs_to_no_file_says_ntfscluster(self):
        image, volume = self.fill(files=8)
        extents, _ = self.map(image)
        for piece in self.ranges(extents, "deallocated").pieces[:20]:
            first, last = piece[0] // volume.cluster, piece[1] // volume.cluster - 1
            self.assertIn("no inode found",
                          run("ntfscluster", "-q", "-c", f"{first}-{last}", image))

    def test_a_copy_is_clean_and_holds_every_file(self):
        image, volume = self.fill()
        copy, _ = self.copy(image)
        run("ntfsfix", "-n", copy)
        self.assertEqual(peek(image, SIZE - 512, 512), peek(copy, SIZE - 512, 512))
        for name in ("file1", "file23", "large0", "large2"):
            self.assertEqual(run("ntfscat", image, name, errors="replace"),
                             run("ntfscat", copy, name, errors="replace"))
        self.assertEqual(Volume(copy).bits(), volume.bits())

    def test_verify_runs_its_checker(self):
        image, _ = self.fill(files=2)
        copy, _ = self.copy(image)
        got = self.expect(DONE, "verify", "--allocated", "--source-map=analyse", "--json", image,
                          copy).json
        self.assertIn("ntfsfix", str(got["checks"]))

    def test_one_that_was_not_unmounted_is_allocated_whole(self):
        for flags in (1, 2, 4, 0x10, 0x4000):
            image, volume = self.make()
            volume.poke_attribute(VOLUME, INFORMATION, 24 + 10, struct.pack("<H", flags))
            self.check_all_allocated(image, "not unmounted cleanly")

    def test_a_version_that_is_not_known_is_allocated_whole(self):
        for version in (b"\1\2", b"\4\0", b"\3\2"):
            image, volume = self.make()
            volume.poke_attribute(VOLUME, INFORMATION, 24 + 8, version)
            self.check_all_allocated(image, "version is not known")

    def test_only_a_log_that_is_closed_is_clean(self):
        none, first = 0xFFFF, 0
        for pages, says in (([(5, none, 0, 0x101), (4, none, 0, 0x101)], None),
                            ([(5, first, 2, 0x101), (4, none, 0, 0x101)], None),
                            ([(5, none, 0, 0x101), (6, first, 0, 0x101)], "not empty"),
                            ([(7, first, 0, 0x101), (6, none, 0, 0x101)], "not empty"),
                            ([(7, first, 0, 0x101)], "not empty"),
                            ([(7, none, 0, 0x200)], "means to go on"),
                            ([], "damaged")):
            with self.subTest(pages=pages):
                image, volume = self.make()
                volume.write_log(*pages)
                if says:
                    self.check_all_allocated(image, says)
                else:
                    self.check(image, volume.needed(), ratio=1)

    def test_a_damaged_page_of_the_log_leaves_the_other(self):
        for damaged, says in ((0, None), (1, "not empty")):
            image, volume = self.make()
            volume.write_log((5, 0, 0, 0x101), (4, 0xFFFF, 0, 0x101))
            (start, _), = volume.places(LOG)
            poke(image, start + damaged * 4096 + 510, b"\x55")
            if says:
                self.check_all_allocated(image, says)
            else:
                self.check(image, volume.needed(), ratio=1)

    def test_a_suspended_windows_makes_all_of_it_allocated(self):
        for files in (0, 40):
            for begin, whole in ((b"hibr", True), (b"HIBR", True), (b"RSTR", True), (b"wake", False),
                                 (bytes(4), False)):
                with self.subTest(files=files, begin=begin):
                    image, volume = self.make()
                    for i in range(files):
                        self.put(image, f"a file with quite a long name {i}", b"1")
                    if files > 0:
                        volume.attribute(ROOT, INDEX)
                    self.put(image, "hiberfil.SYS", begin + bytes(9000))
                    if whole:
                        self.check_all_allocated(image, "suspended Windows")
                    else:
                        self.check(image, volume.needed(), ratio=1)

    def test_a_root_directory_whose_blocks_are_told_elsewhere_is_not_believed(self):
        image, volume = self.make()
        for i in range(40):
            self.put(image, f"a file with quite a long name {i}", b"1")
        volume.poke_attribute(ROOT, INDEX, 0, b"\xA8")
        self.check_all_allocated(image, "root directory does not say where it is")

    def test_a_short_hibernation_file_is_none(self):
        image, volume = self.make()
        self.put(image, "hiberfil.sys", b"hibr" + bytes(100))
        self.check(image, volume.needed(), ratio=1)

    def test_a_record_that_was_not_written_as_a_whole_is_not_believed(self):
        for number in (MFT, VOLUME, ROOT, BITMAP, LOG):
            with self.subTest(number=number):
                image, volume = self.fill(files=1)
                for start in [volume.mft] + [volume.mirror] * (number < 4):
                    poke(image, start + number * volume.record + volume.record - 2, b"\xAB\xCD")
                self.check_all_allocated(image, "not written as a whole")

    def test_a_file_table_that_its_copy_contradicts_is_not_believed(self):
        image, volume = self.make()
        poke(image, volume.mirror + VOLUME * volume.record + 60, b"\x5A")
        self.check_all_allocated(image, "contradicts")

    def test_lists_of_clusters_that_lead_beyond_the_end_are_not_believed(self):
        for number in (MFT, LOG, BITMAP):
            for value, says in ((b"\x41\x01\xff\xff\xff\x7f", "beyond its end"),
                                (b"\x11\x00\x10\x00", "beyond its end"),
                                (b"\xff" * 4, "damaged"), (b"\x00" * 4, "a list of clusters"),
                                (b"\x01\x08\x00", "damaged"), (b"\x11\x01\x80\x00", "beyond its end"),
                                (b"\x14\xff\xff\xff\xff\x04", "beyond its end")):
                with self.subTest(number=number, value=value):
                    image, volume = self.make()
                    volume.poke(number, volume.runs_at(number) - volume.record_at(number), value)
                    self.check_all_allocated(image, says)

    def test_a_bitmap_that_calls_its_own_clusters_free_is_not_believed(self):
        image, volume = self.make()
        for start in (0, volume.mft, volume.mirror, volume.places(BITMAP)[0][0],
                      volume.places(LOG)[0][0]):
            image, volume = self.make()
            volume.clear_bit(start // volume.cluster)
            self.check_all_allocated(image, "calls free what it needs")

    def test_a_bitmap_that_calls_a_file_free_is_not_believed(self):
        image, volume = self.fill()
        for number in (65, 87, 90):
            with self.subTest(number=number):
                cluster = volume.places(number)[-1][0] // volume.cluster
                volume.clear_bit(cluster)
                self.check_all_allocated(image, "calls free what it needs")
                volume.set_bits([cluster])
                self.check(image, volume.needed(), ratio=1)

    def test_a_file_that_was_not_written_as_a_whole_is_not_believed(self):
        image, volume = self.fill()
        poke(image, volume.record_at(65) + 510, b"\xff\xee")
        self.check_all_allocated(image, "not written as a whole")

    def test_bad_clusters_are_allocated_and_one_that_the_bitmap_calls_free_is_not_believed(self):
        image, volume = self.make()
        bits = volume.bits()
        bad = next(i for i in range(300, volume.clusters) if not bits[i // 8] >> i % 8 & 1)
        data = volume.attribute(BAD, DATA)
        while peek(image, data + 9, 1) != b"\4":  # the one named $Bad
            data += struct.unpack("<I", peek(image, data + 4, 4))[0]
        runs = data + struct.unpack("<H", peek(image, data + 32, 2))[0]
        # A hole, and a cluster.
        poke(image, runs, b"\x01\x10\x21\x01" + struct.pack("<H", bad) + b"\0")
        self.check_all_allocated(image, "calls free what it needs")
        volume.set_bits([bad])
        extents = self.check(image, volume.needed(), ratio=1)
        self.assertIn([bad * volume.cluster, (bad + 1) * volume.cluster],
                      [list(piece) for piece in self.ranges(extents, "mapped").pieces])
        for value, says in ((b"\x01\x00", "beyond its end"), (b"\x09", "damaged"),
                            (b"\x21\x01\xff\x7f", "beyond its end")):
            poke(image, runs, value)
            self.check_all_allocated(image, says)

    def move(self, volume, number, head, tail):
        """A file's first clusters to where head says (cluster, count), the others to tail."""
        (start, length), = volume.places(number)
        data = peek(volume.path, start, length)
        split = head[1] * volume.cluster
        for (cluster, _), part in ((head, data[:split]), (tail, data[split:])):
            poke(volume.path, cluster * volume.cluster, part)
        step = tail[0] - head[0]
        narrow = -128 <= step < 128
        runs = (struct.pack("<BBH", 0x21, head[1], head[0]) if narrow else
                struct.pack("<BBB", 0x11, head[1], head[0]))
        runs += struct.pack("<BBb" if narrow else "<BBh", 0x11 if narrow else 0x21, tail[1], step)
        volume.poke(number, volume.runs_at(number) - volume.record_at(number), runs + b"\0")
        self.assertEqual(len(volume.places(number)), 2)

    def test_a_bitmap_in_pieces_is_followed(self):
        image, volume = self.make("-c", "512")
        self.put(image, "a", random.randbytes(3_000_000))
        count = volume.places(BITMAP)[0][1] // 512
        bits = int.from_bytes(volume.bits(), "little")
        free = next(i for i in range(400, 32000) if not bits >> i & (1 << 2 * count) - 1)
        volume.set_bits(range(free, free + 2 * count))
        self.move(volume, BITMAP, (free + count, count - 1), (free, 1))
        self.check(image, volume.needed(), ratio=1)

    def test_a_file_table_in_pieces_is_followed(self):
        image, volume = self.make()
        for i in range(60):
            self.put(image, f"file{i}", random.randbytes(2000))
        self.put(image, "hiberfil.sys", b"wake" + bytes(9000))
        count = volume.places(MFT)[0][1] // volume.cluster
        first = volume.mft // volume.cluster
        volume.set_bits(range(9000, 9000 + count))
        self.move(volume, MFT, (first, 8), (9000, count - 8))
        poke(image, volume.mft + 8 * volume.cluster, bytes((count - 8) * volume.cluster))
        self.check(image, volume.needed(), ratio=1)
        self.put(image, "hiberfil.sys", b"hibr" + bytes(9000))
        self.check_all_allocated(image, "suspended Windows")

    def scattered(self):
        """An NTFS, and where the clusters of its bitmap are to go, each by itself."""
        image, volume = self.make("-c", "512")
        self.put(image, "a", random.randbytes(3_000_000))
        count = volume.places(BITMAP)[0][1] // 512
        bits = volume.bits()
        free = [i for i in range(400, 120000) if not bits[i // 8] >> i % 8 & 1][::3][:count + 1]
        volume.set_bits(free)
        pieces = [(cluster, 1) for cluster in free]
        return image, volume, pieces[:-1], free[-1]

    def test_a_bitmap_in_several_records_is_followed(self):
        for begin, elsewhere in ((True, False), (False, False), (True, True), (False, True)):
            with self.subTest(begin=begin, elsewhere=elsewhere):
                image, volume, places, last = self.scattered()
                needed = volume.needed()
                random.shuffle(places)
                split = [places[:5], places[5:15], places[15:]]
                volume.split(BITMAP, split, [16, 18, 17][:3 - begin], begin,
                             last if elsewhere else None)
                self.check(image, needed, ratio=1)
                self.check_by_partclone("ntfs", image)
                # Its clusters, and those of the list, are its own.
                for cluster in [places[20][0]] + [last] * elsewhere:
                    index = cluster // 8 // 512
                    at = places[index][0] * 512 + cluster // 8 % 512
                    before = peek(image, at, 1)
                    poke(image, at, bytes([before[0] & ~(1 << cluster % 8)]))
                    self.check_all_allocated(image, "calls free what it needs")
                    poke(image, at, before)

    def test_a_file_table_in_several_records_is_followed(self):
        image, volume = self.make()
        for i in range(60):
            self.put(image, f"file{i}", random.randbytes(2000))
        self.put(image, "hiberfil.sys", b"wake" + bytes(9000))
        first, count = volume.mft // volume.cluster, volume.places(MFT)[0][1] // volume.cluster
        volume.set_bits(range(9000, 9000 + 2 * count))
        needed = volume.needed()
        sound = peek(image, volume.mft, count * volume.cluster)
        second, rest = [(9000, 4)], [(9002 + count, count - 12)]
        # The third piece is told by a record in the second one.
        volume.split(MFT, [[(first, 8)], second, rest], [16, 8 * volume.cluster // volume.record])
        poke(image, 9000 * volume.cluster, peek(image, volume.mft + 8 * volume.cluster, 4096))
        poke(image, volume.mft + 8 * volume.cluster, bytes((count - 8) * volume.cluster))
        self.check(image, needed, ratio=1)
        at = sound.index(b"h\0i\0b\0e\0r\0f\0i\0l\0") // volume.record * volume.record
        self.assertGreater(at, 12 * volume.cluster)
        poke(image, rest[0][0] * volume.cluster + at - 12 * volume.cluster, b"BAAD")
        self.check_all_allocated(image, "damaged")

    def test_a_hibernation_file_in_several_records_is_looked_into(self):
        for begin, whole in ((b"hibr", True), (b"wake", False)):
            for own in (True, False):
                image, volume = self.make()
                self.put(image, "hiberfil.sys", begin + random.randbytes(3 * 4096))
                volume.set_bits(range(9000, 9004))
                needed = volume.needed()
                volume.split(64, [[(9003, 1)], [(9000, 2), (9002, 1)]], [17, 16][own:], own)
                if whole:
                    self.check_all_allocated(image, "suspended Windows")
                else:
                    self.check(image, needed, ratio=1)

    def test_lists_of_attributes_that_are_wrong_are_not_believed(self):
        def without_last(entries):
            entries.pop()

        def turned_round(entries):
            entries.reverse()

        def with_last(offset, value):
            def change(entries):
                entry = entries[-1]
                entries[-1] = entry[:offset] + value + entry[offset + len(value):]
            return change

        for change, base, says in ((without_last, None, "not as long as its file"),
                                   (turned_round, None, "not as long as its file"),
                                   (with_last(4, b"\0\0"), None, "damaged"),
                                   (with_last(4, b"\x21\0"), None, "damaged"),
                                   (with_last(6, b"\1"), None, "not as long as its file"),
                                   (with_last(8, b"\x0b"), None, "not as long as its file"),
                                   (with_last(16, b"\x11"), None, "names one that is not there"),
                                   (with_last(16, b"\x14"), None, "not what it should be"),
                                   (with_last(16, b"\xff" * 6), None, "beyond the table's end"),
                                   (with_last(22, b"\6"), None, "older than what it leads to"),
                                   (lambda entries: None, 7 | 7 << 48, "leads to another file"),
                                   (lambda entries: None, 0, "leads to another file"),
                                   (lambda entries: entries.clear(), None, "missing or too short")):
            with self.subTest(says=says):
                image, volume, places, _ = self.scattered()
                volume.split(BITMAP, [places[:5], places[5:10], places[10:]], [17, 18], change=change,
                             base=base)
                self.check_all_allocated(image, says)
        image, volume, places, last = self.scattered()
        volume.split(BITMAP, [places[:5], places[5:]], [17], list_at=last)
        volume.poke_attribute(BITMAP, LIST, 48, b"\1\0\5")
        self.check_all_allocated(image, "a list of attributes is damaged")
        self.assertEqual(volume.attributes(17)[1], 5)

    def test_attributes_out_of_bounds_are_not_believed(self):
        for offset, value in ((4, b"\0\0\0\0"), (4, b"\xf8\xff\0\0"), (4, b"\x49\0\0\0")):
            image, volume = self.make()
            volume.poke_attribute(BITMAP, DATA, offset, value)
            self.check_all_allocated(image, "damaged")
        for offset, value, says in ((12, b"\1\0", "compressed"), (12, b"\0\x80", "sparse"),
                                    (48, b"\1" + bytes(7), "too short"),
                                    (56, b"\1" + bytes(7), "too short"),
                                    (48, b"\xff" * 7 + b"\x0f", "not as long")):
            image, volume = self.make()
            volume.poke_attribute(BITMAP, DATA, offset, value)
            self.check_all_allocated(image, says)

    def test_a_boot_sector_that_makes_no_sense_is_allocated_whole(self):
        for offset, value in ((11, b"\0\0"), (11, b"\1\2"), (13, b"\0"), (13, b"\3"), (13, b"\x90"),
                              (40, b"\xff" * 8), (48, b"\xff" * 8), (56, b"\xff" * 8), (48, b"\1"),
                              (64, b"\0"), (64, b"\x80"), (64, b"\xe0"), (510, b"\0")):
            with self.subTest(offset=offset, value=value):
                image, _ = self.make()
                poke(image, offset, value)
                self.check_all_allocated(image, "NTFS")

        for size in (b"\xf8", b"\xef"):  # of its records: 256 and 131072 bytes
            image, _ = self.make()
            poke(image, 64, size)
            self.check_all_allocated(image, "its boot sector makes no sense")

    def test_a_bitmap_that_is_missing_or_in_its_record_is_not_believed(self):
        image, volume = self.make(size=8 * MIB)
        attributes, sequence = volume.attributes(BITMAP)
        others = [part for part in attributes if struct.unpack_from("<I", part)[0] != DATA]
        bits = volume.bits()[:(volume.clusters + 63) // 64 * 8]
        inside = struct.pack("<IIBBHHHIHH", DATA, 24 + len(bits), 0, 0, 0, 0, 97, len(bits), 24, 0)
        for added in [], [inside + bits]:
            volume.write_record(BITMAP, others + added, sequence)
            self.check_all_allocated(image, "its bitmap is missing or too short")

    def test_volume_shadow_copies_make_all_of_it_allocated(self):
        image, _ = self.fill()
        poke(image, 0x1E00, bytes.fromhex("6b87083876c1484eb7ae04046e6cc752") + struct.pack("<QQQQ", 1, 1, 0x1E00, 0))
        self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)
        poke(image, 0x1E30, struct.pack("<Q", 0x123000))
        self.check_all_allocated(image, "volume shadow copies")

    def test_without_its_backup_boot_sector_all_of_it_is_allocated(self):
        image, _ = self.fill()
        place = struct.unpack("<Q", peek(image, 40, 8))[0] * struct.unpack("<H", peek(image, 11, 2))[0]
        backup = peek(image, place, 512)
        self.assertEqual(backup, peek(image, 0, 512))
        poke(image, place + 72, bytes(8))
        self.assertGreater(self.ranges(self.map(image)[0], "deallocated").total(), 0)
        for other in bytes(512), backup[:48] + b"\x09" + backup[49:], backup[:510] + bytes(2):
            poke(image, place, other)
            self.check_all_allocated(image, "backup boot sector is not where it should be")
        os.truncate(image, place)
        self.check_all_allocated(image, "no room for its backup boot sector")

    def test_in_a_partition_and_cut_short(self):
        image, volume = self.fill(files=4)
        disk = self.image("disk", SIZE + 2 * MIB)
        run("sfdisk", "-q", disk, input=f"start=1MiB, size={SIZE // 512}, type=7\n")
        analyse_rig.place(disk, MIB, image)
        inner = Ranges(volume.needed().moved(MIB))
        needed = Ranges(inner.pieces + [[0, MIB], [MIB + SIZE, SIZE + 2 * MIB]])
        self.check(disk, needed, ratio=1)
        with open(image, "r+b") as file:
            file.truncate(SIZE - MIB)
        self.check_all_allocated(image, "larger than the place")


if __name__ == "__main__":
    analyse_rig.main()
