#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Targets that keep bytes moving without end are given up."""

import signal
import time

import rig
from line import EchoLine, GreedyLine
from rig import FAILED, INTERRUPTED
from targets import SIZE, Targets


class Endless(Targets):
    def by(self, number, line):
        self.addCleanup(line.close)
        return line.url(self.tgtd[number])

    def watch_run(self, line, *args):
        run = self.start(*args)
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        return line, run

    def start_echo(self):
        """A verify by a line that sends the same data again for ever: (line, run)."""
        self.serve(0, SIZE, [(0, SIZE)])
        line = EchoLine(self.tgtd[0].port, 20)
        return self.watch_run(line, "verify", self.by(0, line), self.file("sink", SIZE, [(0, SIZE)]))

    def start_greedy(self, length=None):
        """A sync by a line that asks for the same data again for ever: (line, run)."""
        self.serve(1)
        line = GreedyLine(self.tgtd[1].port, 2, length)
        return self.watch_run(line, "sync", "--overwrite", self.file("source", SIZE, [(0, SIZE)]),
                              self.by(1, line))

    def check_end(self, run, begin, seconds, *statuses):
        _, err = run.communicate(timeout=150)
        self.assertIn(run.returncode, statuses, err)
        self.assertLess(time.monotonic() - begin, seconds)
        return err

    def test_whatever_arrives_it_is_given_up(self):
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        begin = time.monotonic()
        line, run = self.start_echo()
        self.check_end(run, begin, 90, FAILED)
        self.assertGreater(line.times, 10)

    def test_the_same_r2t_for_ever_is_given_up(self):
        """libiscsi ends the session, and so it goes in the next: a command is not tried for ever."""
        line, run = self.start_greedy()
        err = self.check_end(run, time.monotonic(), 90, FAILED)
        self.assertIn("is given up", err)
        self.assertGreater(line.times, 1)

    def test_an_r2t_for_4_gib_is_given_up(self):
        """libiscsi does not come back from it."""
        line, run = self.start_greedy(0xFFFFFFFF)
        self.assertIn("R2T", self.check_end(run, time.monotonic(), 140, FAILED))

    def test_who_wants_to_end_waits_for_five_seconds(self):
        line, run = self.start_echo()
        while line.left > 0:
            time.sleep(0.01)
        time.sleep(2)
        begin = time.monotonic()
        run.send_signal(signal.SIGINT)
        self.check_end(run, begin, 12, INTERRUPTED)


if __name__ == "__main__":
    rig.main()
