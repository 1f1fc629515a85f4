#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""sync and verify by the primary's own table of contents."""

import json
import signal
import struct
import time

import analyse_rig
import rig
from analyse_rig import DONE, MIB, Ranges, fill_free, peek, poke, run
from rig import DIFFERENT, INTERRUPTED, USAGE
from targets import SIZE, Targets


def make_file_system(case, name, size):
    """An ext4 with a file in it, garbage where it is free, and where that is."""
    image = case.file(name, size)
    run("mkfs.ext4", "-q", "-F", "-b", "1024", image)
    data = case.file("data", MIB, [(0, MIB)])
    run("debugfs", "-w", "-R", f"write {data} f", image)
    extents = case.expect(DONE, "map", "--source-map=analyse", "--json", image).json["extents"]
    free = Ranges([(e["lba"] * 512, (e["lba"] + e["blocks"]) * 512) for e in extents
                   if e["status"] == "deallocated"])
    fill_free(image, free)
    return image, free


class Sync(analyse_rig.Case):
    def setUp(self):
        super().setUp()
        self.primary, self.free = make_file_system(self, "primary", 32 * MIB)
        self.needed = self.free.inverse(32 * MIB).total()

    def test_what_is_free_is_empty_on_the_secondary(self):
        copy, got = self.copy(self.primary)
        self.assertEqual(got["written_bytes"], self.needed)
        for start, end in self.free.pieces:
            self.assertFalse(any(peek(copy, start, end - start)))
        again = self.expect(DONE, "sync", "--source-map=full", "--json", "--overwrite",
                            self.primary, copy).json
        self.assertEqual(again["written_bytes"], 32 * MIB)
        again = self.expect(DONE, "sync", "--source-map=analyse", "--verify", "--json",
                            self.primary, copy).json
        self.assertEqual(again["written_bytes"], self.needed)
        self.assertGreater(again["unmapped_bytes"] + again["zeroed_bytes"], 0)

    def test_keep_free_leaves_alone_what_is_free(self):
        copy = self.file("copy", 32 * MIB, [(0, 32 * MIB)])
        start, end = max(self.free.pieces, key=lambda piece: piece[1] - piece[0])
        before = peek(copy, start, end - start)
        got = self.expect(DONE, "sync", "--source-map=analyse", "--keep-free", "--overwrite",
                          "--verify", "--json", self.primary, copy).json
        self.assertEqual(got["unmapped_bytes"] + got["zeroed_bytes"], 0)
        self.assertEqual(peek(copy, start, end - start), before)
        run("e2fsck", "-fn", copy)
        self.expect(DIFFERENT, "verify", "--source-map=analyse", self.primary, copy)
        said = self.expect(DONE, "verify", "--source-map=analyse", "--allocated", self.primary,
                           copy).out
        self.assertRegex(said, r"compared .*\(the rest is not in use .* not looked at\)")

    def test_verify_allocated_finds_what_is_lost_and_minds_nothing_else(self):
        copy, _ = self.copy(self.primary)
        start, _ = self.free.pieces[-1]
        poke(copy, start, b"x")
        self.expect(DIFFERENT, "verify", "--source-map=analyse", self.primary, copy)
        self.expect(DONE, "verify", "--source-map=analyse", "--allocated", self.primary, copy)
        poke(copy, 1024 + 0x78, b"x")
        self.expect(DIFFERENT, "verify", "--source-map=analyse", "--allocated", self.primary, copy)

    def checks(self, status, primary, secondary, **kwargs):
        return self.expect(status, "verify", "--source-map=analyse", "--allocated", "--json",
                           primary, secondary, **kwargs).json["checks"]

    def test_verify_allocated_asks_the_file_systems_own_checker(self):
        copy, _ = self.copy(self.primary)
        check, = self.checks(DONE, self.primary, copy)
        self.assertEqual((check["what"], check["checker"], check["result"]),
                         ("ext4", "e2fsck -fn", "clean"))
        before = rig.digest(copy)
        # The root directory becomes a file; the maps of the blocks know nothing of that.
        for image in (self.primary, copy):
            run("debugfs", "-w", "-R", "set_inode_field <2> mode 0100644", image)
        poke(copy, 1024, peek(self.primary, 1024, 1024))
        self.assertNotEqual(rig.digest(copy), before)
        before = rig.digest(copy)
        check, = self.checks(DIFFERENT, self.primary, copy,
                             says=["e2fsck -fn has found faults", "were there before"])
        self.assertEqual(check["result"], "faulty")
        self.assertEqual(rig.digest(copy), before)

    def test_a_partition_is_checked_in_its_place(self):
        image = self.file("disk", 40 * MIB)
        run("sfdisk", "-q", image, input="2048,65536,L\n")
        analyse_rig.place(image, MIB, self.primary)
        copy, _ = self.copy(image)
        check, = self.checks(DONE, image, copy)
        self.assertEqual((check["what"], check["checker"]), ("partition 1, ext4", "e2fsck -fn"))
        if check["result"] == "not run":  # only root can make a loop device
            self.assertIn("loop device", check["says"])
        else:
            self.assertEqual(check["result"], "clean")

    def test_both_takes_what_is_mapped_and_allocated(self):
        copy = self.file("copy", 32 * MIB)
        written = {}
        # In this order: what was read of a preallocated file looks mapped for a while.
        for source in ("lba-status", "both", "analyse"):
            got = self.expect(DONE, "sync", f"--source-map={source}", "--overwrite", "--json",
                              self.primary, copy).json
            self.assertEqual(got["source_map"], source)
            written[source] = got["written_bytes"]
        self.assertLess(written["both"], written["analyse"])
        self.assertLess(written["both"], written["lba-status"])
        run("e2fsck", "-fn", copy)

    def test_what_becomes_allocated_while_it_is_copied_is_copied_too(self):
        copy = self.file("copy", 32 * MIB)
        late = self.file("late", 2 * MIB, [(0, 2 * MIB)])
        process = self.start("sync", "--source-map=analyse", "--json", "--rate=2M", self.primary,
                             copy)
        time.sleep(0.5)
        run("debugfs", "-w", "-R", f"write {late} late", self.primary)
        out, notes = process.communicate(timeout=60)
        self.assertEqual(process.returncode, DONE, notes)
        self.assertIn("became allocated", notes)
        self.assertGreater(json.loads(out)["written_bytes"], self.needed + 2 * MIB - 1)
        got = [peek(copy, start, end - start) == peek(self.primary, start, end - start)
               for start, end in self.new_ranges()]
        self.assertTrue(got and all(got))

    def interrupt(self, copy, ledger):
        """A sync that has copied about half of it."""
        args = ["sync", "--source-map=analyse", "--json", f"--ledger={ledger}",
                "--checkpoint=0.05", "--overwrite"]
        process = self.start(*args, "--rate=4M", self.primary, copy)
        while not (ledger.exists() and self.done_blocks(ledger) > 2048):
            self.assertIsNone(process.poll(), "ended too early")
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, INTERRUPTED, err)
        return [*args, "--resume"]

    @staticmethod
    def done_blocks(ledger):
        ranges = json.loads(ledger.read_text())["done"].split()
        return sum(int(piece.split("+")[1]) for piece in ranges)

    def test_a_resumed_copy_has_what_became_allocated_since_the_interruption(self):
        copy, ledger = self.file("copy", 32 * MIB), self.folder / "ledger"
        args = self.interrupt(copy, ledger)
        late = self.file("late", 12 * MIB, [(0, 12 * MIB)])
        run("debugfs", "-w", "-R", f"write {late} late", self.primary)
        got = self.expect(DONE, *args, self.primary, copy, says=["have changed", "begins anew"])
        self.assertEqual(got.json["resumed_bytes"], 0)
        run("e2fsck", "-fn", copy)
        run("debugfs", "-R", f"dump late {self.folder / 'found'}", copy)
        self.assertEqual(rig.digest(self.folder / "found"), rig.digest(late))

    def test_a_resumed_copy_of_what_did_not_change_goes_on(self):
        copy, ledger = self.file("copy", 32 * MIB), self.folder / "ledger"
        args = self.interrupt(copy, ledger)
        self.assertRegex(json.loads(ledger.read_text())["tables"], "^[0-9a-f]{16}$")
        got = self.expect(DONE, *args, "--verify", self.primary, copy).json
        self.assertGreater(got["resumed_bytes"], 0)
        self.assertEqual(got["notes"], [])
        run("e2fsck", "-fn", copy)

    def test_tables_that_changed_are_copied_last(self):
        """A file is deleted: nothing becomes allocated, but the tables are other ones."""
        copy = self.file("copy", 32 * MIB)
        process = self.start("sync", "--source-map=analyse", "--json", "--rate=2M", self.primary,
                             copy)
        time.sleep(0.5)
        run("debugfs", "-w", "-R", "rm f", self.primary)
        _, notes = process.communicate(timeout=60)
        self.assertEqual(process.returncode, DONE, notes)
        self.assertIn("was in use", notes)
        self.assertEqual(peek(copy, 1024, 1024), peek(self.primary, 1024, 1024))

    def new_ranges(self):
        allocated = self.ranges(self.map(self.primary)[0], "mapped")
        return allocated.minus(self.free.inverse(32 * MIB)).pieces

    def test_a_map_of_the_target_is_not_taken_for_one_of_its_contents(self):
        empty = self.file("empty", 4 * MIB)
        result = self.expect(DONE, "map", "--source-map=both", "--json", empty,
                             says=["no table of contents"])
        self.assertEqual({e["status"] for e in result.json["extents"]}, {"deallocated"})
        self.expect(USAGE, "map", "--source-map=table", empty, says=["analyse"])


class LargeBlocks(analyse_rig.Case):
    """LUNs with blocks of 4096 bytes, which the file systems know nothing of."""

    def check(self, size, kind, checker, command):
        part = self.file("part", size)
        run(*command, part)
        disk = self.folder / "disk"
        disk.unlink(missing_ok=True)
        self.file("disk", size + 4 * MIB)
        poke(disk, 446, struct.pack("<BxxxBxxxII", 0, 0x83, 256, size // 4096))
        poke(disk, 510, b"\x55\xaa")
        analyse_rig.place(disk, MIB, part)
        primary, copy = (self.volume(name, size + 4 * MIB, block_size=4096)
                         for name in ("primary", "copy"))
        with open(primary, "r+b") as file:
            file.write(disk.read_bytes())
        args = ["--source-map=analyse", f"thin:{primary}", f"thin:{copy}"]
        got = self.expect(DONE, "sync", "--verify", "--overwrite", "--json", *args).json
        self.assertEqual(got["source_map"], "analyse")
        self.assertLess(got["written_bytes"], size // 2)
        check, = self.expect(DONE, "verify", "--allocated", "--json", *args).json["checks"]
        self.assertEqual((check["what"], check["checker"]), (f"partition 1, {kind}", checker[0]))
        out = self.folder / "out"
        out.write_bytes(copy.read_bytes()[MIB:MIB + size])
        run(*checker[1], out)
        for path in (primary, copy):
            path.unlink()
            path.with_name(path.name + ".thin").unlink()

    def test_file_systems_on_blocks_of_4096_bytes(self):
        ext = ("e2fsck -fn", ["e2fsck", "-fn"])
        self.check(32 * MIB, "ext4", ext, ["mkfs.ext4", "-q", "-F", "-b", "1024"])
        self.check(64 * MIB, "ext4", ext, ["mkfs.ext4", "-q", "-F", "-b", "4096"])
        self.check(320 * MIB, "XFS", ("xfs_repair -n", ["xfs_repair", "-n", "-f"]),
                   ["mkfs.xfs", "-q", "-s", "size=4096"])


class NotThin(Targets):
    """LUNs of tgtd that are not thin."""

    def test_its_own_table_is_asked_without_being_told(self):
        path, url = self.serve(0)
        image, free = make_file_system(self, "image", SIZE)
        path.write_bytes(image.read_bytes())
        self.tgtd[0].set_params("thin_provisioning=0")
        copy = self.file("copy", SIZE)
        got = self.expect(DONE, "sync", "--verify", "--json", url, copy,
                          says=["its own tables of contents", "--source-map=full"]).json
        self.assertEqual(got["source_map"], "analyse")
        self.assertEqual(got["written_bytes"], free.inverse(SIZE).total())
        run("e2fsck", "-fn", copy)
        self.expect(DONE, "verify", url, copy)
        self.expect(DONE, "verify", "--source-map=analyse", "--allocated", url, copy)
        got = self.expect(DONE, "verify", "--source-map=analyse", "--allocated", "--json", image,
                          url, says=["e2fsck -fn was not run", "attach it"]).json
        self.assertEqual([check["result"] for check in got["checks"]], ["not run"])

    def test_a_copy_of_all_of_it_is_as_good(self):
        path, url = self.serve(0)
        image, free = make_file_system(self, "image", SIZE)
        path.write_bytes(image.read_bytes())
        self.tgtd[0].set_params("thin_provisioning=0")
        whole = self.file("whole", SIZE)
        got = self.expect(DONE, "sync", "--source-map=full", "--json", url, whole).json
        self.assertEqual(got["written_bytes"], SIZE)
        self.expect(DONE, "verify", url, whole)
        self.expect(DONE, "verify", "--source-map=full", url, whole)
        self.expect(DIFFERENT, "verify", "--source-map=analyse", url, whole)
        self.assertTrue(free.pieces)

    def test_without_a_table_that_is_understood_all_of_it_is_taken(self):
        path, url = self.serve(0)
        image, _ = make_file_system(self, "image", SIZE)
        path.write_bytes(image.read_bytes())
        run("debugfs", "-w", "-R", "feature needs_recovery", path)
        self.tgtd[0].set_params("thin_provisioning=0")
        whole = self.file("whole", SIZE)
        got = self.expect(DONE, "sync", "--json", url, whole,
                          says=["journal has to be replayed", "all of its blocks are taken"]).json
        self.assertEqual((got["source_map"], got["written_bytes"]), ("full", SIZE))
        self.expect(DONE, "verify", url, whole)


if __name__ == "__main__":
    analyse_rig.main()
