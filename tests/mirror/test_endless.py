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
    """What is given up takes 30 s; all of it at a time."""

    def by(self, number, line):
        self.addCleanup(line.close)
        return line.url(self.tgtd[number])

    def start_all(self):
        """(line, run) of each."""
        self.serve(0, SIZE, [(0, SIZE)])
        self.serve(1)
        source, sink = (self.file(name, SIZE, [(0, SIZE)]) for name in ("source", "sink"))
        greedy = GreedyLine(self.tgtd[1].port, 2)
        echo = EchoLine(self.tgtd[0].port, 20)
        runs = []
        for line, args in ((greedy, ["sync", "--overwrite", source, self.by(1, greedy)]),
                           (echo, ["verify", self.by(0, echo), sink])):
            runs.append((line, self.start(*args)))
            self.addCleanup(runs[-1][1].wait)
            self.addCleanup(runs[-1][1].kill)
        return runs

    def check_end(self, run, begin, seconds, *statuses):
        _, err = run.communicate(timeout=150)
        self.assertIn(run.returncode, statuses, err)
        self.assertLess(time.monotonic() - begin, seconds)
        return err

    def test_whatever_arrives_it_is_given_up(self):
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        begin = time.monotonic()
        for line, run in self.start_all():
            with self.subTest(line=type(line).__name__):
                self.check_end(run, begin, 90, FAILED)
                self.assertGreater(line.times, 10)

    def test_an_r2t_for_4_gib_is_given_up(self):
        """libiscsi does not come back from it."""
        self.serve(1)
        line = GreedyLine(self.tgtd[1].port, 2, 0xFFFFFFFF)
        run = self.start("sync", "--overwrite", self.file("source", SIZE, [(0, SIZE)]),
                         self.by(1, line))
        self.addCleanup(run.wait)
        self.addCleanup(run.kill)
        self.assertIn("R2T", self.check_end(run, time.monotonic(), 140, FAILED))

    def test_who_wants_to_end_waits_for_five_seconds(self):
        runs = self.start_all()
        for line, _ in runs:
            while line.left > 0:
                time.sleep(0.01)
        time.sleep(2)
        begin = time.monotonic()
        for _, run in runs:
            run.send_signal(signal.SIGINT)
        for line, run in runs:
            with self.subTest(line=type(line).__name__):
                self.check_end(run, begin, 12, INTERRUPTED)


if __name__ == "__main__":
    rig.main()
