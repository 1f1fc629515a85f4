# SPDX-License-Identifier: Apache-2.0
"""LUNs of tgtd that are fully provisioned: how long their tables of contents take, and what the copy
saves."""

import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

import table
import tgt

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))

from fragmented_ext import fragment  # noqa: E402

MIB = 1 << 20
TIB = 1 << 40
os.environ["PATH"] += ":/usr/sbin:/sbin"

ANALYSIS_SECONDS = 3
ANALYSIS_MIB = 64
COPY_RATIO = 8


def make(path, size, *command):
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, size)
    subprocess.run([*command, path], check=True, capture_output=True)


def large_file_systems(small):
    size = TIB // 16 if small else TIB
    return [
        ("ext4", size, ["mkfs.ext4", "-q", "-F"]),
        ("ext4, all bitmaps written", size,
         ["mkfs.ext4", "-q", "-F", "-O", "^uninit_bg,^metadata_csum", "-E", "nodiscard"]),
        ("ext4, free in pieces of 16 KiB", size,
         ["mkfs.ext4", "-q", "-F", "-O", "^64bit,^uninit_bg,^metadata_csum", "-E", "nodiscard"]),
        ("XFS", size, ["mkfs.xfs", "-q", "-f"]),
        ("XFS, 256 groups", size, ["mkfs.xfs", "-q", "-f", "-d", "agcount=256"]),
        ("btrfs", size, ["mkfs.btrfs", "-q", "-f"]),
        ("exFAT", size, ["mkfs.exfat", "-c", "32K"]),
        ("NTFS", size, ["mkntfs", "-q", "-Q", "-F"]),
    ]


def measured(command):
    """Seconds, MiB of memory at most, and whether it went well."""
    begin = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return time.monotonic() - begin, usage.ru_maxrss / 1024, process.returncode == 0


def analyse_large(options, directory, log, checks):
    """A list of 67 million pieces is 6 GB of text: where free space is in pieces it is the picture,
    which every piece goes into, too."""
    rows = []
    path = directory / "primary.raw"
    for name, size, command in large_file_systems(options.small):
        make(path, size, *command)
        if "in pieces" in name:
            fragment(path)
        target = tgt.Tgtd(1, path, log)
        try:
            target.serve()
            shape = "--format=text" if "in pieces" in name else "--json"
            runs = [measured([options.build / "bin/thinmirror", "map", "--source-map=analyse",
                              shape, target.url]) for _ in range(options.rounds)]
        finally:
            target.close()
        seconds = [run[0] for run in runs]
        memory = max(run[1] for run in runs)
        rows.append([f"{name}, {size >> 30} GiB", f"map --source-map=analyse {shape}",
                     *table.median_and_spread(seconds), f"{memory:.0f}"])
        checks.add(all(run[2] for run in runs) and statistics.median(seconds) <= ANALYSIS_SECONDS
                   and memory <= ANALYSIS_MIB,
                   f"{name}: analysed within {ANALYSIS_SECONDS} s and {ANALYSIS_MIB} MiB",
                   f"{seconds} s, {memory} MiB")
    path.unlink()
    table.show("Tables of contents, read over iSCSI on loopback",
               ["file system", "command", "seconds", "spread", "MiB of memory"], rows)


def fill(path, used):
    """ext4 with one file, on a disk that is written to from end to end."""
    size = path.stat().st_size
    subprocess.run(["mkfs.ext4", "-q", "-F", "-E", "nodiscard", path], check=True,
                   capture_output=True)
    data = path.with_suffix(".data")
    with open("/dev/urandom", "rb") as source, open(data, "wb") as file:
        for _ in range(used // MIB):
            file.write(source.read(MIB))
    subprocess.run(["debugfs", "-w", "-R", f"write {data} file", path], check=True,
                   capture_output=True)
    data.unlink()
    return size


def copies(options, directory):
    convert = ["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw"]
    return [
        ("thinmirror sync", [options.build / "bin/thinmirror", "sync", "--overwrite",
                             "--progress=none", f"--ledger={directory}/ledger"]),
        ("qemu-img convert -n", convert),
        ("qemu-img convert -n -W -m 16 --target-is-zero",
         [*convert, "-W", "-m", "16", "--target-is-zero"]),
    ]


def copy_full(options, directory, log, checks):
    part = 16 if options.small else 1
    size, used = 4096 * MIB // part, 400 * MIB // part
    path = directory / "primary.raw"
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(b"\xa5" * MIB)
    fill(path, used)
    tools = copies(options, directory)
    seconds = {name: [] for name, _ in tools}
    primary = tgt.Tgtd(1, path, log)
    secondary = tgt.Tgtd(2, directory / "secondary.raw", log)
    try:
        primary.serve()
        primary.set_params("thin_provisioning=0")
        for _ in range(options.rounds):
            for name, command in tools:
                secondary.serve_anew(size)
                (directory / "ledger").unlink(missing_ok=True)
                taken, _, well = measured([*command, primary.url, secondary.url])
                if well:
                    seconds[name].append(taken)
                if name == tools[0][0]:
                    clean = subprocess.run(["e2fsck", "-fn", directory / "secondary.raw"],
                                           capture_output=True, check=False).returncode == 0
    finally:
        primary.close()
        secondary.close()
    ours = statistics.median(seconds[tools[0][0]]) if seconds[tools[0][0]] else None
    rows = []
    for name, _ in tools:
        best = statistics.median(seconds[name]) if seconds[name] else None
        rows.append([f"{used // MIB} MiB in use of {size // MIB}" if name == tools[0][0] else "", name,
                     *table.median_and_spread(seconds[name]),
                     f"{best / ours:.1f}x" if best and ours else "-"])
    table.show("A LUN that is fully provisioned, from one tgtd to another",
               ["case", "tool", "seconds", "spread", "to ours"], rows)
    checks.add(bool(ours) and clean, "what thinmirror copied of a fully provisioned LUN is clean")
    plain = seconds["qemu-img convert -n"]
    checks.add(bool(ours and plain) and (options.small or
                                         statistics.median(plain) >= COPY_RATIO * ours),
               f"a fully provisioned LUN is copied {COPY_RATIO} times as fast as qemu-img does",
               f"{ours} s, {plain} s")


def copy_local(options, directory, checks):
    """From file to file, beside partclone's image piped to its restore."""
    part = 16 if options.small else 1
    size, used = 4096 * MIB // part, 400 * MIB // part
    path, copy = directory / "primary.raw", directory / "copy.raw"
    ledger = directory / "ledger"
    if not shutil.which("partclone.extfs"):
        checks.skip("a copy from file to file is not slower than partclone's",
                    "partclone is not installed")
        return
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, size)
    fill(path, used)
    log = f"-L {directory}/partclone.log"
    tools = [
        ("thinmirror sync --source-map=analyse",
         [options.build / "bin/thinmirror", "sync", "--source-map=analyse", "--overwrite",
          "--progress=none", f"--ledger={ledger}", path, copy]),
        ("partclone.extfs | partclone.restore",
         ["bash", "-c", f"set -o pipefail; partclone.extfs -q -c -s {path} {log} -o - | "
                        f"partclone.restore -q {log} -C -s - -O {copy}"]),
    ]
    seconds = {name: [] for name, _ in tools}
    for _ in range(options.rounds):
        for name, command in tools:
            copy.unlink(missing_ok=True)
            copy.touch()
            os.truncate(copy, size)
            ledger.unlink(missing_ok=True)
            taken, _, well = measured(command)
            clean = subprocess.run(["e2fsck", "-fn", copy], capture_output=True,
                                   check=False).returncode == 0
            if well and clean:
                seconds[name].append(taken)
    ours, theirs = (statistics.median(seconds[name]) if seconds[name] else None
                    for name, _ in tools)
    table.show("The same file system, from file to file", ["case", "tool", "seconds", "spread"],
               [[f"{used // MIB} MiB in use of {size // MIB}" if name == tools[0][0] else "", name,
                 *table.median_and_spread(seconds[name])] for name, _ in tools])
    checks.add(bool(ours and theirs) and (options.small or ours <= theirs),
               "a copy from file to file is not slower than partclone's", f"{ours} s, {theirs} s")


def run(options, checks):
    directory = pathlib.Path(tempfile.mkdtemp(prefix="thinmirror-bench-", dir=options.directory))
    try:
        with open(directory / "tgtd.log", "w", encoding="utf-8") as log:
            analyse_large(options, directory, log, checks)
            copy_full(options, directory, log, checks)
        copy_local(options, directory, checks)
    finally:
        shutil.rmtree(directory)
