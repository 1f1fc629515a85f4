#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every pair of endpoint kinds that needs no kernel target: files, thin volumes, LUNs of tgtd."""

import rig
from rig import DONE, REFUSED
from targets import KINDS, SIZE, Targets


class Pairs(Targets):
    def check(self, source, sink):
        old, new = rig.random_pieces(SIZE, 60), rig.random_pieces(SIZE, 60)
        primary_file, primary = self.make(source, f"{source}-{sink}.a", 0, new)
        secondary_file, secondary = self.make(sink, f"{source}-{sink}.b", 1, old)
        copied = len(rig.grains(new)) * rig.GRAIN
        emptied = len(rig.grains(old) - rig.grains(new)) * rig.GRAIN

        self.expect(REFUSED, "sync", primary, secondary, says=["already holds data"])
        got = self.sync_json("--overwrite", "--verify", primary, secondary)
        self.assertEqual(rig.digest(primary_file), rig.digest(secondary_file))
        self.assertEqual(rig.data_grains(secondary_file), rig.grains(new))
        # The holes of local files are known; of a target's word they are read.
        certain = "iscsi" not in (source, sink) and rig.holes_are_certain(primary_file)
        compared = copied if certain else SIZE
        expected = {"lun_bytes": SIZE, "mapped_bytes": copied, "read_bytes": copied,
                    "written_bytes": copied, "unmapped_bytes": emptied, "zeroed_bytes": 0,
                    "source_map": "lba-status", "verified": True, "compared_bytes": compared,
                    "spot_bytes": 0, "notes": []}
        self.assertEqual({key: got[key] for key in expected}, expected)

        again = self.sync_json(primary, secondary)
        self.assertEqual(again["unmapped_bytes"], 0)
        self.assertEqual(again["written_bytes"], copied)
        self.expect(DONE, "verify", primary, secondary)
        got = self.expect(DONE, "verify", "--trust-maps", "--json", primary, secondary).json
        self.assertEqual(got["compared_bytes"], copied)
        self.assertEqual(got["spot_bytes"] > 0, not certain)
        self.assertLess(got["spot_bytes"], SIZE - copied)

    def test_random_maps_of_both_sides(self):
        for source in KINDS:
            for sink in KINDS:
                with self.subTest(source=source, sink=sink):
                    self.check(source, sink)

    def test_a_map_of_many_extents_takes_few_questions(self):
        pieces = [(i * 32768, 4096) for i in range(700)]
        _, primary = self.serve(0, SIZE, pieces)
        secondary = self.file("b", SIZE)
        got = self.sync_json(primary, secondary)
        self.assertEqual(got["extents"], 700)
        self.assertLessEqual(got["status_queries"], 3)
        self.assertEqual(rig.data_grains(secondary), rig.grains(pieces))

    def test_4096_byte_blocks(self):
        primary = self.volume("a", SIZE, [(4096, 8192)], block_size=4096)
        secondary = self.file("b", SIZE)
        self.assertEqual(self.sync_json(f"thin:{primary}", secondary)["written_bytes"], 8192)
        _, other = self.serve(1)
        self.expect(REFUSED, "sync", f"thin:{primary}", other, says=["4096", "512", other])


if __name__ == "__main__":
    rig.main()
