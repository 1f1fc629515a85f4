#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every pair of endpoint kinds that needs no kernel target: files, thin volumes and LUNs of tgtd."""

import pathlib
import random
import sys
import tempfile
import time

import rig
from rig import DIFFERENT, DONE, FAILED, INTERRUPTED, MIB, REFUSED, USAGE

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "bench"))
import tgt  # noqa: E402

SIZE = 24 * MIB
KINDS = ["file", "thin", "iscsi"]


class Targets(rig.Case):
    """Two tgtds that live as long as the tests of a class."""

    @classmethod
    def start_targets(cls, cleanup):
        place = tempfile.TemporaryDirectory(prefix="thinmirror-tgt-")
        cleanup(place.cleanup)
        log = open(pathlib.Path(place.name) / "log", "w")
        cleanup(log.close)
        targets = []
        for number in [1, 2]:
            targets.append(tgt.Tgtd(number, pathlib.Path(place.name) / f"lun{number}", log))
            cleanup(targets[-1].close)
        return targets

    @classmethod
    def setUpClass(cls):
        cls.tgtd = cls.start_targets(cls.addClassCleanup)

    def serve(self, number, size=SIZE, pieces=()):
        """The LUN of tgtd number over a new file; the file and the URL."""
        target = self.tgtd[number]
        target.remove()
        path = self.file(f"lun{number}", size, pieces)
        path.replace(target.path)
        target.serve()
        return target.path, target.url

    def make(self, kind, name, number, pieces):
        """The file behind a new endpoint, and its name."""
        if kind == "iscsi":
            return self.serve(number, SIZE, pieces)
        if kind == "thin":
            path = self.volume(name, SIZE, pieces)
            return path, f"thin:{path}"
        path = self.file(name, SIZE, pieces)
        return path, path


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
        expected = {"lun_bytes": SIZE, "mapped_bytes": copied, "read_bytes": copied,
                    "written_bytes": copied, "unmapped_bytes": emptied, "zeroed_bytes": 0,
                    "source_map": "lba-status", "verified": True, "compared_bytes": copied,
                    "notes": []}
        self.assertEqual({key: got[key] for key in expected}, expected)

        again = self.sync_json(primary, secondary)
        self.assertEqual(again["unmapped_bytes"], 0)
        self.assertEqual(again["written_bytes"], copied)
        self.expect(DONE, "verify", primary, secondary)

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


class NotThin(Targets):
    """A LUN of tgtd without thin provisioning neither tells nor promises anything."""

    def serve_thick(self, number, pieces):
        path, url = self.serve(number, SIZE, pieces)
        self.tgtd[number].set_params("thin_provisioning=0")
        return path, url

    def test_a_primary_that_is_not_thin_is_copied_whole_and_that_is_said(self):
        _, primary = self.serve_thick(0, [(MIB, MIB)])
        secondary = self.file("b", SIZE)
        result = self.expect(DONE, "sync", "--json", primary, secondary, says=["note: ", primary])
        self.assertEqual(result.json["source_map"], "full")
        self.assertEqual(result.json["written_bytes"], SIZE)
        self.assertEqual(len(result.json["notes"]), 1)
        self.assertEqual(rig.digest(self.tgtd[0].path), rig.digest(secondary))

    def test_a_secondary_that_is_not_thin_is_read_before_it_is_written(self):
        primary = self.file("a", SIZE, [(MIB, MIB)])
        path, secondary = self.serve_thick(1, [(5 * MIB, 512)])
        self.expect(REFUSED, "sync", primary, secondary,
                    says=["already holds data", f"block {5 * MIB // 512}", "--overwrite"])
        self.expect(DONE, "sync", "--overwrite", primary, secondary)
        self.assertEqual(rig.digest(primary), rig.digest(path))

    def test_an_empty_one_will_do_and_gets_only_the_data(self):
        primary = self.file("a", SIZE, [(MIB, MIB)])
        path, secondary = self.serve_thick(1, [])
        got = self.sync_json("--verify", primary, secondary)
        self.assertEqual(got["written_bytes"], MIB)
        self.assertEqual(rig.digest(primary), rig.digest(path))
        self.assertEqual(got["compared_bytes"], SIZE)


class Gone(Targets):
    """Targets that are not there, or no longer: new ones for each test."""

    @classmethod
    def setUpClass(cls):
        pass

    def setUp(self):
        super().setUp()
        self.tgtd = self.start_targets(self.addCleanup)

    def test_who_does_not_answer_is_named(self):
        _, url = self.serve(0)
        base, iqn, _ = url.rsplit("/", 2)
        port = tgt.free_port()
        for status, name in [(FAILED, f"{base}/{iqn}x/1"), (FAILED, f"{base}/{iqn}/7"),
                             (FAILED, f"iscsi://127.0.0.1:{port}/{iqn}/1"),
                             (USAGE, f"{base}/{iqn}"), (USAGE, f"iscsi://:x/{iqn}/1")]:
            with self.subTest(name=name):
                self.expect(status, "probe", name, says=[name])
                self.expect(status, "sync", name, self.file("b", SIZE), says=[name])

    def kill_during_copy(self, victim):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        doomed = self.tgtd[victim]
        with self.start("sync", "--json", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            doomed.close()
            begin = time.monotonic()
            out, err = run.communicate(timeout=60)
        self.assertLess(time.monotonic() - begin, 50)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertIn([primary, secondary][victim], err)
        self.assertIn('"result": "failed"', out)
        self.assertIn('"verified": false', out)
        self.assertNotIn("done", out)

    def test_a_primary_that_is_killed(self):
        self.kill_during_copy(0)

    def test_a_secondary_that_is_killed(self):
        self.kill_during_copy(1)


class Stopped(Targets):
    def test_an_interrupted_copy_goes_on_without_permission(self):
        _, primary = self.serve(0, SIZE, [(0, SIZE)])
        path, secondary = self.serve(1)
        with self.start("sync", "--rate=8M", primary, secondary) as run:
            while not rig.data_grains(path):
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            run.terminate()
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.expect(DIFFERENT, "verify", primary, secondary)
        self.expect(DONE, "sync", primary, secondary)
        self.expect(DONE, "verify", primary, secondary)


if __name__ == "__main__":
    random.seed(2)
    rig.main()
