# SPDX-License-Identifier: Apache-2.0
"""A tgtd of one's own on loopback, with one thin LUN over a sparse file."""

import os
import random
import signal
import socket
import subprocess
import time


def free_port():
    """A port that is also a control number for tgtd, which takes none above 32767. The search begins
    at THINMIRROR_BENCH_PORT, when that is set, or anywhere."""
    first = int(os.environ.get("THINMIRROR_BENCH_PORT", random.randrange(20000, 32000)))
    for port in range(first, 32768):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise RuntimeError("no free port")


def wait_for(what, condition, seconds=15):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise RuntimeError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


class Tgtd:
    """number tells targets apart: tgt derives a LUN's identity from the target's number."""

    def __init__(self, number, path, log):
        self.number = number
        self.path = path
        self.log = log
        self.served = False
        self.port = free_port()
        self.iqn = f"iqn.2026-01.org.thinmirror.bench:lun{number}"
        self.url = f"iscsi://127.0.0.1:{self.port}/{self.iqn}/1"
        try:
            self._start()
            self._admin("bind", "target", "-I", "ALL")
        except BaseException:
            self.close()
            raise

    def _start(self):
        # tgtd ignores SIGTERM while it has targets; should this program be killed, it dies too.
        self.process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "tgtd", "-f", "-C", str(self.port),
             "--iscsi", f"portal=127.0.0.1:{self.port}"],
            stdout=self.log, stderr=subprocess.STDOUT)
        wait_for("tgtd starts", self._answers)
        self._admin("new", "target", "-T", self.iqn)

    def restart(self, settling=0):
        """Kills it and serves the same LUN again; it lets initiators in when that is complete.
        Before, for SETTLING seconds, its portal answers and knows of no target."""
        self.close()
        time.sleep(0.2)
        self._start()
        time.sleep(settling)
        self.serve()
        self._admin("bind", "target", "-I", "ALL")

    def _answers(self):
        if self.process.poll() is not None:
            raise RuntimeError(f"tgtd ends at once, see {self.log.name}; it needs a writable "
                               "/run/tgtd")
        return self._try("show", "system").returncode == 0

    def _try(self, op, mode, *more):
        target = [] if mode == "system" else ["--lld", "iscsi", "--tid", str(self.number)]
        return subprocess.run(
            ["tgtadm", "-C", str(self.port), *target, "--op", op, "--mode", mode, *more],
            capture_output=True, text=True, check=False)

    def _admin(self, op, mode, *more):
        result = self._try(op, mode, *more)
        if result.returncode != 0:
            raise RuntimeError(f"tgtadm {op} {mode}: {result.stderr.strip()}")

    def serve(self):
        self._admin("new", "logicalunit", "--lun", "1", "-b", str(self.path))
        self.served = True
        name = f"bench{self.number}-{self.port}"
        self.set_params(f"thin_provisioning=1,scsi_id={name},scsi_sn={name}")

    def set_params(self, params):
        """Of the LUN, as tgtadm names them: "thin_provisioning=0,readonly=1"."""
        self._admin("update", "logicalunit", "--lun", "1", "--params", params)

    def remove(self):
        """Takes the LUN away as soon as it is free, if there is one."""
        if self.served:
            wait_for("the LUN is free", lambda: self._try(
                "delete", "logicalunit", "--lun", "1").returncode == 0)
            self.served = False

    def serve_anew(self, size):
        """The LUN over a new sparse file of this many bytes."""
        self.remove()
        self.path.unlink(missing_ok=True)
        with open(self.path, "wb") as file:
            os.truncate(file.fileno(), size)
        self.serve()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()
