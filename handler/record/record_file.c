/* SPDX-License-Identifier: Apache-2.0 */
#include "record_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_place.h"
#include "negative_errno.h"
#include "record_layout.h"

struct record_file {
    struct record_medium medium;
    int fd;
    struct file_place place;
};

static struct record_file *file_of(struct record_medium *medium)
{
    return (struct record_file *)medium;
}

static int file_read(struct record_medium *medium, void *bytes, size_t length, uint64_t offset)
{
    for (uint8_t *at = bytes; length > 0;) {
        ssize_t done = pread(file_of(medium)->fd, at, length, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? negative_errno() : -EIO;
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}

static int file_write(struct record_medium *medium, const void *bytes, size_t length,
                      uint64_t offset)
{
    for (const uint8_t *at = bytes; length > 0;) {
        ssize_t done = pwrite(file_of(medium)->fd, at, length, (off_t)offset);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return negative_errno();
        at += done;
        offset += (uint64_t)done;
        length -= (size_t)done;
    }
    return 0;
}

/* This flushes what was stored through the mapping too. */
static int file_sync(struct record_medium *medium)
{
    int result;

    do {
        result = fdatasync(file_of(medium)->fd);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? negative_errno() : 0;
}

/* A store to a page without storage would be a signal that ends the process when there is no room;
 * a write is told so. Where memory may not be locked the pages come and go. */
static int file_hold(struct record_medium *medium, uint64_t offset, uint64_t length,
                     bool has_storage)
{
    uint8_t page[RECORD_PAGE_BYTES];

    for (uint64_t at = 0; !has_storage && at < length; at += sizeof(page)) {
        int error = file_read(medium, page, sizeof(page), offset + at);

        if (!error)
            error = file_write(medium, page, sizeof(page), offset + at);
        if (error)
            return error;
    }
    (void)!mlock(medium->mapping + offset, length);
    return 0;
}

static int file_give_back(struct record_medium *medium, uint64_t offset, uint64_t length)
{
    int result;

    munlock(medium->mapping + offset, length);
    do {
        result = fallocate(file_of(medium)->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                           (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? negative_errno() : 0;
}

static int file_next_data(struct record_medium *medium, uint64_t offset, uint64_t limit,
                          uint64_t *ret_start, uint64_t *ret_end)
{
    int fd = file_of(medium)->fd;
    off_t start = lseek(fd, (off_t)offset, SEEK_DATA), end;

    *ret_start = *ret_end = limit;
    if (start < 0)
        return errno == ENXIO ? 0 : negative_errno();
    if ((uint64_t)start >= limit)
        return 0;
    end = lseek(fd, start, SEEK_HOLE);
    if (end < 0)
        return negative_errno();
    *ret_start = (uint64_t)start;
    *ret_end = min_u64((uint64_t)end, limit);
    return 0;
}

static int remove_at(const struct file_place *place)
{
    if (unlinkat(place->folder, place->name, 0) < 0 && errno != ENOENT)
        return -errno;
    return file_place_sync(place);
}

static int file_remove(struct record_medium *medium)
{
    return remove_at(&file_of(medium)->place);
}

static void file_close(struct record_medium *medium)
{
    struct record_file *file = file_of(medium);

    munmap(medium->mapping, RECORD_FILE_BYTES);
    close(file->fd);
    file_place_close(&file->place);
    free(file);
}

static const struct record_medium_ops file_ops = {
    .read = file_read,
    .write = file_write,
    .sync = file_sync,
    .hold = file_hold,
    .give_back = file_give_back,
    .next_data = file_next_data,
    .remove = file_remove,
    .close = file_close,
};

static int find_place(const char *volume_path, struct file_place *ret, struct errmsg *err)
{
    CLEANUP_FREE char *path = NULL;

    if (asprintf(&path, "%s" RECORD_FILE_SUFFIX, volume_path) < 0) {
        path = NULL;
        return errmsg_set(err, -ENOMEM, "out of memory");
    }
    return file_place_open(path, ret, err);
}

static int fail(const char *volume_path, const char *what, int error, struct errmsg *err)
{
    return errmsg_set(err, error, "%s" RECORD_FILE_SUFFIX " cannot be %s: %s", volume_path, what,
                      strerror(-error));
}

/* Whatever else has this name is not ours to change, or to remove. */
static bool is_record(int fd)
{
    char name[sizeof(RECORD_NAME) - 1];

    return pread(fd, name, sizeof(name), RECORD_NAME_OFFSET) == (ssize_t)sizeof(name) &&
           memcmp(name, RECORD_NAME, sizeof(name)) == 0;
}

static int write_name(int fd)
{
    static const uint8_t page[RECORD_PAGE_BYTES] = RECORD_NAME;
    ssize_t done;

    if (ftruncate(fd, (off_t)RECORD_FILE_BYTES) < 0)
        return negative_errno();
    done = pwrite(fd, page, sizeof(page), RECORD_NAME_OFFSET);
    if (done < 0)
        return negative_errno();
    return done == (ssize_t)sizeof(page) ? 0 : -ENOSPC;
}

/* Takes fd and place over, also on failure. */
static int wrap(int fd_given, const struct file_place *place_given, const char *volume_path,
                bool looks, struct record_medium **ret, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = *place_given;
    CLEANUP_CLOSE int fd = fd_given;
    CLEANUP_FREE struct record_file *file = calloc(1, sizeof(*file));
    struct stat st;
    int error;

    if (!file)
        return fail(volume_path, "opened", -ENOMEM, err);
    if (fstat(fd, &st) < 0)
        return fail(volume_path, "examined", -errno, err);
    if (!S_ISREG(st.st_mode))
        return errmsg_set(err, -EINVAL,
                          "%s" RECORD_FILE_SUFFIX ", the change record of the volume, is not a "
                          "regular file",
                          volume_path);
    if (!is_record(fd))
        return errmsg_set(err, -ENOENT, "%s" RECORD_FILE_SUFFIX " is no change record",
                          volume_path);
    if (st.st_size != (off_t)RECORD_FILE_BYTES) {
        if (looks)
            return -ENODATA;
        error = ftruncate(fd, 0) < 0 ? negative_errno() : write_name(fd);
        if (error)
            return fail(volume_path, "made long enough", error, err);
    }
    file->medium.ops = &file_ops;
    file->medium.mapping =
        mmap(NULL, RECORD_FILE_BYTES, PROT_READ | (looks ? 0 : PROT_WRITE), MAP_SHARED, fd, 0);
    if (file->medium.mapping == MAP_FAILED)
        return fail(volume_path, "mapped into memory", -errno, err);
    file->fd = TAKE_FD(fd);
    file->place = place;
    place.folder = -1;
    *ret = &TAKE_PTR(file)->medium;
    return 0;
}

static int open_file(const char *volume_path, bool looks, struct record_medium **ret,
                     struct errmsg *err)
{
    struct file_place place = FILE_PLACE_NONE;
    int error = find_place(volume_path, &place, err);
    int fd;

    if (error)
        return error;
    fd = file_place_open_file(&place, (looks ? O_RDONLY : O_RDWR) | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0) {
        file_place_close(&place);
        return fail(volume_path, "opened", fd, err);
    }
    return wrap(fd, &place, volume_path, looks, ret, err);
}

int record_file_open(const char *volume_path, struct record_medium **ret, struct errmsg *err)
{
    return open_file(volume_path, false, ret, err);
}

int record_file_look(const char *volume_path, struct record_medium **ret, struct errmsg *err)
{
    return open_file(volume_path, true, ret, err);
}

/* Where a file system writes anew what is overwritten, that would need room each time. */
static void ask_for_no_copies(int fd)
{
    int flags;

    if (ioctl(fd, FS_IOC_GETFLAGS, &flags) == 0) {
        flags |= FS_NOCOW_FL;
        (void)!ioctl(fd, FS_IOC_SETFLAGS, &flags);
    }
}

int record_file_create(const char *volume_path, struct record_medium **ret, struct errmsg *err)
{
    struct file_place place = FILE_PLACE_NONE;
    int error = find_place(volume_path, &place, err);
    int fd;

    if (error)
        return error;
    fd = file_place_open_file(&place, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0) {
        file_place_close(&place);
        return fail(volume_path, "created", fd, err);
    }
    ask_for_no_copies(fd);
    error = write_name(fd);
    if (!error)
        error = file_place_sync(&place);
    if (!error && fsync(fd) < 0)
        error = -errno;
    if (error) {
        remove_at(&place);
        close(fd);
        file_place_close(&place);
        return fail(volume_path, "made durable", error, err);
    }
    return wrap(fd, &place, volume_path, false, ret, err);
}

/* 1: there is one; 0: there is none; else why that cannot be told. */
static int find_record(const char *volume_path, struct file_place *ret, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat st;
    int error = find_place(volume_path, ret, err);

    if (error)
        return error == -ENOENT ? 0 : error;
    fd = file_place_open_file(ret, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd < 0)
        return fd == -ENOENT ? 0 : fail(volume_path, "opened", fd, err);
    return fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && is_record(fd);
}

int record_file_remove(const char *volume_path, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    int found = find_record(volume_path, &place, err);
    int error = found == 1 ? remove_at(&place) : 0;

    if (found < 0)
        return found;
    return error ? fail(volume_path, "removed", error, err) : 0;
}

int record_file_find(const char *volume_path, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;

    return find_record(volume_path, &place, err);
}
