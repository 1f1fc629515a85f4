#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden set: images that the real tools made (see make_golden), what of them an independent
program said is needed, and their maps. No tool but thinmirror is needed to test them."""

import json
import os

import analyse_rig
from analyse_rig import GOLDEN, Ranges


class Golden(analyse_rig.Case):
    def check_golden(self, name):
        expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        image = self.golden(name)
        needed = Ranges(expected["needed"])
        extents = self.check(image, needed, slack=expected["slack"])
        self.assertLess(needed.total(), os.path.getsize(image))
        self.assertEqual([[e["lba"], e["blocks"], e["status"], e["why"]] for e in extents],
                         expected["map"])

    def test_every_image_has_its_map(self):
        names = [sorted(path.stem for path in GOLDEN.glob(f"*.{kind}")) for kind in ("xz", "json")]
        self.assertGreater(len(names[0]), 30)
        self.assertEqual(*names)


def add_test(name):
    setattr(Golden, f"test_the_map_of_{name}_is_as_it_was".replace("-", "_"), lambda case: case.check_golden(name))


for packed in sorted(GOLDEN.glob("*.xz")):
    add_test(packed.stem)


if __name__ == "__main__":
    analyse_rig.main()
