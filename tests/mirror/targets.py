# SPDX-License-Identifier: Apache-2.0
"""Two tgtds, and endpoints of every kind that needs no kernel target."""

import pathlib
import sys
import tempfile

import rig
from rig import MIB

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
