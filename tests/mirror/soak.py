#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Copies between endpoints of all kinds for as long as wanted, each disturbed in some way: interrupted,
killed, its targets killed, restarted or stopped for a while, its connections cut. Each must end exact.

  tests/mirror/soak.py --seconds=28800

Prints a line for each kind of disturbance at the end; the seed of a copy that went wrong repeats it."""

import argparse
import collections
import os
import random
import signal
import sys
import time

import rig
from rig import DIFFERENT, DONE, GRAIN, INTERRUPTED
from line import Line
from targets import KINDS, SIZE, Targets

DISTURBANCES = ["nothing", "SIGINT", "SIGKILL", "target restarted", "target stopped for a while",
                "connections cut"]
LONGEST_SECONDS = 60
options = argparse.Namespace()


def random_options():
    chosen = [f"--queue-depth={random.choice([1, 2, 8, 32, 64])}",
              f"--checkpoint={random.choice([0.01, 0.1, 5])}",
              f"--rate={random.choice(['12M', '40M', '400M'])}",
              f"--sessions={random.choice([1, 1, 2, 4])}"]
    if random.random() < 0.3:
        chosen.append("--detect-zeroes")
    if random.random() < 0.3:
        chosen.append("--verify")
    if random.random() < 0.2:
        chosen.append("--verify=inline")
    return [*chosen, "--overwrite", "--resume", "--json", "--progress=none"]


class Soak(Targets):
    def disturb(self, run, how, kinds, lines):
        """At a moment of its own choice."""
        time.sleep(random.uniform(0.01, 0.6))
        targets = [self.tgtd[i] for i, kind in enumerate(kinds) if kind == "iscsi"]
        if how == "SIGINT":
            run.send_signal(signal.SIGINT)
        elif how == "SIGKILL":
            run.kill()
        elif how == "target restarted" and targets:
            random.choice(targets).restart()
        elif how == "target stopped for a while" and targets:
            target = random.choice(targets)
            target.process.send_signal(signal.SIGSTOP)
            time.sleep(random.uniform(0.1, 2))
            target.process.send_signal(signal.SIGCONT)
        elif how == "connections cut":
            for _ in range(random.randrange(1, 5)):
                for line in lines:
                    if line.connections:
                        line.cut(random.randrange(len(line.connections)))
                time.sleep(random.uniform(0.01, 0.3))

    def copy(self, args, how, kinds, lines):
        """Until it is done: at first disturbed, in the end left alone. How often it was begun."""
        for begun in range(1, 10):
            with self.start(*args) as run:
                if begun < 6:
                    self.disturb(run, how, kinds, lines)
                out, err = run.communicate(timeout=LONGEST_SECONDS)
            if run.returncode == DONE:
                return begun
            # A signal may come before the program has begun to catch it.
            allowed = {"SIGINT": [INTERRUPTED, -signal.SIGINT],
                       "SIGKILL": [-signal.SIGKILL]}.get(how, [])
            self.assertIn(run.returncode, allowed, f"{how}: {out}{err}")
        self.fail("not even undisturbed does it come to an end")

    def damage(self, path):
        """Turns one byte over; what finds it?"""
        with open(path, "r+b") as file:
            file.seek(random.randrange(SIZE))
            byte = file.read(1)
            file.seek(-1, os.SEEK_CUR)
            file.write(bytes([byte[0] ^ 0x40]))

    def one(self, number, how):
        kinds = [random.choice(KINDS), random.choice(KINDS)]
        sides = [self.make(kind, f"{'ab'[i]}{number}", i, rig.random_pieces(SIZE, count))
                 for i, (kind, count) in enumerate(zip(kinds, random.sample([5, 60, 300], 2)))]
        (source, primary), (sink, secondary) = sides
        lines = {i: Line(self.tgtd[i].port) for i, kind in enumerate(kinds) if kind == "iscsi"}
        ways = [lines[i].url(self.tgtd[i]) if i in lines else name
                for i, (_, name) in enumerate(sides)]
        ledger = self.folder / f"ledger{number}"
        begun = self.copy(["sync", *random_options(), f"--ledger={ledger}", *ways], how, kinds,
                          list(lines.values()))
        for line in lines.values():
            line.close()
        self.assertEqual(rig.digest(source), rig.digest(sink), f"{kinds}, {how}")
        self.expect(DONE, "verify", primary, secondary)
        self.damage(sink)
        self.expect(DIFFERENT, "verify", primary, secondary)
        for path in [ledger, *(p for kind, (p, _) in zip(kinds, sides) if kind != "iscsi")]:
            path.unlink()
        return begun

    def test_every_copy_ends_exact(self):
        copies = collections.Counter()
        begun = collections.Counter()
        end = time.monotonic() + options.seconds
        number = 0
        while time.monotonic() < end or number < len(DISTURBANCES):
            seed = options.seed + number
            random.seed(seed)
            how = DISTURBANCES[seed % len(DISTURBANCES)]
            with self.subTest(seed=seed):
                begun[how] += self.one(number, how)
            copies[how] += 1
            number += 1
        for how in DISTURBANCES:
            print(f"# {how:26} {copies[how]:6} copies, begun {begun[how]:6} times", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 30))
    parser.parse_args(namespace=options)
    print(f"# seed {options.seed}", flush=True)
    sys.argv[1:] = []
    rig.run_tests()
