# SPDX-License-Identifier: Apache-2.0
"""Targets that insist on digests."""

import struct

import rig
from fake_target import FULL, IQN, OPNEG, FakeTarget
from rig import FAILED


def crc32c(data):
    """RFC 7143 13.1: the Castagnoli polynomial, reflected."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


class Digests(rig.Case):
    def probe(self, says, *replies):
        self.environment.update(THINMIRROR_RECONNECT_SECONDS="0")
        target = FakeTarget(*replies)
        self.addCleanup(target.close)
        self.expect(FAILED, "probe", f"iscsi://127.0.0.1:{target.port}/{IQN}/0", says=[says])
        return target

    def test_a_header_digest_that_the_target_chose(self):
        # RFC 7143 A.4 (RFC 3720 B.4): 32 bytes of zeros.
        self.assertEqual(crc32c(bytes(32)), 0x8A9136AA)
        target = self.probe("", (OPNEG, FULL, "HeaderDigest=CRC32C\0DataDigest=None\0"))
        self.assertTrue(target.full_feature)
        digest = struct.unpack("<I", target.command[48:])[0]
        self.assertEqual(digest, crc32c(target.command[:48]))

    def test_what_libiscsi_has_not_is_said_by_name(self):
        for reply in ["DataDigest=CRC32C\0", "DataDigest=Reject\0"]:
            with self.subTest(reply):
                target = self.probe("insists on data digests", (OPNEG, FULL, reply))
                self.assertFalse(target.full_feature)


rig.main()
