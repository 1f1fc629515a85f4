# SPDX-License-Identifier: Apache-2.0
"""Files that hold a disk in another form than block by block, made by the programs they are of."""

import gzip
import shutil
import struct
import subprocess
import unittest

import rig
from rig import DONE, KIB, MIB, REFUSED, USAGE

QEMU = {"qcow2": "a qcow2 image", "qcow": "a qcow image", "qed": "a QED image",
        "vmdk": "a VMDK image", "vdi": "a VDI image", "vhdx": "a VHDX image", "vpc": "a VHD image",
        "parallels": "a Parallels image"}
PACKERS = ["gzip", "xz", "zstd", "bzip2", "lz4"]


class Formats(rig.Case):
    def refused(self, path, what, advice, *more):
        says = [f"{path}: it is {what}", advice, "--format=raw"]
        before = rig.digest(path)
        raw = self.file("raw", 8 * MIB)
        for args in [["probe", path], ["map", path], ["sync", path, raw], ["verify", raw, path],
                     ["sync", "--overwrite", raw, path]]:
            self.expect(REFUSED, *args, *more, says=says)
        self.assertEqual(rig.digest(path), before)

    def raw(self):
        return self.file("data", 4 * MIB, [(0, 64 * KIB), (MIB, 4 * KIB)])

    @unittest.skipUnless(shutil.which("qemu-img"), "qemu-utils is not installed")
    def test_images_of_virtual_machines(self):
        data = self.raw()
        for name, what in QEMU.items():
            with self.subTest(name):
                path = self.folder / f"disk.{name}"
                subprocess.run(["qemu-img", "convert", "-f", "raw", "-O", name, data, path],
                               check=True, capture_output=True)
                self.refused(path, what, f"qemu-nbd --format={name} --connect=/dev/nbd0 {path}")

    @unittest.skipUnless(shutil.which("qemu-img"), "qemu-utils is not installed")
    def test_other_kinds_of_the_same_images(self):
        for options, what in [(["qcow2", "-o", "compat=0.10"], "a qcow2 image"),
                              (["qcow2", "-o", "cluster_size=2M,refcount_bits=1"], "a qcow2 image"),
                              (["qcow2", "-o", "cluster_size=512"], "a qcow2 image"),
                              (["vmdk", "-o", "subformat=streamOptimized"], "a VMDK image"),
                              (["vmdk", "-o", "subformat=monolithicFlat"], "the description of a"),
                              (["vdi", "-o", "static=on"], "a VDI image"),
                              (["vpc", "-o", "subformat=fixed"], "a VHD image of fixed size"),
                              (["vhdx", "-o", "subformat=fixed"], "a VHDX image")]:
            with self.subTest(options=options):
                path = self.folder / "disk"
                subprocess.run(["qemu-img", "create", "-f", options[0], *options[1:], path, "4M"],
                               check=True, capture_output=True)
                self.refused(path, what, "qemu-nbd --format=")

    def test_what_was_compressed(self):
        data = self.raw()
        for name in PACKERS:
            if not shutil.which(name):
                self.skipTest(f"{name} is not installed")
            with self.subTest(name):
                path = self.folder / f"disk.{name}"
                with open(path, "wb") as out:
                    subprocess.run([name, "-c", data], stdout=out, check=True)
                self.refused(path, f"compressed by {name}", f"{name} -dc {path} >")
        empty = self.folder / "empty.gz"
        empty.write_bytes(gzip.compress(b""))
        self.refused(empty, "compressed by gzip", "gzip -dc")

    def test_format_raw_insists(self):
        if not shutil.which("qemu-img"):
            self.skipTest("qemu-utils is not installed")
        path = self.folder / "disk.qcow2"
        subprocess.run(["qemu-img", "create", "-f", "qcow2", path, "64M"], check=True,
                       capture_output=True)
        path.write_bytes(path.read_bytes().ljust(MIB, b"\0"))
        copy = self.file("copy", MIB)
        self.expect(DONE, "sync", "--format=raw", path, copy)
        self.assertEqual(rig.digest(path), rig.digest(copy))
        self.expect(DONE, "verify", "--format=raw", path, copy)
        self.expect(DONE, "probe", "--format=raw", path)
        self.expect(DONE, "map", "--format=raw", "--format=json", path)
        # What is a copy now is one, too.
        self.refused(copy, "a qcow2 image", "qemu-nbd")
        self.expect(DONE, "sync", "--format=raw", self.file("other", MIB, [(0, 4096)]), copy,
                    "--overwrite")
        self.expect(USAGE, "sync", "--format=json", path, copy)

    def test_a_raw_disk_that_begins_like_an_image(self):
        """Only the first bytes, or a partition table besides."""
        mbr = bytes(446) + struct.pack("<B3xB3xII", 0x80, 0x83, 2048, 4096) + bytes(48) + b"\x55\xaa"
        for name, head in {"marks alone": b"QFI\xfb", "gzip with reserved flags": b"\x1f\x8b\x08\xff",
                           "letters": b"BZh9 is no bzip2", "VMDK": b"KDMV" + b"\xff" * 40,
                           "lz4": b"\x04\x22\x4d\x18\xff\xff", "zstd": b"\x28\xb5\x2f\xfd\x08",
                           "vdi": bytes(64) + b"\x7f\x10\xda\xbe\xff\xff",
                           "MBR": b"\x1f\x8b\x08\x00" + mbr[4:],
                           "GPT": b"BZh91AY&SY".ljust(512, b"\0") + b"EFI PART",
                           "GPT of 4096": b"vhdxfile".ljust(4096, b"\0") + b"EFI PART",
                           "conectix": bytes(MIB - 512) + b"conectix" + bytes(504)}.items():
            with self.subTest(name):
                path = self.folder / "raw"
                path.write_bytes(head.ljust(4 * MIB, b"\0"))
                self.expect(DONE, "probe", path)
                self.expect(DONE, "sync", "--overwrite", path, self.file("copy", 4 * MIB))

    def test_a_raw_disk_that_has_all_of_an_image_but_one_field(self):
        """Each is an image with the values that its format allows, see the end."""
        def qcow2(mark=b"QFI\xfb", version=3, bits=16, table=65536):
            return struct.pack(">4sI12xI16xQ", mark, version, bits, table)

        def vmdk(mark=b"KDMV", version=1, grain=128):
            return struct.pack("<4sI12xQ", mark, version, grain)

        def qed(mark=b"QED\0", cluster=65536):
            return struct.pack("<4sI", mark, cluster)

        def vdi(mark=0xBEDA107F, version=0x00010001):
            return bytes(64) + struct.pack("<II", mark, version)

        def parallels(version=2):
            return struct.pack("<16sI", b"WithouFreSpacExt", version)

        for head in (qcow2(mark=b"QFI\0"), qcow2(version=4), qcow2(version=0), qcow2(bits=8),
                     qcow2(bits=22, table=1 << 22), qcow2(table=65536 + 512), vmdk(version=0),
                     vmdk(version=4), vmdk(grain=0), vmdk(grain=96), vmdk(mark=b"KDMW"),
                     vmdk(mark=b"COWD", version=2), vmdk(mark=b"COWE"), qed(cluster=2048),
                     qed(cluster=65537), qed(mark=b"QEE\0"), vdi(mark=0), vdi(version=0x00010002),
                     parallels(version=3)):
            with self.subTest(head=head):
                path = self.folder / "raw"
                path.write_bytes(head.ljust(MIB, b"\0"))
                self.expect(DONE, "probe", path)
        for head in (qcow2(), qcow2(bits=9, table=512), qcow2(version=2, bits=21, table=1 << 21),
                     vmdk(), vmdk(version=3, grain=1), vmdk(mark=b"COWD"), qed(cluster=4096), vdi(),
                     parallels()):
            with self.subTest(head=head):
                path = self.folder / "image"
                path.write_bytes(head.ljust(MIB, b"\0"))
                self.expect(REFUSED, "probe", path)


rig.main()
