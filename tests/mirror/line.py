# SPDX-License-Identifier: Apache-2.0
"""A line to a target that does what it is told: changes what it carries, ends single connections,
takes no new ones."""

import socket
import threading


class Line:
    """Carries connections to a port. change(data, to_target) gives what is carried instead."""

    def __init__(self, target_port, change=lambda data, _: data):
        self.target_port, self.change = target_port, change
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
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
