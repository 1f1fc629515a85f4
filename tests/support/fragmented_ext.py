# SPDX-License-Identifier: Apache-2.0
"""An ext4 of any size whose free space is in pieces of 16 KiB, without writing a file to it."""

import os
import struct


def fragment(path):
    """Takes every other four blocks of an ext4 with 4 KiB blocks and without checksums."""
    with open(path, "r+b") as file:
        file.seek(1024)
        superblock = bytearray(file.read(1024))
        blocks, per_group = struct.unpack_from("<I", superblock, 4)[0], 8 * 4096
        groups = -(-blocks // per_group)
        file.seek(4096)
        table_of_groups = bytearray(file.read(groups * 32))
        pattern = int.from_bytes(b"\x0f" * 4096, "little")
        free = 0
        for group in range(groups):
            file.seek(struct.unpack_from("<I", table_of_groups, group * 32)[0] * 4096)
            bitmap = int.from_bytes(file.read(4096), "little") | pattern
            file.seek(-4096, os.SEEK_CUR)
            file.write(bitmap.to_bytes(4096, "little"))
            count = per_group - bitmap.bit_count()
            struct.pack_into("<H", table_of_groups, group * 32 + 12, count)
            free += count
        struct.pack_into("<I", superblock, 12, free)
        file.seek(1024)
        file.write(superblock)
        file.seek(4096)
        file.write(table_of_groups)
