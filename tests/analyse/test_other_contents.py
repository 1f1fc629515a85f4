#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What was put over something older and is not understood: its mark, and nothing else of it, over images
whose own tables are whole. Each mark over formats drawn at random (THINMIRROR_SEED), until one holds still
for it: a mark that destroys the tables it lies on proves nothing there."""

import random
import struct

import analyse_rig
from analyse_rig import peek, poke

STALE = ("ext-4-KiB-blocks", "ext-ext2", "xfs-v5", "btrfs-single", "ntfs", "fat16", "exfat", "swap", "lvm-plain")
BITLOCKER_TO_GO = bytes.fromhex("3bd66749292ed84a8399f6a339e3d001")


def at(offset, text):
    """Bytes at a place, as a mark in several pieces has them."""
    return offset, text if isinstance(text, bytes) else bytes.fromhex(text)


def sun_label():
    label = bytearray(512)
    label[128:132] = struct.pack(">I", 1)
    label[140:142] = struct.pack(">H", 8)
    label[188:192] = struct.pack(">I", 0x600DDEEE)
    label[508:510] = b"\xda\xbe"
    words = struct.unpack(">255H", label[:510])
    total = 0
    for word in words:
        total ^= word
    label[510:512] = struct.pack(">H", total)
    return bytes(label)


def sgi_label():
    label = bytearray(512)
    label[0:4] = bytes.fromhex("0be5a941")
    total = sum(struct.unpack(">128I", label))
    label[504:508] = struct.pack(">I", -total & 0xFFFFFFFF)
    return bytes(label)


def via_member():
    member = bytearray(51)
    member[0:3] = b"\x55\xaa\x01"
    member[50] = sum(member[:50]) & 0xFF
    return bytes(member)


# Its name, and where it has which bytes; places below 0 count from the end.
MARKS = {
    "LUKS": [at(0, b"LUKS\xba\xbe\0\2")],
    "the second header of LUKS2": [at(16384, b"SKUL\xba\xbe\0\2")],
    "dm-integrity": [at(0, b"integrt\0")],
    "dm-verity": [at(0, b"verity\0\0")],
    "a dm snapshot": [at(0, b"SnAp")],
    "VDO": [at(0, b"dmvdo001")],
    "a Ceph OSD": [at(0, b"bluestore block device")],
    "qcow2": [at(0, b"QFI\xfb")],
    "VHDX": [at(0, b"vhdxfile")],
    "VMDK": [at(0, b"KDMV")],
    "squashfs": [at(0, b"hsqs")],
    "cramfs": [at(0, "453dcd28")],
    "cramfs, big-endian": [at(0, "28cd3d45")],
    "romfs": [at(0, b"-rom1fs-")],
    "BitLocker": [at(3, b"-FVE-FS-")],
    "BitLocker To Go": [at(424, BITLOCKER_TO_GO)],
    "ReFS": [at(0, b"\0\0\0ReFS\0\0\0\0")],
    "APFS": [at(32, b"NXSB")],
    "Oracle ASM": [at(32, b"ORCLDISK")],
    "CoreStorage": [at(88, b"CS\1\0\0\0")],
    "Stratis": [at(516, b"!Stra0tis\x86\xff\x02^\x41rh")],
    "F2FS": [at(1024, "1020f5f2")],
    "EROFS": [at(1024, "e2e1f5e0")],
    "NILFS2": [at(1024, "020000000000" "3434")],
    "VxFS": [at(1024, "f5fc01a5")],
    "VxFS, big-endian": [at(8192, "a501fcf5")],
    "HFS": [at(1024, b"BD"), at(1024 + 18, "0000"), at(1024 + 20, struct.pack(">I", 4096))],
    "HFS+": [at(1024, b"H+\0\4")],
    "HFSX": [at(1024, b"HX\0\5")],
    "minix": [at(1024, struct.pack("<HHHHHHIHH", 64, 100, 1, 1, 6, 0, 0x10081C00, 0x138F, 1))],
    "a dynamic disk of Windows": [at(3072, b"PRIVHEAD")],
    "Storage Spaces": [at(4096, b"SPACEDB ")],
    "NetWare": [at(4096, b"SPB5")],
    "bcache": [at(4120, "c68573f64e1a45ca")],
    "bcachefs": [at(4120, "c68573f666ce90a9")],
    "HPT37x RAID": [at(4096 + 544, "f016785a")],
    "OCFS2 with blocks of 512 bytes": [at(1024, b"OCFSV2")],
    "OCFS2 with blocks of 1 KiB": [at(2048, b"OCFSV2")],
    "OCFS2 with blocks of 2 KiB": [at(4096, b"OCFSV2")],
    "OCFS2 with blocks of 4 KiB": [at(8192, b"OCFSV2")],
    "OCFS": [at(8192, b"OracleCFS")],
    "HPFS": [at(8192, "49e895f9"), at(8704, "4918" "91f9")],
    "UFS": [at(9564, "54190100")],
    "UFS2": [at(66908, "19015419")],
    "ZFS": [at(16404, b"\0\0\0\x07version")],
    "JFS": [at(32768, b"JFS1")],
    "ISO 9660": [at(32769, b"CD001")],
    "UDF": [at(32769, b"BEA01")],
    "ReiserFS 3.5": [at(65588, b"ReIsErFs")],
    "ReiserFS 3.6": [at(65588, b"ReIsEr2Fs")],
    "Reiser4": [at(65536, b"ReIsEr4")],
    "GFS2": [at(65536, "0116197000000001")],
    "ScoutFS": [at(65540, "8b423c10")],
    "VMFS": [at(1048576, "0dd001c0")],
    "BeFS": [at(544, b"1SFB")],
    "BeFS, big-endian": [at(544, b"BFS1")],
    "bfs": [at(0, "cefaad1b")],
    "UBI": [at(0, b"UBI#")],
    "zonefs": [at(0, b"SFOZ")],
    "LVM1": [at(0, b"HM\1\0")],
    "DRBD's log of a proxy": [at(0, b"DRBDdlh*")],
    "a BSD label": [at(512, "57455682")],
    "a Sun label": [at(0, sun_label())],
    "an SGI label": [at(0, sgi_label())],
    "an Apple partition map": [at(0, b"ER\2\0"), at(512, b"PM\0\0" + struct.pack(">III", 1, 1, 1))],
    "Intel RAID": [at(-1024, b"Intel Raid ISM Cfg Sig. ")],
    "DDF RAID": [at(-512, "de11de11")],
    "NVIDIA RAID": [at(-1024, b"NVIDIA")],
    "LSI RAID": [at(-512, b"$XIDE$")],
    "Promise RAID": [at(-63 * 512, b"Promise Technology, Inc.")],
    "VIA RAID": [at(-512, via_member())],
    "HPT45x RAID": [at(-11 * 512, "f316785a")],
    "Adaptec RAID": [at(-512, "900765c4")],
}


class OtherContents(analyse_rig.Case):
    def put(self, image, pieces):
        """The mark, into the image; what was there before."""
        size = image.stat().st_size
        before = []
        for offset, data in pieces:
            place = offset if offset >= 0 else size // 512 * 512 + offset
            before.append((place, peek(image, place, len(data))))
            poke(image, place, data)
        return before

    def notices(self, image, pieces):
        """True: something else was seen. None: this format's own tables were hit."""
        before = self.put(image, pieces)
        extents, notes = self.map(image, "--format=raw")
        for place, data in reversed(before):
            poke(image, place, data)
        free = {e["status"] for e in extents} != {"mapped"}
        if not free and "is not understood here" not in notes and " and like " not in notes:
            return None
        return not free

    def test_every_mark_over_formats_at_random(self):
        images = {}
        for name in STALE:
            self.golden(name).rename(self.folder / name)
            images[name] = self.folder / name
            self.assertIn("deallocated", {e["status"] for e in self.map(images[name])[0]})
        proven = 0
        for mark, pieces in MARKS.items():
            with self.subTest(mark):
                for name in random.sample(STALE, len(STALE)):
                    noticed = self.notices(images[name], pieces)
                    if noticed is not None:
                        break
                self.assertTrue(noticed, f"{mark} over {name}")
                proven += 1
        self.assertGreaterEqual(proven, 62)


if __name__ == "__main__":
    analyse_rig.main()
