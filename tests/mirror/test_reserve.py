#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reservations: those of other initiators, and sync's own (--reserve), with tgtds."""

import subprocess
import time

import rig
from rig import DONE, FAILED, INTERRUPTED, MIB, REFUSED
from targets import SIZE, Targets

RESERVE_LUN = rig.BUILD / "tests" / "bin" / "reserve_lun"
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, REGISTRANTS_ONLY = 1, 3, 5


class Reservations(Targets):
    def other(self, *args):
        """What another initiator does, until it is done."""
        result = subprocess.run([RESERVE_LUN, *map(str, args)], capture_output=True, text=True,
                                timeout=20, check=False)
        self.assertEqual(result.returncode, 0, result.stderr)
        return result.stdout

    def held_by_other(self, url, kind, key="ABC"):
        """Another initiator that has reserved the LUN; it lets go when its stdin is closed."""
        run = subprocess.Popen([RESERVE_LUN, url, key, str(kind)], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)

        def end():
            run.communicate(timeout=20)

        self.addCleanup(end)
        self.assertEqual(run.stdout.readline(), "held\n")
        return end

    def wait_for_data(self, run, path):
        while not rig.data_grains(path):
            self.assertIsNone(run.poll(), "ended too early")
            time.sleep(0.01)


class OfOthers(Reservations):
    """Exit status 3, one sentence that says it, and nothing is tried again."""

    def refused_soon(self, *args, says=()):
        begin = time.monotonic()
        result = self.expect(REFUSED, *args, says=["another initiator has reserved", *says])
        self.assertLess(time.monotonic() - begin, 10)
        self.assertNotIn("Error", result.err)

    def test_a_secondary_that_another_initiator_has_reserved(self):
        path, primary = self.serve(0, SIZE, [(MIB, MIB)])
        copy, secondary = self.serve(1)
        for kind in [WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS]:
            let_go = self.held_by_other(secondary, kind)
            self.refused_soon("sync", primary, secondary, says=[secondary])
            let_go()
        self.assertEqual(rig.data_grains(copy), set())
        self.expect(DONE, "sync", primary, secondary)
        self.assertEqual(rig.digest(path), rig.digest(copy))

    def test_a_primary_that_another_initiator_has_reserved(self):
        _, primary = self.serve(0, SIZE, [(MIB, MIB)])
        secondary = self.file("b", SIZE)
        let_go = self.held_by_other(primary, EXCLUSIVE_ACCESS)
        for command in ["sync", "verify"]:
            self.refused_soon(command, primary, secondary, says=[primary, "READ(16)"])
        self.refused_soon("map", "--source-map=analyse", primary, says=[primary])
        let_go()
        self.assertEqual(rig.data_grains(secondary), set())
        # Writers only are shut out by this one.
        self.held_by_other(primary, WRITE_EXCLUSIVE)
        self.expect(DONE, "sync", primary, secondary)

    def test_one_that_is_reserved_under_the_copy(self):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=8M", "--checkpoint=0.1", primary, secondary) as run:
            self.wait_for_data(run, path)
            time.sleep(0.4)
            let_go = self.held_by_other(secondary, WRITE_EXCLUSIVE)
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, REFUSED, err)
        self.assertIn(f"{secondary}: another initiator has reserved", err)
        let_go()
        resumed = self.sync_json("--resume", primary, secondary)
        self.assertGreater(resumed["resumed_bytes"], 0)
        self.assertEqual(rig.digest(source), rig.digest(path))


if __name__ == "__main__":
    rig.main()
