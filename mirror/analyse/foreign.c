/* SPDX-License-Identifier: Apache-2.0 */

/* What can be recognised but not understood. These leave marks of what was there before them alone:
 * a ZFS pool, for one, may still begin with the superblock of an old ext4. A region that has such a
 * mark is allocated whole, whatever else it looks like. Only marks that are long enough not to be
 * there by chance, or where nothing that is understood keeps numbers.
 *
 * Beside this list stands libblkid's (other_contents.c). Here is what that does not know, knows
 * only when all else of it is sound, or does not know in each of its releases. */

#include <string.h>

#include "format_registry.h"

struct mark {
    const char *name;
    uint64_t offset;
    const char *bytes;
    size_t length;
};

#define MARK(name, offset, bytes)               \
    {                                           \
        name, offset, bytes, sizeof(bytes) - 1, \
    }

/* Offset bytes before the end. */
#define END_MARK(name, offset, bytes) MARK(name, -(uint64_t)(offset), bytes)

static const struct mark marks[] = {
    MARK("a LUKS volume", 0, "LUKS\xba\xbe"),
    /* The second header of LUKS2, where it is as a rule; the first may be damaged. */
    MARK("a LUKS volume", 16384, "SKUL\xba\xbe"),
    MARK("a LUKS volume", 32768, "SKUL\xba\xbe"),
    MARK("a dm-integrity device", 0, "integrt\0"),
    MARK("a dm-verity device", 0, "verity\0\0"),
    MARK("the store of a dm snapshot", 0, "SnAp"),
    MARK("a VDO volume", 0, "dmvdo001"),
    MARK("a Ceph OSD", 0, "bluestore block device"),
    MARK("a qcow2 image", 0, "QFI\xfb"),
    MARK("a VHDX image", 0, "vhdxfile"),
    MARK("a VMDK image", 0, "KDMV"),
    MARK("squashfs", 0, "hsqs"),
    MARK("cramfs", 0, "\x45\x3d\xcd\x28"),
    MARK("romfs", 0, "-rom1fs-"),
    MARK("a BitLocker volume", 3, "-FVE-FS-"),
    MARK("ReFS", 3, "ReFS\0\0\0\0"),
    MARK("a BitLocker volume", 424,
         "\x3b\xd6\x67\x49\x29\x2e\xd8\x4a\x83\x99\xf6\xa3\x39\xe3\xd0\x01"),
    MARK("APFS", 32, "NXSB"),
    MARK("CoreStorage", 88, "CS\x01\0\0\0"),
    MARK("a BSD disk label", 64, "\x57\x45\x56\x82"),
    MARK("a BSD disk label", 128, "\x57\x45\x56\x82"),
    MARK("a BSD disk label", 512, "\x57\x45\x56\x82"),
    MARK("an Oracle ASM disk", 32, "ORCLDISK"),
    MARK("a Stratis pool", 516, "!Stra0tis\x86\xff\x02^\x41rh"),
    MARK("BeFS", 544, "1SFB"),
    MARK("BeFS", 544, "BFS1"),
    MARK("F2FS", 1024, "\x10\x20\xf5\xf2"),
    MARK("EROFS", 1024, "\xe2\xe1\xf5\xe0"),
    MARK("NILFS2", 1024, "\x02\0\0\0\0\0\x34\x34"),
    MARK("VxFS", 1024, "\xf5\xfc\x01\xa5"),
    MARK("HFS+", 1024, "H+\0\x04"),
    MARK("HFS+", 1024, "HX\0\x05"),
    MARK("a dynamic disk of Windows", 3072, "PRIVHEAD"),
    MARK("Storage Spaces", 4096, "SPACEDB "),
    MARK("a bcache device", 4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    MARK("bcachefs", 4120, "\xc6\x85\x73\xf6\x66\xce\x90\xa9"),
    MARK("OCFS", 8192, "OracleCFS"),
    MARK("OCFS2", 8192, "OCFSV2"),
    MARK("UFS", 9564, "\x54\x19\x01\0"),
    MARK("UFS", 66908, "\x19\x01\x54\x19"),
    /* The begin of the pool's description: its first entry is named "version". */
    MARK("ZFS", 16404, "\0\0\0\x07version"),
    MARK("JFS", 32768, "JFS1"),
    MARK("ISO 9660", 32769, "CD001"),
    MARK("UDF", 32769, "BEA01"),
    MARK("ReiserFS", 65588, "ReIsErFs"),
    MARK("ReiserFS", 65588, "ReIsEr2Fs"),
    MARK("ReiserFS", 65588, "ReIsEr3Fs"),
    MARK("Reiser4", 65536, "ReIsEr4"),
    MARK("GFS2", 65536, "\x01\x16\x19\x70\0\0\0\x01"),
    MARK("ScoutFS", 65540, "\x8b\x42\x3c\x10"),
    MARK("VMFS", 1048576, "\x0d\xd0\x01\xc0"),
    /* Members of arrays that the firmware of a controller makes. */
    END_MARK("an Intel RAID member", 1024, "Intel Raid ISM Cfg Sig. "),
    END_MARK("a DDF RAID member", 512, "\xde\x11\xde\x11"),
    END_MARK("a DDF RAID member", 512, "\x11\xde\x11\xde"),
    END_MARK("an NVIDIA RAID member", 1024, "NVIDIA"),
    END_MARK("an Adaptec RAID member", 512, "\x90\x07\x65\xc4"),
    END_MARK("an LSI RAID member", 512, "$XIDE$"),
};

/* Its place counts from the end, then it is beyond any end otherwise. */
static bool has(struct region *region, const struct mark *mark)
{
    uint64_t place = mark->offset, before_end = -mark->offset;

    if (place > INT64_MAX) {
        if (before_end > region_bytes(region))
            return false;
        place = region_bytes(region) - before_end;
    }
    return region_has(region, place, mark->bytes, mark->length);
}

static const struct mark *find(struct region *region)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (has(region, &marks[i]))
            return &marks[i];
    return NULL;
}

static int probe(struct region *region)
{
    uint8_t byte;
    int r = region_read(region, 0, &byte, 1);

    return r < 0 ? r : find(region) != NULL;
}

static int analyse(struct region *region)
{
    const struct mark *mark = find(region);

    return region_refuse(region, "%s is not understood here", mark ? mark->name : "what it holds");
}

const struct format format_foreign = {.name = "unknown format",
                                      .wraps = true,
                                      .probe = probe,
                                      .analyse = analyse};
