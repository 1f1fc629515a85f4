#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What sync and verify refuse, and what the ledger of an earlier copy has to do with it."""

import json
import os
import stat
import subprocess

import rig
from rig import DONE, FAILED, MIB, REFUSED


class Refused(rig.Case):
    """Exit status 3, one sentence, and the secondary is as it was."""

    def refuse(self, *args, says, secondary=None):
        before = rig.digest(secondary) if secondary else None
        result = self.expect(REFUSED, "sync", *args, says=says)
        self.assertEqual(result.out, "")
        if secondary:
            self.assertEqual(rig.digest(secondary), before)
        return result

    def test_a_smaller_secondary(self):
        primary, secondary = self.file("a", 4 * MIB, [(0, MIB)]), self.file("b", 3 * MIB)
        self.refuse(primary, secondary, secondary=secondary,
                    says=["smaller", primary, secondary, "1048576 bytes"])

    def test_other_blocks(self):
        a = self.volume("a", 4 * MIB, [(0, MIB)])
        b = self.volume("b", 4 * MIB, block_size=4096)
        self.refuse(f"thin:{a}", f"thin:{b}", secondary=b, says=[a, b, "512", "4096"])

    def test_the_primary_itself_by_any_name(self):
        primary = self.file("a", 4 * MIB, [(0, MIB)])
        (self.folder / "link").symlink_to(primary)
        os.link(primary, self.folder / "hard")
        for name in [primary, self.folder / "link", self.folder / "hard",
                     f"{self.folder}/./a"]:
            self.refuse(primary, name, secondary=primary, says=["same", name])
        volume = self.volume("v", 4 * MIB, [(0, MIB)])
        self.refuse(f"thin:{volume}", f"thin:{volume}", secondary=volume, says=["same"])
        self.refuse(f"thin:{volume}", volume, secondary=volume, says=["same"])

    def test_a_copied_volume_has_the_same_identity(self):
        a = self.volume("a", 4 * MIB, [(0, MIB)])
        subprocess.run(["cp", "--sparse=always", a, self.folder / "b"], check=True)
        subprocess.run(["cp", f"{a}.thin", self.folder / "b.thin"], check=True)
        self.refuse(f"thin:{a}", f"thin:{self.folder}/b", says=["same", "naa.6"],
                    secondary=self.folder / "b")

    def test_a_secondary_that_is_served(self):
        import fcntl
        primary, secondary = self.file("a", 4 * MIB, [(0, MIB)]), self.file("b", 4 * MIB)
        with open(secondary, "rb") as held:
            fcntl.flock(held, fcntl.LOCK_EX)
            self.refuse(primary, secondary, says=[secondary, "locked"], secondary=secondary)

    def test_data_that_was_not_copied_there(self):
        primary = self.file("a", 4 * MIB, [(0, MIB)])
        secondary = self.file("b", 4 * MIB, [(2 * MIB, 4096)])
        self.refuse(primary, secondary, secondary=secondary,
                    says=["already holds data", "block 4096", primary, secondary, "--overwrite"])
        self.refuse("--dry-run", primary, secondary, says=["already holds data"],
                    secondary=secondary)
        self.expect(DONE, "sync", "--overwrite", primary, secondary)
        self.assertEqual(rig.digest(primary), rig.digest(secondary))

    def test_json_says_so_too(self):
        primary = self.file("a", 4 * MIB, [(0, MIB)])
        secondary = self.file("b", 4 * MIB, [(2 * MIB, 4096)])
        got = self.expect(REFUSED, "sync", "--json", primary, secondary).json
        self.assertEqual(got["result"], "refused")
        self.assertIsNone(got["source_map"])
        self.assertIn("already holds data", got["error"])
        self.assertEqual(got["written_bytes"], 0)

    def test_verify_has_the_same_conditions(self):
        primary = self.file("a", 4 * MIB)
        self.expect(REFUSED, "verify", primary, self.file("b", 3 * MIB), says=["smaller"])
        self.expect(REFUSED, "verify", primary, primary, says=["same"])


class Ledger(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("a", 4 * MIB, [(0, MIB)])
        self.secondary = self.file("b", 4 * MIB)

    def ledgers(self):
        return sorted((self.folder / "state" / "thinmirror").iterdir())

    def test_a_second_sync_needs_no_permission(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        [ledger] = self.ledgers()
        self.assertEqual(stat.S_IMODE(ledger.stat().st_mode), 0o600)
        content = json.loads(ledger.read_text())
        self.assertEqual(content["state"], "complete")
        self.assertEqual(content["primary"]["name"], str(self.primary))
        self.assertEqual(content["secondary"]["name"], str(self.secondary))
        self.assertLessEqual(content["started"], content["completed"])
        got = self.sync_json(self.primary, self.secondary)
        self.assertEqual(got["result"], "done")
        self.assertEqual(self.ledgers(), [ledger])

    def test_another_primary_does(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        other = self.file("c", 4 * MIB, [(0, MIB)])
        self.expect(REFUSED, "sync", other, self.secondary,
                    says=["already holds data", f"copied there from {self.primary} on 2"])

    def test_without_the_ledger_it_is_somebodys_data(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        self.ledgers()[0].unlink()
        self.expect(REFUSED, "sync", self.primary, self.secondary, says=["already holds data"])

    def test_a_damaged_ledger_does_not_count(self):
        self.expect(DONE, "sync", self.primary, self.secondary)
        [ledger] = self.ledgers()
        ledger.write_text(ledger.read_text()[:-10])
        self.expect(REFUSED, "sync", self.primary, self.secondary, says=[ledger, "damaged"])
        self.expect(DONE, "sync", "--overwrite", self.primary, self.secondary)
        self.expect(DONE, "sync", self.primary, self.secondary)

    def test_a_chosen_file(self):
        ledger = self.folder / "my.ledger"
        self.expect(DONE, "sync", f"--ledger={ledger}", self.primary, self.secondary)
        # The default place only says where it is.
        [pointer] = self.ledgers()
        content = json.loads(pointer.read_text())
        self.assertEqual((content["state"], content["elsewhere"]), ("elsewhere", str(ledger)))
        self.expect(DONE, "sync", "--ledger", ledger, self.primary, self.secondary)
        self.expect(DONE, "sync", self.primary, self.secondary)

    def test_a_chosen_file_that_is_something_else_is_kept(self):
        precious = self.folder / "precious"
        precious.write_text("not a ledger\n")
        before = rig.digest(self.secondary)
        self.expect(REFUSED, "sync", f"--ledger={precious}", self.primary, self.secondary,
                    says=[precious, "not a ledger"])
        self.assertEqual(precious.read_text(), "not a ledger\n")
        self.assertEqual(rig.digest(self.secondary), before)

    def test_a_chosen_file_of_another_secondary_is_kept(self):
        ledger = self.folder / "my.ledger"
        self.expect(DONE, "sync", f"--ledger={ledger}", self.primary, self.secondary)
        other = self.file("c", 4 * MIB)
        self.expect(REFUSED, "sync", f"--ledger={ledger}", self.primary, other,
                    says=["another secondary", self.secondary])

    def test_a_chosen_file_that_cannot_be_written(self):
        before = rig.digest(self.secondary)
        self.expect(FAILED, "sync", f"--ledger={self.folder}/none/x", self.primary,
                    self.secondary, says=["cannot write the ledger"])
        self.assertEqual(rig.digest(self.secondary), before)

    def test_no_place_for_a_ledger_is_only_noted(self):
        (self.folder / "state").write_text("a file where a folder should be")
        self.expect(DONE, "sync", self.primary, self.secondary, says=["note: cannot"])
        self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary))


if __name__ == "__main__":
    rig.main()
