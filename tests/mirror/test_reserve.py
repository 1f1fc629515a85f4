#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Reservations: those of other initiators, and sync's own (--reserve), with tgtds."""

import subprocess
import time

import rig
from rig import DONE, FAILED, INTERRUPTED, MIB, REFUSED
from targets import SIZE, Targets, tgt

RESERVE_LUN = rig.BUILD / "tests" / "bin" / "reserve_lun"
WRITE_EXCLUSIVE, EXCLUSIVE_ACCESS, REGISTRANTS_ONLY = 1, 3, 5


class Line:
    """The way to a target, which can be cut while the target lives on."""

    def __init__(self, target):
        self.port, self.target = tgt.free_port(), target
        self.url = target.url.replace(f":{target.port}/", f":{self.port}/")
        self.mend()

    def mend(self):
        self.process = subprocess.Popen(
            [rig.BUILD / "tests" / "bin" / "delay_proxy", str(self.port), str(self.target.port),
             "0"], stdout=subprocess.PIPE, text=True)
        assert self.process.stdout.readline() == "ready\n"

    def cut(self):
        self.process.kill()
        self.process.communicate()


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


class Own(Reservations):
    """sync --reserve."""

    def shown(self, url):
        """The type of the reservation (None: there is none), and how many keys there are."""
        kind, keys = None, []
        for line in self.other(url, "show").splitlines():
            words = line.split()
            if words[0] == "held":
                kind = int(words[3])
            else:
                keys.append(words[1])
        self.assertTrue(all(key.startswith("544d") for key in keys), keys)
        return kind, len(keys)

    def start_reserved(self, *more):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        run = self.start("sync", "--reserve", "--rate=12M", "--checkpoint=0.1", *more, primary,
                         secondary)
        self.addCleanup(run.communicate)
        self.addCleanup(run.kill)
        self.wait_for_data(run, path)
        return run, source, primary, path, secondary

    def ends(self, run, status):
        out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, status, err)
        return out, err

    def test_it_is_held_for_the_time_of_the_copy_and_no_longer(self):
        for sessions in [1, 3]:
            with self.subTest(sessions=sessions):
                run, source, _, path, secondary = self.start_reserved(
                    "--json", f"--sessions={sessions}", "--verify")
                self.assertEqual(self.shown(secondary), (WRITE_EXCLUSIVE, 1))
                out, _ = self.ends(run, DONE)
                self.assertIn('"reserved": true', out)
                self.assertEqual(self.shown(secondary), (None, 0))
                self.assertEqual(rig.digest(source), rig.digest(path))

    def test_an_interrupt_gives_it_back(self):
        run, source, primary, path, secondary = self.start_reserved()
        run.terminate()
        self.ends(run, INTERRUPTED)
        self.assertEqual(self.shown(secondary), (None, 0))
        self.expect(DONE, "sync", "--resume", "--reserve", primary, secondary)
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_an_error_and_a_refusal_give_it_back(self):
        _, primary = self.serve(0, SIZE, [(MIB, MIB)])
        _, secondary = self.serve(1, SIZE, [(MIB, MIB)])
        self.expect(REFUSED, "sync", "--reserve", primary, secondary, says=["holds data"])
        self.assertEqual(self.shown(secondary), (None, 0))

    def test_a_dry_run_reserves_nothing(self):
        _, primary = self.serve(0, SIZE, [(MIB, MIB)])
        _, secondary = self.serve(1)
        self.held_by_other(secondary, WRITE_EXCLUSIVE)
        result = self.expect(DONE, "sync", "--reserve", "--dry-run", "--json", primary, secondary)
        self.assertFalse(result.json["reserved"])

    def test_it_is_refused_where_another_one_has_reserved_or_registered(self):
        _, primary = self.serve(0, SIZE, [(MIB, MIB)])
        path, secondary = self.serve(1)
        for kind, words in [(WRITE_EXCLUSIVE, "write exclusive"),
                            (REGISTRANTS_ONLY, "write exclusive, registrants only"),
                            (EXCLUSIVE_ACCESS, "exclusive access")]:
            let_go = self.held_by_other(secondary, kind)
            result = self.expect(REFUSED, "sync", "--reserve", primary, secondary,
                                 says=[secondary, "0000000000000abc", words])
            self.assertNotIn("warning", result.err)
            let_go()
        self.assertEqual(rig.data_grains(path), set())
        # One who has only registered cannot write either.
        self.held_by_other(secondary, 0)
        self.expect(DONE, "sync", "--reserve", primary, secondary)

    def test_what_cannot_be_reserved_is_refused(self):
        _, primary = self.serve(0, SIZE, [(MIB, MIB)])
        volume = self.volume("v", SIZE)
        self.expect(REFUSED, "sync", "--reserve", primary, f"thin:{volume}",
                    says=["cannot be reserved", "persistent reservations"])
        self.expect(REFUSED, "sync", "--reserve", primary, self.file("b", SIZE),
                    says=["cannot be reserved"])
        self.assertEqual(rig.data_grains(volume), set())

    def test_what_a_killed_sync_left_is_taken_over_by_resume_only(self):
        run, source, primary, path, secondary = self.start_reserved()
        time.sleep(0.3)
        run.kill()
        run.communicate(timeout=20)
        self.assertIsNotNone(self.shown(secondary)[0])
        self.expect(REFUSED, "sync", "--reserve", primary, secondary,
                    says=["another sync --reserve", "--resume --reserve"])
        self.expect(REFUSED, "sync", "--resume", primary, secondary, says=["--resume --reserve"])
        resumed = self.sync_json("--resume", "--reserve", primary, secondary)
        self.assertGreater(resumed["resumed_bytes"], 0)
        self.assertEqual(self.shown(secondary), (None, 0))
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_nobody_takes_it_over_from_another_machine(self):
        run, _, primary, _, secondary = self.start_reserved()
        run.kill()
        run.communicate(timeout=20)
        result = subprocess.run(
            ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh",
             rig.THINMIRROR, "sync", "--resume", "--reserve", primary, secondary],
            env=self.environment, capture_output=True, text=True, timeout=60, check=False)
        if "unshare" in result.stderr or "hostname" in result.stderr:
            self.skipTest("no namespace for another host name")
        self.assertEqual(result.returncode, REFUSED, result.stderr)
        self.assertIn("another sync --reserve", result.stderr)

    def test_it_is_there_again_after_the_connection_was_lost(self):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        line = Line(self.tgtd[1])
        self.addCleanup(line.cut)
        run = self.start("sync", "--reserve", "--json", "--rate=8M", "--checkpoint=0.1", primary,
                         line.url)
        self.addCleanup(run.kill)
        self.wait_for_data(run, path)
        for _ in range(2):
            line.cut()
            time.sleep(0.3)
            line.mend()
            tgt.wait_for("the sync is back",
                         lambda: self.shown(secondary) == (WRITE_EXCLUSIVE, 1))
            self.assertIsNone(run.poll(), "ended too early")
        _, err = self.ends(run, DONE)
        self.assertIn("connected again", err)
        self.assertEqual(self.shown(secondary), (None, 0))
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_a_target_that_forgets_it_ends_the_copy(self):
        run, source, primary, path, secondary = self.start_reserved()
        time.sleep(0.3)
        self.tgtd[1].restart()
        _, err = self.ends(run, FAILED)
        self.assertIn(f"{secondary}: its reservation is lost", err)
        self.expect(DONE, "sync", "--resume", "--reserve", primary, secondary)
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_one_who_takes_it_away_ends_the_copy(self):
        run, _, _, _, secondary = self.start_reserved()
        holder = self.other(secondary, "show").split()[1]
        self.other(secondary, "DEF", "steal", holder)
        _, err = self.ends(run, REFUSED)
        self.assertIn("another initiator has reserved", err)
        self.other(secondary, "DEF", "forget")


if __name__ == "__main__":
    rig.main()
