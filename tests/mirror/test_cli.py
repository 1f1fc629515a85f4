#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The commands over files and thin volumes: what they print and what they end with."""

import json
import os
import random
import resource
import subprocess
import time
from xml.etree import ElementTree

import rig
from rig import DIFFERENT, DONE, FAILED, MIB, REFUSED, THINMIRROR, USAGE


class Usage(rig.Case):
    def test_wrong_usage_ends_with_2_and_says_why(self):
        for args, text in [
                ([], "sync, map, verify, probe, ledgers or forget"),
                (["copy", "a", "b"], "no command 'copy'"),
                (["sync", "a"], "PRIMARY and SECONDARY"),
                (["sync", "a", "b", "c"], "'c' is too many"),
                (["map"], "map needs PRIMARY"),
                (["map", "a", "b", "c"], "'c' is too many"),
                (["map", "--format=png", "a"], "'png'"),
                (["map", "--format=list", "a", "b"], "for one LUN"),
                (["map", "--format=svg", "--json", "a"], "exclude each other"),
                (["sync", "--format=svg", "a", "b"], "--format is raw"),
                (["probe", "a", "b"], "'b' is too many"),
                (["sync", "a", "-"], "standard input or output"),
                (["map", "-"], "name a LUN or a file"),
                (["ledgers", "a"], "'a' is too many"),
                (["ledgers", "--pair=x"], "no option --pair"),
                (["forget"], "--pair=NAME or a ledger's file"),
                (["forget", "--pair=x", "a"], "one of these"),
                (["forget", "a", "b", "c"], "'c' is too many"),
                (["forget", "--ledger=a"], "no option --ledger"),
                (["forget", "--auth-file=a", "b"], "no option --auth-file"),
                (["verify", "--resume", "a", "b"], "no option --resume"),
                (["sync", "--checkpoint=0", "a", "b"], "'0'"),
                (["sync", "--checkpoint=nan", "a", "b"], "'nan'"),
                (["sync", "--checkpoint=1s", "a", "b"], "'1s'"),
                (["sync", "--session=2", "a", "b"], "no option --session"),
                (["map", "--overwrite", "a"], "no option --overwrite"),
                (["verify", "--dry-run", "a", "b"], "no option --dry-run"),
                (["sync", "-n", "a", "b"], "sync has no option -n; thinmirror sync --help lists"),
                (["-n"], "thinmirror has no option -n; thinmirror --help lists"),
                (["sync", "--allocated", "a", "b"], "no option --allocated"),
                (["verify", "--keep-free", "a", "b"], "no option --keep-free"),
                (["map", "--keep-free", "a"], "no option --keep-free"),
                (["sync", "--source-map=magic", "a", "b"], "'magic'"),
                (["sync", "--progress=loud", "a", "b"], "'loud'"),
                (["sync", "--queue-depth=0", "a", "b"], "1 to 1024"),
                (["sync", "--sessions=17", "a", "b"], "1 to 16"),
                (["sync", "--rate=fast", "a", "b"], "'fast'"),
                (["sync", "--rate=@/nowhere/rate", "a", "b"], "/nowhere/rate: No such file"),
                (["sync", "--rate=@/dev/null", "a", "b"], "does not begin with a number"),
                (["sync", "--dry-run", "--verify", "a", "b"], "--dry-run"),
                (["sync", "--dry-run", "--verify=inline", "a", "b"], "--dry-run"),
                (["sync", "--verify=later", "a", "b"], "'later'"),
                (["sync", "--trust-maps", "a", "b"], "--trust-maps is for --verify"),
                (["sync", "--trust-maps", "--verify=inline", "a", "b"], "--trust-maps"),
                (["verify", "--trust-maps", "--allocated", "a", "b"], "changes nothing"),
                (["verify", "--trust-maps", "--source-map=full", "a", "b"], "changes nothing"),
                (["sync", "--trust-maps", "--verify", "--keep-free", "a", "b"], "changes nothing"),
                (["map", "--trust-maps", "a"], "no option --trust-maps"),
                (["probe", "iscsi://"], "iscsi://"),
                (["probe", "iscsi:/host/iqn.2024-01.org.example:x/0"], "it must be iscsi://"),
                (["probe", "iscsi:"], "it must be iscsi://"),
                (["probe", "iscsi:@"], "it must be iscsi://"),
                (["probe", "ISCSI://host"], "it must be iscsi://"),
                (["sync", "a", ""], "is empty"),
                (["sync", "thin:", "b"], "is empty"),
                (["probe", "iscsi://host/iqn.2024-01.org.example:x"], "iscsi://host"),
        ]:
            with self.subTest(args=args):
                result = self.expect(USAGE, *args, says=[text])
                self.assertEqual(result.out, "")

    def test_an_environment_that_makes_no_sense_is_wrong_usage(self):
        for name, wrong, right in [
                ("THINMIRROR_RECONNECT_SECONDS", ["abc", "-5", "5s", " 5", "86401", "1e3"],
                 ["0", "86400", ""]),
                ("THINMIRROR_INITIATOR",
                 ["bad name", "host", "iqn.", "iqn.2024-01.", "iqn.24-01.org.example:a",
                  "iqn.2024-01.org.example:a b", "iqn.2024-01.org.example:a\n", "eui.12",
                  "naa.500000000000000g", "iqn.2024-01." + 212 * "x"],
                 ["", "iqn.2024-01.org.example:host_1", "IQN.2024-01.org.example",
                  "eui.0123456789ABCDEF", "naa." + 32 * "5", "iqn.2024-01." + 211 * "x"]),
                ("THINMIRROR_CHAP_USER", ["alone"], [])]:
            path = self.file("a", MIB)
            for value in wrong + right:
                with self.subTest(name=name, value=value):
                    self.environment[name] = value
                    self.expect(USAGE if value in wrong else DONE, "probe", path,
                                says=[name] if value in wrong else [])
            del self.environment[name]

    def test_every_command_has_help_with_examples(self):
        for command in ["sync", "map", "verify", "probe", "ledgers", "forget"]:
            result = self.expect(DONE, command, "--help")
            self.assertEqual(result.out, self.expect(DONE, command, "-h").out)
            self.assertEqual(result.out, self.expect(DONE, "help", command).out)
            self.assertIn(f"usage: thinmirror {command} ", result.out)
            self.assertIn("Examples:\n  thinmirror ", result.out)
            self.assertLessEqual(max(map(len, result.out.splitlines())), 91)
        self.assertIn("Exit status:", self.expect(DONE, "--help").out)
        self.assertIn("Exit status:", self.expect(DONE, "-h").out)
        self.assertIn("Exit status:", self.expect(DONE, "help").out)

    def test_version(self):
        self.assertRegex(self.expect(DONE, "--version").out, r"^thinmirror \d+\.\d+\.\d+\n$")

    def test_a_file_that_is_no_disk_is_said_how_to_become_one(self):
        path = self.folder / "text"
        path.write_text("no disk\n")
        self.expect(FAILED, "sync", path, self.file("b", MIB),
                    says=["8 bytes is no multiple of 512", "truncate -s %512"])
        subprocess.run(["truncate", "-s", "%512", path], check=True)
        self.expect(DONE, "sync", path, self.folder / "b")

    def test_quietly_nothing_is_said_but_errors_and_what_was_asked_for(self):
        primary, larger = self.file("a", MIB, [(0, MIB)]), self.file("b", 2 * MIB)
        for option in ["-q", "--quiet"]:
            for args in [["sync", "--verify"], ["sync", "--dry-run"], ["verify"]]:
                got = self.expect(DONE, *args, option, primary, larger)
                self.assertEqual([got.out, got.err], ["", ""], str(args))
            got = self.expect(DONE, "sync", option, "--json", primary, larger)
            self.assertEqual(got.err, "")
            self.assertEqual(len(got.json["notes"]), 1)
            self.assertNotEqual(self.expect(DONE, "map", option, primary).out, "")
            self.assertNotEqual(self.expect(DONE, "probe", option, primary).out, "")
            self.expect(REFUSED, "sync", option, larger, primary, says=["is smaller"])
            with open(larger, "r+b") as file:
                file.write(b"another")
            got = self.expect(DIFFERENT, "verify", option, primary, larger, says=["differs from"])
            self.assertEqual(got.out, "")
            self.expect(DONE, "sync", "-q", "--overwrite", primary, larger)

    def test_verbosely_both_sides_are_told(self):
        primary, secondary = self.file("a", MIB, [(0, 4096)]), f"thin:{self.volume('b', MIB)}"
        for option in ["-v", "--verbose"]:
            lines = self.expect(DONE, "sync", option, primary, secondary).err.splitlines()
            sides = [line for line in lines if "ary: " in line]
            self.assertEqual(len(sides), 2)
            for line, name, which in zip(sides, [primary, secondary], ["primary", "secondary"]):
                self.assertTrue(line.startswith(f"thinmirror: {which}: {name}, 1 MiB in blocks of 512 "
                                                f"bytes, thin, tells which are in use, "), line)
                identity = self.expect(DONE, "probe", "--json", name).json["primary_identity"]
                self.assertTrue(line.endswith(identity), line)
        self.assertEqual(self.expect(DONE, "sync", primary, secondary).err, "")
        self.expect(USAGE, "sync", "-q", "-v", primary, secondary, says=["exclude each other"])

    def test_output_that_nobody_gets_is_a_failure(self):
        primary = self.file("a", MIB)
        with open("/dev/full", "w") as full:
            for args in [["map"], ["map", "--json"], ["map", "--format=text"],
                         ["map", "--format=svg"], ["probe"]]:
                result = subprocess.run([THINMIRROR, *args, primary], stdout=full,
                                        stderr=subprocess.PIPE, text=True, check=False)
                self.assertEqual(result.returncode, FAILED)
                self.assertIn("cannot write to stdout", result.stderr)

    def test_a_reader_of_a_map_that_has_seen_enough_is_no_news(self):
        path = self.file("a", 64 * MIB, [(at, 4096) for at in range(0, 64 * MIB, 16384)])
        for args in [["map"], ["map", "--json"], ["map", "--format=svg"]]:
            run = self.start(*args, path)
            run.stdout.readline()
            run.stdout.close()
            self.assertEqual(run.stderr.read(), "")
            run.stderr.close()
            self.assertEqual(run.wait(timeout=20), FAILED)

    def test_a_secret_in_a_url_is_not_repeated(self):
        for url in ["iscsi://u%hush@127.0.0.1/iqn.x/0", "iscsi://u:hush@127.0.0.1/iqn.x/0",
                    "Iscsi:u:hush@127.0.0.1/iqn.x/0", "iscsi:/u:hush@127.0.0.1/iqn.x/0"]:
            for args in [["sync", "--json", url, "b"], ["verify", "--json", "a", url],
                         ["probe", "--json", url], ["map", url]]:
                result = self.run_mirror(*args)
                self.assertNotIn("hush", result.out + result.err)

    def test_a_file_size_limit_is_told(self):
        primary, secondary = self.file("a", MIB, [(0, MIB)]), self.file("b", MIB)
        limit = (MIB // 2, MIB // 2)
        run = self.start("sync", primary, secondary,
                         preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, limit))
        _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertIn(f"{secondary}: writing", err)

    def test_json_is_utf_8_whatever_the_names_are(self):
        for name in [b'"\\\n\x01\x7f', b"\xc3\xa4", b"\xff\xfe", b"\xc0\xaf", b"\xe0\x80\xaf",
                     b"\xed\xa0\x80", b"\xf0\x80\x80\xaf", b"\xf4\x90\x80\x80", b"a\xe2\x82"]:
            path = os.fsencode(self.folder) + b"/" + name
            with open(path, "wb") as file:
                os.truncate(file.fileno(), MIB)
            result = subprocess.run([THINMIRROR, "probe", "--json", path], stdout=subprocess.PIPE,
                                    check=True)
            json.loads(result.stdout.decode("utf-8"))

    def test_no_name_writes_to_the_terminal(self):
        name = "a\x1b[2J\nthinmirror: all is well\x9b\x7f \u00fc"
        path = self.file(name, MIB)
        for result in [self.expect(DONE, "probe", path),
                       self.expect(DONE, "map", "--format=text", path),
                       self.expect(DONE, "map", "--format=svg", path),
                       self.expect(FAILED, "sync", path, f"{path}-2"),
                       self.expect(USAGE, "probe", path, "x" + name)]:
            text = result.out + result.err
            self.assertIn(r" is well\xc2\x9b\x7f " + "\u00fc", text)
            for byte in "\x1b\x7f\x9b":
                self.assertNotIn(byte, text)
            self.assertNotIn("\nthinmirror: all is well", text)
        self.assertEqual(self.expect(DONE, "probe", "--json", path).json["primary"], str(path))

    def test_commands_that_are_suggested_can_be_pasted(self):
        missing = self.folder / "my copy.img"
        self.expect(FAILED, "sync", self.file("a", MIB), missing,
                    says=[f"truncate -s BYTES '{missing}'"])
        self.expect(FAILED, "probe", f"thin:{missing}", says=[f"thinvol create '{missing}' SIZE"])

    def test_an_empty_file_is_called_empty(self):
        self.expect(FAILED, "probe", self.file("a", 0), says=["a: it is empty"])

    def test_closed_standard_files_are_not_the_luns(self):
        primary = self.file("a", MIB)
        for name in ["", "thin:"]:
            secondary = self.folder / ("b" + name[:-1])
            if name:
                self.volume(secondary.name, 2 * MIB)
            else:
                self.file(secondary.name, 2 * MIB)
            subprocess.run(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", THINMIRROR, "sync",
                            "--progress=json", primary, f"{name}{secondary}"],
                           env=self.environment, check=False)
            self.assertEqual(rig.data_grains(secondary), set())


class Map(rig.Case):
    def test_json_covers_the_lun_in_order(self):
        pieces = rig.random_pieces(32 * MIB, 50)
        size = 32 * MIB
        extents = self.expect(DONE, "map", "--json", self.file("a", size, pieces)).json["extents"]
        at = 0
        mapped = set()
        for extent in extents:
            self.assertEqual(list(extent), ["lba", "blocks", "status"])
            self.assertEqual(extent["lba"], at)
            self.assertGreater(extent["blocks"], 0)
            self.assertIn(extent["status"], ["mapped", "deallocated"])
            at += extent["blocks"]
            if extent["status"] == "mapped":
                mapped |= rig.grains([(extent["lba"] * 512, extent["blocks"] * 512)])
        self.assertEqual(at * 512, size)
        self.assertEqual(mapped, rig.grains(pieces))

    def test_table_and_totals(self):
        path = self.file("a", 16 * MIB, [(4 * MIB, 4 * MIB)])
        lines = self.expect(DONE, "map", path).out.splitlines()
        self.assertEqual([line.split() for line in lines[:4]],
                         [["LBA", "BLOCKS", "STATUS"], ["0", "8192", "deallocated"],
                          ["8192", "8192", "mapped"], ["16384", "16384", "deallocated"]])
        self.assertRegex(lines[5], r"^mapped +4 MiB +25\.0%, 1 extent$")
        self.assertRegex(lines[6], r"^deallocated +12 MiB +75\.0%, 2 extents$")
        self.assertRegex(lines[7], r"^LUN +16 MiB +blocks of 512 bytes$")

    def test_drawn_as_text_it_shows_where_data_lies(self):
        path = self.file("a", 16 * MIB, [(4 * MIB, 4 * MIB)])
        lines = self.expect(DONE, "map", "--format=text", path).out.splitlines()
        rows = [line.split("|")[1] for line in lines if line.endswith("|")]
        self.assertEqual(rows, ["." * 64] * 4 + ["#" * 64] * 4 + ["." * 64] * 8)
        self.assertEqual(lines[-1], "4 MiB of 16 MiB mapped (25.0%), 1 extent")
        self.assertLessEqual(max(len(line) for line in lines[1:]), 80)

    def test_two_sides_are_drawn_side_by_side(self):
        primary = self.file("a", 16 * MIB, [(4 * MIB, 4 * MIB)])
        secondary = self.file("b", 32 * MIB, [(16 * MIB, 4 * MIB)])
        self.assertEqual(self.expect(DONE, "map", primary, secondary).out,
                         self.expect(DONE, "map", "--format=text", primary, secondary).out)
        lines = self.expect(DONE, "map", primary, secondary).out.splitlines()
        rows = [line.split("|")[1:3] for line in lines if line.endswith("|")]
        nothing, free, data = " " * 32, "." * 32, "#" * 32
        self.assertEqual(rows, [[free, free]] * 2 + [[data, free]] * 2 + [[free, free]] * 4 +
                         [[nothing, data]] * 2 + [[nothing, free]] * 6)
        self.assertLessEqual(max(len(line) for line in lines[2:]), 80)

    def test_json_of_two_sides_has_a_map_of_each(self):
        primary = self.file("a", 16 * MIB, [(4 * MIB, 4 * MIB)])
        secondary = self.file("b", 32 * MIB)
        got = self.expect(DONE, "map", "--format=json", primary, secondary).json
        for side, path in [("extents", primary), ("secondary_extents", secondary)]:
            alone = self.expect(DONE, "map", "--json", path).json
            self.assertEqual(got[side], alone["extents"])
            self.assertIsNone(alone["secondary_extents"])

    def test_svg_is_a_whole_document_with_a_panel_for_each_side(self):
        primary = self.file("a&<b>", 16 * MIB, [(4 * MIB, 4 * MIB)])
        secondary = self.file("b", 32 * MIB, [(16 * MIB, 4 * MIB)])
        space = "{http://www.w3.org/2000/svg}"
        for names in [[primary], [primary, secondary]]:
            root = ElementTree.fromstring(
                self.expect(DONE, "map", "--format=svg", *names).out.encode())
            self.assertEqual(root.tag, f"{space}svg")
            self.assertEqual(len(root.findall(f"{space}svg")), len(names))
            text = " ".join(root.itertext())
            for name in names:
                self.assertIn(str(name), text)
            self.assertIn("4 MiB of 16 MiB mapped (25.0%), 1 extent", text)
            self.assertEqual("What is blank is behind the end" in text, len(names) == 2)
            self.assertTrue(root.findall(f".//{space}path"))

    def test_a_thin_volume_knows_its_block_size(self):
        path = self.volume("v", 16 * MIB, [(4 * MIB, 4 * MIB)], block_size=4096)
        extents = self.expect(DONE, "map", "--json", f"thin:{path}").json["extents"]
        self.assertEqual([(e["lba"], e["blocks"], e["status"]) for e in extents],
                         [(0, 1024, "deallocated"), (1024, 1024, "mapped"),
                          (2048, 2048, "deallocated")])


class Probe(rig.Case):
    def test_json(self):
        info = self.expect(DONE, "probe", "--json", self.file("a", 16 * MIB)).json
        self.assertEqual(info["kind"], "file")
        self.assertEqual(info["lun_bytes"], 16 * MIB)
        self.assertEqual(info["blocks"] * info["block_size"], 16 * MIB)
        for flag in ["thin", "answers_lba_status", "unmapped_reads_zeros", "can_unmap"]:
            self.assertIs(info[flag], True)
        self.assertIs(info["has_bitmap"], False)
        self.assertGreater(info["max_transfer_blocks"], 0)

    def test_a_thin_volume_says_who_it_is(self):
        path = self.volume("v", 16 * MIB, block_size=4096)
        info = self.expect(DONE, "probe", "--json", f"thin:{path}").json
        self.assertEqual(info["kind"], "thin")
        self.assertEqual(info["block_size"], 4096)
        self.assertIs(info["has_bitmap"], True)
        self.assertTrue(info["primary_identity"].startswith("naa.6"))
        self.assertTrue(info["vendor"] and info["product"] and info["serial"])
        text = self.expect(DONE, "probe", f"thin:{path}").out
        for value in [info["primary_identity"], info["serial"], "16 MiB", "4096 bytes"]:
            self.assertIn(value, text)

    def test_json_of_a_failure_says_why(self):
        for status, name in [(FAILED, str(self.folder / "none")),
                             (USAGE, "iscsi://127.0.0.1/iqn.2024-01.org.example:x")]:
            result = self.expect(status, "probe", "--json", name)
            self.assertEqual(result.json["primary"], name)
            self.assertEqual(result.json["exit_status"], status)
            self.assertIsNone(result.json["lun_bytes"])
            self.assertEqual(result.err, f"thinmirror: {result.json['error']}\n")
        got = self.expect(FAILED, "map", "--json", self.folder / "none").json
        self.assertEqual([got["result"], got["extents"]], ["failed", None])

    def test_what_is_not_there(self):
        self.expect(FAILED, "probe", self.folder / "none", says=[self.folder / "none"])
        self.expect(FAILED, "probe", self.folder, says=[self.folder])


class Sync(rig.Case):
    def test_json_of_a_first_sync(self):
        pieces = [(MIB, 2 * MIB), (8 * MIB, 64 * 1024)]
        primary = self.file("a", 16 * MIB, pieces)
        secondary = self.file("b", 16 * MIB)
        mapped = 2 * MIB + 64 * 1024
        got = self.sync_json(primary, secondary)
        expected = {"primary": str(primary), "secondary": str(secondary), "result": "done",
                    "notes": [], "source_map": "lba-status", "reconnects": 0, "dry_run": False,
                    "lun_bytes": 16 * MIB, "mapped_bytes": mapped, "extents": 2,
                    "to_copy_bytes": mapped, "to_empty_bytes": 0, "read_bytes": mapped,
                    "written_bytes": mapped, "unmapped_bytes": 0, "zeroed_bytes": 0,
                    "status_queries": 1, "verified": False}
        self.assertEqual({key: got[key] for key in expected}, expected)
        self.assertGreater(got["seconds"], 0)
        self.assertIsNone(got["error"])
        self.assertEqual(rig.digest(primary), rig.digest(secondary))
        self.assertEqual(rig.data_grains(secondary), rig.grains(pieces))

    def test_summary_for_people(self):
        primary = self.file("a", 16 * MIB, [(MIB, 2 * MIB)])
        result = self.expect(DONE, "sync", "--verify", primary, self.file("b", 16 * MIB))
        lines = result.out.splitlines()
        self.assertEqual(result.err, "")
        self.assertRegex(lines[0], r"^LUN +16 MiB$")
        self.assertRegex(lines[1], r"^mapped +2 MiB  \(12\.5%, 1 extent\)$")
        self.assertRegex(lines[2], r"^copied +2 MiB$")
        self.assertRegex(lines[3], r"^unmapped +0 bytes$")
        self.assertRegex(lines[4], r"^time +\d+\.\d s  \(.*/s\)$")
        self.assertRegex(lines[5], r"^verified +\d+\.\d s  \(.*/s\)$")
        # Sizes end in one column.
        self.assertEqual(len({line.index("iB") for line in lines[:3]}), 1)

    def test_a_dry_run_writes_nothing(self):
        primary = self.file("a", 16 * MIB, [(MIB, 2 * MIB)])
        secondary = self.file("b", 16 * MIB)
        before = rig.digest(secondary)
        got = self.sync_json("--dry-run", primary, secondary)
        self.assertTrue(got["dry_run"])
        self.assertEqual(got["to_copy_bytes"], 2 * MIB)
        self.assertEqual(got["written_bytes"], 0)
        self.assertEqual(rig.digest(secondary), before)
        self.assertFalse((self.folder / "state").exists())

    def test_a_dry_run_tells_how_long_it_takes_and_how_it_knows(self):
        primary = self.file("a", 16 * MIB, [(MIB, 2 * MIB), (8 * MIB, 2 * MIB)])
        secondary = self.file("b", 16 * MIB)
        got = self.sync_json("--dry-run", primary, secondary)
        self.assertEqual(got["estimate_from"], "sample")
        self.assertEqual(got["sample_bytes"], 4 * MIB)
        self.assertEqual(got["estimated_bytes_per_second"],
                         min(got["primary_bytes_per_second"], got["secondary_bytes_per_second"]))
        self.assertAlmostEqual(got["estimated_seconds"],
                               4 * MIB / got["estimated_bytes_per_second"], delta=0.001)
        got = self.sync_json("--dry-run", "--rate=64K", primary, secondary)
        self.assertEqual(got["estimate_from"], "rate")
        self.assertEqual(got["estimated_seconds"], 64)
        self.assertEqual(got["estimated_bytes_per_second"], 65536)
        said = self.expect(DONE, "sync", "--dry-run", primary, secondary).out.splitlines()
        self.assertRegex(said[-3], r"^time +under 1 s  \(estimated: the (prim|second)ary was "
                                   r"read at .*/s,$")
        self.assertRegex(said[-2], r"^ +a sample of 4 MiB; writing may be slower\)$")
        self.assertLess(max(map(len, said)), 80)
        said = self.expect(DONE, "sync", "--dry-run", "--rate=64K", primary, secondary).out
        self.assertRegex(said.splitlines()[-2], r"^time +1:04  \(estimated: at the 64 KiB/s of ")

    def test_a_dry_run_with_nothing_to_copy_estimates_nothing(self):
        primary = self.file("a", MIB)
        got = self.sync_json("--dry-run", primary, self.file("b", MIB))
        self.assertIsNone(got["estimate_from"])
        self.assertIsNone(got["estimated_seconds"])

    def test_a_full_source_map_copies_everything(self):
        primary = self.file("a", 4 * MIB, [(MIB, MIB)])
        got = self.sync_json("--source-map=full", primary, self.file("b", 4 * MIB))
        self.assertEqual(got["source_map"], "full")
        self.assertEqual(got["written_bytes"], 4 * MIB)
        self.assertEqual(got["status_queries"], 0)

    def test_the_bitmap_tells_what_the_status_tells(self):
        pieces = [(MIB, 2 * MIB), (8 * MIB, 64 * 1024), (16 * MIB - 4096, 4096)]
        primary = f"thin:{self.volume('a', 16 * MIB, pieces)}"
        asked, told = [self.expect(DONE, "map", "--json", f"--source-map={source}", primary).json["extents"]
                       for source in ("lba-status", "bitmap")]
        self.assertEqual(told, asked)
        secondary = self.file("b", 16 * MIB)
        got = self.sync_json("--source-map=bitmap", primary, secondary)
        self.assertEqual(got["source_map"], "bitmap")
        self.assertEqual(got["written_bytes"], 2 * MIB + 68 * 1024)
        self.assertEqual(got["status_queries"], 1)
        self.expect(DONE, "verify", "--source-map=bitmap", primary, secondary)

    def test_a_bitmap_that_nobody_has_is_refused_before_anything_is_written(self):
        primary = self.file("a", 4 * MIB, [(MIB, MIB)])
        secondary = self.file("b", 4 * MIB)
        before = rig.digest(secondary)
        self.expect(FAILED, "sync", "--source-map=bitmap", primary, secondary,
                    says=[primary, "announces no allocation bitmap"])
        self.assertEqual(rig.digest(secondary), before)

    def test_the_end_of_a_larger_secondary_is_left_alone(self):
        primary = self.file("a", 4 * MIB, [(3 * MIB, MIB)])
        secondary = self.file("b", 6 * MIB, [(5 * MIB, MIB)])
        tail = secondary.read_bytes()[4 * MIB:]
        result = self.expect(DONE, "sync", "--overwrite", primary, secondary,
                             says=["its last 2 MiB are left as they are"])
        self.assertNotIn("error", result.err)
        self.assertEqual(secondary.read_bytes(), primary.read_bytes() + tail)

    def test_verify_afterwards(self):
        primary = self.file("a", 4 * MIB, [(MIB, MIB)])
        got = self.sync_json("--verify", primary, self.file("b", 4 * MIB))
        self.assertIs(got["verified"], True)
        self.assertEqual(got["different_blocks"], 0)
        compared = MIB if rig.holes_are_certain(primary) else 4 * MIB
        self.assertEqual(got["compared_bytes"], compared)

    def test_what_is_written_is_read_back(self):
        primary = self.file("a", 128 * MIB, [(MIB, 80 * MIB), (100 * MIB, 4096)])
        for name in ["b", f"thin:{self.volume('c', 128 * MIB)}"]:
            secondary = name if name.startswith("thin:") else self.file(name, 128 * MIB)
            got = self.sync_json("--verify=inline", primary, secondary)
            self.assertEqual(got["read_back_bytes"], 80 * MIB + 4096)
            self.assertIs(got["verified"], False)
        self.assertEqual(rig.digest(primary), rig.digest(self.folder / "b"))
        got = self.sync_json("--verify=inline", "--verify", "--overwrite", primary,
                             self.folder / "b")
        self.assertEqual(got["read_back_bytes"], 80 * MIB + 4096)
        self.assertIs(got["verified"], True)
        result = self.expect(DONE, "sync", "--verify=inline", "--overwrite", primary,
                             self.folder / "b")
        self.assertRegex(result.out, r"\nread back +80\.00 MiB\n")

    def test_random_maps_of_both_sides(self):
        size = 24 * MIB
        for i in range(6):
            old, new = rig.random_pieces(size, 60), rig.random_pieces(size, 60)
            primary = self.file(f"a{i}", size, new)
            secondary = self.file(f"b{i}", size, old)
            depth = random.choice([1, 2, 32, 200])
            got = self.sync_json("--overwrite", f"--queue-depth={depth}", primary, secondary)
            self.assertEqual(rig.digest(primary), rig.digest(secondary))
            self.assertEqual(rig.data_grains(secondary), rig.grains(new))
            self.assertEqual(got["written_bytes"], len(rig.grains(new)) * rig.GRAIN)
            self.assertEqual(got["unmapped_bytes"],
                             len(rig.grains(old) - rig.grains(new)) * rig.GRAIN)

    def fill_up(self, make, name, primary, place):
        """Copies 12 MiB to a file system of 4 MiB, twice, the second time with room for it."""
        script = f"""mount -t tmpfs -o size=4M none {place}
                     {make} >/dev/null
                     {THINMIRROR} sync {primary} {name} && exit 99
                     mount -o remount,size=64M {place}
                     {THINMIRROR} sync --json --verify {primary} {name}"""
        result = rig.Result(subprocess.run(["unshare", "-rm", "sh", "-c", script],
                                           env=self.environment, capture_output=True, text=True,
                                           timeout=60, check=False))
        if "unshare failed" in result.err or "permission denied" in result.err:
            self.skipTest("no user namespaces here")
        self.assertEqual(result.status, DONE, str(result))
        self.assertIn(name, result.err)
        self.assertIn("make room", result.err)
        self.assertIs(result.json["verified"], True)
        return result.err

    def test_a_full_file_system_is_named_and_with_room_it_goes_on(self):
        primary = self.file("a", 16 * MIB, [(0, 12 * MIB)])
        place = self.folder / "small"
        place.mkdir()
        err = self.fill_up(f"truncate -s 16M {place}/b", f"{place}/b", primary, place)
        self.assertIn("No space left on device", err)
        err = self.fill_up(f"{rig.THINVOL} create {place}/v 16M", f"thin:{place}/v", primary, place)
        self.assertIn("7/27/07", err)

    def test_a_rate_is_kept(self):
        primary = self.file("a", 4 * MIB, [(0, 2 * MIB)])
        got = self.sync_json("--rate=4M", primary, self.file("b", 4 * MIB))
        self.assertGreaterEqual(got["seconds"], 0.3)

    def test_a_rate_that_is_lost_while_it_runs_stays(self):
        primary, secondary = self.file("a", 4 * MIB, [(0, 3 * MIB)]), self.file("b", 4 * MIB)
        rate = self.folder / "rate"
        rate.write_text("1M\n")
        with self.start("sync", f"--rate=@{rate}", primary, secondary) as run:
            while not rig.data_grains(secondary): # it has begun, and read the file
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            rate.unlink()
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, DONE, err)
        self.assertIn(f"{rate}: No such file or directory; the rate stays as it is", err)

    def test_a_low_rate_is_no_row_of_bursts(self):
        primary, secondary = self.file("a", MIB, [(0, 256 * rig.KIB)]), self.file("b", MIB)
        seen = set()
        with self.start("sync", "--rate=128K", primary, secondary) as run:
            while run.poll() is None:
                seen.add(len(rig.data_grains(secondary)))
                time.sleep(0.02)
        self.assertEqual(run.returncode, DONE)
        self.assertGreater(len(seen), 5)

    def test_the_rate_can_be_changed_while_it_runs(self):
        primary, secondary = self.file("a", 32 * MIB, [(0, 32 * MIB)]), self.file("b", 32 * MIB)
        rate = self.folder / "rate"
        rate.write_text("1M\n")
        begin = time.monotonic()
        with self.start("sync", f"--rate=@{rate}", primary, secondary) as run:
            time.sleep(1)
            self.assertIsNone(run.poll())
            rate.write_text("0\n")
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, DONE, err)
        self.assertLess(time.monotonic() - begin, 20)
        self.assertEqual(rig.digest(primary), rig.digest(secondary))


class Verify(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("a", 8 * MIB, [(MIB, MIB)])
        self.secondary = self.file("b", 8 * MIB)
        self.expect(DONE, "sync", self.primary, self.secondary)

    def damage(self, *offsets):
        with open(self.secondary, "r+b") as file:
            for offset in offsets:
                file.seek(offset)
                byte = file.read(1)[0]
                file.seek(offset)
                file.write(bytes([byte ^ 1]))

    def test_equal_sides(self):
        result = self.expect(DONE, "verify", self.primary, self.secondary)
        self.assertIn("No difference.", result.out)
        got = self.expect(DONE, "verify", "--json", self.primary, self.secondary).json
        self.assertIs(got["verified"], True)
        # The rest is holes of both files.
        compared = MIB if rig.holes_are_certain(self.primary) else 8 * MIB
        self.assertEqual(got["compared_bytes"], compared)
        self.assertEqual(got["spot_bytes"], 0)
        self.assertEqual(got["read_bytes"], 2 * compared)

    def test_a_file_that_is_cut_short_meanwhile_in_a_hole_is_not_called_equal(self):
        for cut in (self.primary, self.secondary):
            with self.start("verify", "--rate=256K", "--progress=json", self.primary,
                            self.secondary) as run:
                run.stderr.readline() # it has begun
                os.truncate(cut, 7 * MIB)
                _, err = run.communicate(timeout=20)
            self.assertEqual(run.returncode, FAILED, err)
            self.assertIn(str(cut), err)
            os.truncate(cut, 8 * MIB)

    def test_the_end_of_a_larger_secondary_is_not_compared_and_that_is_said(self):
        os.truncate(self.secondary, 9 * MIB)
        self.damage(9 * MIB - 1)
        result = self.expect(DONE, "verify", "--json", self.primary, self.secondary,
                             says=["its last 1 MiB are not compared"])
        self.assertEqual(len(result.json["notes"]), 1)

    def test_one_bit_where_the_primary_is_mapped(self):
        self.damage(MIB + 12345)
        lba = (MIB + 12345) // 512
        result = self.expect(DIFFERENT, "verify", self.primary, self.secondary,
                             says=[f"block {lba}", "1 block", self.primary, self.secondary])
        self.assertNotIn("No difference", result.out)

    def test_one_bit_where_the_primary_is_not(self):
        self.damage(6 * MIB + 77)
        got = self.expect(DIFFERENT, "verify", "--json", self.primary, self.secondary).json
        self.assertIs(got["verified"], False)
        self.assertEqual(got["result"], "different")
        self.assertEqual(got["different_blocks"], 1)
        self.assertEqual(got["first_differences"], [{"lba": 6 * MIB // 512, "blocks": 1}])

    def test_the_first_differences_are_listed_in_order(self):
        self.damage(*[offset * MIB + 5 for offset in [7, 3, 5]], MIB, MIB + 512)
        result = self.expect(DIFFERENT, "verify", self.primary, self.secondary,
                             says=["differs from", "in 5 blocks"])
        listed = [line for line in result.err.splitlines() if line.startswith("  ")]
        self.assertEqual(listed, ["  blocks 2048 to 2049 differ", "  block 6144 differs",
                                  "  block 10240 differs", "  block 14336 differs"])

    def test_verify_writes_nothing(self):
        self.damage(MIB)
        before = rig.digest(self.secondary)
        os.chmod(self.secondary, 0o400)
        self.expect(DIFFERENT, "verify", self.primary, self.secondary)
        self.assertEqual(rig.digest(self.secondary), before)


if __name__ == "__main__":
    rig.main()
