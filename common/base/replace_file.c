/* SPDX-License-Identifier: Apache-2.0 */
#include "replace_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define SUFFIX     ".new"
#define MODE_MASK  0777 /* no bit that would give the one who runs the file our rights */
#define NAME_BYTES (NAME_MAX + sizeof(SUFFIX))

static int write_whole(int fd, const char *bytes, size_t length)
{
    while (length > 0) {
        ssize_t done = write(fd, bytes, length);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        bytes += done;
        length -= (size_t)done;
    }
    return fsync(fd) < 0 ? -errno : 0;
}

/* What a process that was killed has left of such a file. Anything that cannot be that is somebody
 * else's. */
static int remove_leftover(int folder, const char *name, size_t max_bytes)
{
    struct stat st;

    if (fstatat(folder, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : -errno;
    if (!S_ISREG(st.st_mode) || (size_t)st.st_size > max_bytes)
        return -EBUSY;
    return unlinkat(folder, name, 0) < 0 ? -errno : 0;
}

/* Gives the file the name unless that is taken. Not every file system has either call. */
static int rename_no_replace(int folder, const char *from, const char *to)
{
    if (renameat2(folder, from, folder, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return -errno;
    if (linkat(folder, from, folder, to, 0) < 0)
        return -errno;
    unlinkat(folder, from, 0);
    return 0;
}

static int take_name(int folder, const char *from, const char *to, bool no_replace)
{
    if (no_replace)
        return rename_no_replace(folder, from, to);
    return renameat(folder, from, folder, to) < 0 ? -errno : 0;
}

/* Owner and mode: those of old, if there is to be an old file, else the mode of the terms. */
static int set_access(int fd, const struct stat *old, mode_t mode)
{
    /* Only the superuser can give a file away; for others it is theirs before and after. */
    if (old && geteuid() == 0 && fchown(fd, old->st_uid, old->st_gid) < 0)
        return -errno;
    return fchmod(fd, (old ? old->st_mode : mode) & MODE_MASK) < 0 ? -errno : 0;
}

/* Whether the file of this name is the one that is open. */
static int check_is(int folder, const char *name, int fd)
{
    struct stat named, open_file;

    if (fstat(fd, &open_file) < 0)
        return -errno;
    if (fstatat(folder, name, &named, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? -ESTALE : -errno;
    return named.st_dev == open_file.st_dev && named.st_ino == open_file.st_ino ? 0 : -ESTALE;
}

int replace_file(const struct file_place *place, const void *bytes, size_t length,
                 const struct replace_file_terms *terms)
{
    bool needs_old = terms->which == REPLACE_FILE_ONE;
    CLEANUP_CLOSE int fd = -1;
    char name[NAME_BYTES];
    struct stat old;
    int error;

    if (needs_old && fstatat(place->folder, place->name, &old, AT_SYMLINK_NOFOLLOW) < 0)
        return -errno;
    if (needs_old && !S_ISREG(old.st_mode))
        return -EINVAL;
    /* Always the same name, so that what is left after a crash does not add up. */
    snprintf(name, sizeof(name), "%s" SUFFIX, place->name);
    error = remove_leftover(place->folder, name, terms->max_bytes);
    if (error)
        return error;
    fd = openat(place->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    error = write_whole(fd, bytes, length);
    if (!error)
        error = set_access(fd, needs_old ? &old : NULL, terms->mode);
    if (!error)
        error = check_is(place->folder, name, fd);
    if (!error)
        error = take_name(place->folder, name, place->name, terms->which == REPLACE_FILE_NONE);
    if (error) {
        unlinkat(place->folder, name, 0);
        return error;
    }
    error = check_is(place->folder, place->name, fd);
    return error ? error : file_place_sync(place);
}
