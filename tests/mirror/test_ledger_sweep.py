#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Every way in which a ledger can be out of date with every way in which a secondary can change:
the next sync ends with the right data, or is refused and changes nothing. THINMIRROR_SEED is the
seed."""

import itertools
import os
import random
import signal
import time

import rig
from rig import DONE, INTERRUPTED, MIB, REFUSED

SIZE = 4 * MIB


class Sweep(rig.Case):
    def begin(self, how, *args):
        """A sync that ends in the middle: by a signal, with something on record."""
        with self.start("sync", "--checkpoint=0.02", "--rate=4M", *args, self.primary,
                        self.name) as run:
            while not any('"done":"0+' in path.read_text() for path in self.records()):
                self.assertIsNone(run.poll(), "ended too early")
                time.sleep(0.005)
            run.send_signal(how)
            _, err = run.communicate(timeout=60)
        self.assertEqual(run.returncode, INTERRUPTED if how == signal.SIGINT else -how, err)

    def records(self):
        return [path for path in self.folder.rglob("*")
                if path.suffix in (".json", ".ledger") and path.exists()]

    # How the ledger comes to be what it is.
    def interrupted(self):
        self.begin(signal.SIGINT)

    def killed(self):
        self.begin(signal.SIGKILL)

    def complete(self):
        self.expect(DONE, "sync", self.primary, self.name)

    def completed_elsewhere(self):
        self.begin(signal.SIGINT)
        self.expect(DONE, "sync", f"--ledger={self.folder}/x.ledger", self.primary, self.name)

    def put_back(self):
        self.begin(signal.SIGINT)
        old = {path: path.read_bytes() for path in self.records()}
        self.expect(DONE, "sync", self.primary, self.name)
        for path, text in old.items():
            path.write_bytes(text)

    def torn(self):
        self.begin(signal.SIGINT)
        for path in self.records():
            path.write_bytes(path.read_bytes()[:-40])

    def removed(self):
        self.begin(signal.SIGINT)
        for path in self.records():
            path.unlink()

    # What becomes of the secondary.
    def unchanged(self):
        pass

    def emptied(self):
        os.truncate(self.secondary, 0)
        os.truncate(self.secondary, SIZE)

    def rewritten(self):
        with open(self.secondary, "r+b") as file:
            file.write(random.randbytes(SIZE))

    def rolled_back(self):
        with open(self.secondary, "r+b") as file:
            file.write(self.old)

    def a_piece_emptied(self):
        with open(self.secondary, "r+b") as file:
            data = file.read()
            os.ftruncate(file.fileno(), 0)
            os.ftruncate(file.fileno(), SIZE)
            file.seek(MIB)
            file.write(data[MIB:])

    LEDGERS = ("interrupted", "killed", "complete", "completed_elsewhere", "put_back", "torn",
               "removed")
    CHANGES = ("unchanged", "emptied", "rewritten", "rolled_back", "a_piece_emptied")

    def one(self, ledger, change, resume, thin):
        self.primary = self.file("a", SIZE, [(0, SIZE)])
        self.old = random.randbytes(SIZE)
        self.secondary = self.volume("b", SIZE) if thin else self.file("b", SIZE)
        self.name = f"thin:{self.secondary}" if thin else self.secondary
        getattr(self, ledger)()
        getattr(self, change)()
        before = rig.digest(self.secondary)
        result = self.run_mirror("sync", *(["--resume"] if resume else []), self.primary, self.name)
        if result.status == DONE:
            self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary), str(result))
        else:
            self.assertEqual(result.status, REFUSED, str(result))
            self.assertEqual(rig.digest(self.secondary), before)
        for path in [*self.records(), *self.folder.glob("b*"), self.primary]:
            path.unlink(missing_ok=True)
        return result.status

    def test_every_ledger_with_every_change(self):
        ends = set()
        for ledger, change in itertools.product(self.LEDGERS, self.CHANGES):
            resume, thin = random.choice([False, True]), random.choice([False, True])
            with self.subTest(ledger=ledger, change=change, resume=resume, thin=thin):
                ends.add(self.one(ledger, change, resume, thin))
        self.assertEqual(ends, {DONE, REFUSED})


if __name__ == "__main__":
    rig.main()
