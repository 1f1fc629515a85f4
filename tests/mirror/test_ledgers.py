#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is remembered of a secondary, where, and what it is worth when it is out of date or when the
secondary is not what it was."""

import json
import os
import random
import signal
import subprocess
import time

import rig
from rig import DONE, FAILED, INTERRUPTED, MIB, REFUSED, USAGE

SIZE = 8 * MIB
PIECE = 256 * rig.KIB


class Ledgers(rig.Case):
    """A primary that is full, a secondary, and a copy that can be interrupted in the middle."""

    def setUp(self):
        super().setUp()
        self.primary = self.file("a", SIZE, [(0, SIZE)])
        self.secondary = self.file("b", SIZE)
        self.place = self.folder / "state" / "thinmirror"

    def interrupt(self, *args, how=signal.SIGINT, until=2 * MIB):
        """A sync that is ended when about so much is copied and on record."""
        run = self.start("sync", "--checkpoint=0.02", "--rate=6M", *args, self.primary,
                         self.secondary)
        with run:
            while len(rig.data_grains(self.secondary)) * rig.GRAIN < until:
                self.assertIsNone(run.poll(), "ended too early")
                time.sleep(0.005)
            time.sleep(0.1)
            run.send_signal(how)
            _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, INTERRUPTED if how == signal.SIGINT else -how, err)

    def change(self, path, offset=0, length=PIECE):
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(random.randbytes(length))

    def same(self):
        self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary))

    def written(self):
        return list(self.place.glob("*.json"))

    def ledger(self):
        [path] = self.place.glob("*.json")
        return path


class OutOfDate(Ledgers):
    """A ledger that a later copy could not bring up to date never counts."""

    def fill(self):
        """The state folder becomes a small file system without room; skipped where that cannot be."""
        self.place.mkdir(parents=True, exist_ok=True)
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", self.place],
                          capture_output=True, check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", self.place], check=True)

    def ballast(self):
        with open(self.place / "ballast", "wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(4096))
            except OSError:
                pass

    def test_a_disk_that_is_full_when_the_copy_is_complete(self):
        self.fill()
        run = self.start("sync", "--checkpoint=0.02", "--rate=4M", self.primary, self.secondary)
        with run:
            while len(rig.data_grains(self.secondary)) * rig.GRAIN < 4 * MIB:
                self.assertIsNone(run.poll())
                time.sleep(0.005)
            self.ballast()
            _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, DONE, err)
        self.change(self.primary)
        result = self.run_mirror("sync", "--resume", self.primary, self.secondary)
        if result.status == DONE:
            self.same()
        else:
            self.assertEqual(result.status, REFUSED, str(result))

    def test_a_disk_that_is_full_when_a_new_copy_begins(self):
        self.fill()
        self.interrupt()
        self.ballast()
        result = self.run_mirror("sync", self.primary, self.secondary)
        self.assertEqual(result.status, DONE, str(result))
        self.change(self.primary)
        result = self.run_mirror("sync", "--resume", self.primary, self.secondary)
        if result.status == DONE:
            self.same()
        else:
            self.assertEqual(result.status, REFUSED, str(result))

    def test_a_ledger_that_can_neither_be_written_nor_removed_is_an_error(self):
        self.interrupt()
        ledger = self.ledger()
        if subprocess.run(["chattr", "+i", ledger], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("no file can be made immutable here")
        try:
            before = rig.digest(self.secondary)
            self.expect(FAILED, "sync", self.primary, self.secondary,
                        says=["cannot write the ledger", ledger])
            self.assertEqual(rig.digest(self.secondary), before)
        finally:
            subprocess.run(["chattr", "-i", ledger], check=True)

    def completed_elsewhere(self, first, second):
        self.interrupt(*first)
        self.expect(DONE, "sync", *second, self.primary, self.secondary)
        self.change(self.primary)
        result = self.run_mirror("sync", "--resume", *first, self.primary, self.secondary)
        self.assertEqual(result.status, DONE, str(result))
        self.same()

    def test_interrupted_in_the_default_place_and_completed_in_a_file(self):
        self.completed_elsewhere([], [f"--ledger={self.folder}/other"])

    def test_interrupted_in_a_file_and_completed_in_the_default_place(self):
        self.completed_elsewhere([f"--ledger={self.folder}/other"], [])

    def test_interrupted_in_a_file_and_completed_in_another(self):
        self.completed_elsewhere([f"--ledger={self.folder}/one"], [f"--ledger={self.folder}/two"])

    def test_a_file_that_was_put_back(self):
        ledger = self.folder / "one"
        self.interrupt(f"--ledger={ledger}")
        old = ledger.read_bytes()
        self.expect(DONE, "sync", f"--ledger={ledger}", self.primary, self.secondary)
        ledger.write_bytes(old)
        self.change(self.primary)
        result = self.run_mirror("sync", "--resume", f"--ledger={ledger}", self.primary,
                                 self.secondary)
        self.assertEqual(result.status, REFUSED, str(result))
        self.assertIn("is out of date", result.err)

    def test_a_file_without_the_pointer_to_it_says_whose_the_data_are_but_not_what_is_done(self):
        ledger = self.folder / "one"
        self.interrupt(f"--ledger={ledger}")
        self.ledger().unlink()
        got = self.expect(DONE, "sync", "--json", "--resume", f"--ledger={ledger}", self.primary,
                          self.secondary, says=["begins anew"]).json
        self.assertEqual(got["resumed_bytes"], 0)
        self.same()

    def test_without_a_default_place_the_file_stands_alone(self):
        self.environment["XDG_STATE_HOME"] = "/proc/none"
        ledger = self.folder / "one"
        self.interrupt(f"--ledger={ledger}")
        got = self.expect(DONE, "sync", "--json", "--resume", f"--ledger={ledger}", self.primary,
                          self.secondary).json
        self.assertGreater(got["resumed_bytes"], 0)
        self.same()

    def test_the_default_place_points_to_a_chosen_file(self):
        ledger = self.folder / "one"
        self.interrupt(f"--ledger={ledger}")
        got = self.expect(DONE, "sync", "--json", "--resume", self.primary, self.secondary).json
        self.assertGreater(got["resumed_bytes"], 0)
        self.same()
        # From now on that has the last word.
        self.assertEqual(json.loads(self.ledger().read_text())["state"], "complete")
        self.change(self.primary)
        self.expect(DONE, "sync", f"--ledger={ledger}", self.primary, self.secondary)
        self.same()


class OwnWord(Ledgers):
    """The secondary's own word comes before the ledger's."""

    def resume(self, resumed, says=()):
        result = self.expect(DONE, "sync", "--json", "--resume", self.primary, self.secondary,
                             says=says)
        self.same()
        if not resumed:
            self.assertEqual(result.json["resumed_bytes"], 0)
        return result

    def forget_how_it_was_left(self):
        """As after a kill: only what is done is known."""
        self.interrupt(how=signal.SIGKILL)
        self.assertNotIn("left", json.loads(self.ledger().read_text()))

    def test_a_secondary_that_was_emptied(self):
        self.forget_how_it_was_left()
        self.assertTrue(json.loads(self.ledger().read_text())["done"])
        os.truncate(self.secondary, 0)
        os.truncate(self.secondary, SIZE)
        self.resume(False, says=["begins anew"])

    def test_a_secondary_of_which_a_piece_was_emptied(self):
        self.forget_how_it_was_left()
        subprocess.run(["fallocate", "-p", "-o", "65536", "-l", "4096", self.secondary], check=True)
        self.resume(True)

    def test_a_secondary_that_was_rolled_back(self):
        old = random.randbytes(SIZE)
        self.secondary.write_bytes(old)
        with self.start("sync", "--overwrite", "--checkpoint=0.02", "--rate=6M", self.primary,
                        self.secondary) as run:
            while not (self.written() and json.loads(self.ledger().read_text())["done"]):
                self.assertIsNone(run.poll(), "ended too early")
                time.sleep(0.005)
            run.kill()
            run.communicate(timeout=60)
        with open(self.secondary, "r+b") as file:
            file.write(old)
        self.resume(False, says=["begins anew"])

    def test_a_primary_that_has_changed(self):
        self.interrupt()
        self.change(self.primary, 0, MIB)
        self.resume(False, says=["begins anew"])


class Used(Ledgers):
    """A replica that something else has written to is not overwritten without a word."""

    def used(self, *args, **kwargs):
        before = rig.digest(kwargs.get("secondary", self.secondary))
        result = self.expect(REFUSED, "sync", *args, says=["has been written to", "--overwrite"])
        self.assertEqual(rig.digest(kwargs.get("secondary", self.secondary)), before)
        return result

    def test_a_file_with_one_changed_block(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.change(self.secondary, 5 * MIB + 4096, 512)
        self.used(self.primary, self.secondary)
        self.used("--dry-run", self.primary, self.secondary)
        self.used("--resume", self.primary, self.secondary)
        self.expect(DONE, "sync", "--overwrite", self.primary, self.secondary)
        self.same()

    def test_one_that_was_only_read(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        rig.digest(self.secondary)
        self.expect(DONE, "verify", self.primary, self.secondary)
        self.expect(DONE, "sync", "--dry-run", self.primary, self.secondary)
        self.expect(DONE, "sync", self.primary, self.secondary)

    def test_one_whose_copy_was_interrupted(self):
        self.interrupt()
        self.change(self.secondary, 0, 512)
        self.used(self.primary, self.secondary)
        self.used("--resume", self.primary, self.secondary)
        got = self.expect(DONE, "sync", "--json", "--resume", "--overwrite", self.primary,
                          self.secondary, says=["begins anew"]).json
        self.assertEqual(got["resumed_bytes"], 0)
        self.same()

    def volume_pair(self):
        pieces = [(i * MIB, 64 * rig.KIB) for i in range(16)]
        primary = self.volume("p", 16 * MIB, pieces)
        return f"thin:{primary}", self.volume("s", 16 * MIB)

    def test_a_volume_whose_map_is_another_one(self):
        primary, secondary = self.volume_pair()
        self.expect(DONE, "sync", primary, f"thin:{secondary}")
        self.expect(DONE, "sync", primary, f"thin:{secondary}")
        self.change(secondary, 5 * MIB + 512 * rig.KIB, 4096)
        result = self.used(primary, f"thin:{secondary}", secondary=secondary)
        self.assertIn("another map between block", result.err)

    def test_a_volume_whose_data_are_others(self):
        primary, secondary = self.volume_pair()
        self.expect(DONE, "sync", primary, f"thin:{secondary}")
        self.change(secondary, 5 * MIB, 4096)
        result = self.used(primary, f"thin:{secondary}", secondary=secondary)
        self.assertIn("other data between block", result.err)

    def test_a_file_system_that_was_mounted(self):
        """Writes what a mount writes: the superblock's time, at the beginning."""
        primary = self.folder / "fs"
        os.truncate(os.open(primary, os.O_CREAT | os.O_RDWR), 64 * MIB)
        subprocess.run(["mkfs.ext4", "-q", primary], check=True)
        secondary = self.volume("s", 64 * MIB)
        self.expect(DONE, "sync", primary, f"thin:{secondary}")
        subprocess.run(["debugfs", "-w", "-R", "ssv mtime 20260101", secondary], check=True,
                       capture_output=True)
        self.used(primary, f"thin:{secondary}", secondary=secondary)


class Pairs(Ledgers):
    """What may become of a pair without --overwrite."""

    def grow(self, path, size):
        os.truncate(path, size)

    def test_a_secondary_that_has_grown(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.grow(self.secondary, 2 * SIZE)
        self.expect(DONE, "sync", self.primary, self.secondary)

    def test_both_that_have_grown(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.grow(self.secondary, 2 * SIZE)
        self.grow(self.primary, 2 * SIZE)
        self.change(self.primary, SIZE + MIB)
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.same()

    def test_both_have_grown_and_the_secondary_was_used(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.change(self.secondary, 0)
        self.grow(self.secondary, 2 * SIZE)
        self.expect(REFUSED, "sync", self.primary, self.secondary, says=["has been written to"])

    def test_a_primary_that_grows_into_what_the_secondary_had_behind_its_end(self):
        self.secondary.unlink()
        self.secondary = self.file("b", 2 * SIZE, [(SIZE + MIB, PIECE)])
        self.expect(DONE, "sync", "--overwrite", self.primary, self.secondary)
        self.grow(self.primary, SIZE + MIB)
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.grow(self.primary, 2 * SIZE)
        self.expect(REFUSED, "sync", self.primary, self.secondary,
                    says=["already holds data", f"block {(SIZE + MIB) // 512}"])

    def test_a_resumed_copy_of_a_pair_that_has_grown(self):
        self.interrupt()
        self.grow(self.secondary, 2 * SIZE)
        self.grow(self.primary, 2 * SIZE)
        self.change(self.primary, SIZE + MIB)
        got = self.expect(DONE, "sync", "--json", "--resume", self.primary, self.secondary).json
        self.assertGreater(got["resumed_bytes"], 0)
        self.same()

    def test_one_that_has_become_smaller_is_refused_and_said_so(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.grow(self.primary, SIZE // 2)
        result = self.expect(REFUSED, "sync", self.primary, self.secondary,
                             says=[f"{self.primary} has become smaller", "16384", "8192"])
        self.assertNotIn("not copied from", result.err)
        self.expect(DONE, "sync", "--overwrite", self.primary, self.secondary)

    def snapshot(self, name):
        """Of the primary, anew, as another file."""
        path = self.folder / name
        subprocess.run(["cp", "--sparse=always", self.primary, path], check=True)
        return path

    def test_a_snapshot_made_anew_for_each_copy_of_a_named_pair(self):
        self.expect(DONE, "sync", "--pair=db1", self.snapshot("monday"), self.secondary)
        self.change(self.primary)
        tuesday = self.snapshot("tuesday")
        self.expect(REFUSED, "sync", tuesday, self.secondary, says=["--pair=db1"])
        self.expect(REFUSED, "sync", "--pair=db2", tuesday, self.secondary, says=["pair db1"])
        self.expect(DONE, "sync", "--pair=db1", tuesday, self.secondary)
        self.same()

    def test_a_pair_of_which_each_side_grows_between_two_snapshots(self):
        self.expect(DONE, "sync", "--pair=db1", self.snapshot("monday"), self.secondary)
        self.grow(self.secondary, 3 * SIZE)
        self.expect(DONE, "sync", "--pair=db1", self.snapshot("tuesday"), self.secondary)
        self.grow(self.primary, 2 * SIZE)
        self.change(self.primary, SIZE + MIB)
        self.expect(DONE, "sync", "--pair=db1", "--verify", self.snapshot("wednesday"),
                    self.secondary)
        self.assertEqual(self.primary.read_bytes(), self.secondary.read_bytes()[:2 * SIZE])
        # What was written to is no less refused for its name.
        self.change(self.secondary, MIB)
        self.expect(REFUSED, "sync", "--pair=db1", self.snapshot("thursday"), self.secondary,
                    says=["has been written to"])
        self.grow(self.primary, SIZE)
        self.expect(REFUSED, "sync", "--pair=db1", self.snapshot("friday"), self.secondary,
                    says=["has become smaller"])

    def test_what_was_done_of_another_snapshot_is_not_done(self):
        primary, self.primary = self.primary, self.snapshot("monday")
        self.interrupt("--pair=db1")
        self.primary = primary
        self.change(self.primary)
        got = self.expect(DONE, "sync", "--json", "--resume", "--pair=db1", self.primary,
                          self.secondary, says=["another primary of the pair"]).json
        self.assertEqual(got["resumed_bytes"], 0)
        self.same()

    def test_the_name_of_a_pair_is_a_name(self):
        for name in ["", "a b", "a/b", "x" * 65]:
            self.expect(USAGE, "sync", f"--pair={name}", self.primary, self.secondary,
                        says=["--pair"])


if __name__ == "__main__":
    rig.main()
