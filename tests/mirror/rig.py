# SPDX-License-Identifier: Apache-2.0
"""What the tests of the thinmirror program share: running it, and making things to copy."""

import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import unittest

BUILD = pathlib.Path(os.environ.get("THINMIRROR_BUILD", "build")).resolve()
THINMIRROR = BUILD / "bin" / "thinmirror"
THINVOL = BUILD / "bin" / "thinvol"
KIB = 1 << 10
MIB = 1 << 20
GRAIN = 4096

DONE, FAILED, USAGE, REFUSED, DIFFERENT, INTERRUPTED = range(6)


class Result:
    """How a run ended."""

    def __init__(self, completed):
        self.status = completed.returncode
        self.out = completed.stdout
        self.err = completed.stderr

    @property
    def json(self):
        return json.loads(self.out)

    def __str__(self):
        return f"exit status {self.status}\nstdout: {self.out}\nstderr: {self.err}"


class Case(unittest.TestCase):
    """A test with a folder of its own, which also holds the ledgers."""

    def setUp(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="thinmirror-test-"))
        self.addCleanup(shutil.rmtree, self.folder)
        self.environment = dict(os.environ, XDG_STATE_HOME=str(self.folder / "state"))

    def start(self, *args, **kwargs):
        return subprocess.Popen([THINMIRROR, *map(str, args)], env=self.environment,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **kwargs)

    def run_mirror(self, *args):
        return Result(subprocess.run([THINMIRROR, *map(str, args)], env=self.environment,
                                     capture_output=True, text=True, timeout=60, check=False))

    def expect(self, status, *args, says=()):
        """Runs it; every text of says must be in what it says on stderr."""
        result = self.run_mirror(*args)
        self.assertEqual(result.status, status, str(result))
        for text in says:
            self.assertIn(str(text), result.err)
        if status in (FAILED, USAGE, REFUSED):
            self.assertTrue(result.err.strip().splitlines()[-1].startswith("thinmirror: "),
                            str(result))
        return result

    def sync_json(self, *args):
        result = self.expect(DONE, "sync", "--json", *args)
        return result.json

    def file(self, name, size, pieces=()):
        """A sparse file with random data at (offset, length)."""
        path = self.folder / name
        with open(path, "wb") as file:
            os.truncate(file.fileno(), size)
            for offset, length in pieces:
                file.seek(offset)
                file.write(random.randbytes(length))
        return path

    def volume(self, name, size, pieces=(), block_size=512):
        """A thin volume with random data in it; its endpoint is thin:PATH."""
        path = self.folder / name
        subprocess.run([THINVOL, "create", f"--block-size={block_size}", path, str(size)],
                       check=True, capture_output=True)
        with open(path, "r+b") as file:
            for offset, length in pieces:
                file.seek(offset)
                file.write(random.randbytes(length))
        return path


def digest(path):
    return hashlib.sha256(pathlib.Path(path).read_bytes()).hexdigest()


def holes_are_certain(path):
    """Whether a comparison takes a file's holes for zeros without reading them."""
    kind = subprocess.run(["stat", "-f", "-c", "%T", path], stdout=subprocess.PIPE, text=True,
                          check=True).stdout.strip()
    return kind in ("ext2/ext3", "xfs", "btrfs", "f2fs", "tmpfs")


def random_pieces(size, count):
    """Pieces at multiples of the grain that do not overlap."""
    pieces = []
    at = 0
    for _ in range(count):
        at += random.randrange(0, max(2, 2 * size // count // GRAIN)) * GRAIN
        length = random.randrange(1, 40) * GRAIN
        if at + length > size:
            break
        pieces.append((at, length))
        at += length
    return pieces


def grains(pieces):
    """The grains that the pieces fill."""
    return {offset // GRAIN + i for offset, length in pieces for i in range(length // GRAIN)}


def data_grains(path):
    """The grains of a sparse file that are data, as its file system says."""
    found = set()
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        at = 0
        while at < size:
            try:
                begin = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), begin, os.SEEK_HOLE)
            found.update(range(begin // GRAIN, (end + GRAIN - 1) // GRAIN))
            at = end
    return found


class Tap(unittest.TestResult):
    """A line a test, as tests/run counts them."""

    def __init__(self, stream):
        super().__init__()
        self.stream = stream

    def _say(self, held, test, more=""):
        name = test.id().split(".", 1)[-1].replace("_", " ")
        print(f"{'ok' if held else 'not ok'} - {name}{more}", file=self.stream, flush=True)

    def _went_wrong(self, test, error):
        self._say(False, test)
        for line in self._exc_info_to_string(error, test).splitlines():
            print(f"# {line}", file=self.stream, flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self._say(True, test)

    def addError(self, test, err):
        super().addError(test, err)
        self._went_wrong(test, err)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self._went_wrong(test, err)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err is not None:
            self._went_wrong(subtest, err)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self._say(True, test, f" # SKIP {reason}")


class TapRunner:
    def run(self, test):
        result = Tap(sys.stdout)
        test(result)
        if result.testsRun == 0 and result.wasSuccessful():
            print("not ok - there is no test", flush=True)
            result.errors.append((test, "no test"))
        return result


def run_tests(module="__main__"):
    unittest.main(module=module, testRunner=TapRunner)


def main():
    random.seed(int(os.environ.get("THINMIRROR_SEED", "1")))
    if not THINMIRROR.exists():
        sys.exit(f"{THINMIRROR} is not built")
    run_tests()
