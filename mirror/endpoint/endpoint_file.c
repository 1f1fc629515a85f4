/* SPDX-License-Identifier: Apache-2.0 */
#include "endpoint_kinds.h"

/* A raw file, or a block device that is not reached by SCSI commands: system calls on a pool of
 * threads. The map is that of the file system (data and holes); a block device has none, so all of
 * it counts as mapped.
 *
 * Zeroing is fallocate(2) for both. PUNCH_HOLE is specified to leave zeros, on a block device too:
 * there it is refused when the device cannot promise that, other than BLKDISCARD, which promises
 * nothing. Next ZERO_RANGE, which a block device always has, at worst by writing; then writes. */

#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "device.h"
#include "file_lock.h"
#include "file_users.h"
#include "holes.h"
#include "image_format.h"
#include "shell_word.h"
#include "workpool.h"

#define FILE_THREADS        8
#define FILE_BLOCK_SIZE     512
#define MAX_TRANSFER_BYTES  (UINT64_C(16) << 20)
#define MAX_ZERO_BYTES      (UINT64_C(1) << 30)
#define MAX_EXTENTS_PER_MAP 4096
#define ZERO_CHUNK_BYTES    (64 * 1024)
#define IOV_CHUNK           64

enum zero_method { ZERO_BY_PUNCH, ZERO_BY_ZERO_RANGE, ZERO_BY_WRITE };

struct file_endpoint {
    struct endpoint base;
    struct workpool *pool;
    int fd;
    bool is_block_device;
    bool has_name; /* had one when it was opened */
    uint64_t bytes;
    uint32_t granularity_bytes;
    /* The first method not known to be refused; only ever goes up. Set by any worker. */
    _Atomic enum zero_method zero_method;
    char name[];
};

struct file_work {
    struct work work;
    struct file_endpoint *file;
    struct endpoint_request *request;
};

/* Bytes of the request's iov from position on, at most IOV_CHUNK pieces of them. */
static int iov_slice(const struct iovec *iov, int count, uint64_t position,
                     struct iovec slice[static IOV_CHUNK])
{
    int used = 0;

    for (int i = 0; i < count && used < IOV_CHUNK; i++) {
        if (position >= iov[i].iov_len) {
            position -= iov[i].iov_len;
            continue;
        }
        slice[used].iov_base = (char *)iov[i].iov_base + position;
        slice[used++].iov_len = iov[i].iov_len - position;
        position = 0;
    }
    return used;
}

static int transfer(const struct file_endpoint *file, struct endpoint_request *request)
{
    const uint32_t block_size = file->base.info.block_size;
    const uint64_t offset = request->lba * block_size, length = request->blocks * block_size;
    uint64_t done = 0;

    while (done < length) {
        struct iovec slice[IOV_CHUNK];
        int count = iov_slice(request->iov, request->iov_count, done, slice);
        off_t at = (off_t)(offset + done);
        ssize_t n = request->op == ENDPOINT_READ ? preadv(file->fd, slice, count, at)
                                                 : pwritev(file->fd, slice, count, at);

        if (n < 0 && errno == EINTR)
            continue;
        request->error_lba = request->lba + done / block_size;
        if (n < 0) {
            /* The kernel's words for a disk below the file that cannot read. */
            request->unreadable =
                request->op == ENDPOINT_READ && (errno == EIO || errno == ENODATA);
            return errno == ENODATA ? -EIO : -errno;
        }
        if (n == 0)
            return -EIO; /* the file has become shorter */
        done += (uint64_t)n;
    }
    return 0;
}

static int write_zeros(const struct file_endpoint *file, uint64_t offset, uint64_t length)
{
    static const char zeros[ZERO_CHUNK_BYTES];

    while (length > 0) {
        ssize_t n = pwrite(file->fd, zeros, min_u64(length, sizeof(zeros)), (off_t)offset);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? -errno : -EIO;
        offset += (uint64_t)n;
        length -= (uint64_t)n;
    }
    return 0;
}

/* 0, -errno, or -EOPNOTSUPP when this method is none for this file. */
static int zero_by(const struct file_endpoint *file, enum zero_method method, uint64_t offset,
                   uint64_t length)
{
    int mode = method == ZERO_BY_PUNCH ? FALLOC_FL_PUNCH_HOLE : FALLOC_FL_ZERO_RANGE;

    if (method == ZERO_BY_WRITE)
        return write_zeros(file, offset, length);
    while (fallocate(file->fd, mode | FALLOC_FL_KEEP_SIZE, (off_t)offset, (off_t)length) < 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            return -EOPNOTSUPP;
        if (errno != EINTR)
            return -errno;
    }
    return 0;
}

static int zero(struct file_endpoint *file, struct endpoint_request *request)
{
    const uint32_t block_size = file->base.info.block_size;
    const uint64_t offset = request->lba * block_size, length = request->blocks * block_size;
    enum zero_method method = atomic_load(&file->zero_method);
    int r;

    while ((r = zero_by(file, method, offset, length)) == -EOPNOTSUPP && method < ZERO_BY_WRITE) {
        enum zero_method expected = method++;

        atomic_compare_exchange_strong(&file->zero_method, &expected, method);
    }
    /* What does not fill a unit of the file system is zeroed there, not given back. */
    request->deallocated =
        r == 0 && method == ZERO_BY_PUNCH && offset % file->granularity_bytes == 0 &&
        (length % file->granularity_bytes == 0 || offset + length == file->bytes);
    return r;
}

/* Someone may cut the file short while it is copied. That there are no data behind its end says
 * nothing then about what was there. */
static int check_whole(const struct file_endpoint *file)
{
    struct stat st;

    if (fstat(file->fd, &st) < 0)
        return -errno;
    return file->is_block_device || (uint64_t)st.st_size >= file->bytes ? 0 : -EIO;
}

/* The end of what is alike from start on, in bytes, block-aligned; blocks that are only partly a
 * hole are mapped. */
static int next_extent(const struct file_endpoint *file, uint64_t start, uint64_t limit,
                       uint64_t *ret_end, enum extent_status *ret_status)
{
    const uint64_t block_size = file->base.info.block_size;
    off_t data = lseek(file->fd, (off_t)start, SEEK_DATA), hole;
    int r = data < 0 && errno != ENXIO ? -errno : data < 0 ? check_whole(file) : 0;

    if (r < 0)
        return r;
    *ret_end = data < 0 ? limit : min_u64((uint64_t)data / block_size * block_size, limit);
    *ret_status = EXTENT_DEALLOCATED;
    if (*ret_end > start)
        return 0;
    hole = lseek(file->fd, data, SEEK_HOLE);
    if (hole < 0)
        return -errno;
    *ret_end = min_u64(((uint64_t)hole + block_size - 1) / block_size * block_size, limit);
    *ret_status = EXTENT_MAPPED;
    return 0;
}

static int map(const struct file_endpoint *file, struct endpoint_request *request)
{
    const uint64_t block_size = file->base.info.block_size;
    const uint64_t limit = (request->lba + request->blocks) * block_size;
    uint64_t start = request->lba * block_size, end = limit;
    enum extent_status status = EXTENT_MAPPED;

    if (!file->base.info.can_map)
        return extent_list_append(request->map, request->lba, request->blocks, EXTENT_MAPPED);
    for (int i = 0; i < MAX_EXTENTS_PER_MAP && start < limit; i++, start = end) {
        int r = next_extent(file, start, limit, &end, &status);

        if (r == 0)
            r = extent_list_append(request->map, start / block_size, (end - start) / block_size,
                                   status);
        if (r < 0)
            return r;
    }
    return 0;
}

/* What is written to a file that somebody deletes meanwhile is gone with it, and what is called
 * the copy is another file when it is renamed. */
static int check_kept(const struct file_endpoint *file)
{
    struct stat st, named;

    if (fstat(file->fd, &st) < 0)
        return -errno;
    if (!file->has_name)
        return 0;
    if (st.st_nlink == 0)
        return -ENOENT;
    if (stat(file->name, &named) < 0)
        return errno == ENOENT ? -ENOENT : 0; /* what cannot be looked at may be there */
    return named.st_dev == st.st_dev && named.st_ino == st.st_ino ? 0 : -ENOENT;
}

static int flush(const struct file_endpoint *file)
{
    int r = 0;

    if (!file->base.info.writable)
        return 0;
    if (fsync(file->fd) < 0)
        r = -errno;
    if (r == 0)
        r = check_whole(file);
    return r < 0 ? r : check_kept(file);
}

/* Dirty pages cannot be dropped, and others may have made them, so this is for a read-only file,
 * too. That pages are dropped is a hint to the kernel: a file system that keeps its data in them
 * (tmpfs) has nothing else to read from. */
static int file_forget(struct endpoint *endpoint)
{
    const struct file_endpoint *file = (const struct file_endpoint *)endpoint;

    if (fdatasync(file->fd) < 0)
        return -errno;
    return -posix_fadvise(file->fd, 0, 0, POSIX_FADV_DONTNEED);
}

static uint64_t file_last_change(struct endpoint *endpoint)
{
    return endpoint_fd_last_change(((const struct file_endpoint *)endpoint)->fd);
}

static void run(struct work *work)
{
    struct file_work *item = (struct file_work *)work;
    struct endpoint_request *request = item->request;

    switch (request->op) {
    case ENDPOINT_READ:
    case ENDPOINT_WRITE:
        request->result = transfer(item->file, request);
        break;
    case ENDPOINT_ZERO:
        request->result = zero(item->file, request);
        break;
    case ENDPOINT_MAP:
        request->result = map(item->file, request);
        break;
    case ENDPOINT_FLUSH:
        request->result = flush(item->file);
        break;
    case ENDPOINT_RESERVE: /* never gets here: a file is no SCSI unit */
        request->result = -EOPNOTSUPP;
        break;
    }
}

static void count(struct endpoint_counters *counters, const struct endpoint_request *request)
{
    switch (request->op) {
    case ENDPOINT_READ:
        counters->reads++;
        counters->read_blocks += request->blocks;
        break;
    case ENDPOINT_WRITE:
        counters->writes++;
        counters->written_blocks += request->blocks;
        break;
    case ENDPOINT_ZERO:
        counters->zeros++;
        counters->zeroed_blocks += request->blocks;
        break;
    case ENDPOINT_MAP:
        counters->maps++;
        break;
    case ENDPOINT_FLUSH:
        counters->flushes++;
        break;
    case ENDPOINT_RESERVE:
        break;
    }
}

/* EBADE is how Linux hands a RESERVATION CONFLICT of the disk below on. */
static const char *reason(int r)
{
    if (r == -EBADE)
        return "another initiator has reserved the disk (reservation conflict)";
    return r == -ENOENT ? "somebody has deleted or renamed the file" : strerror(-r);
}

static void explain(const struct file_endpoint *file, struct endpoint_request *request)
{
    static const char *const names[] = {"reading", "writing",  "zeroing",
                                        "mapping", "flushing", "reserving"};
    const char *what = names[request->op];
    int r = request->result;

    if (request->op == ENDPOINT_FLUSH)
        errmsg_set(&request->error, r, "%s: flushing failed: %s", file->name, reason(r));
    else
        errmsg_set(&request->error, r, "%s: %s %llu block%s at LBA %llu failed: %s", file->name,
                   what, (unsigned long long)request->blocks, request->blocks == 1 ? "" : "s",
                   (unsigned long long)request->lba, reason(r));
}

static void finished(struct work *work)
{
    struct file_work *item = (struct file_work *)work;
    struct endpoint_request *request = item->request;

    if (request->result < 0)
        explain(item->file, request);
    free(item);
    request->done(request);
}

static int file_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct file_endpoint *file = (struct file_endpoint *)endpoint;
    struct file_work *item = malloc(sizeof(*item));

    if (!item)
        return errmsg_set(&request->error, -ENOMEM, "%s: out of memory", file->name);
    *item = (struct file_work){.work = {.run = run, .done = finished},
                               .file = file,
                               .request = request};
    count(&endpoint->counters, request);
    workpool_submit(file->pool, &item->work);
    return 0;
}

static int file_poll(struct endpoint *endpoint, struct pollfd *ret)
{
    struct file_endpoint *file = (struct file_endpoint *)endpoint;

    *ret = (struct pollfd){.fd = workpool_fd(file->pool), .events = POLLIN};
    return -1;
}

static int file_service(struct endpoint *endpoint, short revents)
{
    struct file_endpoint *file = (struct file_endpoint *)endpoint;

    (void)revents;
    workpool_service(file->pool);
    return 0;
}

static int file_set_block_size(struct endpoint *endpoint, uint32_t block_size)
{
    struct file_endpoint *file = (struct file_endpoint *)endpoint;
    struct endpoint_info *info = &endpoint->info;

    if (!info->any_block_size || block_size == 0 || file->bytes % block_size)
        return -EINVAL;
    info->block_size = block_size;
    info->blocks = file->bytes / block_size;
    info->max_transfer_blocks = (uint32_t)(MAX_TRANSFER_BYTES / block_size);
    info->max_zero_blocks = MAX_ZERO_BYTES / block_size;
    info->unmap_granularity_blocks = (uint32_t)max_u64(file->granularity_bytes / block_size, 1);
    return 0;
}

static void file_close(struct endpoint *endpoint)
{
    struct file_endpoint *file = (struct file_endpoint *)endpoint;

    workpool_destroy(file->pool);
    if (file->fd >= 0)
        close(file->fd);
    free(file);
}

static const struct endpoint_ops file_ops = {
    .close = file_close,
    .submit = file_submit,
    .poll = file_poll,
    .service = file_service,
    .set_block_size = file_set_block_size,
    .forget = file_forget,
    .last_change = file_last_change,
};

static int explain_open(const char *path, bool writable, int error, struct errmsg *err)
{
    char user[256], word[SHELL_WORD_BYTES];
    struct stat st;

    if (error == ENOENT && writable && strncmp(path, "/dev/", 5) != 0)
        return errmsg_set(err, -ENOENT,
                          "%s: no such file; nothing is created here by itself: make an empty one "
                          "of the right size with truncate -s BYTES %s",
                          path, shell_word(path, word, sizeof(word)));
    if (error == EBUSY && stat(path, &st) == 0 && device_find_user(st.st_rdev, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten", path, user);
    if (error == EBUSY)
        return errmsg_set(err, -EBUSY, "%s: mounted, or held by another program", path);
    return errmsg_set(err, -error, "%s: %s", path, strerror(error));
}

/* When the file was made, in ns, 0 where the file system does not know: the number of an inode is
 * given to a new file soon after the old one is gone. */
static unsigned long long birth_of(int fd)
{
    struct statx st;

    if (statx(fd, "", AT_EMPTY_PATH, STATX_BTIME, &st) < 0 || !(st.stx_mask & STATX_BTIME))
        return 0;
    return (unsigned long long)st.stx_btime.tv_sec * 1000000000ULL + st.stx_btime.tv_nsec;
}

static int check_format(const struct file_endpoint *file, const struct stat *st, struct errmsg *err)
{
    const struct image_format *format = image_format_of(file->fd, (uint64_t)st->st_size);
    char advice[768];

    if (!format)
        return 0;
    return errmsg_set(err, -EMEDIUMTYPE,
                      "%s: it is %s, not a raw file: %s. --format=raw takes it as it is, block by "
                      "block",
                      file->name, format->name,
                      image_format_advice(format, file->name, advice, sizeof(advice)));
}

static int open_regular(struct file_endpoint *file, struct stat *st, struct errmsg *err)
{
    struct endpoint_info *info = &file->base.info;
    char user[256];
    struct statfs system;
    int r = file_lock(file->fd, info->writable, user, sizeof(user));

    /* Who held the lock just now may have made it longer. */
    if (r == 0 && fstat(file->fd, st) < 0)
        r = -errno;

    if (r == -EBUSY)
        return errmsg_set(err, r, "%s: locked by %s, which serves or copies it", file->name, user);
    if (r < 0)
        return errmsg_set(err, r, "%s: cannot be locked: %s", file->name, strerror(-r));
    if (info->writable && device_find_loop(st, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten", file->name, user);
    info->kind = "file";
    info->any_block_size = true;
    info->block_size = FILE_BLOCK_SIZE;
    info->can_map = lseek(file->fd, 0, SEEK_DATA) >= 0 || errno == ENXIO;
    info->can_unmap = true;
    info->thin = true;
    info->unmapped_reads_zeros = true;
    info->unmapped_is_certain = fstatfs(file->fd, &system) == 0 && holes_are_certain(&system);
    file->bytes = (uint64_t)st->st_size;
    file->has_name = st->st_nlink > 0;
    file->granularity_bytes = (uint32_t)max_u64((uint64_t)st->st_blksize, FILE_BLOCK_SIZE);
    snprintf(info->identity, sizeof(info->identity), "file.%llx.%llu.%llx",
             (unsigned long long)st->st_dev, (unsigned long long)st->st_ino, birth_of(file->fd));
    return 0;
}

static int open_block_device(struct file_endpoint *file, const struct stat *st, struct errmsg *err)
{
    struct endpoint_info *info = &file->base.info;
    int block_size = 0;
    char user[256];

    if (info->writable && device_find_loop(st, user, sizeof(user)))
        return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten", file->name, user);
    if (info->writable && device_check_writable(file->fd, file->name, err) < 0)
        return -EROFS;
    if (ioctl(file->fd, BLKGETSIZE64, &file->bytes) < 0 ||
        ioctl(file->fd, BLKSSZGET, &block_size) < 0)
        return errmsg_set(err, -errno, "%s: its size is not known: %s", file->name,
                          strerror(errno));
    /* What another initiator has written may not be what is cached here. */
    ioctl(file->fd, BLKFLSBUF, 0);
    info->kind = "block";
    info->block_size = (uint32_t)block_size;
    info->thin = device_number(st->st_rdev, "queue/discard_max_bytes") > 0;
    /* That it discards promises no zeros; a dm-thin device refuses PUNCH_HOLE and is written to. */
    info->can_unmap = info->thin && device_number(st->st_rdev, "queue/write_zeroes_max_bytes") > 0;
    file->is_block_device = true;
    file->granularity_bytes =
        (uint32_t)max_u64(device_number(st->st_rdev, "queue/discard_granularity"),
                          info->block_size);
    device_identity(st->st_rdev, info->identity, sizeof(info->identity));
    return 0;
}

/* Who writes to the file beside us, or has read what is about to change: before it is opened for
 * writing here, as that could not be told apart then. Who has a lock of ours is named by that. */
static int check_users(const struct file_endpoint *file, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = open(file->name, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char user[FILE_USERS_BYTES], holder[256];
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) ||
        !file_users_find(fd, user, sizeof(user)) ||
        file_lock(fd, true, holder, sizeof(holder)) == -EBUSY)
        return 0;
    return errmsg_set(err, -EBUSY, "%s %s; it would be overwritten: end that, or name another one",
                      file->name, user);
}

static int file_open(struct file_endpoint *file, unsigned flags, struct errmsg *err)
{
    struct endpoint_info *info = &file->base.info;
    bool device = device_kind_of(file->name) != DEVICE_NONE;
    struct stat st;
    int r;

    info->name = file->name;
    info->writable = flags & ENDPOINT_WRITABLE;
    r = info->writable && !device ? check_users(file, err) : 0;
    if (r < 0)
        return r;
    file->fd = open(file->name, (info->writable ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK |
                                    (info->writable && device ? O_EXCL : 0));
    if (file->fd < 0)
        return explain_open(file->name, info->writable, errno, err);
    if (fstat(file->fd, &st) < 0)
        return explain_open(file->name, info->writable, errno, err);
    r = S_ISREG(st.st_mode) && !(flags & ENDPOINT_RAW) ? check_format(file, &st, err) : 0;
    if (r < 0)
        return r;
    if (S_ISBLK(st.st_mode))
        r = open_block_device(file, &st, err);
    else if (S_ISREG(st.st_mode))
        r = open_regular(file, &st, err);
    else
        r = errmsg_set(err, S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL,
                       "%s: neither a file nor a block device", file->name);
    if (r < 0)
        return r;
    if (file->bytes == 0)
        return errmsg_set(err, -EINVAL, "%s: it is empty (0 bytes)", file->name);
    if (file->bytes % info->block_size)
        return errmsg_set(
            err, -EINVAL,
            "%s: its size of %llu bytes is no multiple of %u; truncate -s %%%u rounds it",
            file->name, (unsigned long long)file->bytes, info->block_size, info->block_size);
    info->blocks = file->bytes / info->block_size;
    info->max_transfer_blocks = (uint32_t)(MAX_TRANSFER_BYTES / info->block_size);
    info->max_zero_blocks = MAX_ZERO_BYTES / info->block_size;
    info->unmap_granularity_blocks = file->granularity_bytes / info->block_size;
    r = workpool_create(FILE_THREADS, &file->pool);
    return r < 0 ? errmsg_set(err, r, "%s: no threads: %s", file->name, strerror(-r)) : 0;
}

int endpoint_file_open(const char *path, unsigned flags, struct endpoint **ret, struct errmsg *err)
{
    struct file_endpoint *file = calloc(1, sizeof(*file) + strlen(path) + 1);
    int r;

    if (!file)
        return errmsg_set(err, -ENOMEM, "%s: out of memory", path);
    file->base.ops = &file_ops;
    file->fd = -1;
    strcpy(file->name, path);
    r = file_open(file, flags, err);
    if (r < 0) {
        file_close(&file->base);
        return r;
    }
    *ret = &file->base;
    return 0;
}
