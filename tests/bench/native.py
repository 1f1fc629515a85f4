# SPDX-License-Identifier: Apache-2.0
"""The handler, loaded as tcmu-runner loads it, without a kernel: what it adds to the system calls."""

import pathlib
import statistics
import subprocess
import tempfile

import table

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


def run_map(options, checks):
    """How long the LUN takes to tell its map, on the rounds' median."""
    extents = 20_000 if options.small else 1_000_000
    with tempfile.TemporaryDirectory(dir=options.directory, prefix="thinmirror-map-") as name:
        output = subprocess.run(
            [options.build / "tests/bin/bench_native_map", pathlib.Path(name) / "volume",
             str(extents), str(options.rounds)],
            check=True, capture_output=True, text=True, timeout=options.limit).stdout
    values = {}
    for line in output.splitlines():
        what, place, taken = line.split()
        values.setdefault((what, place), []).append(int(taken))
    medians = {key: statistics.median(taken) for key, taken in values.items()}
    table.show(f"The map of {extents} extents (tgt took 410 to 510 ms for one descriptor of 131,072)",
               ["what", "at", "ms"],
               [[what, place, f"{taken / 1e6:.3f}"] for (what, place), taken in medians.items()])
    checks.add(options.small or medians["status", "-"] <= 1e9,
               "a map of a million extents in replies of 64 KiB takes at most a second",
               f"it took {medians['status', '-'] / 1e9:.2f} s")
    checks.add(options.small or max(v for k, v in medians.items() if k[0] == "query") <= 1e6,
               "one descriptor takes less than a millisecond anywhere", str(medians))


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
