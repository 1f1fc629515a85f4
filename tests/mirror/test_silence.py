#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A target that takes its time does not keep the program from all else."""

import json
import select
import signal
import struct
import time

import rig
from rig import DONE, INTERRUPTED
from targets import SIZE, Targets

from line import FlushLine, Line, PingingLine, WatchedLine


class Silence(Targets):
    """Copies by two lines."""

    def lines(self, primary, secondary):
        """Both lines, what is copied, and the two URLs."""
        source, _ = self.serve(0, SIZE, [(0, SIZE)])
        self.path, _ = self.serve(1)
        self.source, self.primary, self.secondary = source, primary, secondary
        for line in (primary, secondary):
            self.addCleanup(line.close)
        return primary.url(self.tgtd[0]), secondary.url(self.tgtd[1])

    def start(self, *args):
        """Does not outlive the test, however that ends."""
        run = super().start(*args)

        def end():
            run.kill()
            run.wait()
            run.stdout.close()
            run.stderr.close()

        self.addCleanup(end)
        return run

    def started(self, *args):
        """A sync that has begun to write."""
        run = self.start("sync", *args)
        while not rig.data_grains(self.path):
            self.assertIsNone(run.poll())
            time.sleep(0.01)
        return run

    def expect_a_line(self, run, says="copying \\["):
        """SIGUSR1 is answered at once."""
        run.send_signal(signal.SIGUSR1)
        self.assertTrue(select.select([run.stderr], [], [], 1.5)[0], "no line")
        self.assertRegex(run.stderr.readline(), f"^thinmirror: {says}")

    def expect_pings_answered(self, line=None):
        line = line or self.primary
        before = line.answers
        time.sleep(1)
        self.assertGreater(line.answers - before, 2)

    def expect_an_end(self, run, says="with --resume goes on"):
        """SIGINT is answered at once."""
        begin = time.monotonic()
        run.send_signal(signal.SIGINT)
        _, err = run.communicate(timeout=30)
        self.assertLess(time.monotonic() - begin, 2)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertIn(says, err)


class Login(Silence):
    """A login that is not answered."""

    def fall_silent(self, *args):
        urls = self.lines(WatchedLine(self.tgtd[0].port), Line(self.tgtd[1].port))
        run = self.started("--rate=8M", "--json", *args, *urls)
        self.secondary.fall_silent()
        self.assertIn("the connection is lost", run.stderr.readline())
        while not self.secondary.mute:
            time.sleep(0.01)
        return run

    def test_the_other_side_is_served_meanwhile_and_progress_shown(self):
        run = self.fall_silent()
        self.expect_pings_answered()
        self.expect_a_line(run)
        self.secondary.speak()
        out, err = run.communicate(timeout=30)
        self.assertEqual(run.returncode, DONE, err)
        self.assertIn("connected again", err)
        self.assertNotIn("the connection is lost", err, "the other one, too")
        self.assertEqual(json.loads(out)["reconnects"], 1)
        self.assertEqual(rig.digest(self.source), rig.digest(self.path))

    def test_an_interrupt_ends_it(self):
        run = self.fall_silent()
        self.expect_an_end(run)

    def test_an_interrupt_ends_it_in_one_of_several_sessions(self):
        run = self.fall_silent("--sessions=2")
        self.expect_an_end(run)

    def test_the_same_in_place_of_a_session_that_broke_without_a_fault(self):
        urls = self.lines(WatchedLine(self.tgtd[0].port),
                          PingingLine(self.tgtd[1].port, 10, then_silent=True))
        run = self.started("--rate=8M", *urls)
        while not self.secondary.mute:
            self.assertIsNone(run.poll())
            time.sleep(0.01)
        self.expect_pings_answered()
        self.expect_a_line(run)
        self.expect_an_end(run)


class Flush(Silence):
    """The flush at the end of a copy."""

    def flushing(self):
        """A sync whose last flush, the only one, is not answered."""
        urls = self.lines(WatchedLine(self.tgtd[0].port), FlushLine(self.tgtd[1].port))
        run = self.started("--checkpoint=60", *urls)
        self.assertTrue(self.secondary.flushing.wait(30))
        return run

    def test_the_primary_is_served_meanwhile_and_progress_shown(self):
        run = self.flushing()
        self.expect_pings_answered()
        self.expect_a_line(run)
        self.secondary.may_go_on.set()
        _, err = run.communicate(timeout=30)
        self.assertEqual((run.returncode, err), (DONE, ""))
        self.assertEqual(rig.digest(self.source), rig.digest(self.path))

    def test_a_signal_waits_for_it_and_the_second_one_does_not(self):
        run = self.flushing()
        run.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.assertIsNone(run.poll())
        self.expect_a_line(run)
        begin = time.monotonic()
        run.send_signal(signal.SIGINT)
        self.assertEqual(run.wait(timeout=30), -signal.SIGINT)
        self.assertLess(time.monotonic() - begin, 1)
        self.secondary.may_go_on.set()
        got = self.sync_json("--resume", *(target.url for target in self.tgtd))
        self.assertEqual(got["resumed_bytes"], 0, "the ledger lists what was not flushed")
        self.assertEqual(got["written_bytes"], SIZE)

    def test_a_copy_whose_flush_ends_after_a_signal_is_complete(self):
        run = self.flushing()
        run.send_signal(signal.SIGINT)
        time.sleep(0.5)
        self.secondary.may_go_on.set()
        _, err = run.communicate(timeout=30)
        self.assertEqual((run.returncode, err), (DONE, ""))
        self.expect(DONE, "verify", *(target.url for target in self.tgtd))


class SlowLine(Line):
    """Everything from the target takes so many seconds."""

    def __init__(self, target_port):
        self.seconds, self.delayed = 0, 0
        super().__init__(target_port, self.delay)

    def delay(self, data, to_target):
        if not to_target and self.seconds:
            self.delayed += 1
            time.sleep(self.seconds)
        return data


class Tables(Silence):
    """Tables of contents that take a while to be read: each of a chain tells where the next one is."""

    COUNT, SECTORS = 40, 1024

    def entry(self, kind, start, sectors):
        return bytes([0, 0, 0, 0, kind, 0, 0, 0]) + struct.pack("<II", start, sectors)

    def record(self, first, second=bytes(16)):
        return bytes(446) + first + second + bytes(32) + b"\x55\xaa"

    def partition(self, path):
        """Logical partitions, one behind the other, behind one record each."""
        with open(path, "r+b") as file:
            file.write(self.record(self.entry(5, self.SECTORS, self.COUNT * self.SECTORS)))
            for i in range(self.COUNT):
                more = self.entry(5, (i + 1) * self.SECTORS, self.SECTORS)
                file.seek((i + 1) * self.SECTORS * 512)
                file.write(self.record(self.entry(0x83, 64, self.SECTORS - 64),
                                       more if i + 1 < self.COUNT else bytes(16)))

    def slow_tables(self, secondary):
        urls = self.lines(SlowLine(self.tgtd[0].port), secondary)
        with open(self.source, "wb") as file:
            file.truncate(SIZE)
        self.partition(self.source)
        return urls

    def interrupt(self, run, answers, says):
        """When so many answers have come."""
        while self.primary.delayed < answers:
            self.assertIsNone(run.poll())
            time.sleep(0.01)
        self.expect_an_end(run, says)

    def test_the_secondary_is_served_meanwhile_and_progress_told(self):
        for command in ("sync", "verify"):
            with self.subTest(command=command):
                urls = self.slow_tables(WatchedLine(self.tgtd[1].port))
                self.primary.seconds = 0.1
                run = self.start(command, "--source-map=analyse", *urls)
                while self.primary.delayed < 25:
                    self.assertIsNone(run.poll())
                    time.sleep(0.01)
                self.expect_pings_answered(self.secondary)
                self.expect_a_line(run, r"reading tables  .* KiB  .* KiB/s$")
                self.interrupt(run, 0, "interrupted: the tables of contents of " + urls[0])

    def test_an_interrupt_ends_the_reading(self):
        urls = self.slow_tables(Line(self.tgtd[1].port))
        for command, *names in [("sync", *urls), ("verify", *urls), ("map", urls[0])]:
            with self.subTest(command=command):
                self.primary.seconds, self.primary.delayed = 0.05, 0
                run = self.start(command, "--source-map=analyse", *names)
                # A score of them is for the login and what is asked then.
                self.interrupt(run, 40, "interrupted: the tables of contents of " + urls[0])
        self.assertEqual(rig.data_grains(self.path), set())

    def test_an_interrupt_ends_the_reading_after_the_copy_which_is_not_called_complete(self):
        urls = self.slow_tables(FlushLine(self.tgtd[1].port))
        args = ["--source-map=analyse", *(target.url for target in self.tgtd)]
        run = self.start("sync", "--checkpoint=60", "--source-map=analyse", *urls)
        self.assertTrue(self.secondary.flushing.wait(30))
        self.primary.seconds = 0.1
        self.secondary.may_go_on.set()
        self.interrupt(run, 5, "interrupted: whether ")
        got = self.sync_json("--resume", *args)
        self.assertGreater(got["resumed_bytes"], 0)
        self.expect(DONE, "verify", *args)


if __name__ == "__main__":
    rig.main()
