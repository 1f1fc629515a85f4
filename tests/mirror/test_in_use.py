# SPDX-License-Identifier: Apache-2.0
"""Files that another program has open: as the secondary they are refused, as the primary it is
said."""

import os
import shutil
import socket
import subprocess
import time
import unittest

import rig
import targets
from rig import DONE, MIB, REFUSED


class InUse(targets.Targets):
    def refused(self, primary, path, holder):
        before = rig.digest(path)
        for options in [[], ["--overwrite"], ["--dry-run"]]:
            self.expect(REFUSED, "sync", *options, primary, path, says=[f"{path} is", holder])
        self.assertEqual(rig.digest(path), before)

    def test_the_file_of_a_lun_that_tgtd_serves(self):
        path, url = self.serve(0)
        other = self.file("other", targets.SIZE, [(0, MIB)])
        self.refused(other, path, "(tgtd)")
        # Also when it is the primary itself, by another name.
        self.refused(url, path, "(tgtd)")
        note = self.expect(DONE, "sync", "--dry-run", path, self.file("c", targets.SIZE)).err
        self.assertIn(f"note: {path} is open for writing by process", note)
        self.assertIn("only a snapshot is exact (cp --reflink", note)

    @unittest.skipUnless(shutil.which("qemu-nbd"), "qemu-utils is not installed")
    def test_the_disk_of_a_virtual_machine(self):
        """qemu-nbd holds its file as qemu does."""
        for options in [[], ["--read-only"]]:
            with self.subTest(options=options):
                path = self.file("disk", 4 * MIB, [(MIB, MIB)])
                place = self.folder / "socket"
                process = subprocess.Popen(["qemu-nbd", "--format=raw", "--persistent", *options,
                                            f"--socket={place}", path])
                try:
                    for _ in range(200):
                        with socket.socket(socket.AF_UNIX) as probe:
                            if probe.connect_ex(str(place)) == 0:
                                break
                        time.sleep(0.1)
                    self.refused(self.file("a", 4 * MIB, [(0, MIB)]), path, "(qemu-nbd)")
                finally:
                    process.kill()
                    process.wait()
        self.expect(DONE, "sync", "--overwrite", self.file("a", 4 * MIB, [(0, MIB)]), path)

    def test_a_program_that_only_reads_disturbs_nobody(self):
        path = self.file("disk", 4 * MIB)
        with open(path, "rb"):
            self.expect(DONE, "sync", self.file("a", 4 * MIB, [(0, MIB)]), path)

    def test_any_program_that_writes(self):
        path = self.file("disk", 4 * MIB)
        primary = self.file("a", 4 * MIB, [(0, MIB)])
        with open(path, "r+b"):
            self.refused(primary, path, f"process {os.getpid()} (")
        self.expect(DONE, "sync", primary, path)


if __name__ == "__main__":
    rig.main()
