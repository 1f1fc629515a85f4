# SPDX-License-Identifier: Apache-2.0
"""CHAP against a target that only pretends to be the one that is wanted, and where secrets stay."""

import os
import pathlib
import socket
import struct
import subprocess
import threading
import time

import rig
from rig import DONE, FAILED, REFUSED, USAGE

IQN = "iqn.2026-11.org.example:disk"
SECNEG, OPNEG, FULL = 0, 1, 3
CHALLENGE = "CHAP_A=5\0CHAP_I=7\0CHAP_C=0x" + "5a" * 16 + "\0"


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
        if self.request(connection)[0] & 0x3F == 0x01:
            self.full_feature = True


class Chap(rig.Case):
    def setUp(self):
        super().setUp()
        self.environment.update(THINMIRROR_CHAP_USER="alice", THINMIRROR_CHAP_SECRET="alice-secret",
                                THINMIRROR_RECONNECT_SECONDS="0")

    def probe(self, status, says, *replies):
        target = FakeTarget(*replies)
        self.addCleanup(target.close)
        result = self.expect(status, "probe", f"iscsi://127.0.0.1:{target.port}/{IQN}/0", says=[says])
        self.assertNotIn("alice-secret", result.err)
        return target

    def test_a_target_cannot_leave_out_mutual_chap(self):
        self.environment.update(THINMIRROR_CHAP_TARGET_USER="disk",
                                THINMIRROR_CHAP_TARGET_SECRET="disk-secret")
        zeros = "CHAP_N=disk\0CHAP_R=0x" + "0" * 32 + "\0"
        odd_zeros = "CHAP_N=disk\0CHAP_R=0x" + "@0" * 16 + "\0"
        says = "could not prove who it is"
        for name, replies in {
            "without CHAP, for the next stage": [(OPNEG, FULL, "AuthMethod=None\0")],
            "a challenge, then the next stage":
                [(SECNEG, None, "AuthMethod=CHAP\0"), (SECNEG, None, CHALLENGE), (OPNEG, FULL, "")],
            "a response before our challenge": [(SECNEG, FULL, zeros)],
            "the same with a challenge of its own":
                [(SECNEG, FULL, "AuthMethod=CHAP\0" + CHALLENGE + zeros)],
            "zeros that are no digits": [(SECNEG, FULL, odd_zeros)],
        }.items():
            with self.subTest(name):
                target = self.probe(FAILED, says, *replies)
                self.assertFalse(target.full_feature)

    def test_a_target_cannot_leave_out_chap(self):
        says = "lets us in without CHAP"
        target = self.probe(REFUSED, says, (SECNEG, OPNEG, "AuthMethod=None\0"), (OPNEG, FULL, ""))
        self.assertFalse(target.full_feature)

    def test_secrets_that_can_be_reflected_are_refused(self):
        self.environment.update(THINMIRROR_CHAP_TARGET_USER="disk",
                                THINMIRROR_CHAP_TARGET_SECRET="alice-secret")
        self.probe(USAGE, "they have to differ")

    def test_a_secret_can_be_seen_neither_in_the_environment_nor_in_a_core(self):
        """While a target is waited for that says nothing."""
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        process = self.start("probe", f"iscsi://127.0.0.1:{listener.getsockname()[1]}/{IQN}/0",
                             preexec_fn=lambda: os.chdir(self.folder))
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        connection, _ = listener.accept()
        with connection:
            connection.recv(48)
            place = pathlib.Path(f"/proc/{process.pid}")
            self.assertNotIn(b"alice-secret", (place / "environ").read_bytes())
            limits = (place / "limits").read_text()
            self.assertRegex(limits, r"Max core file size +0 +0 ")
            # What is not dumpable belongs to root (proc(5)); as root that tells nothing.
            if os.geteuid() != 0:
                self.assertEqual((place / "environ").stat().st_uid, 0)


rig.main()
