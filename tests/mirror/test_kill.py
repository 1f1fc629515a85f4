#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A sync that is interrupted or killed, and one that goes on where it stopped.

THINMIRROR_KILLS says how many times the program is killed; the default is for a quick run."""

import json
import os
import random
import signal
import time

import rig
from rig import DONE, INTERRUPTED, MIB, REFUSED

KILLS = int(os.environ.get("THINMIRROR_KILLS", "24"))
SIZE = 8 * MIB


class Resume(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("a", 16 * MIB, [(0, 16 * MIB)])
        self.secondary = self.file("b", 16 * MIB)
        self.ledger = self.folder / "ledger"
        self.args = ["sync", "--json", f"--ledger={self.ledger}", "--checkpoint=0.05"]

    def begin(self, *args, rate="8M"):
        """A slow sync that has copied something."""
        run = self.start(*self.args, f"--rate={rate}", *args, self.primary, self.secondary)
        while not self.ledger.exists() or not json.loads(self.ledger.read_text())["done"]:
            self.assertIsNone(run.poll(), "ended too early")
            time.sleep(0.005)
        return run

    def interrupt(self, *args):
        with self.begin(*args) as run:
            run.send_signal(signal.SIGINT)
            out, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertIn("--resume", err)
        return json.loads(out)

    def test_an_interrupted_sync_goes_on_where_it_was(self):
        before = self.interrupt()
        got = self.expect(DONE, *self.args, "--resume", "--verify", self.primary,
                          self.secondary).json
        self.assertGreater(before["written_bytes"], 0)
        self.assertEqual(got["resumed_bytes"], before["written_bytes"])
        self.assertEqual(got["written_bytes"], 16 * MIB - before["written_bytes"])
        self.assertEqual(got["mapped_bytes"], 16 * MIB)
        self.assertIs(got["verified"], True)
        self.assertEqual(json.loads(self.ledger.read_text())["state"], "complete")

    def test_without_resume_everything_is_copied_again(self):
        self.interrupt()
        got = self.expect(DONE, *self.args, self.primary, self.secondary).json
        self.assertEqual((got["resumed_bytes"], got["written_bytes"]), (0, 16 * MIB))

    def test_a_dry_run_tells_what_is_left(self):
        before = self.interrupt()
        ledger = self.ledger.read_bytes()
        got = self.expect(DONE, *self.args, "--resume", "--dry-run", self.primary,
                          self.secondary).json
        self.assertEqual(got["to_copy_bytes"], 16 * MIB - before["written_bytes"])
        self.assertEqual(self.ledger.read_bytes(), ledger)

    def test_nothing_to_resume_is_said_and_is_no_error(self):
        self.expect(DONE, *self.args, "--resume", self.primary, self.secondary,
                    says=["no interrupted copy", "begins anew"])
        self.expect(DONE, *self.args, "--resume", self.primary, self.secondary,
                    says=["was complete"])
        self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary))

    def refuse(self, *args, says):
        before, ledger = rig.digest(self.secondary), self.ledger.read_bytes()
        self.expect(REFUSED, *self.args, "--resume", "--overwrite", *args, says=says)
        self.assertEqual(rig.digest(self.secondary), before)
        self.assertEqual(self.ledger.read_bytes(), ledger)

    def test_another_primary_is_refused(self):
        self.interrupt()
        other = self.file("c", 16 * MIB, [(0, MIB)])
        self.refuse(other, self.secondary, says=[self.primary, other, "--resume"])

    def test_another_secondary_is_refused(self):
        self.interrupt()
        self.refuse(self.primary, self.file("c", 16 * MIB), says=["another secondary"])

    def test_a_smaller_primary_is_refused(self):
        self.interrupt()
        os.truncate(self.primary, 12 * MIB)
        self.refuse(self.primary, self.secondary,
                    says=[f"{self.primary} has become smaller", "32768", "24576"])

    def test_another_source_map_is_refused(self):
        self.interrupt()
        self.refuse("--source-map=full", self.primary, self.secondary,
                    says=["source map", "lba-status", "full"])

    def test_without_an_option_that_decides_what_is_left_alone_it_is_refused(self):
        self.interrupt("--keep-free")
        self.refuse(self.primary, self.secondary,
                    says=["source map lba-status and --keep-free, this one would"])

    def test_a_damaged_ledger_is_refused(self):
        self.interrupt()
        text = self.ledger.read_text()
        self.ledger.write_text(text.replace('"done":"0+', '"done":"0+1', 1))
        self.refuse(self.primary, self.secondary, says=["damaged"])

    def test_sigusr1_prints_a_line(self):
        with self.begin("--progress=none") as run:
            run.send_signal(signal.SIGUSR1)
            time.sleep(0.4)
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=20)
        self.assertRegex(err, r"thinmirror: copying \[#*\.*\] +\d+%")


class Killed(rig.Case):
    """kill -9 at random moments; what is there afterwards is exact."""

    def endpoints(self, number):
        old, new = rig.random_pieces(SIZE, 30), rig.random_pieces(SIZE, 60)
        kinds = [(self.file, ""), (self.volume, "thin:")]
        sides = []
        for i, pieces in enumerate([new, old]):
            make, prefix = random.choice(kinds)
            path = make(f"{'ab'[i]}{number}", SIZE, pieces)
            sides.append((path, f"{prefix}{path}"))
        return sides

    def await_progress(self, run, ledger):
        """Waits until the ledger lists more as done than at first, which is holes of both sides,
        or the sync has ended."""
        first = None
        while run.poll() is None:
            done = ledger.exists() and json.loads(ledger.read_text())["done"]
            first = first or done
            if done != first:
                break
            time.sleep(0.002)

    def test_killed_at_random_moments_and_resumed(self):
        kills = number = resumed = 0
        while kills < KILLS:
            (source, primary), (target, secondary) = self.endpoints(number)
            number += 1
            ledger = self.folder / f"ledger{number}"
            args = ["sync", "--json", "--overwrite", "--resume", "--checkpoint=0.01",
                    f"--rate={random.choice([24, 64])}M", f"--ledger={ledger}",
                    f"--queue-depth={random.choice([1, 4, 32])}", primary, secondary]
            longest = 0.25
            while True:
                with self.start(*args) as run:
                    if random.random() < 0.3:
                        # A busy machine may need longer than any of the other times to begin.
                        self.await_progress(run, ledger)
                        time.sleep(random.uniform(0, 0.02))
                    else:
                        # Each run first compares samples of what is done, and that takes longer each time.
                        time.sleep(random.uniform(0.01, longest))
                    longest += 0.05
                    run.kill()
                    out, err = run.communicate(timeout=30)
                if run.returncode != -signal.SIGKILL:
                    break
                kills += 1
            self.assertEqual(run.returncode, DONE, err)
            resumed += json.loads(out)["resumed_bytes"] > 0
            self.assertEqual(rig.digest(source), rig.digest(target), f"after {kills} kills")
            # At most the ledger and one unfinished successor of it.
            self.assertLessEqual(len(list(self.folder.glob(f"ledger{number}*"))), 2)
            source.unlink()
            target.unlink()
        self.assertGreater(resumed, 0)


if __name__ == "__main__":
    rig.main()
