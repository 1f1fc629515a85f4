#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Targets that end a command with GOOD although not all of its data were moved."""

import rig
from line import SatedLine, ShortLine, TellingLine
from rig import DONE, FAILED
from targets import SIZE, Targets


class Short(Targets):
    def by(self, number, line, pieces=()):
        path, _ = self.serve(number, SIZE, pieces)
        self.addCleanup(line.close)
        return path, line.url(self.tgtd[number])

    def read_short(self, part):
        """Once in a while, where it is read again; and always."""
        for each in (7, 1):
            line = ShortLine(self.tgtd[0].port, each, part)
            source, primary = self.by(0, line, [(0, SIZE)])
            copy = self.file("copy", SIZE)
            got = self.run_mirror("sync", "--overwrite", primary, copy)
            self.assertGreater(line.kept, 0, str(got))
            if got.status == DONE:
                self.assertEqual(rig.digest(source), rig.digest(copy))
            else:
                self.assertIn("less data was moved", got.err)
            self.assertTrue(got.status == FAILED or each > 1, str(got))
        self.expect(FAILED, "verify", primary, source, says=["less data was moved"])
        self.expect(DONE, "sync", "--overwrite", "--verify", self.tgtd[0].url, copy)

    def test_the_end_of_what_is_read_is_missing(self):
        self.read_short("tail")

    def test_something_in_the_midst_of_what_is_read_is_missing(self):
        self.read_short("hole")

    def test_nothing_of_what_is_read_comes(self):
        self.read_short("all")

    def test_not_all_of_what_is_written_is_taken(self):
        line = SatedLine(self.tgtd[1].port, 5)
        source = self.file("source", SIZE, [(0, SIZE)])
        _, secondary = self.by(1, line)
        self.expect(FAILED, "sync", source, secondary, says=["less data was moved"])
        self.assertGreater(line.ended, 0)

    def test_a_length_of_data_segments_that_is_not_allowed_is_refused(self):
        for value in (b"0", b"1", b"511"):
            line = TellingLine(self.tgtd[1].port, b"MaxRecvDataSegmentLength=" + value)
            _, url = self.by(1, line)
            self.expect(FAILED, "probe", url, says=["MaxRecvDataSegmentLength", "512"])
            self.assertGreater(line.told, 0)


if __name__ == "__main__":
    rig.main()
