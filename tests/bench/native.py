# SPDX-License-Identifier: Apache-2.0
"""The handler, loaded as tcmu-runner loads it, without a kernel: what it adds to the system calls."""

import os
import pathlib
import statistics
import subprocess
import tempfile

import table
import tgt

THREADS = (1, 2, 4, 8)
LIMIT = 1.5  # times the processor time of a bare loop


def runs(options, directory, threads):
    """Lists of (CPU ns, wall ns) a command, by "read|write handler|bare"; a thread for each LUN."""
    megabytes = (16 if options.small else 256) // threads
    for i in range(threads):
        subprocess.run([options.build / "bin/thinvol", "create", directory / f"volume{i}",
                        f"{megabytes}M"], check=True, stdout=subprocess.DEVNULL)
        with open(directory / f"plain{i}", "wb") as file:
            file.truncate(megabytes << 20)
    commands = (10_000 if options.small else 400_000) // threads
    output = subprocess.run(
        [options.build / "tests/bin/bench_native_io", options.build / "lib/handler_thin.so",
         directory / "volume", directory / "plain", str(threads), str(commands), str(options.rounds)],
        check=True, capture_output=True, text=True, timeout=options.limit).stdout
    for path in directory.iterdir():
        path.unlink()
    values = {}
    for line in output.splitlines():
        operation, whose, _, cpu, wall = line.split()
        values.setdefault((operation, whose), []).append((float(cpu), float(wall)))
    return values


def lines_of(options, *command):
    """The numbers that a program prints behind two words, as lists by these."""
    output = subprocess.run(command, check=True, capture_output=True, text=True,
                            timeout=options.limit).stdout
    values = {}
    for line in output.splitlines():
        what, place, taken = line.split()
        values.setdefault((what, place), []).append(int(taken))
    return values


def our_map(options, directory, extents, status):
    volume = directory / "volume"
    values = lines_of(options, options.build / "tests/bin/bench_native_map", volume, str(extents),
                      str(options.rounds), status)
    for path in (volume, directory / "volume.thin"):
        path.unlink()
    return values


def query_of_tgt(options, directory, extents):
    """One descriptor of a LUN that has every other 4 KiB mapped, from a tgtd on loopback."""
    path = directory / "tgt.raw"
    with open(path, "wb") as file:
        os.truncate(file.fileno(), extents * 8192)
        for i in range(extents):
            os.pwrite(file.fileno(), b"x" * 4096, i * 8192)
    with open(directory / "tgtd.log", "w", encoding="utf-8") as log:
        target = tgt.Tgtd(1, path, log)
        try:
            target.serve()
            return lines_of(options, options.build / "tests/bin/bench_status_query", target.url,
                            str(options.rounds))
        finally:
            target.close()


def run_map(options, checks):
    """How long the LUN takes to tell its map, on the rounds' median."""
    extents = 20_000 if options.small else 1_000_000
    fewer = 2_000 if options.small else 100_000
    # tmpfs, which options.directory may be, has no anchored blocks.
    with (tempfile.TemporaryDirectory(dir=options.directory, prefix="thinmirror-map-") as name,
          tempfile.TemporaryDirectory(dir=options.build, prefix="map-") as on_disk):
        directory, on_disk = pathlib.Path(name), pathlib.Path(on_disk)
        medians = {}
        for number, whose, values in [
                (extents, "user:thin", our_map(options, directory, extents, "mapped")),
                (fewer, "user:thin, anchored", our_map(options, on_disk, fewer, "anchored")),
                (extents, "user:thin, anchored", our_map(options, on_disk, extents, "anchored")),
                (fewer, "tgt, over loopback", query_of_tgt(options, directory, fewer))]:
            for (what, place), taken in values.items():
                medians[number, whose, what, place] = statistics.median(taken)
    names = {"status": "the whole map, replies of 64 KiB", "bitmap": "the whole map, as a bitmap"}
    table.show("The map of LUNs of many extents",
               ["what", "whose", "extents", "ms"],
               [[names.get(what, f"one descriptor, at {place}% of the LUN"), whose,
                 str(number), f"{taken / 1e6:.3f}"]
                for (number, whose, what, place), taken in medians.items()])
    for whose, limit in (("user:thin", 1), ("user:thin, anchored", 2)):
        whole = medians[extents, whose, "status", "-"]
        checks.add(options.small or whole <= limit * 1e9,
                   f"{whose}: a map of a million extents in replies of 64 KiB takes at most "
                   f"{limit} s", f"it took {whole / 1e9:.2f} s")
    slowest = max(taken for (_, whose, what, _), taken in medians.items()
                  if whose.startswith("user:thin") and what == "query")
    checks.add(options.small or slowest <= 1e6,
               "one descriptor takes less than a millisecond anywhere", str(slowest))


def run(options, checks):
    run_map(options, checks)
    rows = []
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="thinmirror-native-") as name:
        for threads in THREADS:
            luns = "1 LUN" if threads == 1 else f"{threads} LUNs"
            values = runs(options, pathlib.Path(name), threads)
            for operation in ("read", "write"):
                ours, bare = values[operation, "handler"], values[operation, "bare"]
                ratio = statistics.median(a[0] / b[0] for a, b in zip(ours, bare))
                medians = [statistics.median(v[i] for v in which) for i in (0, 1)
                           for which in (ours, bare)]
                rows.append([f"4 KiB random {operation}", luns,
                             *(f"{m:.0f}" for m in medians[:2]), f"{ratio:.2f}x",
                             *(f"{1e6 / m:.0f}" for m in medians[2:])])
                checks.add(options.small or ratio <= LIMIT,
                           f"4 KiB {operation}, {luns}: at most {LIMIT} times the "
                           "processor time of a bare loop", f"it is {ratio:.2f} times")
    table.show("A command in the handler beside its system call alone: processor time (ns), and "
               "commands in a millisecond",
               ["command", "", "handler ns", "bare ns", "ratio", "handler /ms", "bare /ms"],
               rows)
