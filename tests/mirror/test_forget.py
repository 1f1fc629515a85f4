#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What is known of earlier copies can be listed and forgotten, wherever it is kept."""

import json
import os
import pathlib
import shutil
import signal
import subprocess
import time

import rig
from rig import DONE, FAILED, MIB, REFUSED

SIZE = 8 * MIB


class Forget(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("a", SIZE, [(0, SIZE)])
        self.secondary = self.file("b", SIZE)
        self.place = self.folder / "state" / "thinmirror"

    def sync(self, *args):
        return self.expect(DONE, "sync", *args, self.primary, self.secondary)

    def ledgers(self):
        return self.expect(DONE, "ledgers", "--json").json["ledgers"]

    def running(self, *args):
        """A sync that has begun and takes its time."""
        run = self.start("sync", "--rate=1M", "--checkpoint=0.02", *args, self.primary,
                         self.secondary)
        self.addCleanup(run.communicate)
        self.addCleanup(run.kill)
        while not any(one["state"] == "copying" and one["done_bytes"] for one in self.ledgers()):
            self.assertIsNone(run.poll(), "ended too early")
            time.sleep(0.01)
        return run

    def is_forgotten(self):
        """The data are nobody's copy, and nothing of it stays on disk."""
        self.assertEqual(self.ledgers(), [])
        self.assertEqual(list(self.place.glob("*")), [])
        self.expect(REFUSED, "sync", self.primary, self.secondary, says=["--overwrite"])
        self.expect(REFUSED, "sync", "--resume", self.primary, self.secondary,
                    says=["no interrupted copy"])

    def test_a_listing_for_people(self):
        self.assertIn("there are no ledgers in", self.expect(DONE, "ledgers").err)
        self.sync("--pair=db1")
        lines = self.expect(DONE, "ledgers").out.splitlines()
        [path] = self.place.glob("*.json")
        self.assertEqual(lines[0], f"{self.primary} -> {self.secondary}")
        self.assertEqual(lines[1], "  pair       db1")
        self.assertRegex(lines[2], r"^  state      complete since 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d, "
                                   r"begun 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d$")
        self.assertEqual(lines[3:], ["  done       8 MiB of 8 MiB", f"  ledger     {path}"])

    def test_names_in_a_listing_cannot_reach_the_terminal(self):
        self.expect(DONE, "sync", self.primary, self.file("b\x1b[2Jx\n", SIZE))
        out = self.expect(DONE, "ledgers").out
        self.assertNotIn("\x1b", out)
        self.assertIn("b\\x1b[2jx\\x0a", out.lower())

    def test_by_both_names(self):
        self.sync()
        self.expect(REFUSED, "forget", self.secondary, self.primary, says=["no ledger of a copy"])
        self.expect(REFUSED, "forget", self.primary, self.primary)
        got = self.expect(DONE, "forget", self.primary, self.secondary)
        self.assertIn(f"Forgotten: {self.primary} -> {self.secondary}", got.out)
        self.is_forgotten()

    def test_quietly(self):
        self.sync()
        got = self.expect(DONE, "forget", "-q", self.primary, self.secondary)
        self.assertEqual(got.out + got.err, "")
        self.is_forgotten()

    def test_by_relative_names_from_another_folder_than_the_copy(self):
        subprocess.run([rig.THINMIRROR, "sync", "a", "b"], cwd=self.folder, check=True,
                       env=self.environment, capture_output=True)
        [one] = self.ledgers()
        self.assertEqual([one["primary"], one["secondary"]], [str(self.primary), str(self.secondary)])
        result = subprocess.run([rig.THINMIRROR, "forget", "a", "b"], cwd="/", check=False,
                                env=self.environment, capture_output=True)
        self.assertEqual(result.returncode, REFUSED)
        subprocess.run([rig.THINMIRROR, "forget", "../a", "../b"], cwd=self.folder / "state",
                       check=True, env=self.environment, capture_output=True)
        self.is_forgotten()

    def test_a_file_is_known_by_what_it_is_whatever_its_name_was(self):
        self.sync()
        moved = self.folder / "moved"
        self.secondary.rename(moved)
        # Something else has the name now.
        other = self.file("b", SIZE)
        self.expect(REFUSED, "forget", self.primary, other)
        self.expect(DONE, "forget", self.primary, moved)
        self.assertEqual(self.ledgers(), [])

    def test_a_secondary_that_is_gone(self):
        self.sync()
        self.secondary.unlink()
        self.primary.unlink()
        self.expect(DONE, "forget", self.primary, self.secondary)
        self.assertEqual(self.ledgers(), [])

    def test_a_thin_volume(self):
        volume = self.volume("v", SIZE)
        self.expect(DONE, "sync", self.primary, f"thin:{volume}")
        self.expect(DONE, "forget", self.primary, f"thin:{volume}")
        self.assertEqual(self.ledgers(), [])

    def test_by_the_name_of_the_pair(self):
        self.sync("--pair=db1")
        other = self.file("c", SIZE)
        self.expect(DONE, "sync", "--pair=db2", self.primary, other)
        self.expect(REFUSED, "forget", "--pair=db3", says=["no ledger of the pair db3"])
        self.expect(DONE, "forget", "--pair=db1")
        [one] = self.ledgers()
        self.assertEqual(one["secondary"], str(other))

    def test_more_than_one_that_fits_is_refused(self):
        other = self.file("c", SIZE)
        self.sync("--pair=db1")
        self.expect(DONE, "sync", "--pair=db1", self.primary, other)
        self.expect(REFUSED, "forget", "--pair=db1", says=["more than one", "name the file"])
        [path] = [one["path"] for one in self.ledgers() if one["secondary"] == str(other)]
        self.expect(DONE, "forget", path)
        self.expect(DONE, "forget", "--pair=db1")
        self.is_forgotten()

    def elsewhere(self, name="ledger"):
        """A copy whose ledger is in a file that was named."""
        ledger = self.folder / name
        self.sync(f"--ledger={ledger}")
        [one] = self.ledgers()
        [pointer] = self.place.glob("*.json")
        self.assertEqual([one["path"], one["pointer"]], [str(ledger), str(pointer)])
        return ledger, pointer

    def test_a_ledger_elsewhere_goes_with_its_pointer_however_it_is_named(self):
        for args in [lambda *_: [self.primary, self.secondary], lambda file, _: [file],
                     lambda _, pointer: [pointer]]:
            ledger, pointer = self.elsewhere()
            got = self.expect(DONE, "forget", "--json", *args(ledger, pointer)).json
            self.assertEqual(got["removed"], [str(ledger), str(pointer)])
            self.assertFalse(ledger.exists())
            self.is_forgotten()
            os.truncate(self.secondary, 0)
            os.truncate(self.secondary, SIZE)

    def test_a_pointer_whose_file_is_gone_is_listed_and_forgotten(self):
        ledger, pointer = self.elsewhere()
        ledger.unlink()
        [one] = self.ledgers()
        self.assertEqual([one["state"], one["error"]], [None, "the file is not there"])
        self.assertIn("does not count: the file is not there", self.expect(DONE, "ledgers").out)
        got = self.expect(DONE, "forget", "--json", self.primary, self.secondary).json
        self.assertEqual(got["removed"], [str(pointer)])
        self.is_forgotten()

    def test_a_pointer_to_a_file_that_has_become_another_removes_only_itself(self):
        ledger, pointer = self.elsewhere()
        ledger.write_text("somebody's\n")
        self.expect(DONE, "forget", self.primary, self.secondary)
        self.assertEqual(ledger.read_text(), "somebody's\n")
        self.assertFalse(pointer.exists())

    def test_a_file_that_is_out_of_date_goes_and_the_last_word_stays(self):
        ledger, _ = self.elsewhere()
        self.sync("--ledger=" + str(self.folder / "later"))
        self.expect(DONE, "forget", ledger, says=["which stays"])
        self.assertFalse(ledger.exists())
        [one] = self.ledgers()
        self.assertEqual([one["path"], one["state"]], [str(self.folder / "later"), "complete"])
        self.sync()

    def test_what_is_no_ledger_is_not_removed(self):
        for content in [b"", b"{}", b"data"]:
            path = self.folder / "precious"
            path.write_bytes(content)
            self.expect(REFUSED, "forget", path, says=["not a ledger"])
            self.assertEqual(path.read_bytes(), content)
        self.expect(REFUSED, "forget", self.folder / "none", says=["there is no ledger"])

    def test_a_damaged_ledger_is_listed_with_what_is_wrong(self):
        self.sync()
        [path] = self.place.glob("*.json")
        path.write_bytes(path.read_bytes()[:-5])
        (self.place / "x.txt").write_text("")
        [one] = self.ledgers()
        self.assertEqual([one["path"], one["primary"], one["state"]], [str(path), None, None])
        self.assertIn("not a ledger", one["error"])
        self.expect(DONE, "ledgers")

    def test_a_ledger_under_another_name_does_not_count(self):
        self.sync()
        [path] = self.place.glob("*.json")
        shutil.copy(path, self.place / "copy.json")
        got = {pathlib.Path(one["path"]).name: one["state"] for one in self.ledgers()}
        self.assertEqual(got, {"copy.json": None, path.name: "complete"})

    def test_one_that_is_being_copied_to_is_refused_and_the_holder_is_named(self):
        for args in [[], [f"--ledger={self.folder}/ledger"]]:
            run = self.running(*args)
            [one] = self.ledgers()
            self.assertEqual(one["holder"], f"process {run.pid} (thinmirror)")
            self.assertGreater(SIZE, one["done_bytes"])
            for named in [[self.primary, self.secondary], [one["path"]]]:
                self.expect(REFUSED, "forget", *named,
                            says=[f"process {run.pid} (thinmirror) is copying to it"])
            self.assertEqual(len(self.ledgers()), 1)
            run.send_signal(signal.SIGINT)
            run.communicate()
            self.assertEqual(self.ledgers()[0]["state"], "interrupted")
            self.expect(DONE, "forget", self.primary, self.secondary)
            self.is_forgotten()
            os.truncate(self.secondary, 0)
            os.truncate(self.secondary, SIZE)

    def test_a_link_that_another_user_could_have_made_is_not_followed(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a link to another user")
        ledger, pointer = self.elsewhere()
        trap = self.folder / "trap"
        trap.mkdir()
        os.chmod(trap, 0o1777)
        link = trap / "link"
        link.symlink_to(ledger)
        os.lchown(link, 65534, 65534)
        content = json.loads(pointer.read_text())
        os.chmod(self.folder, 0o755)
        # Named on the command line it is refused where it is read.
        pointer.unlink()
        self.expect(FAILED, "forget", link, says=[link])
        self.assertTrue(ledger.exists())
        self.assertEqual(content["state"], "elsewhere")

    def test_a_pointer_that_leads_through_such_a_link_is_not_followed(self):
        if os.geteuid() != 0:
            self.skipTest("only root can give a link to another user")
        trap = self.folder / "trap"
        trap.mkdir()
        os.chmod(trap, 0o1777)
        ledger, _ = self.elsewhere("trap/ledger")
        moved = self.folder / "moved"
        ledger.rename(moved)
        ledger.symlink_to(moved)
        os.lchown(ledger, 65534, 65534)
        [one] = self.ledgers()
        self.assertIsNone(one["state"])
        self.expect(DONE, "forget", self.primary, self.secondary)
        self.assertTrue(moved.exists())

    def test_one_that_cannot_be_removed_is_an_error_and_stays(self):
        ledger, pointer = self.elsewhere()
        if subprocess.run(["chattr", "+i", ledger], capture_output=True,
                          check=False).returncode != 0:
            self.skipTest("no file can be made immutable here")
        self.addCleanup(subprocess.run, ["chattr", "-i", ledger], check=True)
        self.expect(FAILED, "forget", self.primary, self.secondary, says=["cannot remove", ledger])
        self.assertTrue(pointer.exists())
        self.assertEqual(self.ledgers()[0]["state"], "complete")


if __name__ == "__main__":
    rig.main()
