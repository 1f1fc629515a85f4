#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The progress on a real (pseudo) terminal, and where there is none."""

import fcntl
import json
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import time

import rig
from rig import DONE, MIB, REFUSED, THINMIRROR


class Terminal(rig.Case):
    """Running it on a terminal."""

    def on_terminal(self, columns, *args):
        """Runs it with stderr on a terminal that is so wide. What the terminal got, and stdout."""
        master, slave = pty.openpty()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        with subprocess.Popen([THINMIRROR, *map(str, args)], env=self.environment,
                              stdout=subprocess.PIPE, stderr=slave) as run:
            os.close(slave)
            shown = b""
            while True:
                try:
                    piece = os.read(master, 65536)
                except OSError:
                    break
                if not piece:
                    break
                shown += piece
            out = run.stdout.read().decode()
        os.close(master)
        return run.returncode, shown.decode(), out

    def check_figures(self, columns, word, pattern):
        """Every line of a copy with a comparison that begins with word, without a bar."""
        shown, _ = self.copy_on_terminal(columns, "--verify")
        lines = [line for line in re.findall(r"\r([^\r\x1b\n]*)\x1b\[K", shown)
                 if line.startswith(word)]
        self.assertTrue(lines, repr(shown))
        for line in lines:
            self.assertLess(len(line), columns)
            self.assertRegex(line, pattern)

    def copy_on_terminal(self, columns, *args):
        primary = self.file("a", 16 * MIB, [(MIB, 4 * MIB)])
        secondary = self.file("b", 16 * MIB)
        status, shown, out = self.on_terminal(columns, "sync", "--rate=8M", *args, primary,
                                              secondary)
        self.assertEqual(status, DONE, shown)
        return shown, out

    def check_bar(self, columns):
        shown, out = self.copy_on_terminal(columns)
        # Only ever: back to the left, the line, wipe the rest; and at the end an empty line.
        self.assertTrue(shown.endswith("\r\x1b[K"), repr(shown[-100:]))
        lines = re.findall(r"\r([^\r\x1b\n]*)\x1b\[K", shown)
        self.assertEqual("".join(f"\r{line}\x1b[K" for line in lines), shown)
        self.assertEqual(lines[-1], "")
        bars = lines[:-1]
        self.assertGreater(len(bars), 2)
        for bar in bars:
            self.assertLess(len(bar), columns)
            self.assertRegex(bar, r"^copying \[#*\.*\] +\d+%")
        percents = [int(re.search(r"(\d+)%", bar).group(1)) for bar in bars]
        self.assertEqual(percents, sorted(percents))
        self.assertEqual(percents[-1], 100)
        # The bar does not jump: its right end stays where it is.
        self.assertEqual(len({bar.index("]") for bar in bars}), 1)
        self.assertIn("copied", out)
        return bars


class Progress(Terminal):
    def test_a_bar_on_an_ordinary_terminal(self):
        bars = self.check_bar(100)
        self.assertRegex(bars[-1], r"100%  +4\.0 MiB of +4\.0 MiB .*/s  ETA 0:00    mapped  25%$")

    def test_a_bar_on_a_narrow_terminal(self):
        bars = self.check_bar(60)
        self.assertRegex(bars[-1], r"100% .* MiB/s  ETA 0:00    mapped  25%$")

    def test_a_terminal_that_is_too_narrow_for_a_bar_has_the_figures(self):
        for word in ("copying", "verifying"):
            self.check_figures(40, word, r"^[a-z]+ +\d+% [ .\d]{3}[BKMG]/s [-\d][:\dh][-\d]*.* "
                                         r"map(ped)? +\d+%$")

    def test_verification_has_a_bar_too(self):
        shown, _ = self.copy_on_terminal(80, "--verify")
        self.assertIn("verifying [", shown)

    def test_none_is_none(self):
        shown, _ = self.copy_on_terminal(80, "--progress=none")
        self.assertEqual(shown, "")

    def test_no_terminal_no_bar(self):
        primary = self.file("a", 16 * MIB, [(MIB, 4 * MIB)])
        result = self.expect(DONE, "sync", primary, self.file("b", 16 * MIB))
        self.assertEqual(result.err, "")
        result = self.expect(DONE, "sync", "--progress=bar", primary, self.folder / "b")
        self.assertIn("copying [", result.err)

    def test_messages_have_the_line_to_themselves(self):
        primary = self.file("a", 64 * MIB, [(0, 16 * MIB)])
        secondary = self.file("b", 64 * MIB)
        self.expect(DONE, "sync", primary, secondary)
        with open(secondary, "r+b") as file:
            file.write(b"other")
        status, shown, _ = self.on_terminal(80, "verify", primary, secondary)
        self.assertEqual(status, rig.DIFFERENT)
        self.assertRegex(shown, r"\r\x1b\[Kthinmirror: .* differs from .*\r\n  block 0 differs\r\n$")

    def test_a_refusal_shows_no_bar(self):
        primary = self.file("a", 16 * MIB)
        status, shown, _ = self.on_terminal(80, "sync", primary, self.file("b", MIB))
        self.assertEqual(status, REFUSED)
        self.assertNotIn("[", shown)

    def test_a_dry_run_plans(self):
        primary = self.file("a", 16 * MIB, [(MIB, 4 * MIB)])
        status, shown, out = self.on_terminal(80, "sync", "--dry-run", primary,
                                              self.file("b", 16 * MIB))
        self.assertEqual(status, DONE)
        self.assertIn("planning [", shown)
        self.assertNotIn("copying", shown)
        self.assertRegex(out, r"to copy +4 MiB\nto empty +0 bytes\ntime +\S.*\n.*\n"
                              r"Dry run: nothing was written\.\n$")

    def test_json_lines(self):
        primary = self.file("a", 16 * MIB, [(MIB, 6 * MIB)])
        result = self.expect(DONE, "sync", "--progress=json", "--rate=4M", "--verify", primary,
                             self.file("b", 16 * MIB))
        lines = [json.loads(line) for line in result.err.splitlines()]
        self.assertGreaterEqual(len(lines), 3)
        # One line when all of it is done.
        self.assertEqual([line["phase"] for line in lines
                          if line["done_bytes"] == line["todo_bytes"] >= 6 * MIB],
                         ["sync", "verify"])
        for line in lines:
            self.assertEqual(line["lun_bytes"], 16 * MIB)
            self.assertLessEqual(line["done_bytes"], line["todo_bytes"])


class Longer(Terminal):
    """What takes seconds."""

    def test_a_bar_on_a_terminal_of_80_columns(self):
        bars = self.check_bar(80)
        self.assertRegex(bars[-1], r"100%  .*/s  ETA 0:00    mapped  25%$")

    def test_a_bar_on_a_wide_terminal_stays_together(self):
        bars = self.check_bar(200)
        self.assertRegex(bars[-1], r"100%  +4\.0 MiB of +4\.0 MiB .*/s  ETA 0:00    mapped  25%$")
        self.assertLess(len(bars[-1]), 130)

    def signalled(self, columns, *args):
        """What a sync says that gets SIGUSR1; without columns its stderr is no terminal."""
        primary = self.file("a", 16 * MIB, [(MIB, 8 * MIB)])
        secondary = self.file("b", 16 * MIB)
        slave = subprocess.PIPE
        if columns:
            master, slave = pty.openpty()
            fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 25, columns, 0, 0))
        with subprocess.Popen([THINMIRROR, "sync", "--rate=4M", *args, primary, secondary],
                              env=self.environment, stdout=subprocess.PIPE, stderr=slave) as run:
            time.sleep(0.6)
            run.send_signal(signal.SIGUSR1)
            time.sleep(0.3)
            run.send_signal(signal.SIGINT)
            if not columns:
                return run.communicate()[1].decode().splitlines()
            os.close(slave)
            shown = b""
            try:
                while piece := os.read(master, 65536):
                    shown += piece
            except OSError:  # how a terminal without a writer ends
                pass
        os.close(master)
        return shown.decode().replace("\r\n", "\n").split("\n")

    def test_a_line_for_a_signal_fits_the_terminal(self):
        for columns in (52, 80, 200):
            line = [line for line in self.signalled(columns, "--progress=none") if line][0]
            self.assertRegex(line, r"^thinmirror: copying (\[#*\.*\] )? *\d+% .*mapped +50%$")
            self.assertLess(len(line), columns)

    def test_a_line_for_a_signal_has_everything_where_there_is_no_terminal(self):
        line = self.signalled(None)[0]
        self.assertRegex(line, r"^thinmirror: copying \[#+\.+\] .* of .*/s  ETA .* mapped +50%$")

    def test_a_signal_gets_json_where_all_else_is_json(self):
        line = json.loads(self.signalled(None, "--progress=json")[0])
        self.assertLess(line["seconds"], 1)  # by itself it says the first at a second


if __name__ == "__main__":
    rig.main()
