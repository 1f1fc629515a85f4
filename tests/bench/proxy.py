# SPDX-License-Identifier: Apache-2.0
"""A long line to a tgtd: its URL through tests/support/delay_proxy."""

import subprocess

import tgt


class LongLine:
    def __init__(self, build, target, round_trip_ms):
        self.port = tgt.free_port()
        self.url = target.url.replace(f":{target.port}/", f":{self.port}/")
        self.process = subprocess.Popen(
            [build / "tests/bin/delay_proxy", str(self.port), str(target.port),
             str(round_trip_ms * 500)],
            stdout=subprocess.PIPE, text=True)
        if self.process.stdout.readline() != "ready\n":
            raise RuntimeError("the delaying proxy does not start")

    def close(self):
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()
