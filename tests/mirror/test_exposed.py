#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What a run is exposed to by those who start it: signals, files that are not what they should be,
output that is not read."""

import json
import os
import signal
import socket
import subprocess
import time

import rig
from rig import DIFFERENT, DONE, FAILED, INTERRUPTED, MIB, REFUSED, THINMIRROR, USAGE


class Signals(rig.Case):
    def interrupt(self, number):
        primary = self.file("a", 16 * MIB, [(0, 16 * MIB)])
        secondary = self.file("b", 16 * MIB)
        with self.start("sync", "--json", "--rate=4M", "--progress=json", primary,
                        secondary) as run:
            while rig.data_grains(secondary) == set():
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            run.send_signal(number)
            out, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertIn("interrupted", err)
        got = json.loads(out)
        self.assertEqual(got["result"], "interrupted")
        self.assertEqual(got["read_bytes"], got["written_bytes"])
        self.assertLess(got["written_bytes"], 16 * MIB)
        self.assertIs(got["verified"], False)
        [ledger] = (self.folder / "state" / "thinmirror").iterdir()
        self.assertEqual(json.loads(ledger.read_text())["state"], "copying")
        self.expect(DONE, "sync", primary, secondary)
        self.assertEqual(rig.digest(primary), rig.digest(secondary))

    def test_sigint_stops_cleanly_and_the_sync_can_be_run_again(self):
        self.interrupt(signal.SIGINT)

    def test_a_map_stops_as_well(self):
        # More than a pipe holds, and it is not read.
        pieces = [(2 * i * rig.GRAIN, rig.GRAIN) for i in range(2000)]
        primary = self.file("a", 16 * MIB, pieces)
        with self.start("map", "--json", primary) as run:
            first = os.read(run.stdout.fileno(), 1).decode() # past the buffer of run.stdout
            time.sleep(0.1)
            run.send_signal(signal.SIGINT)
            time.sleep(0.2) # the write that waits for the reader is interrupted
            out, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertEqual(json.loads(first + out)["result"], "interrupted")
        self.assertEqual(err, f"thinmirror: interrupted: the map of {primary} is not complete\n")

    def test_a_map_that_is_not_read_stops_as_well(self):
        pieces = [(2 * i * rig.GRAIN, rig.GRAIN) for i in range(2000)]
        primary = self.file("a", 16 * MIB, pieces)
        whole = self.expect(DONE, "map", "--json", primary).out
        with self.start("map", "--json", primary) as run:
            first = os.read(run.stdout.fileno(), 1).decode()
            time.sleep(0.1)
            run.send_signal(signal.SIGINT)
            self.assertEqual(run.wait(timeout=10), INTERRUPTED)
            out = first + run.stdout.read()
        extents = whole.index("extents")
        self.assertEqual(out[out.index("extents"):][:60000], whole[extents:][:60000])

    def test_sigterm_too(self):
        self.interrupt(signal.SIGTERM)

    def test_while_a_target_does_not_answer_at_first(self):
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"iscsi://127.0.0.1:{silent.getsockname()[1]}/iqn.2026-11.org.example:x/1"
            for args in [["sync", url, self.file("b", MIB)], ["probe", url]]:
                with self.start(*args) as run:
                    connection, _ = silent.accept()
                    with connection:
                        time.sleep(0.1)
                        run.send_signal(signal.SIGINT)
                        _, err = run.communicate(timeout=5)
                self.assertEqual(run.returncode, INTERRUPTED, err)
                self.assertEqual(err, "thinmirror: interrupted before anything was done\n")

    def test_without_a_ledger_it_says_what_the_next_sync_needs(self):
        self.environment["XDG_STATE_HOME"] = "/proc/none"
        primary, secondary = self.file("a", 8 * MIB, [(0, 8 * MIB)]), self.file("b", 8 * MIB)
        with self.start("sync", "--rate=4M", primary, secondary) as run:
            while rig.data_grains(secondary) == set():
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.assertIn("can be run again with --overwrite", err)
        self.expect(REFUSED, "sync", primary, secondary)
        self.expect(DONE, "sync", "--overwrite", primary, secondary)

    def test_a_verify_that_found_something_says_that_it_did_not_see_all(self):
        primary, secondary = self.file("a", 8 * MIB, [(0, 8 * MIB)]), self.file("b", 8 * MIB)
        with self.start("verify", "--rate=1M", primary, secondary) as run:
            time.sleep(1)
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, DIFFERENT, err)
        self.assertIn("first at block 0 (interrupted: the rest was not compared)", err)

    def test_a_terminal_that_is_gone_too(self):
        self.interrupt(signal.SIGHUP)

    def test_under_nohup_it_goes_on_without_a_terminal(self):
        primary, secondary = self.file("a", MIB, [(0, MIB)]), self.file("b", MIB)
        with self.start("sync", "--rate=1M", primary, secondary,
                        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN)) as run:
            while rig.data_grains(secondary) == set():
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            run.send_signal(signal.SIGHUP)
            _, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, DONE, err)


class RateFile(rig.Case):
    def test_a_rate_that_makes_no_sense_for_a_while_changes_nothing(self):
        primary, secondary = self.file("a", 8 * MIB, [(0, 8 * MIB)]), self.file("b", 8 * MIB)
        rate = self.folder / "rate"
        rate.write_text("1M\n")
        with self.start("sync", f"--rate=@{rate}", primary, secondary) as run:
            while rig.data_grains(secondary) == set():
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            for text in ["", "fast\n", "-5\n", "99999999999999999999\n"]:
                rate.write_text(text)
                time.sleep(0.6)
            rate.unlink()
            os.mkfifo(rate)  # without a writer
            time.sleep(0.7)
            self.assertIsNone(run.poll(), "it took something else for a rate")
            run.send_signal(signal.SIGINT)
            _, err = run.communicate(timeout=10)
        self.assertEqual(run.returncode, INTERRUPTED, err)
        self.expect(USAGE, "sync", f"--rate=@{rate}", primary, secondary,
                    says=["does not begin with a number"])


class LedgerFile(rig.Case):
    def setUp(self):
        super().setUp()
        self.primary = self.file("a", MIB, [(0, 64 * rig.KIB)])
        self.secondary = self.file("b", MIB)

    def fails(self, status, ledger, text):
        """Before anything is written."""
        self.expect(status, "sync", f"--ledger={ledger}", self.primary, self.secondary,
                    says=[ledger, text])
        self.assertEqual(rig.data_grains(self.secondary), set())

    def test_one_that_cannot_be_kept_ends_the_sync_before_anything_is_written(self):
        for ledger in ["/proc/ledger", "/nowhere/ledger"]:
            self.fails(FAILED, ledger, "No such file")
        self.fails(FAILED, self.folder, "Is a directory")
        self.fails(FAILED, self.folder / ("l" * 300), "too long")

    def test_a_symbolic_link_stays_one(self):
        real, link, relative = (self.folder / name for name in ["real", "link", "relative"])
        link.symlink_to(real)
        relative.symlink_to("link")
        loop = self.folder / "loop"
        loop.symlink_to("loop")
        self.fails(FAILED, loop, "Too many levels")
        for name in [relative, link]:
            self.expect(DONE, "sync", "--overwrite", f"--ledger={name}", self.primary,
                        self.secondary)
            self.assertEqual(json.loads(real.read_text())["state"], "complete")
            self.assertTrue(link.is_symlink() and relative.is_symlink())
            self.assertFalse(real.is_symlink())
            real.unlink()

    def test_what_is_no_ledger_is_refused_and_kept(self):
        pipe, large, text = self.folder / "pipe", self.folder / "large", self.folder / "text"
        os.mkfifo(pipe)
        with open(large, "wb") as file:
            os.truncate(file.fileno(), 1 << 40)
        text.write_text('{"state": "copying"')
        for ledger in [pipe, large, text, "/dev/zero", "/dev/null", self.primary, self.secondary]:
            self.fails(REFUSED, ledger, "is not a ledger")
        self.assertEqual(text.read_text(), '{"state": "copying"')
        self.assertEqual(large.stat().st_size, 1 << 40)

    def test_a_file_system_that_fills_up_under_the_copy(self):
        place = self.folder / "place"
        place.mkdir()
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", place],
                          capture_output=True, check=False).returncode != 0:
            self.skipTest("nothing can be mounted here")
        self.addCleanup(subprocess.run, ["umount", place], check=True)
        primary, secondary = self.file("c", 8 * MIB, [(0, 8 * MIB)]), self.file("d", 8 * MIB)
        args = ["--rate=4M", "--checkpoint=0.1", f"--ledger={place}/ledger", primary, secondary]
        with self.start("sync", *args) as run:
            while rig.data_grains(secondary) == set():
                self.assertIsNone(run.poll())
                time.sleep(0.01)
            with open(place / "ballast", "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(bytes(4096))
                except OSError:
                    pass
            _, err = run.communicate(timeout=20)
        self.assertEqual(run.returncode, FAILED, err)
        self.assertIn(f"cannot write the ledger {place}/ledger: No space left", err)
        # The last one that could be written counts.
        (place / "ballast").unlink()
        self.expect(DONE, "sync", "--resume", *args[1:])
        self.assertEqual(rig.digest(primary), rig.digest(secondary))


class AuthFile(rig.Case):
    def test_one_that_cannot_be_trusted_or_read_ends_it_before_a_target_is_asked(self):
        good, link, pipe = self.folder / "good", self.folder / "link", self.folder / "pipe"
        large, bad = self.folder / "large", self.folder / "bad"
        good.write_text("* user s3cret")
        good.chmod(0o640)
        link.symlink_to(good)
        os.mkfifo(pipe, 0o600)
        large.touch(0o600)
        os.truncate(large, 1 << 40)
        bad.touch(0o600)
        bad.write_text("* user")
        for status, path, text in [
                (REFUSED, good, "chmod 600"), (REFUSED, link, "chmod 600"),
                (USAGE, pipe, "no regular file"), (USAGE, self.folder, "no regular file"),
                (USAGE, "/dev/zero", "no regular file"), (USAGE, large, "too large"),
                (USAGE, bad, "line 1"), (USAGE, "/nowhere", "--auth-file=/nowhere: No such file")]:
            result = self.expect(status, "probe", f"--auth-file={path}",
                                 "iscsi://127.0.0.1:1/iqn.2026-11.org.example:x/1",
                                 says=[path, text])
            self.assertNotIn("refused", result.err)
            self.assertNotIn("s3cret", result.err)
        result = self.expect(REFUSED, "sync", "--json", f"--auth-file={good}", "a", "b")
        self.assertEqual(result.json["result"], "refused")
        self.assertIn("chmod 600", result.json["error"])
        good.chmod(0o600)
        self.expect(FAILED, "probe", f"--auth-file={link}",
                    "iscsi://127.0.0.1:1/iqn.2026-11.org.example:x/1", says=["connection refused"])


class Unread(rig.Case):
    """The copy is made all the same; that its result did not get through is told."""

    def setUp(self):
        super().setUp()
        self.primary = self.file("a", MIB, [(0, 64 * rig.KIB)])
        self.secondary = self.file("b", MIB)

    def sync(self, *args, **kwargs):
        result = subprocess.run([THINMIRROR, "sync", *args, self.primary, self.secondary],
                                env=self.environment, check=False, text=True, timeout=20,
                                **kwargs)
        self.assertEqual(rig.digest(self.primary), rig.digest(self.secondary))
        return result

    def test_a_full_disk(self):
        with open("/dev/full", "w") as full:
            for args in [[], ["--json"]]:
                result = self.sync(*args, stdout=full, stderr=subprocess.PIPE)
                self.assertEqual(result.returncode, FAILED)
                self.assertIn("cannot write to stdout: No space left", result.stderr)

    def test_a_reader_that_has_gone(self):
        reader, writer = os.pipe()
        os.close(reader)
        with open(writer, "w") as pipe:
            result = self.sync("--json", stdout=pipe, stderr=subprocess.PIPE)
        self.assertEqual(result.returncode, FAILED)
        self.assertIn("cannot write to stdout: Broken pipe", result.stderr)

    def test_progress_that_nobody_gets_is_no_failure(self):
        with open("/dev/full", "w") as full:
            result = self.sync("--json", "--progress=json", stdout=subprocess.PIPE, stderr=full)
        self.assertEqual(result.returncode, DONE)
        self.assertEqual(json.loads(result.stdout)["result"], "done")


if __name__ == "__main__":
    rig.main()
