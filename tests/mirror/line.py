# SPDX-License-Identifier: Apache-2.0
"""A line to a target that does what it is told: changes what it carries, ends single connections,
takes no new ones."""

import socket
import threading
import time


class Line:
    """Carries connections to a port. change(data, to_target) gives what is carried instead."""

    def __init__(self, target_port, change=lambda data, _: data):
        self.target_port, self.change = target_port, change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.deaf_until = 0  # new connections are ended at once before this time
        self.connections = []  # both ends of each, in the order they came
        threading.Thread(target=self._accept, daemon=True).start()

    def url(self, target):
        """Of the target's LUN, through this line."""
        return target.url.replace(f":{target.port}/", f":{self.port}/")

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            if time.monotonic() < self.deaf_until:
                client.close()
                continue
            try:
                target = socket.create_connection(("127.0.0.1", self.target_port))
            except OSError:
                client.close()
                continue
            self.connections.append((client, target))
            for ends in ((client, target, True), (target, client, False)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source, sink, to_target):
        try:
            while data := source.recv(1 << 20):
                sink.sendall(self.change(data, to_target))
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    @staticmethod
    def _end(*sockets):
        for one in sockets:
            try:
                one.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass

    def cut(self, number):
        """Ends one connection."""
        self._end(*self.connections[number])

    def refuse(self):
        """Takes no more connections."""
        self._end(self.listener)
        self.listener.close()

    def close(self):
        self.refuse()
        for ends in self.connections:
            self._end(*ends)
            for one in ends:
                one.close()


class PingingLine(Line):
    """Pings the initiator (NOP-In, RFC 7143 11.19) behind the target's R2T of this number, and
    behind all that follow in the first connection; takes no new one for so many seconds then."""

    R2T, NOP_IN = 0x31, 0x20

    def __init__(self, target_port, number, deaf_seconds=0):
        self.left, self.deaf_seconds = number, deaf_seconds
        super().__init__(target_port)

    def _carry(self, source, sink, to_target):
        if to_target:
            super()._carry(source, sink, to_target)
            return
        try:
            with source.makefile("rb") as stream:
                while header := stream.read(48):
                    length = int.from_bytes(header[5:8]) + 3 & ~3
                    sink.sendall(header + stream.read(4 * header[4] + length))
                    if header[0] & 0x3F == self.R2T and source is self.connections[0][1]:
                        self._ping_behind(header, sink)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def _ping_behind(self, r2t, sink):
        self.left -= 1
        if self.left > 0:
            return
        self.deaf_until = time.monotonic() + self.deaf_seconds
        no_task, tag = b"\xff" * 4, bytes(4)
        sink.sendall(bytes([self.NOP_IN, 0x80]) + bytes(6) + r2t[8:16] + no_task + tag +
                     r2t[24:36] + bytes(12))
