# SPDX-License-Identifier: Apache-2.0
"""What a copy costs: seconds against mapped bytes, extents, and the LUN's size."""

import pathlib
import shutil
import statistics
import tempfile

import mirror
import table

MIB = 1 << 20
GIB = 1 << 30


def evenly(size, count, length):
    """As many extents of this length, spread over the whole LUN."""
    step = size // count
    return [(i * step, length) for i in range(count)]


def series(small):
    part = 16 if small else 1
    for mib in (64, 256, 1024, 2048):
        yield ("mapped bytes", f"{mib // part} MiB in 1 extent, LUN of 4 GiB",
               4 * GIB, [(256 * MIB, mib * MIB // part)])
    for count in (16, 256, 4096, 65536):
        yield ("extents", f"{256 // part} MiB in {count // part} extents, LUN of 4 GiB",
               4 * GIB, evenly(4 * GIB, count // part, 256 * MIB // count))
    # tgt cannot tell of a hole of 2 TiB or more.
    for gib in (1, 64, 1024, 2047):
        yield ("size of the LUN", f"{64 // part} MiB in 16 extents, LUN of {gib} GiB",
               gib * GIB, evenly(gib * GIB, 16, 4 * MIB // part))


HEAD = ["grows", "case", "seconds", "spread", "MiB/s", "peak MiB"]
ABOUT = """# What a copy costs

The time of `thinmirror sync` against the bytes that are mapped, the number of extents they lie in, and the
size of the LUN: medians over {rounds} run(s), from one tgtd to another on loopback, the LUNs' files in {where}.
The secondary is new and empty each time. Written by

    tests/bench/run --cost-only --write-cost=docs/cost.md

"""

NOTES = """
An extent costs what its requests cost, as many of them are in flight and the answers about the map come by
the thousand. The size of the LUN costs what its map takes to be told.

## When gaps are joined

Two extents with a small gap between them can be read, or read and written, by one command instead of two.

- Read, the gap's blocks are dropped. That is worth while as long as the line carries them in less time than a
  command of its own costs, 25 microseconds at the least: on loopback that is the 12 KiB between extents of 4
  KiB, which are copied in a fifth less time so; on a line of 1 Gbit/s it is 3 KiB. How quick the line is shows
  with the copy's own reads. At most 16 KiB are read so, nothing when there is a `--rate`. When such a READ
  fails each extent is read alone, as the fault may be in the gap.
- Written, the gap would be mapped on the secondary where it is not on the primary. So that is done only where
  it costs no storage: both sides promise zeros for unmapped blocks, and the gap lies in one unit of
  allocation of the secondary with one of the extents.

## How long requests are

At most 256 KiB, and no longer than the OPTIMAL TRANSFER LENGTH of either side if that is 64 KiB or more. A
WRITE is no longer than the target takes in the fewest round trips: what goes out with the command where the
session allows that (FirstBurstLength with InitialR2T=No), else what the target asks for at a time
(MaxBurstLength), but 64 KiB in any case. `thinmirror probe` shows what a session has agreed on.
"""


def write_document(options, rows):
    with open(options.write_cost, "w", encoding="utf-8") as file:
        where = "memory" if "shm" in str(options.directory) else "a file system"
        file.write(ABOUT.format(rounds=options.rounds, where=where))
        file.write("\n".join(table.markdown(HEAD, rows)) + "\n" + NOTES)


def run(options, checks):
    rows = []
    last = ""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="thinmirror-bench-", dir=options.directory))
    try:
        with open(directory / "tgtd.log", "w", encoding="utf-8") as log:
            for what, name, size, extents in series(options.small):
                case = mirror.Case(name, size, extents)
                ours = mirror.run_case(options, case, directory, log, alone=True)
                mirror.check_copies(case, ours, checks)
                seconds = ours[0].seconds
                rows.append([what if what != last else "", name,
                             *table.median_and_spread(seconds),
                             f"{case.data_bytes() / MIB / statistics.median(seconds):.0f}"
                             if seconds else "-", f"{ours[0].peak_bytes / MIB:.0f}"])
                last = what
    finally:
        shutil.rmtree(directory)
    table.show(f"What a copy costs: one tgtd to another on loopback, files in {options.directory}, "
               f"medians over {options.rounds} round(s)", HEAD, rows)
    if options.write_cost:
        write_document(options, rows)
