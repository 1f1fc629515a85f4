/* SPDX-License-Identifier: Apache-2.0 */

/* What can be recognised but not understood. These leave marks of what was there before them alone:
 * a ZFS pool, for one, may still begin with the superblock of an old ext4. A region that has such a
 * mark is allocated whole, whatever else it looks like. */

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

static const struct mark marks[] = {
    MARK("a LUKS volume", 0, "LUKS\xba\xbe"),
    MARK("a VDO volume", 0, "dmvdo001"),
    MARK("a BitLocker volume", 3, "-FVE-FS-"),
    MARK("ReFS", 3, "ReFS\0\0\0\0"),
    MARK("APFS", 32, "NXSB"),
    MARK("F2FS", 1024, "\x10\x20\xf5\xf2"),
    MARK("HFS+", 1024, "H+\0\x04"),
    MARK("HFS+", 1024, "HX\0\x05"),
    MARK("a bcache device", 4120, "\xc6\x85\x73\xf6\x4e\x1a\x45\xca"),
    MARK("OCFS2", 8192, "OCFSV2"),
    /* The begin of the pool's description: its first entry is named "version". */
    MARK("ZFS", 16404, "\0\0\0\x07version"),
    MARK("JFS", 32768, "JFS1"),
    MARK("ISO 9660", 32769, "CD001"),
    MARK("ReiserFS", 65588, "ReIsErFs"),
    MARK("ReiserFS", 65588, "ReIsEr2Fs"),
    MARK("ReiserFS", 65588, "ReIsEr3Fs"),
    MARK("GFS2", 65536, "\x01\x16\x19\x70\0\0\0\x01"),
    MARK("VMFS", 1048576, "\x0d\xd0\x01\xc0"),
};

static const struct mark *find(struct region *region)
{
    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (region_has(region, marks[i].offset, marks[i].bytes, marks[i].length))
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
