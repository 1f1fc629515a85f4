# SPDX-License-Identifier: Apache-2.0
"""A target whose disk hangs answers nothing more, but goes on pinging."""

import rig
from line import HungLine
from rig import FAILED
from targets import SIZE, Targets


class Hung(Targets):
    def line(self, number, pieces=()):
        _, url = self.serve(number, SIZE, pieces)
        line = HungLine(self.tgtd[number].port, 14, 4)
        self.addCleanup(line.close)
        return line, line.url(self.tgtd[number])

    def test_one_that_only_pings_is_given_up(self):
        """Status 1 after the 30 s that a command may take; both at a time, as that is long."""
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        lines, urls = zip(self.line(0, [(0, SIZE)]), self.line(1))
        files = [self.file("secondary", SIZE), self.file("primary", SIZE, [(0, SIZE)])]
        with self.start("sync", urls[0], files[0]) as first, \
                self.start("sync", files[1], urls[1]) as second:
            for run in (first, second):
                _, err = run.communicate(timeout=100)
                self.assertEqual(run.returncode, FAILED, err)
                self.assertIn("the target has not answered in time", err)
        for line in lines:
            self.assertLess(line.left, 0)


if __name__ == "__main__":
    rig.main()
