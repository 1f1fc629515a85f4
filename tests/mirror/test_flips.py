#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A line that changes what it carries: TCP's checksum is right and no error is reported, so only
reading back finds it."""


import rig
from rig import DIFFERENT, DONE, FAILED, MIB
from targets import SIZE, Targets

from line import Line, LyingLine, UnreadableLine

GOOD, BAD = b"sixteen bytes...", b"sixteen bites..."
SPOILT = 9 * MIB  # where the bytes lie that change on their way


class Spoiler:
    """Spoils what is good in one direction."""

    def __init__(self, to_target):
        self.to_target, self.spoilt = to_target, 0

    def __call__(self, data, to_target):
        if to_target != self.to_target or GOOD not in data:
            return data
        self.spoilt += 1
        return data.replace(GOOD, BAD)


class Flips(Targets):
    def spoil(self, to_target=True):
        """A primary and the secondary at the end of a line that spoils a block of its data."""
        primary = self.file("a", SIZE, [(0, 4 * MIB), (8 * MIB, 4 * MIB)])
        with open(primary, "r+b") as file:
            file.seek(SPOILT)
            file.write(GOOD * 32)
        path, _ = self.serve(1)
        spoiler = Spoiler(to_target)
        line = Line(self.tgtd[1].port, spoiler)
        self.addCleanup(line.close)
        return primary, path, line.url(self.tgtd[1]), spoiler

    def check_told(self, result, *more):
        self.assertEqual(result.json["result"], "different")
        self.assertEqual(result.json["different_blocks"], 1)
        self.assertIn(str(SPOILT // 512), result.err)
        for text in more:
            self.assertIn(text, result.err)

    def test_reading_back_finds_what_was_spoilt_on_its_way(self):
        for sessions in (1, 2):
            with self.subTest(sessions=sessions):
                primary, path, url, spoiler = self.spoil()
                result = self.expect(DIFFERENT, "sync", "--json", "--verify=inline",
                                     f"--sessions={sessions}", primary, url)
                self.assertGreater(spoiler.spoilt, 0)
                self.check_told(result)
                self.assertNotEqual(rig.digest(primary), rig.digest(path))

    def test_verify_at_the_end_finds_it_too(self):
        primary, path, url, _ = self.spoil()
        self.check_told(self.expect(DIFFERENT, "sync", "--json", "--verify", primary, url))
        self.assertNotEqual(rig.digest(primary), rig.digest(path))

    def test_without_reading_back_nobody_can_tell_until_verify_is_asked(self):
        primary, _, url, _ = self.spoil()
        self.expect(DONE, "sync", primary, url)
        self.check_told(self.expect(DIFFERENT, "verify", "--json", primary, url))

    def test_a_block_that_is_spoilt_when_it_is_read_is_not_taken_for_a_good_one(self):
        primary, path, url, spoiler = self.spoil(to_target=False)
        self.check_told(self.expect(DIFFERENT, "sync", "--json", "--verify=inline", primary, url))
        self.assertGreater(spoiler.spoilt, 0)
        self.assertEqual(rig.digest(primary), rig.digest(path))


class Unreadable(Targets):
    """A primary whose medium does not give some of its blocks."""

    LBA = 9 * MIB // 512 + 13

    def setUp(self):
        super().setUp()
        path, _ = self.serve(0, SIZE, [(8 * MIB, 4 * MIB)])
        with open(path, "r+b") as file:
            file.seek(self.LBA * 512)
            file.write(GOOD * 64)  # two blocks
        line = UnreadableLine(self.tgtd[0].port, GOOD)
        self.addCleanup(line.close)
        self.primary, self.url = path, line.url(self.tgtd[0])
        self.secondary = self.file("b", SIZE)

    def test_it_ends_the_copy(self):
        self.expect(FAILED, "sync", self.url, self.secondary,
                    says=[self.url, "unrecovered read error", "--skip-bad=N passes over",
                          "with --resume"])

    def test_passed_over_they_are_zeros_and_the_rest_is_there(self):
        result = self.expect(FAILED, "sync", "--skip-bad=2", self.url, self.secondary,
                             says=[f"block {self.LBA} ", f"block {self.LBA + 1} ",
                                   f"2 blocks of {self.url} could not be read"])
        self.assertRegex(result.out, r"copied +4 MiB\n")
        self.assertRegex(result.out, r"not read +1 KiB  \(2 blocks, zeros in their place\)\n")
        with open(self.primary, "r+b") as file:
            file.seek(self.LBA * 512)
            file.write(bytes(1024))
        self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary))

    def test_one_more_than_allowed_ends_it(self):
        result = self.expect(FAILED, "sync", "--skip-bad=1", self.url, self.secondary,
                             says=["unrecovered read error", "one more than --skip-bad=1"])
        self.assertEqual(result.out, "")

    def test_passed_over_they_are_not_compared_and_that_is_said(self):
        result = self.expect(FAILED, "sync", "--skip-bad=2", "--verify", "--json", self.url,
                             self.secondary, says=["not compared"])
        self.assertIs(result.json["verified"], False)


class Lies(Targets):
    """A target whose map is not sound: what it does not tell soundly is taken as mapped, and that is
    said, on stderr and in the JSON."""

    PIECES = [(2 * MIB * i, MIB) for i in range(12)]
    DOUBT = "GET LBA STATUS at LBA 0 is answered with"

    def through_a_line(self, number, pieces):
        path, _ = self.serve(number, SIZE, pieces)
        line = LyingLine(self.tgtd[number].port)
        self.addCleanup(line.close)
        return path, line.url(self.tgtd[number]), line

    def check_said(self, result, url):
        self.assertTrue(any(url in note and self.DOUBT in note for note in result.json["notes"]),
                        result.json["notes"])
        self.assertIn(self.DOUBT, result.err)

    def test_of_the_primary(self):
        source, primary, line = self.through_a_line(0, self.PIECES)
        path, secondary = self.serve(1)
        result = self.expect(DONE, "sync", "--json", primary, secondary)
        self.assertGreater(line.lies, 0)
        self.check_said(result, primary)
        self.assertEqual(rig.digest(source), rig.digest(path))
        self.check_said(self.expect(DONE, "verify", "--json", primary, secondary), primary)

    def test_of_a_primary_whose_map_was_asked_for(self):
        source, primary, _ = self.through_a_line(0, self.PIECES)
        path, secondary = self.serve(1)
        for command in ("sync", "verify"):
            self.expect(FAILED, command, "--source-map=lba-status", primary, secondary,
                        says=[self.DOUBT])

    def test_of_the_secondary(self):
        source, primary = self.serve(0, SIZE, self.PIECES)
        path, secondary, line = self.through_a_line(1, [(MIB, 8 * MIB), (10 * MIB, MIB)])
        result = self.expect(DONE, "sync", "--json", "--overwrite", primary, secondary)
        self.assertGreater(line.lies, 0)
        self.check_said(result, secondary)
        self.assertEqual(rig.digest(source), rig.digest(path))

    def test_in_the_list_it_is_mapped_and_the_list_is_a_failure(self):
        _, primary, _ = self.through_a_line(0, self.PIECES)
        result = self.expect(FAILED, "map", "--json", primary, says=[self.DOUBT, "shown as mapped"])
        blocks = sum(piece["blocks"] for piece in result.json["extents"])
        self.assertEqual(blocks, SIZE // 512)


if __name__ == "__main__":
    rig.main()
