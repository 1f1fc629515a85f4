# SPDX-License-Identifier: Apache-2.0
"""CHAP against a target that only pretends to be the one that is wanted, and where secrets stay."""

import os
import pathlib
import socket

import rig
from fake_target import FULL, IQN, OPNEG, SECNEG, FakeTarget
from rig import FAILED, REFUSED, USAGE

CHALLENGE = "CHAP_A=5\0CHAP_I=7\0CHAP_C=0x" + "5a" * 16 + "\0"


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
