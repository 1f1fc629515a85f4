/* SPDX-License-Identifier: Apache-2.0 */

/* libblkid reads from a file descriptor, at places that it finds out as it reads. In the copy of it
 * that is linked here (see CMakeLists.txt) lseek and read are called other_contents_lseek and
 * other_contents_read, which serve one descriptor from the region, and leave all others alone. */

#include "other_contents.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <blkid/blkid.h>

#include "checked.h"
#include "format_registry.h"

/* The descriptor, of an empty file of its size, that stands for a region, while one is looked at.
 */
struct look {
    struct region *region;
    int fd;
    uint64_t at;
    int error; /* of the first read that failed */
};

static _Thread_local struct look *looking;

off_t other_contents_lseek(int fd, off_t offset, int whence);
off_t other_contents_lseek64(int fd, off_t offset, int whence);
ssize_t other_contents_read(int fd, void *to, size_t bytes);

off_t other_contents_lseek(int fd, off_t offset, int whence)
{
    if (!looking || fd != looking->fd)
        return lseek(fd, offset, whence);
    if (whence != SEEK_SET || offset < 0) {
        errno = EINVAL;
        return -1;
    }
    looking->at = (uint64_t)offset;
    return offset;
}

/* The same: which of the two names an archive has is a matter of how it was built. */
off_t other_contents_lseek64(int fd, off_t offset, int whence)
{
    return other_contents_lseek(fd, offset, whence);
}

ssize_t other_contents_read(int fd, void *to, size_t bytes)
{
    uint64_t end;
    int r;

    if (!looking || fd != looking->fd)
        return read(fd, to, bytes);
    end = region_bytes(looking->region);
    bytes = looking->at < end ? (size_t)min_u64(bytes, end - looking->at) : 0;
    r = region_read(looking->region, min_u64(looking->at, end), to, bytes);
    if (r < 0) {
        if (looking->error == 0)
            looking->error = r;
        errno = EIO;
        return -1;
    }
    looking->at += bytes;
    return (ssize_t)bytes;
}

/* What libblkid calls the formats that are read here. A format that does not see its mark itself
 * does not vouch for it: then it is something else. */
static const struct {
    const char *name;
    const struct format *format;
} own[] = {
    {"ext2", &format_ext},         {"ext3", &format_ext},
    {"ext4", &format_ext},         {"ext4dev", &format_ext},
    {"jbd", &format_ext},          {"xfs", &format_xfs},
    {"btrfs", &format_btrfs},      {"exfat", &format_exfat},
    {"ntfs", &format_ntfs},        {"vfat", &format_fat},
    {"swap", &format_swap},        {"swsuspend", &format_swap},
    {"LVM2_member", &format_lvm},  {"linux_raid_member", &format_md},
    {"dasd", &format_dasd_blocks},
};

/* A boot sector with code and an empty table is one for libblkid, and so is a protective MBR alone:
 * partition tables are judged by the formats here alone. */
static bool is_table(const char *name)
{
    return strcmp(name, "dos") == 0 || strcmp(name, "gpt") == 0 || strcmp(name, "PMBR") == 0;
}

static bool is_own(struct region *region, const char *name)
{
    for (size_t i = 0; i < sizeof(own) / sizeof(own[0]); i++)
        if (strcmp(own[i].name, name) == 0)
            return own[i].format->probe(region) > 0;
    return is_table(name);
}

/* 1: the name of something else was found; 0: there is no more; -errno. */
static int find_other(struct look *look, blkid_probe probe, char *ret_name)
{
    int r;

    while ((r = blkid_do_probe(probe)) == 0) {
        const char *name;

        if (blkid_probe_lookup_value(probe, "TYPE", &name, NULL) != 0 &&
            blkid_probe_lookup_value(probe, "PTTYPE", &name, NULL) != 0)
            continue;
        if (!is_own(look->region, name)) {
            snprintf(ret_name, OTHER_CONTENTS_NAME_MAX, "%s", name);
            return 1;
        }
    }
    if (look->error < 0)
        return look->error;
    return r < 0 ? region_refuse(look->region, "what else is in it can't be told") : 0;
}

/* In libblkid 2.38 this one copies as many bytes as the disk says. Its mark is in foreign.c. */
static char ocfs[] = "ocfs";
static char *left_out[] = {ocfs, NULL};

static int set_up(const struct look *look, blkid_probe probe)
{
    const blkid_loff_t bytes = (blkid_loff_t)region_bytes(look->region);

    if (ftruncate(look->fd, bytes) < 0 || blkid_probe_set_device(probe, look->fd, 0, bytes) != 0 ||
        blkid_probe_set_sectorsize(probe, region_block_bytes(look->region)) < 0 ||
        blkid_probe_enable_superblocks(probe, 1) < 0 ||
        blkid_probe_filter_superblocks_type(probe, BLKID_FLTR_NOTIN, left_out) < 0 ||
        blkid_probe_set_superblocks_flags(probe, BLKID_SUBLKS_TYPE | BLKID_SUBLKS_BADCSUM) < 0 ||
        blkid_probe_enable_partitions(probe, 1) < 0)
        return -ENOMEM;
    return 0;
}

int other_contents_find(struct region *region, char ret_name[static OTHER_CONTENTS_NAME_MAX])
{
    struct look look = {.region = region, .fd = memfd_create("region", MFD_CLOEXEC)};
    blkid_probe probe = blkid_new_probe();
    int r = -ENOMEM;

    if (look.fd >= 0 && probe) {
        looking = &look;
        r = set_up(&look, probe);
        if (r == 0)
            r = find_other(&look, probe, ret_name);
        looking = NULL;
    }
    blkid_free_probe(probe);
    if (look.fd >= 0)
        close(look.fd);
    return r;
}
