# SPDX-License-Identifier: Apache-2.0
"""A target whose disk hangs answers nothing more, but goes on pinging."""

import rig
from line import HungLine
from rig import FAILED
from targets import SIZE, Targets


class Hung(Targets):
    def hang(self, number):
        """Status 1 after the 30 s that a command may take."""
        self.environment["THINMIRROR_RECONNECT_SECONDS"] = "0"
        ends = [self.serve(0, SIZE, [(0, SIZE)])[1], self.serve(1)[1]]
        line = HungLine(self.tgtd[number].port, 14, 4)
        self.addCleanup(line.close)
        ends[number] = line.url(self.tgtd[number])
        self.expect(FAILED, "sync", *ends, says=["the target has not answered in time"])
        self.assertLess(line.left, 0)

    def test_a_primary_that_only_pings_is_given_up(self):
        self.hang(0)

    def test_a_secondary_that_only_pings_is_given_up(self):
        self.hang(1)


if __name__ == "__main__":
    rig.main()
