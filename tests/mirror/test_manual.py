#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The man page and the completion know what the program knows."""

import os
import pathlib
import pty
import re
import subprocess

import rig
from rig import BUILD, DONE, THINMIRROR

TREE = pathlib.Path(__file__).parents[2]
COMMANDS = ["sync", "map", "verify", "probe", "ledgers", "forget"]


class Manual(rig.Case):
    def options(self, *command):
        """The options of a command, as its help lists them."""
        text = self.expect(DONE, *command, "--help").out
        return set(re.findall(r"^  (--[a-z-]+)", text, re.MULTILINE))

    def complete(self, *words):
        name = pathlib.Path(words[0]).name
        script = """. "$1"; COMP_WORDS=("${@:3}"); COMP_CWORD=$(($# - 3))
                    "_$2"; printf '%s\\n' "${COMPREPLY[@]}" """
        result = subprocess.run(
            ["bash", "-c", script, "bash", TREE / "tools/completion" / name, name, *words],
            capture_output=True, text=True, check=True, env=dict(os.environ, LC_ALL="C"))
        self.assertEqual(result.stderr, "")
        found = result.stdout.split()
        self.assertEqual(len(found), len(set(found)), f"{found} has something twice")
        return set(found)

    def test_the_man_page_has_every_option(self):
        page = (TREE / "docs/thinmirror.1").read_text().replace("\\-", "-")
        for command in COMMANDS:
            for option in self.options(command):
                self.assertIn(option, page, f"of {command}")

    def test_the_man_page_has_no_option_that_is_not_there(self):
        page = (TREE / "docs/thinmirror.1").read_text().replace("\\-", "-")
        known = {"--help", "--version"}.union(*(self.options(command) for command in COMMANDS))
        self.assertEqual(set(re.findall(r"--[a-z-]+[a-z]", page)) - known, set())

    def test_both_documents_have_every_variable_of_the_environment(self):
        names = {name for path in (TREE / "mirror").rglob("*.c")
                 for name in re.findall(r'"((?:THINMIRROR|XDG)_[A-Z_]+)"', path.read_text())}
        self.assertIn("THINMIRROR_CHAP_TARGET_SECRET", names)
        for document in ["thinmirror.1", "thinmirror.md"]:
            text = (TREE / "docs" / document).read_text()
            self.assertEqual({name for name in names if name not in text}, set(), document)

    def test_what_the_man_page_refers_to_is_installed(self):
        subprocess.run(["cmake", "--install", BUILD, "--prefix", "/usr/local"], check=True,
                       capture_output=True, env=dict(os.environ, DESTDIR=str(self.folder)))
        page = (self.folder / "usr/local/share/man/man1/thinmirror.1").read_text()
        named = re.findall(r"/usr/local/share/doc/\S+", page)
        self.assertEqual(len(named), 1)
        path = self.folder / named[0][1:]
        for link in re.findall(r"\]\(([^)#:]+)[)#]", path.read_text()):
            self.assertTrue((path.parent / link).is_file(), link)

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
        self.assertEqual(self.complete(program, "--"), {"--help", "--version"})
        self.assertEqual(self.complete(program, "sync", "--ra"), {"--rate="})
        self.assertEqual(self.complete(program, "verify", "--verify", "--all"), {"--allocated"})

    def test_completion_of_a_value_that_is_the_next_word(self):
        program = str(THINMIRROR)
        self.assertEqual(self.complete(program, "sync", "--progress", ""),
                         {"auto", "bar", "json", "none"})
        self.assertEqual(self.complete(program, "verify", "--source-map", "b"), {"bitmap", "both"})
        self.assertEqual(self.complete(program, "map", "--format", "s"), {"svg"})
        place = self.folder / "so-many"
        place.touch()
        self.assertEqual(self.complete(program, "sync", "--ledger", f"{self.folder}/s"),
                         {str(place)})
        self.assertEqual(self.complete(program, "sync", "--resume", f"{self.folder}/s"),
                         {str(place)})

    def test_completion_of_pairs_and_of_a_command_without_names(self):
        program = str(THINMIRROR)
        self.expect(DONE, "sync", "--pair=db1", self.file("a", 65536), self.file("b", 65536))
        os.environ["XDG_STATE_HOME"] = self.environment["XDG_STATE_HOME"]
        self.addCleanup(os.environ.pop, "XDG_STATE_HOME")
        self.assertEqual(self.complete(program, "forget", "--pair", "=", ""), {"db1"})
        self.assertEqual(self.complete(program, "sync", "--pair", "d"), {"db1"})
        self.assertEqual(self.complete(program, "ledgers", ""), set())
        self.assertEqual(self.complete(program, "forget", f"{self.folder}/a"), {f"{self.folder}/a"})

    def test_completion_of_the_file_of_a_rate(self):
        """Bash breaks words at = and @, unless it was told otherwise."""
        place, program = self.folder / "rate", str(THINMIRROR)
        place.touch()
        part = str(place)[:-1]
        for words in [["=@", part], ["@", part], ["=", f"@{part}"], [f"@{part}"]]:
            self.assertEqual(self.complete(program, "sync", "--rate", *words), {f"@{place}"})
        self.assertEqual(self.complete(program, "sync", "--rate", "=", part), set())
        self.assertEqual(self.complete(program, "sync", "--rate", "=@", str(self.folder)),
                         {f"@{self.folder}/"})

    def test_completion_of_thinvol(self):
        program = str(BUILD / "bin/thinvol")
        verbs = {"create", "info", "map", "check", "resize", "new-id", "track", "point", "points",
                 "forget", "changed"}
        self.assertEqual(self.complete(program, ""), verbs)
        self.assertEqual(self.complete(program, "re"), {"resize"})
        self.assertEqual(self.complete(program, "--v"), {"--version"})
        self.assertEqual(self.complete(program, "create", "--"),
                         {"--adopt", "--block-size=", "--json", "--help"})
        self.assertEqual(self.complete(program, "resize", "--d"), {"--discard"})
        self.assertEqual(self.complete(program, "info", "--d"), set())
        self.assertEqual(self.complete(program, "changed", "--s"), {"--since="})
        self.assertEqual(self.complete(program, "create", "--block-size", "=", ""), {"512", "4096"})
        self.assertEqual(self.complete(program, "create", "--block-size", "=", "4"), {"4096"})
        place = self.folder / "vol"
        place.touch()
        self.assertEqual(self.complete(program, "info", f"{self.folder}/v"), {str(place)})
        for verb in verbs:
            for option in self.complete(program, verb, "--"):
                result = subprocess.run([program, verb, option.rstrip("=")], capture_output=True,
                                        text=True, check=False)
                self.assertNotIn("is not known", result.stderr, f"{verb} {option}")

    def test_completion_of_thindoctor(self):
        program = str(BUILD / "bin/thindoctor")
        self.assertEqual(self.complete(program, "-"), {"--json", "--help", "--version"})
        self.assertEqual(self.complete(program, f"{self.folder.parent}/{self.folder.name}"),
                         {str(self.folder)})

    def test_every_program_tells_its_version_and_its_help(self):
        for name in ["thinmirror", "thinvol", "thindoctor"]:
            said = []
            for option in ["--version", "-V", "--help", "-h"]:
                result = subprocess.run([BUILD / "bin" / name, option], capture_output=True,
                                        text=True, check=False)
                self.assertEqual([result.returncode, result.stderr], [DONE, ""], f"{name} {option}")
                said.append(result.stdout)
            self.assertRegex(said[0], rf"^{name} \d+\.\d+\.\d+\n$")
            self.assertEqual(said[0].split()[1], self.expect(DONE, "--version").out.split()[1])
            self.assertIn(f"{name} ", said[2])
            self.assertEqual([said[1], said[3]], [said[0], said[2]])
            self.assertLessEqual(max(map(len, said[2].splitlines())), 91)
        for verb in ["create", "info", "map", "check", "resize", "new-id", "track", "point", "points",
                     "forget", "changed"]:
            texts = [subprocess.run([BUILD / "bin/thinvol", verb, option], capture_output=True,
                                    text=True, check=True).stdout for option in ["--help", "-h"]]
            self.assertIn(f"  thinvol {verb} [", texts[0])
            self.assertEqual(texts[0], texts[1])

    def type(self, keys):
        """What a line typed into an interactive bash runs, word by word."""
        got = self.folder / "got"
        start = self.folder / "start"
        start.write_text(f"PATH={BUILD}/bin:$PATH\n. {TREE}/tools/completion/{keys.split()[0]}\n"
                         f"bind 'set enable-bracketed-paste off'\n")
        (self.folder / "rate file").touch()
        master, slave = pty.openpty()
        with subprocess.Popen(["bash", "--noprofile", "--rcfile", start, "-i"], cwd=self.folder,
                              env=dict(os.environ, HOME=str(self.folder), INPUTRC="/dev/null"),
                              stdin=slave, stdout=slave, stderr=slave,
                              start_new_session=True) as run:
            os.close(slave)
            # What is completed is not run, but written down.
            os.write(master, f"{keys}\x05\x01printf '%s\\n' \x05 > {got}; exit\n".encode())
            try:
                while os.read(master, 65536):
                    pass
            except OSError:  # how a terminal without a writer ends
                pass
            run.wait(timeout=20)
        os.close(master)
        return got.read_text().splitlines()

    def test_completion_in_an_interactive_bash(self):
        for keys, words in [("sync --ra\t@rat\t", ["sync", "--rate=@rate file"]),
                            ("sync --rate @rat\t", ["sync", "--rate", "@rate file"]),
                            ("sync --led\trat\t", ["sync", "--ledger=rate file"]),
                            ("ver\t--source-map=an\t--al\t",
                             ["verify", "--source-map=analyse", "--allocated"]),
                            ("sync --progress j\trat\t",
                             ["sync", "--progress", "json", "rate file"])]:
            with self.subTest(keys=keys):
                self.assertEqual(self.type(f"thinmirror {keys}"), ["thinmirror", *words])
        self.assertEqual(self.type("thinvol cre\t--bl\t4\trat\t"),
                         ["thinvol", "create", "--block-size=4096", "rate file"])
        self.assertEqual(self.type("thindoctor --js\trat\t"),
                         ["thindoctor", "--json", "rate file"])

    def test_completion_of_what_help_lists(self):
        program = str(THINMIRROR)
        for command in COMMANDS:
            offered = {option.rstrip("=") for option in self.complete(program, command, "--")}
            self.assertLessEqual(self.options(command), offered)


if __name__ == "__main__":
    rig.main()
