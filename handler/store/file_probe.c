/* SPDX-License-Identifier: Apache-2.0 */

/* What a file system can do is tried on an unnamed file beside the volume, and once only: anything
 * tried on the volume itself would have the kernel read its whole list of extents first, which
 * takes seconds where there are millions. */

#include "file_probe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <pthread.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_map.h"

enum answer { ANSWER_NO, ANSWER_YES, ANSWER_UNKNOWN };

/* A mounted file system, and how large a granule was tried. */
struct file_system {
    dev_t device;
    fsid_t id;
    __typeof__(((struct statfs *)0)->f_type) type;
    uint32_t granularity_bytes;
};

struct finding {
    struct file_system of;
    bool has_holes;
    bool knows_anchor; /* whether can_anchor was found out */
    bool can_anchor;
};

/* The last ones found out. */
#define FINDINGS 16

static struct {
    pthread_mutex_t lock; /* guards what follows, over no system call */
    struct finding items[FINDINGS];
    unsigned count; /* of all that were ever added */
} findings = {.lock = PTHREAD_MUTEX_INITIALIZER};

static bool examine(int fd, uint32_t granularity_bytes, struct file_system *ret)
{
    struct statfs fs;
    struct stat st;

    if (fstat(fd, &st) < 0 || fstatfs(fd, &fs) < 0)
        return false;
    *ret = (struct file_system){.device = st.st_dev,
                                .id = fs.f_fsid,
                                .type = fs.f_type,
                                .granularity_bytes = granularity_bytes};
    return true;
}

static bool same_file_system(const struct file_system *a, const struct file_system *b)
{
    return a->device == b->device && memcmp(&a->id, &b->id, sizeof(a->id)) == 0 &&
           a->type == b->type && a->granularity_bytes == b->granularity_bytes;
}

/* With the lock held. NULL: nothing is known of it. */
static struct finding *find(const struct file_system *of)
{
    for (unsigned i = 0; i < findings.count && i < FINDINGS; i++)
        if (same_file_system(&findings.items[i].of, of))
            return &findings.items[i];
    return NULL;
}

static struct finding recall(const struct file_system *of)
{
    SCOPED_LOCK(&findings.lock);
    const struct finding *found = find(of);

    return found ? *found : (struct finding){.of = *of};
}

/* Adds what the finding has to what is known. */
static void remember(const struct finding *finding)
{
    SCOPED_LOCK(&findings.lock);
    struct finding *found = find(&finding->of);

    if (!found) {
        found = &findings.items[findings.count++ % FINDINGS];
        *found = *finding;
        return;
    }
    found->has_holes |= finding->has_holes;
    if (finding->knows_anchor) {
        found->knows_anchor = true;
        found->can_anchor = finding->can_anchor;
    }
}

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

/* An unnamed file in that folder and on the same file system, or -1. */
static int scratch_beside(const struct file_place *place, dev_t device)
{
    CLEANUP_CLOSE int fd = openat(place->folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    struct stat st;

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

/* What an unnamed file in that folder says of the file system. *ret_error: why nothing can be
 * punched in it, or 0. */
static enum answer ask_scratch(const struct file_place *place, dev_t device,
                               uint32_t granularity_bytes, int *ret_error)
{
    CLEANUP_CLOSE int scratch = scratch_beside(place, device);

    *ret_error = 0;
    if (scratch < 0)
        return ANSWER_UNKNOWN;
    *ret_error = punch_beyond_end(scratch, 0, granularity_bytes);
    return *ret_error ? ANSWER_NO : try_scratch(scratch, granularity_bytes);
}

/* What the file itself says. */
static enum answer ask_file(int fd, uint64_t bytes, uint32_t granularity_bytes, bool all_hole,
                            int *ret_error)
{
    off_t hole;

    *ret_error = punch_beyond_end(fd, bytes, granularity_bytes);
    if (*ret_error == -EFBIG || *ret_error == -EINVAL)
        *ret_error = 0;
    if (*ret_error)
        return ANSWER_NO;
    hole = lseek(fd, 0, SEEK_HOLE);
    if (hole >= 0 && (uint64_t)hole < bytes)
        return ANSWER_YES;
    return all_hole ? ANSWER_NO : ANSWER_UNKNOWN;
}

static int refuse_holes(const char *path, int error, struct errmsg *err)
{
    if (error == -EOPNOTSUPP || error == -ENOSYS || error == -ENODEV)
        return errmsg_set(err, -EOPNOTSUPP,
                          "%s is on a file system that cannot punch holes in files, so no space "
                          "would ever be given back; keep it on ext4, xfs, btrfs or tmpfs",
                          path);
    if (error)
        return errmsg_set(err, error, "%s: holes cannot be punched in this file: %s", path,
                          strerror(-error));
    return errmsg_set(err, -EOPNOTSUPP,
                      "%s is on a file system that does not report the holes in files "
                      "(SEEK_HOLE), so mapped and unmapped blocks could not be told apart; "
                      "keep it on ext4, xfs, btrfs or tmpfs",
                      path);
}

int file_probe_holes(int fd, const struct file_place *place, const char *path,
                     uint32_t granularity_bytes, bool all_hole, struct errmsg *err)
{
    struct finding finding = {.has_holes = true};
    enum answer answer = ANSWER_UNKNOWN;
    struct stat st;
    int error = 0;

    if (fstat(fd, &st) < 0 || !examine(fd, granularity_bytes, &finding.of))
        return errmsg_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    if (!all_hole) {
        if (recall(&finding.of).has_holes)
            return 0;
        answer = ask_scratch(place, st.st_dev, granularity_bytes, &error);
    }
    if (answer == ANSWER_UNKNOWN)
        answer = ask_file(fd, (uint64_t)st.st_size, granularity_bytes, all_hole, &error);
    if (answer == ANSWER_YES)
        remember(&finding);
    return answer == ANSWER_NO ? refuse_holes(path, error, err) : 0;
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

bool file_probe_anchor(int fd, const struct file_place *place, uint32_t granularity_bytes)
{
    CLEANUP_CLOSE int scratch = -1;
    struct finding finding = {.knows_anchor = true}, known;

    /* Btrfs writes elsewhere what is shared or checksummed, and needs room for that. */
    if (!examine(fd, granularity_bytes, &finding.of) || finding.of.type == BTRFS_SUPER_MAGIC)
        return false;
    known = recall(&finding.of);
    if (known.knows_anchor)
        return known.can_anchor;
    scratch = scratch_beside(place, finding.of.device);
    finding.can_anchor = scratch >= 0 && try_anchor(scratch, granularity_bytes);
    if (finding.can_anchor) /* no may be for want of room */
        remember(&finding);
    return finding.can_anchor;
}
