#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""iSCSI targets that are not thin, not there, or no longer."""

import json
import re
import signal
import socket
import time

import rig
from rig import DIFFERENT, DONE, FAILED, INTERRUPTED, MIB, REFUSED, USAGE
from targets import SIZE, Targets, tgt

import proxy
from line import AskingLine, Line, PingingLine, RefusingLine


def in_bytes(text):
    number, unit = text.split()
    return float(number) * {"bytes": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}[unit]


class NotThin(Targets):
    """A LUN of tgtd without thin provisioning neither tells nor promises anything."""

    def serve_thick(self, number, pieces):
        path, url = self.serve(number, SIZE, pieces)
        self.tgtd[number].set_params("thin_provisioning=0")
        return path, url

    def test_a_primary_that_is_not_thin_is_copied_whole_and_that_is_said(self):
        _, primary = self.serve_thick(0, [(MIB, MIB)])
        secondary = self.file("b", SIZE)
        result = self.expect(DONE, "sync", "--json", primary, secondary, says=["note: ", primary])
        self.assertEqual(result.json["source_map"], "full")
        self.assertEqual(result.json["written_bytes"], SIZE)
        self.assertEqual(len(result.json["notes"]), 1)
        self.assertEqual(rig.digest(self.tgtd[0].path), rig.digest(secondary))

    def test_a_secondary_that_is_not_thin_is_read_before_it_is_written(self):
        primary = self.file("a", SIZE, [(MIB, MIB)])
        path, secondary = self.serve_thick(1, [(5 * MIB, 512)])
        self.expect(REFUSED, "sync", primary, secondary,
                    says=["already holds data", f"block {5 * MIB // 512}", "--overwrite"])
        self.expect(DONE, "sync", "--overwrite", primary, secondary)
        self.assertEqual(rig.digest(primary), rig.digest(path))

    def test_an_empty_one_will_do_and_gets_only_the_data(self):
        primary = self.file("a", SIZE, [(MIB, MIB)])
        path, secondary = self.serve_thick(1, [])
        got = self.sync_json("--verify", primary, secondary)
        self.assertEqual(got["written_bytes"], MIB)
        self.assertEqual(rig.digest(primary), rig.digest(path))
        self.assertEqual(got["compared_bytes"], SIZE)


    def test_the_rate_tells_zeroed_bytes_apart(self):
        primary = self.file("a", SIZE, [(MIB, 2 * MIB)])
        _, secondary = self.serve_thick(1, [(5 * MIB, 512)])
        got = self.sync_json("--overwrite", primary, secondary)
        self.assertEqual([got["written_bytes"], got["zeroed_bytes"], got["unmapped_bytes"]],
                         [2 * MIB, SIZE - 2 * MIB, 0])
        out = self.expect(DONE, "sync", primary, secondary).out
        self.assertRegex(out, r"\ncopied +2 MiB\n(.*\n)?zeroed +22 MiB\n")
        copied, zeroed = re.search(r"\ntime +[\d.]+ s  \((.*)/s copied, (.*)/s zeroed\)\n",
                                   out).groups()
        self.assertAlmostEqual(in_bytes(zeroed) / in_bytes(copied), 11, delta=0.2)
        # With nothing zeroed there is one rate.
        out = self.expect(DONE, "sync", primary, self.file("b", SIZE)).out
        self.assertRegex(out, r"\ntime +[\d.]+ s  \([^ ]+ [KMG]iB/s\)\n")


class Gone(Targets):
    """Targets that are not there, or no longer: new ones for each test."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        super().setUp()
        self.tgtd = self.start_targets(self.addCleanup)

    def test_a_lun_that_is_no_disk_is_no_wrong_usage(self):
        _, url = self.serve(0)
        self.expect(FAILED, "probe", url.removesuffix("/1") + "/0", says=["no disk"])

    def test_who_does_not_answer_is_named(self):
        _, url = self.serve(0)
        base, iqn, _ = url.rsplit("/", 2)
        port = tgt.free_port()
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        for status, name in [(FAILED, f"{base}/{iqn}x/1"), (FAILED, f"{base}/{iqn}/7"),
                             (FAILED, f"iscsi://127.0.0.1:{port}/{iqn}/1"),
                             (USAGE, f"{base}/{iqn}"), (USAGE, f"iscsi://:x/{iqn}/1")]:
            with self.subTest(name=name):
                self.expect(status, "probe", name, says=[name])
                self.expect(status, "sync", name, self.file("b", SIZE), says=[name])

    def test_portals_are_tried_in_turn(self):
        _, url = self.serve(0)
        address = f"127.0.0.1:{self.tgtd[0].port}"
        several = url.replace(address, f"127.0.0.1:{tgt.free_port()},{address}")
        info = self.expect(DONE, "probe", "--json", several).json
        self.assertEqual(info["primary_identity"],
                         self.expect(DONE, "probe", "--json", url).json["primary_identity"])
        self.expect(REFUSED, "sync", url, several, says=["same"])

    def begin_while_it_is_restarted(self, victim, *more):
        source, primary = self.serve(0, SIZE, [(0, MIB)])
        path, secondary = self.serve(1)
        address = f"127.0.0.1:{self.tgtd[victim].port}"
        several = [url.replace(address, f"127.0.0.1:{tgt.free_port()},{address}")
                   for url in [primary, secondary]]
        self.tgtd[victim].close()
        with self.start("sync", "--json", "--verify", *more, *several) as run:
            warning = run.stderr.readline()
            self.tgtd[victim].restart(settling=1.5)
            _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, DONE, err)
        self.assertIn(f"{several[victim]}: nothing listens at {address}", warning)
        self.assertIn("trying again for 10 s", warning)
        self.assertNotIn("trying again", err, "that is told once")
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_a_primary_that_is_restarted_when_the_copy_begins(self):
        self.begin_while_it_is_restarted(0)

    def test_a_secondary_that_is_restarted_when_the_copy_begins(self):
        self.begin_while_it_is_restarted(1, "--sessions=3")

    def test_one_that_stays_away_is_given_up(self):
        _, secondary = self.serve(1)
        self.tgtd[1].close()
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "1"
        begin = time.monotonic()
        self.expect(FAILED, "sync", self.file("a", SIZE), secondary,
                    says=["trying again for 1 s", "connection refused"])
        self.assertLess(time.monotonic() - begin, 5)
        begin = time.monotonic()
        result = self.expect(FAILED, "probe", secondary, says=["connection refused"])
        self.assertNotIn("trying again", result.err)

    def kill_during_copy(self, victim):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        doomed = self.tgtd[victim]
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "2"
        with self.start("sync", "--json", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            doomed.close()
            begin = time.monotonic()
            out, err = run.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 50)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertIn([primary, secondary][victim], err)
        self.assertEqual(err.count("nothing listens"), 1, "the same is told again and again")
        self.assertIn('"result": "failed"', out)
        self.assertIn('"verified": false', out)
        self.assertNotIn("done", out)

    def interrupt_while_away(self, victim, *more, listens=False):
        """listens: something takes connections in the target's place, and says nothing."""
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--json", "--rate=8M", "--checkpoint=0.2", *more, primary,
                        secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            self.tgtd[victim].close()
            with socket.create_server(("127.0.0.1", self.tgtd[victim].port if listens else 0)):
                self.assertIn("trying to get it back", run.stderr.readline())
                time.sleep(2 if listens else 0.5)
                self.assertIsNone(run.poll(), "did not wait for the target")
                begin = time.monotonic()
                run.terminate()
                out, err = run.communicate(timeout=30)
        self.assertLess(time.monotonic() - begin, 5)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertIn([primary, secondary][victim], err)
        self.assertIn("with --resume goes on", err)
        self.assertIn('"result": "interrupted"', out)
        self.tgtd[victim].restart()
        self.expect(DONE, "sync", "--resume", primary, secondary)
        self.assertEqual(rig.digest(source), rig.digest(path))

    def lose_a_portal_during_copy(self, victim, *more):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        names = [primary, secondary]
        lines = [proxy.LongLine(rig.BUILD, self.tgtd[victim], 0) for _ in range(2)]
        for line in lines:
            self.addCleanup(line.close)
        names[victim] = names[victim].replace(f"127.0.0.1:{self.tgtd[victim].port}", ",".join(
            f"127.0.0.1:{line.port}" for line in lines))
        # Only the second portal brings the copy to its end.
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "5"
        with self.start("sync", "--json", "--verify", "--rate=16M", *more, *names) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            lines[0].close()
            out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, DONE, err)
        self.assertIn("connected again", err)
        self.assertEqual(rig.digest(source), rig.digest(path))
        self.assertGreater(json.loads(out)["reconnects"], 0)

    def test_a_primary_whose_portal_fails_is_reached_by_the_next_one(self):
        self.lose_a_portal_during_copy(0)

    def test_a_secondary_whose_portal_fails_is_reached_by_the_next_one(self):
        self.lose_a_portal_during_copy(1, "--sessions=3")

    def lose_one_of_three_sessions(self, victim):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        names = [primary, secondary]
        line = Line(self.tgtd[victim].port)
        self.addCleanup(line.close)
        names[victim] = line.url(self.tgtd[victim])
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "2"
        with self.start("sync", "--rate=8M", "--checkpoint=0.2", "--sessions=3", *names) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            time.sleep(0.5)
            line.refuse()
            line.cut(1)
            begin = time.monotonic()
            _, err = run.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 10)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertRegex(err, r"the connection is lost \((the other side has ended it|.*errno)")
        self.assertIn(f"{names[victim]}: the connection to the target is lost", err)
        got = self.expect(DONE, "sync", "--json", "--resume", primary, secondary).json
        self.assertGreater(got["resumed_bytes"], 0)
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_one_session_of_the_primary_that_stays_away_ends_the_copy_resumably(self):
        self.lose_one_of_three_sessions(0)

    def test_one_session_of_the_secondary_that_stays_away_ends_the_copy_resumably(self):
        self.lose_one_of_three_sessions(1)

    def ping_during_copy(self, status, deaf_seconds):
        """libiscsi ends a healthy session when a ping comes while data wait to be sent."""
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        line = PingingLine(self.tgtd[1].port, 10, deaf_seconds)
        self.addCleanup(line.close)
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "3"
        result = self.expect(status, "sync", "--json", primary, line.url(self.tgtd[1]))
        self.assertLessEqual(line.left, 0, "there was no ping")
        if status == DONE:
            self.assertEqual(rig.digest(source), rig.digest(path))
            self.assertGreater(result.json["reconnects"], 0, str(result))
        else:
            self.expect(DONE, "sync", "--resume", primary, secondary)
            self.assertEqual(rig.digest(source), rig.digest(path))
        return result.err

    def test_a_session_that_breaks_without_a_fault_is_replaced_and_nobody_told(self):
        self.assertEqual(self.ping_during_copy(DONE, 0), "")

    def test_nobody_lets_us_in_at_that_moment(self):
        self.assertIn("connected again", self.ping_during_copy(DONE, 1.5))

    def test_nobody_lets_us_in_any_more(self):
        self.assertIn("the connection to the target is lost", self.ping_during_copy(FAILED, 60))

    def test_a_target_that_asks_for_a_logout_is_logged_in_to_again(self):
        source, _ = self.serve(0, SIZE, [(0, SIZE)])
        for number in [3, 12, 20]:
            path, _ = self.serve(1)
            line = AskingLine(self.tgtd[1].port, number)
            self.addCleanup(line.close)
            result = self.run_mirror("sync", self.tgtd[0].url, line.url(self.tgtd[1]))
            self.assertLess(line.left, 0, "the target was not asked")
            if number > 3:  # while it is being opened it ends with that
                self.assertEqual(result.status, DONE, str(result))
                self.assertEqual(rig.digest(source), rig.digest(path))

    def test_an_interrupt_ends_the_wait_for_a_primary(self):
        self.interrupt_while_away(0)

    def test_an_interrupt_ends_the_wait_for_a_secondary(self):
        self.interrupt_while_away(1)

    def test_an_interrupt_ends_a_login_that_is_not_answered(self):
        self.interrupt_while_away(1, listens=True)

    def test_an_interrupt_ends_the_wait_of_several_sessions(self):
        self.interrupt_while_away(1, "--sessions=2")

    def test_a_second_signal_of_either_kind_ends_it_at_once(self):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            self.tgtd[1].process.send_signal(signal.SIGSTOP)
            time.sleep(0.2)
            run.terminate()
            time.sleep(0.5)
            self.assertIsNone(run.poll(), "did not wait for what it had sent")
            run.send_signal(signal.SIGINT)
            begin = time.monotonic()
            run.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(run.returncode, -signal.SIGINT)

    def restart_during_copy(self, victim, *more):
        source, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--json", "--verify", "--rate=8M", "--checkpoint=0.2", *more,
                        primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            for _ in range(3):
                time.sleep(0.3)
                self.assertIsNone(run.poll(), "ended too early")
                self.tgtd[victim].restart()
            out, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, DONE, err)
        self.assertIn("connected again", err)
        self.assertEqual(rig.digest(source), rig.digest(path))
        return json.loads(out)

    def test_a_primary_that_is_restarted(self):
        self.restart_during_copy(0)

    def test_a_secondary_that_is_restarted(self):
        got = self.restart_during_copy(1)
        self.assertGreater(got["rollbacks"], 0)
        self.assertGreaterEqual(got["written_bytes"], SIZE)

    def test_a_secondary_that_is_restarted_under_several_sessions(self):
        got = self.restart_during_copy(1, "--sessions=3")
        self.assertGreater(got["rollbacks"], 0)

    def test_another_lun_after_a_restart_is_not_written_to(self):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            self.tgtd[1].close()
            path.unlink()
            self.file("other", 2 * SIZE).replace(path)
            self.tgtd[1].restart()
            _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertIn("capacity", err)
        self.assertEqual(rig.data_grains(path), set())

    def test_a_primary_that_is_killed(self):
        self.kill_during_copy(0)

    def test_a_secondary_that_is_killed(self):
        self.kill_during_copy(1)


class Refusing(Targets):
    """Statuses that want a command to be sent again, from either side, of every fifth command."""

    def sync_though(self, status, sense=b"", *more):
        source, primary = self.serve(0, SIZE, rig.random_pieces(SIZE, 60))
        path, secondary = self.serve(1, SIZE, rig.random_pieces(SIZE, 60))
        lines = [RefusingLine(self.tgtd[i].port, 5, status, sense) for i in range(2)]
        for line in lines:
            self.addCleanup(line.close)
        self.expect(DONE, "sync", "--overwrite", "--verify", *more,
                    *(line.url(self.tgtd[i]) for i, line in enumerate(lines)))
        self.assertEqual(rig.digest(source), rig.digest(path))
        self.assertEqual(rig.data_grains(source), rig.data_grains(path))
        for line in lines:
            self.assertGreater(line.refused, 5)

    def test_busy(self):
        self.sync_though(0x08)

    def test_task_set_full(self):
        self.sync_though(0x28, b"", "--sessions=2")

    def test_task_aborted(self):
        self.sync_though(0x40)

    def test_aborted_command(self):
        self.sync_though(0x02, bytes([0x70, 0, 0x0B, 0, 0, 0, 0, 10]) + bytes(10))

    def test_a_unit_attention_that_means_nothing_to_a_copy(self):
        # 2A/01 MODE PARAMETERS CHANGED
        self.sync_though(0x02, bytes([0x70, 0, 0x06, 0, 0, 0, 0, 10, 0, 0, 0, 0, 0x2A, 1]) +
                         bytes(4))


class Far(Targets):
    def test_a_dry_run_knows_the_way_to_a_secondary_that_is_far_away(self):
        primary = self.file("a", SIZE, [(32 * rig.KIB * i, rig.GRAIN) for i in range(512)])
        self.serve(1)
        line = proxy.LongLine(rig.BUILD, self.tgtd[1], 20)
        self.addCleanup(line.close)
        got = self.sync_json("--dry-run", "--queue-depth=1", primary, line.url)
        # One block of 4 KiB in 20 ms.
        self.assertLessEqual(got["secondary_bytes_per_second"], rig.GRAIN / 0.02)
        self.assertGreater(got["primary_bytes_per_second"], got["secondary_bytes_per_second"])
        self.assertEqual(got["estimated_bytes_per_second"], got["secondary_bytes_per_second"])
        self.assertLess(got["sample_bytes"], got["to_copy_bytes"])
        said = self.expect(DONE, "sync", "--dry-run", "--queue-depth=1", primary, line.url).out
        self.assertIn("the secondary was read at ", said)


class Stopped(Targets):
    def test_an_interrupted_copy_goes_on_without_permission(self):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            run.terminate()
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.expect(DIFFERENT, "verify", primary, secondary)
        self.expect(DONE, "sync", primary, secondary)
        self.expect(DONE, "verify", primary, secondary)

    def test_one_wish_may_come_as_two_signals(self):
        primary = self.file("a", SIZE, [(0, SIZE)])
        for pair in ((signal.SIGHUP, signal.SIGHUP), (signal.SIGTERM, signal.SIGTERM),
                     (signal.SIGINT, signal.SIGHUP), (signal.SIGHUP, signal.SIGTERM)):
            secondary = self.file("b", SIZE)
            with self.subTest(pair=pair), \
                    self.start("sync", "--rate=8M", primary, secondary) as run:
                while not rig.data_grains(secondary):
                    time.sleep(0.01)
                for one in pair:
                    run.send_signal(one)
                    time.sleep(0.02)
                _, err = run.communicate(timeout=20)
                self.assertEqual(run.returncode, INTERRUPTED, err)
                self.assertIn("--resume", err)

    def test_two_at_once_to_one_secondary(self):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=4M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            self.expect(REFUSED, "sync", primary, secondary, says=[secondary, f"process {run.pid} "])
            self.expect(REFUSED, "sync", "--overwrite", f"--ledger={self.folder}/other",
                        self.file("a", SIZE), secondary)
            self.assertIsNone(run.poll())
            run.kill()
            run.communicate(timeout=20)
        self.expect(DONE, "sync", "--verify", primary, secondary)


if __name__ == "__main__":
    rig.main()
