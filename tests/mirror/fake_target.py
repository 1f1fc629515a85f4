# SPDX-License-Identifier: Apache-2.0
"""A target that answers a login as it is told, also by what no sound target says."""

import socket
import struct
import threading

IQN = "iqn.2026-11.org.example:disk"
SECNEG, OPNEG, FULL = 0, 1, 3


def receive(connection, length):
    data = b""
    while len(data) < length:
        more = connection.recv(length - len(data))
        if not more:
            raise EOFError
        data += more
    return data


class FakeTarget:
    """Answers login requests by RFC 7143 11.13, one reply each as (CSG, NSG or None, keys), and ends
    the connection at whatever comes after them."""

    def __init__(self, *replies):
        self.replies = replies
        self.full_feature = False  # a command came: we were believed
        self.command = b""  # with the four bytes behind its header
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def close(self):
        self.listener.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            try:
                with connection:
                    self.log_in(connection)
            except (EOFError, OSError):
                pass

    def request(self, connection):
        header = receive(connection, 48)
        length = int.from_bytes(header[5:8], "big")
        receive(connection, (length + 3) & ~3)
        return header

    def log_in(self, connection):
        for number, (csg, nsg, keys) in enumerate(self.replies):
            header = self.request(connection)
            if header[0] & 0x3F != 0x03:
                self.full_feature = True
                return
            data = keys.encode()
            flags = csg << 2 | (0x80 | nsg if nsg is not None else 0)
            cmdsn = struct.unpack(">I", header[24:28])[0]
            reply = struct.pack(">BBBBI", 0x23, flags, 0, 0, len(data))
            reply += header[8:14] + struct.pack(">H", 1) + header[16:20] + bytes(4)
            reply += struct.pack(">IIIHH8x", number + 1, cmdsn, cmdsn + 32, 0, 0)
            connection.sendall(reply + data + bytes(-len(data) % 4))
        header = receive(connection, 48)
        if header[0] & 0x3F == 0x01:
            self.full_feature = True
            self.command = header + receive(connection, 4)
