# SPDX-License-Identifier: Apache-2.0
"""thinmirror beside qemu-img, from one tgtd to another."""

import dataclasses
import os
import pathlib
import shutil
import statistics
import subprocess
import tempfile
import threading
import time

import proxy
import table
import tgt

MIB = 1 << 20
ROUND_TRIP_MS = 10
# What takes longer is run once: the ratio is large then, and patience is not.
SLOW_SECONDS = 10
PLAIN, WIDE, NBDCOPY = ("qemu-img convert -n", "qemu-img convert -n -W -m 16 --target-is-zero",
                        "nbdcopy, two qemu-nbd")


@dataclasses.dataclass
class Case:
    name: str
    size: int  # of the LUN, in bytes
    extents: list  # the data in it as (offset, length) in bytes
    others: tuple = (PLAIN, WIDE, NBDCOPY)  # the tools to compare with
    limit: int = 0  # seconds, instead of the option's
    repeat: int = 1  # times the rounds, where the tools are close
    proxied: bool = False  # either target through a proxy of its own,
    round_trip_ms: int = 0  # which makes the line so long

    def data_bytes(self):
        return sum(length for _, length in self.extents)


def cases(small):
    part = 16 if small else 1
    extents = 4096 // part
    fine = 1024 if small else 65536
    step = 256 * 1024
    piece = 64 * MIB // part
    tebibyte = 1 << 40
    spread = [i * tebibyte // 4 + 3 * MIB for i in range(4)]
    contiguous = [(512 * MIB // part, 1024 * MIB // part)]
    pieces = [(i * step, 64 * 1024) for i in range(extents)]
    far = f", {ROUND_TRIP_MS} ms away"
    qemu = (PLAIN, WIDE)
    return {
        "contiguous": Case(f"contiguous {1024 // part} MiB of {4096 // part} MiB",
                           4096 * MIB // part, contiguous, repeat=1 if small else 3),
        "pieces": Case(f"{extents} extents of 64 KiB", extents * step, pieces, limit=75),
        "fine": Case(f"{fine} extents of 4 KiB", fine * 16384, fine_pieces(fine), qemu, 270),
        # So few that qemu-img comes to its end.
        "finished": Case(f"{2048 // part} extents of 4 KiB", 2048 // part * 16384,
                         fine_pieces(2048 // part), qemu, 60),
        "small LUN": Case(f"{256 // part} MiB in 1 GiB", 1 << 30,
                          [(i * (1 << 28) + 3 * MIB, piece) for i in range(4)]),
        "large LUN": Case(f"{256 // part} MiB in 1 TiB", tebibyte, [(at, piece) for at in spread],
                          qemu),
        "contiguous, proxied": Case(f"contiguous {1024 // part} MiB, by the same proxy, 0 ms away",
                                    4096 * MIB // part, contiguous, (), proxied=True),
        "contiguous, far": Case(f"contiguous {1024 // part} MiB{far}", 4096 * MIB // part,
                                contiguous, qemu, 30, True, ROUND_TRIP_MS),
        "pieces, far": Case(f"{extents} extents of 64 KiB{far}", extents * step, pieces, qemu, 30,
                            True, ROUND_TRIP_MS),
    }


def fine_pieces(count):
    return [(i * 16384, 4096) for i in range(count)]


def ours(build, directory):
    """Name and command, which gets the two URLs appended."""
    return ("thinmirror sync", [str(build / "bin/thinmirror"), "sync", "--progress=none", "--json",
                                f"--ledger={directory}/ledger"])


def other_tools():
    """The same of the tools that ours is compared with. ddpt is none of them: it copies device
    nodes and files, so for a LUN over iSCSI it needs the kernel's initiator."""
    convert = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw"]
    serve = "qemu-nbd -f raw"
    return {
        PLAIN: convert,
        WIDE: [*convert, "-W", "-m", "16", "--target-is-zero"],
        NBDCOPY: ["sh", "-c", "exec nbdcopy --destination-is-zero -- "
                  f'[ {serve} -r "$1" ] [ {serve} "$2" ]', "sh"],
    }


def bare_loops(build, case):
    """What bounds the copy of a single extent: loops that only write to the secondary, by the size
    of a request in KiB and how many are in flight. Name and command as of tools()."""
    loop = build / "tests/bin/bench_write_loop"
    if len(case.extents) > 1:
        return []
    if case.proxied:
        return []
    first, length = case.extents[0]
    return [(f"bare writes, {kib} KiB x {depth}",
             ["sh", "-c", f'exec {loop} write "$2" {first} {length} {kib * 1024} {depth}', "sh"])
            for kib, depth in ((512, 32), (256, 8), (128, 16))]


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
    """One tool on one case, or a loop that copies nothing."""

    def __init__(self, name, command, copies=True):
        self.name = name
        self.command = command
        self.copies = copies
        self.seconds = []
        self.cpu_seconds = []
        self.peak_bytes = 0
        self.allocated = 0
        self.best = False  # the one the others are compared with
        self.compared = False
        self.failure = ""
        self.given_up = 0  # after so many seconds; 0: it came to an end

    def run(self, pair, size, limit, directory):
        if self.failure or self.given_up or (self.seconds and self.seconds[0] > SLOW_SECONDS):
            return
        pair.secondary.serve_anew(size)
        (directory / "ledger").unlink(missing_ok=True)
        with open(directory / "output", "w+", encoding="utf-8") as output:
            seconds, status, usage = timed([*self.command, *pair.urls], output, limit)
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
        self.allocated = allocated(pair.secondary.path)
        if self.copies and not self.compared:
            self.compare(pair.primary.path, pair.secondary.path)

    def median(self):
        return statistics.median(self.seconds) if self.seconds else None

    def cpu_per_gib(self, case):
        return statistics.median(self.cpu_seconds) / case.data_bytes() * (1 << 30)

    def compare(self, a, b):
        """The files below the LUNs, by a program that skips what is a hole in both."""
        result = subprocess.run(["qemu-img", "compare", "-U", "-f", "raw", "-F", "raw", a, b],
                                capture_output=True, text=True, check=False)
        self.compared = True
        if result.returncode != 0:
            self.failure = f"the copy is wrong: {result.stdout}{result.stderr}".strip()


class Pair:
    """A primary and a secondary, each a tgtd of its own, maybe at the end of a long line."""

    def __init__(self, options, case, directory, log):
        self.parts = []
        try:
            self.primary = self._add(tgt.Tgtd(1, directory / "primary.raw", log))
            self.secondary = self._add(tgt.Tgtd(2, directory / "secondary.raw", log))
            self.primary.serve()
            self.urls = [self.primary.url, self.secondary.url]
            if case.proxied:
                self.urls = [
                    self._add(proxy.LongLine(options.build, target, case.round_trip_ms)).url
                    for target in (self.primary, self.secondary)]
        except BaseException:
            self.close()
            raise

    def _add(self, part):
        self.parts.append(part)
        return part

    def close(self):
        for part in reversed(self.parts):
            part.close()


def row(case, measure, best):
    first = case.name if measure.best else ""
    median, spread = table.median_and_spread(measure.seconds)
    if measure.given_up:
        ratio = f">{measure.given_up / best:.0f}x" if best else "-"
        return [first, measure.name, f">{measure.given_up}", "given up", ratio, *["-"] * 4]
    if not measure.seconds:
        return [first, measure.name, "-", measure.failure.splitlines()[0][:40], *["-"] * 5]
    seconds = measure.median()
    ratio = f"{seconds / best:.2f}x" if best else "-"
    return [first, measure.name, median, spread, ratio,
            f"{case.data_bytes() / MIB / seconds:.0f}",
            f"{measure.cpu_per_gib(case):.2f}",
            f"{measure.peak_bytes / MIB:.0f}", f"{measure.allocated / MIB:.0f}"]


def run_case(options, case, directory, log, alone=False):
    make_primary(directory / "primary.raw", case.size, case.extents)
    measures = [Measure(*ours(options.build, directory))]
    if not alone:
        measures += [Measure(name, other_tools()[name]) for name in case.others]
        measures += [Measure(*loop, copies=False) for loop in bare_loops(options.build, case)]
    pair = Pair(options, case, directory, log)
    try:
        for _ in range(options.rounds * case.repeat):
            for measure in measures:
                measure.run(pair, case.size, case.limit or options.limit, directory)
    finally:
        pair.close()
    (directory / "primary.raw").unlink()
    (directory / "secondary.raw").unlink(missing_ok=True)
    return measures


def check_copies(case, measures, checks):
    for measure in measures:
        # Another tool may take longer than there is patience for: that is a result.
        if measure.given_up and measure is not measures[0]:
            continue
        checks.add(bool(measure.seconds) and not measure.failure,
                   f"{measure.name}: {case.name} "
                   f"{'copied, equal to the primary' if measure.copies else 'written'}",
                   measure.failure or f"no end within {measure.given_up} s")


def show_limits(known, results):
    """What is wanted of the figures, beside them."""
    def of_ours(case):
        return results[case][0].median()

    def others(case):
        return [m for m in results[case][1:] if m.copies]

    def best_other(case):
        return min(m.median() or m.given_up for m in others(case))

    def cpu_ratio(case):
        """To the qemu-img that took the least of it; 0 when none came to its end."""
        least = min((m.cpu_per_gib(known[case]) for m in others(case)
                     if m.seconds and m.name in (PLAIN, WIDE)), default=None)
        return results[case][0].cpu_per_gib(known[case]) / least if least else 0

    def bare(case):
        return min(m.median() for m in results[case] if not m.copies and m.seconds)

    def ratio(case):
        return best_other(case) / of_ours(case)

    if not all(m.seconds for measures in results.values() for m in measures
               if m is measures[0] or not m.copies):
        return
    peak = max(measures[0].peak_bytes for measures in results.values()) / MIB
    away = f"{ROUND_TRIP_MS} ms away"
    wanted = [
        ("contiguous: times as fast as the best of the others", 1.3, ratio("contiguous"), 1),
        ("contiguous: of the speed of bare writes", 0.9, bare("contiguous") / of_ours("contiguous"),
         1),
        ("64 KiB extents: times as fast as the best of the others", 40, ratio("pieces"), 1),
        (f"{known['fine'].name}: the same, at least", 100, ratio("fine"), 1),
        ("a 1 TiB LUN: time of the same data in 1 GiB, times", 1.2,
         of_ours("large LUN") / of_ours("small LUN"), -1),
        (f"contiguous, {away}: of the throughput by the same proxy at 0 ms", 0.8,
         of_ours("contiguous, proxied") / of_ours("contiguous, far"), 1),
        (f"contiguous, {away}: of the throughput with neither proxy nor delay", 0.8,
         of_ours("contiguous") / of_ours("contiguous, far"), 1),
        (f"64 KiB extents, {away}: times as fast as qemu-img (at least)", 20,
         ratio("pieces, far"), 1),
        ("contiguous: CPU time of the qemu-img that takes the least, times", 1.0,
         cpu_ratio("contiguous"), -1),
        ("the same, in the worst of all cases", 1.0, max(map(cpu_ratio, results)), -1),
        ("peak memory, MiB", 64, peak, -1),
    ]
    table.show("What is wanted", ["figure", "", "limit", "measured"],
               [[name, "reached" if sign * (got - limit) >= 0 else "missed",
                 f"{'>=' if sign > 0 else '<='} {limit}", f"{got:.2f}"]
                for name, limit, got, sign in wanted])


def run(options, checks):
    rows = []
    results = {}
    known = cases(options.small)
    directory = pathlib.Path(tempfile.mkdtemp(prefix="thinmirror-bench-", dir=options.directory))
    try:
        with open(directory / "tgtd.log", "w", encoding="utf-8") as log:
            for key, case in known.items():
                measures = results[key] = run_case(options, case, directory, log)
                measures[0].best = True
                rows += [row(case, measure, measures[0].median()) for measure in measures]
                check_copies(case, measures, checks)
    finally:
        shutil.rmtree(directory)
    table.show(f"Mirror: one tgtd to another on loopback, files in {options.directory}, "
               f"medians over {options.rounds} interleaved round(s), 3 times as many of the first",
               ["case", "tool", "seconds", "spread", "to ours", "MiB/s", "CPU s/GiB",
                "peak MiB", "allocated MiB"], rows)
    print("ddpt copies device nodes and files: to reach a LUN over iSCSI it needs the kernel's "
          "initiator.\nCPU time of nbdcopy is with its servers', peak memory that of the largest of "
          "the three.")
    if not options.small:
        show_limits(known, results)
