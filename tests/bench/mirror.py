# SPDX-License-Identifier: Apache-2.0
"""thinmirror beside qemu-img, from one tgtd to another."""

import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import table
import tgt

MIB = 1 << 20


def cases(small):
    """Name, size of the LUN, and the data in it as (offset, length) in bytes."""
    part = 16 if small else 1
    extents = 4096 // part
    fine = 1024 if small else 65536
    step = 256 * 1024
    piece = 64 * MIB // part
    tebibyte = 1 << 40
    spread = [i * tebibyte // 4 + 3 * MIB for i in range(4)]
    return [
        (f"contiguous {1024 // part} MiB of {4096 // part} MiB", 4096 * MIB // part,
         [(512 * MIB // part, 1024 * MIB // part)]),
        (f"{extents} extents of 64 KiB", extents * step,
         [(i * step, 64 * 1024) for i in range(extents)]),
        (f"{fine} extents of 4 KiB", fine * 16384, [(i * 16384, 4096) for i in range(fine)]),
        (f"{256 // part} MiB in 1 TiB", tebibyte, [(at, piece) for at in spread]),
    ]


def tools(build, directory):
    """Name and command, which gets the two URLs appended."""
    convert = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw"]
    return [
        ("thinmirror sync", [str(build / "bin/thinmirror"), "sync", "--progress=none", "--json",
                             f"--ledger={directory}/ledger"]),
        ("qemu-img convert -n", convert),
        ("qemu-img convert -n -W -m 16 --target-is-zero",
         [*convert, "-W", "-m", "16", "--target-is-zero"]),
    ]


def make_primary(path, size, extents):
    with open("/dev/urandom", "rb") as source, open(path, "wb") as file:
        os.truncate(file.fileno(), size)
        for offset, length in extents:
            file.seek(offset)
            while length > 0:
                length -= file.write(source.read(min(length, MIB)))


def allocated(path):
    return path.stat().st_blocks * 512


def timed(command, output, limit):
    """Seconds, exit status and resource usage of a program, which is killed after limit seconds."""
    begin = time.monotonic()
    with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as process:
        killer = threading.Timer(limit, process.kill)
        killer.start()
        _, status, usage = os.wait4(process.pid, 0)
        killer.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - begin, process.returncode, usage


class Measure:
    """One tool on one case."""

    def __init__(self, name, command):
        self.name = name
        self.command = command
        self.seconds = []
        self.cpu_seconds = []
        self.peak_bytes = 0
        self.allocated = 0
        self.compared = False
        self.failure = ""
        self.given_up = 0  # after so many seconds; 0: it came to an end

    def run(self, primary, secondary, size, limit, directory):
        if self.failure or self.given_up:
            return
        secondary.serve_anew(size)
        (directory / "ledger").unlink(missing_ok=True)
        with open(directory / "output", "w+", encoding="utf-8") as output:
            seconds, status, usage = timed([*self.command, primary.url, secondary.url], output,
                                           limit)
            output.seek(0)
            text = output.read().strip()
        if seconds > limit:
            self.given_up = limit
            return
        if status != 0:
            self.failure = f"status {status}: {text}"
            return
        self.seconds.append(seconds)
        self.cpu_seconds.append(usage.ru_utime + usage.ru_stime)
        self.peak_bytes = max(self.peak_bytes, usage.ru_maxrss * 1024)
        self.allocated = allocated(secondary.path)
        if not self.compared:
            self.compare(primary.path, secondary.path)

    def compare(self, a, b):
        """The files below the LUNs, by a program that skips what is a hole in both."""
        result = subprocess.run(["qemu-img", "compare", "-U", "-f", "raw", "-F", "raw", a, b],
                                capture_output=True, text=True, check=False)
        self.compared = True
        if result.returncode != 0:
            self.failure = f"the copy is wrong: {result.stdout}{result.stderr}".strip()


def row(case, measure, best, data_bytes):
    median, spread = table.median_and_spread(measure.seconds)
    if measure.given_up:
        ratio = f">{measure.given_up / best:.0f}x" if best else "-"
        return [case, measure.name, f">{measure.given_up}", "given up", ratio, *["-"] * 4]
    if not measure.seconds:
        return [case, measure.name, "-", measure.failure.splitlines()[0][:40], *["-"] * 5]
    seconds = statistics.median(measure.seconds)
    ratio = f"{seconds / best:.2f}x" if best else "-"
    return [case, measure.name, median, spread, ratio, f"{data_bytes / MIB / seconds:.0f}",
            f"{statistics.median(measure.cpu_seconds) / data_bytes * (1 << 30):.2f}",
            f"{measure.peak_bytes / MIB:.0f}", f"{measure.allocated / MIB:.0f}"]


def run_case(options, case, directory, log):
    name, size, extents = case
    primary_path = directory / "primary.raw"
    make_primary(primary_path, size, extents)
    measures = [Measure(*tool) for tool in tools(options.build, directory)]
    primary = tgt.Tgtd(1, primary_path, log)
    try:
        secondary = tgt.Tgtd(2, directory / "secondary.raw", log)
        try:
            primary.serve()
            for _ in range(options.rounds):
                for measure in measures:
                    measure.run(primary, secondary, size, options.limit, directory)
        finally:
            secondary.close()
    finally:
        primary.close()
    primary_path.unlink()
    (directory / "secondary.raw").unlink(missing_ok=True)
    return measures


def run(options, checks):
    rows = []
    directory = pathlib.Path(tempfile.mkdtemp(prefix="thinmirror-bench-", dir=options.directory))
    try:
        with open(directory / "tgtd.log", "w", encoding="utf-8") as log:
            for case in cases(options.small):
                measures = run_case(options, case, directory, log)
                ours = measures[0].seconds
                best = statistics.median(ours) if ours else None
                data_bytes = sum(length for _, length in case[2])
                for measure in measures:
                    first = measure is measures[0]
                    rows.append(row(case[0] if first else "", measure, best, data_bytes))
                    # Another tool may take longer than there is patience for: that is a result.
                    if measure.given_up and not first:
                        continue
                    checks.add(bool(measure.seconds) and not measure.failure,
                               f"{measure.name}: {case[0]} copied, equal to the primary",
                               measure.failure or f"no end within {measure.given_up} s")
    finally:
        shutil.rmtree(directory)
    table.show(f"Mirror: one tgtd to another on loopback, files in {options.directory}, "
               f"medians over {options.rounds} interleaved round(s)",
               ["case", "tool", "seconds", "spread", "to ours", "MiB/s", "CPU s/GiB",
                "peak MiB", "allocated MiB"], rows)
