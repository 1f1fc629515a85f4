/* SPDX-License-Identifier: Apache-2.0 */

/* Reading and writing a file, its map, and its space. store_file_open.c opens it. */

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/uio.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_copy.h"
#include "file_identity.h"
#include "iov.h"
#include "negative_errno.h"
#include "store_file_internal.h"

/* Elements handed to one preadv or pwritev of a list that is too long for one, or was not taken
 * whole.
 */
#define BATCH 256

static void file_close(struct store *store)
{
    struct store_file *file = file_of(store);

    close(file->fd);
    close(file->flush_fd);
    pthread_mutex_destroy(&file->flush_lock);
    free(file);
}

/* One call of the kernel for what it takes of the list. */
typedef ssize_t transfer_call(int fd, const struct iovec *iov, int iov_count, off_t offset,
                              int flags);

static ssize_t read_call(int fd, const struct iovec *iov, int iov_count, off_t offset, int flags)
{
    ssize_t done =
        flags ? preadv2(fd, iov, iov_count, offset, flags) : preadv(fd, iov, iov_count, offset);

    if (done == 0) { /* someone cut the file short */
        errno = EIO;
        return -1;
    }
    return done;
}

static ssize_t write_call(int fd, const struct iovec *iov, int iov_count, off_t offset, int flags)
{
    return pwritev2(fd, iov, iov_count, offset, flags);
}

/* All of the list, however much of it one call takes. Most of the time that is all, so that the
 * list is handed over as it is; only what is left then is cut up. */
static int transfer(struct store_file *file, transfer_call *call, const struct iovec *iov,
                    int iov_count, uint64_t offset, int flags)
{
    size_t left = iov_total(iov, iov_count), length;
    struct iov_cursor cursor = iov_cursor_at_start(iov, iov_count);
    const struct iovec *next = iov;
    struct iovec batch[BATCH];
    int count = iov_count;

    if (count > IOV_MAX) {
        count = iov_cursor_batch(&cursor, SIZE_MAX, batch, BATCH, &length);
        next = batch;
    }
    while (left > 0) {
        ssize_t done = call(file->fd, next, count, (off_t)offset, flags);

        if (done < 0 && errno != EINTR)
            return negative_errno();
        if (done <= 0)
            continue;
        left -= (size_t)done;
        if (left == 0)
            break;
        offset += (uint64_t)done;
        iov_cursor_skip(&cursor, (size_t)done);
        count = iov_cursor_batch(&cursor, SIZE_MAX, batch, BATCH, &length);
        next = batch;
    }
    return 0;
}

static int file_read(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset)
{
    return transfer(file_of(store), read_call, iov, iov_count, offset, 0);
}

static int file_read_cached(struct store *store, const struct iovec *iov, int iov_count,
                            uint64_t offset)
{
    struct store_file *file = file_of(store);
    int error;

    if (file->no_nowait)
        return -EOPNOTSUPP;
    error = transfer(file, read_call, iov, iov_count, offset, RWF_NOWAIT);
    if (error == -EOPNOTSUPP || error == -EINVAL)
        file->no_nowait = true;
    return error == -EINVAL ? -EOPNOTSUPP : error;
}

static int file_flush(struct store *store)
{
    struct store_file *file = file_of(store);
    SCOPED_LOCK(&file->flush_lock);
    int result;

    if (file->flush_failed)
        return -EIO;
    do {
        result = fdatasync(file->flush_fd);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return 0;
    file->flush_failed = true;
    return -EIO;
}

static int file_write(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                      bool fua)
{
    struct store_file *file = file_of(store);
    int error;

    if (!fua)
        return transfer(file, write_call, iov, iov_count, offset, 0);
    if (file->flush_failed)
        return -EIO;
    if (!file->no_dsync) {
        error = transfer(file, write_call, iov, iov_count, offset, RWF_DSYNC);
        /* The failure may be that of earlier writes, reported here and nowhere else. */
        if (error == -EIO)
            file->flush_failed = true;
        if (error != -EOPNOTSUPP && error != -ENOSYS)
            return error;
        file->no_dsync = true;
    }
    error = transfer(file, write_call, iov, iov_count, offset, 0);
    return error ? error : file_flush(store);
}

static int file_allocate(struct store_file *file, int mode, uint64_t offset, uint64_t length)
{
    int result;

    do {
        result = fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? negative_errno() : 0;
}

static int file_punch(struct store *store, uint64_t offset, uint64_t length)
{
    uint64_t end = offset + length;

    /* The last block of the file may be only partly within it; it is given back whole. */
    if (end == store->size_bytes)
        end = align_up(end, store->granularity_bytes);
    return file_allocate(file_of(store), FALLOC_FL_PUNCH_HOLE, offset, end - offset);
}

static int write_zeros(struct store_file *file, uint64_t offset, uint64_t length)
{
    static const char zeros[64 * 1024];
    struct iovec iov[BATCH];

    while (length > 0) {
        uint64_t described = 0;
        int count = 0;
        int error;

        while (count < BATCH && described < length) {
            size_t piece = (size_t)min_u64(sizeof(zeros), length - described);

            iov[count++] = (struct iovec){.iov_base = (void *)zeros, .iov_len = piece};
            described += piece;
        }
        error = transfer(file, write_call, iov, count, offset, 0);
        if (error)
            return error;
        offset += described;
        length -= described;
    }
    return 0;
}

static int file_zero(struct store *store, uint64_t offset, uint64_t length)
{
    struct store_file *file = file_of(store);

    if (!file->no_zero_range) {
        int error = file_allocate(file, FALLOC_FL_ZERO_RANGE, offset, length);

        if (error != -EOPNOTSUPP && error != -ENOSYS)
            return error;
        file->no_zero_range = true;
    }
    return write_zeros(file, offset, length);
}

/* ZERO_RANGE turns what is written into storage that is reserved and not written, and reserves what
 * is not there. */
static int file_anchor(struct store *store, uint64_t offset, uint64_t length)
{
    return file_allocate(file_of(store), FALLOC_FL_ZERO_RANGE, offset, length);
}

static int file_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                        size_t room, size_t *ret_count)
{
    return file_map_extents(&file_of(store)->map, offset, limit, ret, room, ret_count);
}

static int file_copy_from(struct store *store, uint64_t offset, struct store *from,
                          uint64_t from_offset, uint64_t length)
{
    return file_copy(file_of(store)->fd, offset, file_of(from)->fd, from_offset, length);
}

static int file_resize(struct store *store, uint64_t bytes)
{
    int result;

    do {
        result = ftruncate(file_of(store)->fd, (off_t)bytes);
    } while (result < 0 && errno == EINTR);
    return result < 0 ? negative_errno() : 0;
}

/* A count of the file system's fragments in bytes; saturates. */
static uint64_t fragment_bytes(const struct statvfs *fs, uint64_t fragments)
{
    uint64_t bytes;

    return mul_overflows(fragments, fs->f_frsize, &bytes) ? UINT64_MAX : bytes;
}

static int file_space(struct store *store, struct store_space *ret)
{
    struct store_file *file = file_of(store);
    struct statvfs fs;
    struct stat st;

    if (fstat(file->fd, &st) < 0 || fstatvfs(file->fd, &fs) < 0)
        return -errno;
    *ret = (struct store_space){
        .used_bytes = (uint64_t)st.st_blocks * 512,
        .pool_used_bytes = fragment_bytes(&fs, fs.f_blocks - min_u64(fs.f_bfree, fs.f_blocks)),
        /* What is reserved for the superuser is there for a daemon that is one. */
        .pool_available_bytes = fragment_bytes(&fs, geteuid() == 0 ? fs.f_bfree : fs.f_bavail),
    };
    return 0;
}

static int file_kept(struct store *store)
{
    struct stat st;

    if (fstat(file_of(store)->fd, &st) < 0)
        return -errno;
    return st.st_nlink == 0 ? -ENOENT : 0;
}

/* The kernel fetches little at a time, however much it is told of. */
#define FETCH_BYTES (128 * 1024)
/* It drops nothing less than a folio, which must lie wholly in the range. */
#define FOLIO_MAX_BYTES (UINT64_C(2) << 20)

static void file_advise(struct store *store, uint64_t offset, uint64_t length,
                        enum store_advice advice)
{
    int fd = file_of(store)->fd;

    if (advice == STORE_RE_READ) {
        uint64_t start = align_down(offset, FOLIO_MAX_BYTES);
        uint64_t end = align_up(offset + length, FOLIO_MAX_BYTES);

        posix_fadvise(fd, (off_t)start, (off_t)(end - start), POSIX_FADV_DONTNEED);
        return;
    }
    while (length > 0) {
        uint64_t piece = min_u64(length, FETCH_BYTES);

        posix_fadvise(fd, (off_t)offset, (off_t)piece, POSIX_FADV_WILLNEED);
        offset += piece;
        length -= piece;
    }
}

static int file_identify(struct store *store, bool as_opened, struct store_identity *ret)
{
    struct store_file *file = file_of(store);

    if (as_opened) {
        *ret = file->opened;
        return 0;
    }
    if (fsync(file->flush_fd) < 0)
        return -errno;
    return file_identity_now(file->fd, ret);
}

const struct store_ops store_file_ops = {
    .kind = "file",
    .close = file_close,
    .read = file_read,
    .read_cached = file_read_cached,
    .write = file_write,
    .flush = file_flush,
    .punch = file_punch,
    .zero = file_zero,
    .anchor = file_anchor,
    .extents = file_extents,
    .copy = file_copy_from,
    .resize = file_resize,
    .space = file_space,
    .kept = file_kept,
    .identify = file_identify,
    .advise = file_advise,
};
