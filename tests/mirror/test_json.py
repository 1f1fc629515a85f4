# SPDX-License-Identifier: Apache-2.0
"""docs/json.md and what --json prints have the same members, however a run ends."""

import fcntl
import json
import os
import pathlib
import re
import subprocess
import time

import rig
from rig import DIFFERENT, DONE, FAILED, INTERRUPTED, MIB, REFUSED, USAGE

THINVOL_SECTION = "thinvol create, info, resize and new-id"
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "json.md"
WORDS = {DONE: "done", FAILED: "failed", USAGE: "failed", REFUSED: "refused",
         DIFFERENT: "different", INTERRUPTED: "interrupted"}


def members(section, head="Member"):
    """Those that the tables of a section of the page have in their first column."""
    text = re.search(rf"^## {re.escape(section)}\n(.*?)(?=^## |\Z)", PAGE.read_text(),
                     re.M | re.S).group(1)
    found = []
    shown = None
    for line in text.splitlines():
        if line.startswith("| ") and not line.startswith("| `"):
            shown = line.split("|")[1].strip()
        if line.startswith("| `") and shown == head:
            found += re.findall(r"`(\w+)`", line.split("|")[1])
    return found


class Json(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("primary", 4 * MIB, [(MIB, MIB)])
        self.secondary = self.file("secondary", 4 * MIB)

    def check(self, status, command, *args):
        begun = int(time.time())
        got = self.expect(status, command, "--json", *args).json
        self.assertEqual(sorted(got), sorted(members("Everywhere") +
                                              members("All of thinmirror") + members(command)))
        self.assertEqual(got["schema"], 1)
        self.assertEqual(got["command"], command)
        self.assertEqual(got["exit_status"], status)
        self.assertEqual(got["result"], WORDS[status])
        self.assertEqual(got["error"] is None, status == DONE)
        self.assertTrue(begun <= got["started"] <= got["ended"] <= time.time())
        return got

    def test_the_page_has_every_member_once(self):
        for section in ["Everywhere", "All of thinmirror", "sync", "verify", "map", "probe", "forget",
                        "--progress=json", THINVOL_SECTION, "thinvol map", "thinvol check",
                        "thinvol track and forget", "thinvol point", "thinvol points",
                        "thinvol changed",
                        "thindoctor"]:
            found = members(section)
            self.assertGreater(len(found), 1, section)
            self.assertEqual(len(found), len(set(found)), section)

    def test_runs_that_go_well(self):
        probe = self.check(DONE, "probe", self.primary)
        plan = self.check(DONE, "sync", "--dry-run", self.primary, self.secondary)
        self.assertEqual(plan["to_copy_bytes"], MIB)
        rate = self.check(DONE, "sync", "--dry-run", "--rate=1M", self.primary, self.secondary)
        self.assertEqual([rate["estimate_from"], rate["sample_bytes"]], ["rate", None])
        sync = self.check(DONE, "sync", "--verify", self.primary, self.secondary)
        self.assertEqual(sync["primary_identity"], probe["primary_identity"])
        self.assertEqual(sync["estimated_seconds"], None)
        self.assertIs(sync["verified"], True)
        verify = self.check(DONE, "verify", self.primary, self.secondary)
        self.assertEqual(verify["secondary_identity"], sync["secondary_identity"])
        both = self.check(DONE, "map", self.primary, self.secondary)
        self.assertEqual(both["extents"], both["secondary_extents"])
        self.assertEqual([e["status"] for e in both["extents"]],
                         ["deallocated", "mapped", "deallocated"])
        self.check(DONE, "map", "--source-map=full", self.primary)

    def test_runs_that_go_otherwise(self):
        none = self.folder / "none"
        url = "iscsi://127.0.0.1/iqn.2024-01.org.example:x"
        for command, names in {"sync": 2, "verify": 2, "map": 1, "probe": 1}.items():
            for status, name in [(FAILED, none), (USAGE, url)]:
                got = self.check(status, command, *[name, self.secondary][:names])
                self.assertEqual(got["primary"], str(name))
                self.assertIsNone(got["primary_identity"])
                self.assertIsNone(got["lun_bytes"])
        refused = self.check(REFUSED, "sync", self.primary, self.file("small", MIB))
        self.assertEqual([refused["lun_bytes"], refused["written_bytes"]], [4 * MIB, 0])
        self.assertIsNone(refused["mapped_bytes"])
        self.check(DIFFERENT, "verify", self.primary, self.secondary)
        self.assertIsNone(self.check(REFUSED, "verify", self.primary, self.file("s", MIB))
                          ["compared_bytes"])

    def test_an_interrupted_sync(self):
        run = self.start("sync", "--json", "--rate=100K", self.primary, self.secondary)
        time.sleep(1)
        run.terminate()
        out, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        got = json.loads(out)
        self.assertEqual(sorted(got), sorted(members("Everywhere") + members("All of thinmirror") +
                                              members("sync")))
        self.assertEqual(got["result"], "interrupted")

    def test_ledgers(self):
        self.assertEqual(self.check(DONE, "ledgers")["ledgers"], [])
        sync = self.check(DONE, "sync", "--pair=p", self.primary, self.secondary)
        [one] = self.check(DONE, "ledgers")["ledgers"]
        self.assertEqual(sorted(one), sorted(members("ledgers", "Member of a ledger")))
        for name in ["primary", "secondary"]:
            self.assertEqual(one[name], sync[name])
            self.assertEqual(one[f"{name}_identity"], sync[f"{name}_identity"])
        self.assertEqual([one["pair"], one["state"], one["lun_bytes"], one["done_bytes"]],
                         ["p", "complete", 4 * MIB, 4 * MIB])
        got = self.check(DONE, "forget", self.primary, self.secondary)
        self.assertEqual([got["ledgers"], got["removed"]], [[one], [one["path"]]])
        got = self.check(REFUSED, "forget", self.primary, self.secondary)
        self.assertEqual([got["ledgers"], got["removed"]], [[], []])
        self.environment["XDG_STATE_HOME"] = "/dev/null"
        self.assertEqual(self.check(DONE, "ledgers")["ledgers"], [])

    def test_progress(self):
        result = self.expect(DONE, "sync", "--progress=json", "--rate=1M", self.primary,
                             self.secondary)
        lines = [json.loads(line) for line in result.err.splitlines() if line.startswith("{")]
        self.assertTrue(lines)
        for line in lines:
            self.assertEqual(sorted(line), sorted(members("--progress=json")))


class Tools(rig.Case):
    """thinvol and thindoctor."""

    def check(self, status, program, *args, section=THINVOL_SECTION):
        begun = int(time.time())
        result = subprocess.run([rig.BUILD / "bin" / program, *map(str, args), "--json"],
                                capture_output=True, text=True, check=False)
        self.assertEqual(result.returncode, status, result.stderr)
        got = json.loads(result.stdout)
        self.assertEqual(sorted(got), sorted(members("Everywhere") + members(section)))
        self.assertEqual([got["schema"], got["exit_status"]], [1, status])
        self.assertEqual(got["error"] is None, status == DONE)
        self.assertTrue(begun <= got["started"] <= got["ended"] <= time.time())
        if program == "thinvol":
            self.assertEqual([got["command"], got["path"]], [args[0], str(args[1])])
            self.assertEqual(got["result"], WORDS[status])
            if status != DONE:
                self.assertEqual(result.stderr, f"thinvol: {got['error']}\n")
        return got

    def test_runs_of_thinvol_that_go_well(self):
        path = self.folder / "v"
        new = self.check(DONE, "thinvol", "create", path, "1M", "--block-size=4096")
        self.assertEqual([new["block_size"], new["blocks"], new["lun_bytes"], new["holder"]],
                         [4096, 256, MIB, None])
        self.assertEqual(self.check(DONE, "thinvol", "info", path)["uuid"], new["uuid"])
        self.assertEqual(self.check(DONE, "thinvol", "resize", path, "2M")["lun_bytes"], 2 * MIB)
        self.assertNotEqual(self.check(DONE, "thinvol", "new-id", path)["uuid"], new["uuid"])
        got = self.check(DONE, "thinvol", "map", path, section="thinvol map")
        self.assertEqual(got["extents"], [{"lba": 0, "blocks": 512, "status": "deallocated"}])
        self.assertEqual(got["extents"],
                         self.expect(DONE, "map", "--json", f"thin:{path}").json["extents"])
        got = self.check(DONE, "thinvol", "check", path, section="thinvol check")
        self.assertEqual(got["deallocated_bytes"], 2 * MIB)

    def test_the_change_record(self):
        path = self.volume("v", MIB)
        section = {"track": "thinvol track and forget", "forget": "thinvol track and forget"}

        def run(status, verb, *args):
            return self.check(status, "thinvol", verb, path, *args,
                              section=section.get(verb, f"thinvol {verb}"))
        for verb, member in [("point", "point"), ("points", "points"), ("changed", "changes")]:
            self.assertIsNone(run(FAILED, verb)[member])
        self.assertIsNone(self.check(DONE, "thinvol", "info", path)["record"])
        run(DONE, "track", "on")
        start = run(DONE, "points")["points"][0]
        self.assertEqual([start["lun_bytes"], start["allocated_bytes"]], [MIB, None])
        point = run(DONE, "point")["point"]
        self.assertEqual([item["id"] for item in run(DONE, "points")["points"]], [start["id"], point])
        self.assertEqual(run(DONE, "changed")["changes"], [])
        self.expect(DONE, "sync", self.file("primary", MIB, [(0, MIB)]), f"thin:{path}")
        got = run(DONE, "changed", f"--since={point}")
        self.assertEqual([got["point"], got["changes"]],
                         [point, [{"lba": 0, "blocks": 2048, "suspect": False}]])
        record = self.check(DONE, "thinvol", "info", path)["record"]
        self.assertEqual(sorted(record), sorted(["lost", "begun", "since", "crashed", "granule_bytes",
                                                 "hot_bytes", "record_bytes", "points"]))
        self.assertEqual([record["lost"], record["hot_bytes"], len(record["points"])], [None, 0, 2])
        run(DONE, "forget", point)
        self.assertEqual(run(FAILED, "changed", f"--since={point}")["changes"], None)
        run(DONE, "track", "off")

    def test_runs_of_thinvol_that_fail(self):
        none = self.folder / "none"
        for verb in ["info", "new-id"]:
            self.assertIsNone(self.check(FAILED, "thinvol", verb, none)["uuid"])
        self.check(FAILED, "thinvol", "resize", none, "1M")
        self.assertEqual(self.check(FAILED, "thinvol", "map", none, section="thinvol map")["extents"],
                         [])
        self.assertIsNone(self.check(FAILED, "thinvol", "check", none, section="thinvol check")
                          ["extents"])
        self.check(FAILED, "thinvol", "create", self.folder / "no" / "where", "1M")

    def test_runs_of_thinvol_that_are_refused(self):
        path = self.volume("v", MIB)
        self.assertIsNone(self.check(REFUSED, "thinvol", "create", path, "1M")["uuid"])
        with open(path, "r+b") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            self.check(REFUSED, "thinvol", "resize", path, "2M")
            self.check(REFUSED, "thinvol", "check", path, section="thinvol check")
            holder = f"process {os.getpid()} ("
            self.assertIn(holder, self.check(DONE, "thinvol", "info", path)["holder"])
            self.assertIn(holder, self.check(DONE, "thinvol", "map", path, section="thinvol map")
                          ["holder"])

    def test_a_note_of_thinvol(self):
        got = self.check(DONE, "thinvol", "create", self.folder / "a b", "1M")
        self.assertIn("targetcli takes no path with a space", got["notes"][0])

    def test_thindoctor(self):
        for args in [[], [self.folder], [self.folder / "no" / "where"]]:
            status = subprocess.run([rig.BUILD / "bin/thindoctor", *args], check=False,
                                    capture_output=True).returncode
            got = self.check(status, "thindoctor", *args, section="thindoctor")
            self.assertEqual(got["path"], str(args[0]) if args else None)
            self.assertEqual(got["result"], ["done", "missing"][status])
            for one in got["checks"]:
                self.assertEqual(list(one), ["name", "for", "ok", "state", "mend"])
                self.assertEqual(one["ok"], one["mend"] is None)


rig.main()
