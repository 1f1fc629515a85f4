#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The golden set: images that the real tools made (see make_golden), what of them an independent
program said is needed, and their maps. No tool but thinmirror is needed to test them."""

import json
import os
import random

import analyse_rig
from analyse_rig import GOLDEN, Ranges, peek, poke

# Whose tables have checksums or copies that tell damage; the others' contents may be plausible and wrong.
GUARDED = ("btrfs-dup", "btrfs-single", "exfat-mounted", "ext4-bigalloc-mounted", "ext4-journal", "gpt",
           "lvm-plain", "xfs-v5")
PAGE, ATTEMPTS = 4096, 25


class Golden(analyse_rig.Case):
    def check_golden(self, name):
        expected = json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))
        image = self.golden(name)
        needed = Ranges(expected["needed"])
        extents = self.check(image, needed, slack=expected["slack"])
        self.assertLess(needed.total(), os.path.getsize(image))
        self.assertEqual([[e["lba"], e["blocks"], e["status"], e["why"]] for e in extents],
                         expected["map"])

    def tables(self, image, needed):
        """Where the pages lie that are no file's: those hold one letter here, or zeros."""
        found = []
        for start, end in needed.pieces:
            for at in range(start, end, PAGE):
                if not set(peek(image, at, min(PAGE, end - at))) <= set(b"\0xy"):
                    found.append((at, min(PAGE, end - at)))
        return found

    def damage(self, image, tables):
        """A few bytes changed, a page gone, or another one's contents in it; what was there before."""
        at, length = random.choice(tables)
        kind = random.choice(("bytes", "bytes", "gone", "other"))
        if kind == "bytes":
            offset = random.randrange(length)
            data = random.randbytes(random.randrange(1, 5))[:length - offset]
        else:
            offset = 0
            data = bytes(length) if kind == "gone" else peek(image, random.choice(tables)[0], length)
        before = peek(image, at + offset, len(data))
        poke(image, at + offset, data)
        return at + offset, before

    def test_damage_frees_nothing_that_is_needed(self):
        for name in GUARDED:
            image = self.golden(name)
            needed = Ranges(json.loads((GOLDEN / f"{name}.json").read_text(encoding="utf-8"))["needed"])
            tables = self.tables(image, needed)
            self.assertGreater(len(tables), 4)
            for attempt in range(ATTEMPTS):
                place, before = self.damage(image, tables)
                with self.subTest(name=name, attempt=attempt, place=place):
                    mapped = self.ranges(self.map(image)[0], "mapped")
                    self.assertEqual(needed.minus(mapped).pieces, [])
                poke(image, place, before)

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
