# SPDX-License-Identifier: Apache-2.0
"""The handler beside LIO's fileio and tcmu-runner's qcow handler, in the lab."""

import statistics
import subprocess

import table

WORKLOADS = {
    "randread": ("4 KiB random read, 16 in flight", "IOPS"),
    "randwrite": ("4 KiB random write, 16 in flight", "IOPS"),
    "read": ("1 MiB sequential read, 4 in flight", "MiB/s"),
    "write": ("1 MiB sequential write, 4 in flight", "MiB/s"),
}
BACKENDS = {"thin": "our handler", "qcow": "qcow handler, raw file", "fileio": "LIO fileio (kernel)"}


def measured(output):
    """From lines `bench WORKLOAD BACKEND VALUE` to lists of values."""
    values = {}
    for line in output.splitlines():
        words = line.split()
        if len(words) == 4 and words[0] == "bench":
            values.setdefault((words[1], words[2]), []).append(float(words[3]))
    return values


def run(options, checks, repository):
    each = len(WORKLOADS) * len(BACKENDS) * options.rounds
    command = [
        repository / "tools/lab/lab", "run", f"--build={options.build}",
        f"--timeout={300 + each * (options.seconds + 20)}",
        repository / "tests/bench/guest/disks.sh",
        str(options.rounds), str(options.seconds), "64M" if options.small else "512M",
    ]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    values = measured(result.stdout)
    rows = []
    for workload, (name, unit) in WORKLOADS.items():
        ours = values.get((workload, "thin"))
        for backend, backend_name in BACKENDS.items():
            got = values.get((workload, backend), [])
            digits = 0 if unit == "IOPS" else 1
            median, spread = table.median_and_spread(got, digits)
            ratio = f"{statistics.median(got) / statistics.median(ours):.2f}x" if got and ours else "-"
            rows.append([name if backend == "thin" else "", backend_name, unit, median, spread, ratio])
            checks.add(len(got) == options.rounds, f"fio: {name}, {backend_name}",
                       f"{result.stdout}\n{result.stderr}")
    emulation = "KVM" if "accel kvm" in result.stdout else "TCG: times are 10 to 20 times the real ones"
    table.show(f"LUNs over iSCSI in one guest ({emulation}), all cached, "
               f"medians over {options.rounds} interleaved round(s) of {options.seconds} s",
               ["workload", "target", "unit", "median", "spread", "to ours"], rows)
