/* SPDX-License-Identifier: Apache-2.0 */
#include "store_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_copy.h"
#include "file_identity.h"
#include "file_lock.h"
#include "file_map.h"
#include "file_place.h"
#include "file_probe.h"
#include "file_users.h"
#include "iov.h"
#include "negative_errno.h"
#include "process_name.h"

/* Elements handed to one preadv or pwritev of a list that is too long for one, or was not taken
 * whole.
 */
#define BATCH               256

#define GRANULARITY_DEFAULT 4096
#define GRANULARITY_MAX     (1024 * 1024)

/* What the kernel turned out not to have is found out once and remembered. */
struct store_file {
    struct store store;
    int fd;
    /* Linux forgets the pages it could not write back and reports that once to each open file. What
     * was acknowledged is lost by then, so no flush may claim success again until the file is
     * opened anew. Flushes have an open file of their own: a write with RWF_DSYNC that fails for
     * what was written before it, and cannot be told from one that fails itself, takes nothing away
     * there. They go one by one, so that of two the one that is told nothing comes after
     * flush_failed. */
    int flush_fd;
    pthread_mutex_t flush_lock; /* around fdatasync and the change of flush_failed it calls for */
    atomic_bool flush_failed;
    atomic_bool no_dsync;
    atomic_bool no_nowait;
    atomic_bool no_zero_range;
    struct file_map map;
    struct store_identity opened; /* as it was then */
};

static struct store_file *file_of(struct store *store)
{
    return (struct store_file *)store;
}

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

static const struct store_ops file_ops = {
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

static const char *kind_of_file(mode_t mode)
{
    if (S_ISDIR(mode))
        return "a directory";
    if (S_ISBLK(mode))
        return "a block device";
    return "not a regular file";
}

static uint32_t granularity_of(const struct stat *st)
{
    if (st->st_blksize < 512 || st->st_blksize > GRANULARITY_MAX ||
        !is_power_of_two((uint64_t)st->st_blksize))
        return GRANULARITY_DEFAULT;
    return (uint32_t)st->st_blksize;
}

/* Another open file for the same inode as st, or -errno. */
static int open_again(const struct file_place *place, const struct stat *st)
{
    CLEANUP_CLOSE int fd = file_place_open_file(place, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    struct stat again;

    if (fd < 0)
        return fd;
    if (fstat(fd, &again) < 0)
        return -errno;
    if (again.st_dev != st->st_dev || again.st_ino != st->st_ino)
        return -ESTALE;
    return TAKE_FD(fd);
}

/* One user at a time, or several that only read. */
static int lock(int fd, const char *path, bool exclusive, struct errmsg *err)
{
    char holder[PROCESS_NAME_BYTES];
    int error = file_lock(fd, exclusive, holder, sizeof(holder));

    if (error == -EBUSY)
        return errmsg_set(err, error,
                          "%s is in use by %s and can have only one user at a time; delete the LUN "
                          "that serves it, or wait until that program has ended",
                          path, holder);
    if (error)
        errmsg_set(err, error, "%s cannot be locked: %s", path, strerror(-error));
    return error;
}

/* Refuses a file that another program, which knows nothing of our lock, may write to. */
static int refuse_other_users(const struct file_place *place, const char *path, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = file_place_open_file(place, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    char user[FILE_USERS_BYTES];
    struct stat st;
    int error;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !file_users_find(fd, user, sizeof(user)))
        return 0;
    /* One that has our lock is named by that. */
    error = lock(fd, path, false, err);
    if (error)
        return error;
    return errmsg_set(err, -EBUSY,
                      "%s %s, which would write to it beside us; end that, and try again", path,
                      user);
}

/* How a file is opened. */
enum access {
    ACCESS_WRITE, /* with the file to itself */
    ACCESS_READ,  /* shared with other readers */
    ACCESS_LOOK,  /* also when it is in use */
};

/* Checks what was opened, locks it and wraps it up. Takes fd over, also on failure. path: for
 * messages. */
static int make_store(int fd_given, const struct file_place *place, const char *path,
                      enum access access, struct store **ret, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = fd_given;
    CLEANUP_CLOSE int flush_fd = -1;
    struct store_file *file;
    struct stat st;
    int error;

    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return errmsg_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
                          "%s is %s; a volume is a regular file", path, kind_of_file(st.st_mode));
    error = access == ACCESS_LOOK ? 0 : lock(fd, path, access == ACCESS_WRITE, err);
    if (error)
        return error;
    /* Only now is the size one that stays. */
    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    flush_fd = open_again(place, &st);
    if (flush_fd < 0)
        return errmsg_set(err, flush_fd, "%s cannot be opened a second time: %s", path,
                          strerror(-flush_fd));
    file = calloc(1, sizeof(*file));
    if (!file)
        return errmsg_set(err, -ENOMEM, "%s cannot be opened: out of memory", path);
    error = file_identity(fd, &file->opened);
    if (error) {
        free(file);
        return errmsg_set(err, error, "%s cannot be examined: %s", path, strerror(-error));
    }
    pthread_mutex_init(&file->flush_lock, NULL);
    file->store.ops = &file_ops;
    file->store.size_bytes = (uint64_t)st.st_size;
    file->store.granularity_bytes = granularity_of(&st);
    file_map_init(&file->map, fd, file->store.granularity_bytes);
    if (access != ACCESS_LOOK)
        file->store.can_anchor = file_probe_anchor(fd, place, file->store.granularity_bytes);
    file->fd = TAKE_FD(fd);
    file->flush_fd = TAKE_FD(flush_fd);
    *ret = &file->store;
    return 0;
}

static int open_error(const char *path, int error, struct errmsg *err)
{
    if (error == EISDIR)
        return errmsg_set(err, -error, "%s is a directory; a volume is a regular file", path);
    if (error == ENOENT)
        return errmsg_set(err, -error, "%s does not exist", path);
    if (error == EEXIST)
        return errmsg_set(err, -error, "%s exists already", path);
    return errmsg_set(err, -error, "%s cannot be opened: %s", path, strerror(error));
}

static int open_file(const char *path, enum access access, struct store **ret, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    int flags = (access == ACCESS_WRITE ? O_RDWR : O_RDONLY) | O_NONBLOCK | O_NOCTTY;
    struct store *store = NULL;
    int error = file_place_open(path, &place, err);
    int fd;

    if (error)
        return error == -ENOENT || error == -EISDIR ? open_error(path, -error, err) : error;
    error = access == ACCESS_WRITE ? refuse_other_users(&place, path, err) : 0;
    if (error)
        return error;
    /* O_NONBLOCK: a FIFO in the file's place is refused, not waited for. */
    fd = file_place_open_file(&place, flags, 0);
    if (fd < 0)
        return open_error(path, -fd, err);
    error = make_store(fd, &place, path, access, &store, err);
    if (error)
        return error;
    if (access == ACCESS_WRITE)
        error = file_probe_holes(file_of(store)->fd, &place, path, store->granularity_bytes, false,
                                 err);
    if (error) {
        store_close(store);
        return error;
    }
    *ret = store;
    return 0;
}

int store_file_open(const char *path, bool read_only, struct store **ret, struct errmsg *err)
{
    return open_file(path, read_only ? ACCESS_READ : ACCESS_WRITE, ret, err);
}

int store_file_look(const char *path, struct store **ret, char *user, size_t size,
                    struct errmsg *err)
{
    int error = open_file(path, ACCESS_LOOK, ret, err);

    if (!error && !file_lock_holder(file_of(*ret)->fd, user, size))
        user[0] = '\0';
    return error;
}

static int prepare_new(struct store *store, const struct file_place *place, const char *path,
                       uint64_t bytes, struct errmsg *err)
{
    int error = store_resize(store, bytes);

    if (error == -EFBIG || error == -EINVAL)
        return errmsg_set(err, -EFBIG, "%s: its file system has no files as large as %llu bytes",
                          path, (unsigned long long)bytes);
    if (!error)
        error =
            file_probe_holes(file_of(store)->fd, place, path, store->granularity_bytes, true, err);
    else
        errmsg_set(err, error, "%s cannot be made %llu bytes long: %s", path,
                   (unsigned long long)bytes, strerror(-error));
    if (error)
        return error;
    if (fsync(file_of(store)->fd) < 0)
        error = -errno;
    else
        error = file_place_sync(place);
    if (error)
        errmsg_set(err, error, "%s cannot be made durable: %s", path, strerror(-error));
    return error;
}

int store_file_create(const char *path, uint64_t bytes, struct store **ret, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    struct store *store = NULL;
    int error = file_place_open_name(path, &place, err);
    int fd;

    if (error == -ENOENT)
        return errmsg_set(err, error, "%s cannot be created: its directory does not exist", path);
    if (error)
        return error == -EISDIR ? open_error(path, -error, err) : error;
    fd = file_place_open_file(&place, O_RDWR | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return open_error(path, -fd, err);
    error = make_store(fd, &place, path, ACCESS_WRITE, &store, err);
    if (!error)
        error = prepare_new(store, &place, path, bytes, err);
    if (error) {
        store_close(store);
        unlinkat(place.folder, place.name, 0);
        return error;
    }
    *ret = store;
    return 0;
}
