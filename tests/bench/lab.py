# SPDX-License-Identifier: Apache-2.0
"""The handler beside bare ones, tcmu-runner's qcow handler and LIO's fileio, in the lab."""

import os
import statistics
import subprocess

import table

WORKLOADS = {
    "randread1": ("4 KiB random read, 1 in flight", "IOPS"),
    "randread16": ("4 KiB random read, 16 in flight", "IOPS"),
    "randwrite1": ("4 KiB random write, 1 in flight", "IOPS"),
    "randwrite16": ("4 KiB random write, 16 in flight", "IOPS"),
    "read": ("1 MiB sequential read, 4 in flight", "MiB/s"),
    "write": ("1 MiB sequential write, 4 in flight", "MiB/s"),
}
BACKENDS = {
    "thin": "our handler",
    "inline": "bare handler, inline",
    "worker": "bare handler, 4 workers",
    "qcow": "qcow handler, raw file",
    "fileio": "LIO fileio (kernel)",
}
TRANSPORTS = {"iscsi": "over iSCSI", "loop": "over tcm_loop"}
EMULATIONS = {
    "kvm": "KVM",
    "tcg": "TCG: times are 10 to 20 times the real ones",
    "counted": "TCG, one processor, 8 ns an instruction",
}
BARE = ("inline", "worker")
BARE_LIMIT, QCOW_LIMIT = 0.95, 1.1
STORAGES = {"cached": "all cached", "slow": "not cached, a disk with 5 ms of delay"}


def measured(output):
    """From lines `bench TRANSPORT STORAGE WORKLOAD BACKEND VALUE` to lists of values."""
    values = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 6 and words[0] == "bench":
            values.setdefault(tuple(words[1:5]), []).append(float(words[5]))
    return values


def median_ratio(ours, theirs):
    """How many times the other's value ours is: the median over the rounds, each by itself; None
    when a round of either is missing."""
    if not ours or len(ours) != len(theirs) or not all(theirs):
        return None
    return statistics.median(a / b for a, b in zip(ours, theirs))


def ratio(ours, theirs):
    times = median_ratio(ours, theirs)
    return "-" if times is None else f"{times:.2f}x"


def verdict(cell, rounds):
    """The Markdown columns of one cell of the grid, from its values of each backend: the ratios to
    the bare handlers' better form, to qcow and to fileio, and whether both limits are met."""
    ours = cell.get("thin", [])
    bare = [median_ratio(ours, cell.get(form, [])) for form in BARE]
    better = None if None in bare else min(bare)
    qcow, fileio = (median_ratio(ours, cell.get(name, [])) for name in ("qcow", "fileio"))
    shown = ["-" if times is None else f"{times:.2f}" for times in (better, qcow, fileio)]
    if better is None or qcow is None or len(ours) < rounds:
        return [*shown, "not measured"]
    return [*shown, "PASS" if better >= BARE_LIMIT and qcow >= QCOW_LIMIT else "below"]


def show_verdicts(values, places, rounds):
    """A Markdown table of all cells, measured or not."""
    print(f"| Disk | Workload | ours / bare (at least {BARE_LIMIT}) | ours / qcow (at least "
          f"{QCOW_LIMIT}) | ours / fileio | |\n|---|---|--:|--:|--:|---|")
    for place in places:
        for workload, (name, _) in WORKLOADS.items():
            cell = {backend: values.get((*place, workload, backend), []) for backend in BACKENDS}
            where = f"{TRANSPORTS[place[0]]}, {STORAGES[place[1]]}"
            print(f"| {' | '.join([where, name, *verdict(cell, rounds)])} |")
    print(flush=True)


def rows_of(values, place, options, checks, output):
    for workload, (name, unit) in WORKLOADS.items():
        ours = values.get((*place, workload, "thin"), [])
        for backend, backend_name in BACKENDS.items():
            got = values.get((*place, workload, backend), [])
            median, spread = table.median_and_spread(got, 0 if unit == "IOPS" else 1)
            yield [name if backend == "thin" else "", backend_name, unit, median, spread,
                   ratio(ours, got)]
            checks.add(len(got) == options.rounds,
                       f"fio {TRANSPORTS[place[0]]}, {place[1]}: {name}, {backend_name}", output)


def run(options, checks, repository):
    places = [(t, s) for s in options.storages for t in options.transports]
    runs = len(WORKLOADS) * len(BACKENDS) * len(places) * options.rounds
    command = [
        repository / "tools/lab/lab", "run", f"--build={options.build}",
        f"--timeout={400 + runs * (round(options.seconds) + (40 if options.counted else 15))}",
        repository / "tests/bench/guest/disks.sh",
        str(options.rounds), str(options.seconds), "64M" if options.small else "512M",
        ",".join(options.transports), ",".join(options.storages),
    ]
    environment = os.environ | ({"LAB_ACCEL": "counted"} if options.counted else {})
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    output = f"{result.stdout}\n{result.stderr}"
    values = measured(result.stdout)
    emulation = next((words for accel, words in EMULATIONS.items()
                      if f"accel {accel}\n" in result.stdout), "?")
    for place in places:
        rows = list(rows_of(values, place, options, checks, output))
        table.show(f"LUNs {TRANSPORTS[place[0]]} in one guest ({emulation}), {STORAGES[place[1]]}, "
                   f"medians over {options.rounds} interleaved round(s) of {options.seconds:g} s",
                   ["workload", "target", "unit", "median", "spread", "ours / it"], rows)
    show_verdicts(values, places, options.rounds)
