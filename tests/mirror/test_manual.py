#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man page and the completion know what the program knows."""

import os
import pathlib
import re
import subprocess

import rig
from rig import DONE, THINMIRROR

TREE = pathlib.Path(__file__).parents[2]
COMMANDS = ["sync", "map", "verify", "probe"]


class Manual(rig.Case):
    def options(self, *command):
        """The options of a command, as its help lists them."""
        text = self.expect(DONE, *command, "--help").out
        return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))

    def complete(self, *words):
        script = """. "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
                    _thinmirror; printf '%s\\n' "${COMPREPLY[@]}" """
        result = subprocess.run(
            ["bash", "-c", script, "bash", TREE / "tools/completion/thinmirror", *words],
            capture_output=True, text=True, check=True, env=dict(os.environ, LC_ALL="C"))
        self.assertEqual(result.stderr, "")
        return set(result.stdout.split())

    def test_the_man_page_has_every_option(self):
        page = (TREE / "docs/thinmirror.1").read_text().replace("\\-", "-")
        for command in COMMANDS:
            for option in self.options(command):
                self.assertIn(option, page, f"of {command}")

    def test_the_man_page_has_no_option_that_is_not_there(self):
        page = (TREE / "docs/thinmirror.1").read_text().replace("\\-", "-")
        known = {"--help", "--version"}.union(*(self.options(command) for command in COMMANDS))
        self.assertEqual(set(re.findall(r"--[a-z-]+[a-z]", page)) - known, set())

    def test_completion(self):
        program = str(THINMIRROR)
        self.assertEqual(self.complete(program, ""), set(COMMANDS))
        self.assertEqual(self.complete(program, "ve"), {"verify"})
        self.assertEqual(self.complete(program, "sync", "--resu"), {"--resume"})
        self.assertEqual(self.complete(program, "sync", "--led"), {"--ledger="})
        self.assertEqual(self.complete(program, "map", "--res"), set())
        self.assertEqual(self.complete(program, "sync", "--progress", "=", "j"), {"json"})
        self.assertEqual(self.complete(program, "sync", "--verify", "=", "i"), {"inline"})
        self.assertIn("analyse", self.complete(program, "sync", "--source-map", "="))
        for command in COMMANDS:
            offered = {option.rstrip("=") for option in self.complete(program, command, "--")}
            self.assertLessEqual(self.options(command), offered)


if __name__ == "__main__":
    rig.main()
