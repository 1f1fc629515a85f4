/* SPDX-License-Identifier: Apache-2.0 */
#include "file_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_map.h"

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN };

/* Punching beyond the end of a file changes nothing, but is refused just like a punch within. */
static int punch_beyond_end(int fd, uint64_t bytes, uint32_t granularity_bytes)
{
    int result;

    do {
        result = fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           (off_t)align_up(bytes, granularity_bytes), granularity_bytes);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? -errno : 0;
}

/* An unnamed file beside path and on the same file system, or -1. */
static int scratch_beside(const char *path, dev_t device)
{
    CLEANUP_FREE char *real = realpath(path, NULL);
    CLEANUP_CLOSE int fd = -1;
    struct stat st;

    if (!real)
        return -1;
    fd = open(dirname(real), O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0 || fstat(fd, &st) < 0 || st.st_dev != device)
        return -1;
    return TAKE_FD(fd);
}

/* Writes two granules, punches the first and looks whether that shows. */
static enum answer try_scratch(int fd, uint32_t granularity_bytes)
{
    CLEANUP_FREE char *data = malloc(granularity_bytes);

    if (!data)
        return ANSWER_UNKNOWN;
    memset(data, 0x5a, granularity_bytes);
    for (int i = 0; i < 2; i++) {
        if (write(fd, data, granularity_bytes) != (ssize_t)granularity_bytes)
            return ANSWER_UNKNOWN;
    }
    if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, granularity_bytes) < 0)
        return ANSWER_UNKNOWN;
    return lseek(fd, 0, SEEK_HOLE) == 0 && lseek(fd, 0, SEEK_DATA) > 0 ? ANSWER_YES : ANSWER_NO;
}

static enum answer holes_are_reported(int fd, const char *path, const struct stat *st,
                                      uint32_t granularity_bytes, bool all_hole)
{
    off_t hole = lseek(fd, 0, SEEK_HOLE);
    CLEANUP_CLOSE int scratch = -1;

    if (hole >= 0 && hole < st->st_size)
        return ANSWER_YES;
    if (all_hole)
        return ANSWER_NO;
    scratch = scratch_beside(path, st->st_dev);
    return scratch < 0 ? ANSWER_UNKNOWN : try_scratch(scratch, granularity_bytes);
}

int file_probe_holes(int fd, const char *path, uint32_t granularity_bytes, bool all_hole,
                     struct errmsg *err)
{
    struct stat st;
    int error;

    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    error = punch_beyond_end(fd, (uint64_t)st.st_size, granularity_bytes);
    if (error == -EOPNOTSUPP || error == -ENOSYS || error == -ENODEV)
        return errmsg_set(err, -EOPNOTSUPP,
                          "%s is on a file system that cannot punch holes in files, so no space "
                          "would ever be given back; keep it on ext4, xfs, btrfs or tmpfs",
                          path);
    if (error && error != -EFBIG && error != -EINVAL)
        return errmsg_set(err, error, "%s: holes cannot be punched in this file: %s", path,
                          strerror(-error));
    if (holes_are_reported(fd, path, &st, granularity_bytes, all_hole) == ANSWER_NO)
        return errmsg_set(err, -EOPNOTSUPP,
                          "%s is on a file system that does not report the holes in files "
                          "(SEEK_HOLE), so mapped and unmapped blocks could not be told apart; "
                          "keep it on ext4, xfs, btrfs or tmpfs",
                          path);
    return 0;
}

/* Whether storage reserved in the scratch file is told as such, and stays so beside what is
 * written. */
static bool try_anchor(int fd, uint32_t granularity_bytes)
{
    uint64_t size = 2 * (uint64_t)granularity_bytes;
    struct extent extent;
    struct file_map map;
    size_t count;

    file_map_init(&map, fd, granularity_bytes);
    if (ftruncate(fd, (off_t)size) < 0 || fallocate(fd, FALLOC_FL_ZERO_RANGE | FALLOC_FL_KEEP_SIZE,
                                                    granularity_bytes, granularity_bytes) < 0)
        return false;
    return file_map_extents(&map, granularity_bytes, size, &extent, 1, &count) == 0 &&
           extent.status == EXTENT_ANCHORED && extent.length == granularity_bytes;
}

bool file_probe_anchor(int fd, const char *path, uint32_t granularity_bytes)
{
    CLEANUP_CLOSE int scratch = -1;
    struct statfs fs;
    struct stat st;

    /* Btrfs writes elsewhere what is shared or checksummed, and needs room for that. */
    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0 || fs.f_type == BTRFS_SUPER_MAGIC)
        return false;
    scratch = scratch_beside(path, st.st_dev);
    return scratch >= 0 && try_anchor(scratch, granularity_bytes);
}
