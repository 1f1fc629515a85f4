# SPDX-License-Identifier: Apache-2.0
"""Plain tables, and checks as TAP lines."""

import statistics


def show(title, head, rows):
    """Prints rows of strings under head; the first two columns to the left, the rest to the right.
    """
    widths = [max(len(row[i]) for row in [head, *rows]) for i in range(len(head))]

    def line(row):
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        return "  ".join(cells).rstrip()

    print(f"\n{title}\n\n{line(head)}\n{'  '.join('-' * w for w in widths)}")
    for row in rows:
        print(line(row))
    print(flush=True)


def markdown(head, rows):
    """The same as the lines of a table in Markdown."""
    marks = ["---" if i < 2 else "---:" for i in range(len(head))]
    return [f"| {' | '.join(cells)} |" for cells in [head, marks, *rows]]


def median_and_spread(values, digits=2):
    """'1.20' and '1.10..1.35' of the values; dashes when there are none."""
    if not values:
        return "-", "-"
    return (f"{statistics.median(values):.{digits}f}",
            f"{min(values):.{digits}f}..{max(values):.{digits}f}")


class Checks:
    def __init__(self):
        self.lines = []
        self.failed = 0

    def add(self, held, name, detail=""):
        self.lines.append(f"{'ok' if held else 'not ok'} - {name}")
        if not held:
            self.failed += 1
            self.lines += [f"# {line}" for line in detail.strip().splitlines()[-12:]]

    def skip(self, name, reason):
        self.lines.append(f"ok - {name} # SKIP {reason}")

    def finish(self):
        print("\n".join(self.lines))
        return 1 if self.failed or not self.lines else 0
