#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A line that changes what it carries: TCP's checksum is right and nobody reports an error, so only
reading back finds it."""

import socket
import threading

import rig
from rig import DIFFERENT, DONE, MIB
from targets import SIZE, Targets

GOOD, BAD = b"sixteen bytes...", b"sixteen bites..."
SPOILT = 9 * MIB  # where the bytes lie that change on their way


class Line:
    """Carries connections to a port, and spoils what is good in one direction."""

    def __init__(self, target_port, to_target):
        self.target_port, self.to_target = target_port, to_target
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.spoilt = 0
        self.sockets = [self.listener]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            target = socket.create_connection(("127.0.0.1", self.target_port))
            self.sockets += [client, target]
            for source, sink, spoils in ((client, target, self.to_target),
                                         (target, client, not self.to_target)):
                threading.Thread(target=self.carry, args=(source, sink, spoils), daemon=True).start()

    def carry(self, source, sink, spoils):
        try:
            while data := source.recv(1 << 20):
                if spoils and GOOD in data:
                    self.spoilt += 1
                    data = data.replace(GOOD, BAD)
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def close(self):
        for one in self.sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            one.close()


class Flips(Targets):
    def spoil(self, to_target=True):
        """A primary and the secondary at the end of a line that spoils a block of its data."""
        primary = self.file("a", SIZE, [(0, 4 * MIB), (8 * MIB, 4 * MIB)])
        with open(primary, "r+b") as file:
            file.seek(SPOILT)
            file.write(GOOD * 32)
        path, url = self.serve(1)
        target = self.tgtd[1]
        line = Line(target.port, to_target)
        self.addCleanup(line.close)
        return primary, path, url.replace(str(target.port), str(line.port)), line

    def check_told(self, result, *more):
        self.assertEqual(result.json["result"], "different")
        self.assertEqual(result.json["different_blocks"], 1)
        self.assertIn(str(SPOILT // 512), result.err)
        for text in more:
            self.assertIn(text, result.err)

    def test_reading_back_finds_what_was_spoilt_on_its_way(self):
        for sessions in (1, 2):
            with self.subTest(sessions=sessions):
                primary, path, url, line = self.spoil()
                result = self.expect(DIFFERENT, "sync", "--json", "--verify=inline",
                                     f"--sessions={sessions}", primary, url)
                self.assertGreater(line.spoilt, 0)
                self.check_told(result)
                self.assertNotEqual(rig.digest(primary), rig.digest(path))

    def test_verify_at_the_end_finds_it_too(self):
        primary, path, url, _ = self.spoil()
        self.check_told(self.expect(DIFFERENT, "sync", "--json", "--verify", primary, url))
        self.assertNotEqual(rig.digest(primary), rig.digest(path))

    def test_without_reading_back_nobody_can_tell_until_verify_is_asked(self):
        primary, _, url, _ = self.spoil()
        self.expect(DONE, "sync", primary, url)
        self.check_told(self.expect(DIFFERENT, "verify", "--json", primary, url))

    def test_a_block_that_is_spoilt_when_it_is_read_is_not_taken_for_a_good_one(self):
        primary, path, url, line = self.spoil(to_target=False)
        self.check_told(self.expect(DIFFERENT, "sync", "--json", "--verify=inline", primary, url))
        self.assertGreater(line.spoilt, 0)
        self.assertEqual(rig.digest(primary), rig.digest(path))


if __name__ == "__main__":
    rig.main()
