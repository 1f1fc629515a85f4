# SPDX-License-Identifier: Apache-2.0
"""A target whose disk hangs answers nothing more, though it may go on pinging."""

import signal
import time

import rig
from line import HungLine
from rig import FAILED, INTERRUPTED
from targets import SIZE, Targets


class Hung(Targets):
    def line(self, number, pieces=()):
        _, url = self.serve(number, SIZE, pieces)
        line = HungLine(self.tgtd[number].port, 24, 4)
        self.addCleanup(line.close)
        return line, line.url(self.tgtd[number])

    def hang(self, *runs):
        """(status, seconds, stderr) of each, all at a time."""
        begin = time.monotonic()
        for run in runs:
            self.addCleanup(run.kill)
        for run in runs:
            with run:
                _, err = run.communicate(timeout=100)
                yield run.returncode, time.monotonic() - begin, err

    def test_one_that_only_pings_is_given_up(self):
        """Status 1 after the 30 s that a command may take, however much went well before."""
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        source, url = self.line(0, [(0, SIZE)])
        sink, to = self.line(1)
        files = [self.file("secondary", SIZE), self.file("primary", SIZE, [(0, SIZE)])]
        busy = HungLine(self.tgtd[0].port, 400, 1000)  # says nothing at all
        self.addCleanup(busy.close)
        for status, seconds, err in self.hang(
                self.start("sync", url, files[0]), self.start("sync", files[1], to),
                # So that commands alone are more than the answers to pings.
                self.start("verify", "--queue-depth=1024", busy.url(self.tgtd[0]), files[1])):
            self.assertEqual(status, FAILED, err)
            self.assertIn("the target has not answered in time", err)
            self.assertLess(seconds, 45)
        for line in (source, sink, busy):
            self.assertLess(line.left, 0)

    def test_who_wants_to_end_does_not_wait_for_it(self):
        source, url = self.line(0, [(0, SIZE)])
        sink, to = self.line(1)
        file = self.file("file", SIZE, [(0, SIZE)])
        runs = [self.start("verify", url, file), self.start("sync", file, to)]
        for line in (source, sink):
            while line.left > 0:
                time.sleep(0.01)
        time.sleep(0.5)
        for run in runs:
            run.send_signal(signal.SIGINT)
        says = ["interrupted while a LUN was away", "the comparison of", "--resume"]
        for (status, seconds, err), wanted in zip(self.hang(*runs), says[1:]):
            self.assertEqual(status, INTERRUPTED, err)
            self.assertIn(says[0], err)
            self.assertIn(wanted, err)
            self.assertLess(seconds, 10)


if __name__ == "__main__":
    rig.main()
