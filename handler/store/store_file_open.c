/* SPDX-License-Identifier: Apache-2.0 */

/* Opening, looking at and creating a file that is a store. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_identity.h"
#include "file_lock.h"
#include "file_place.h"
#include "file_probe.h"
#include "file_users.h"
#include "process_name.h"
#include "store_file.h"
#include "store_file_internal.h"

#define GRANULARITY_DEFAULT 4096
#define GRANULARITY_MAX     (1024 * 1024)

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
    file->store.ops = &store_file_ops;
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

/* A store over a file that no one else can open. Takes fd over, also on failure. */
static int wrap_scratch(int fd_given, const char *path, struct store **ret, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = fd_given;
    CLEANUP_CLOSE int flush_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    struct store_file *file = calloc(1, sizeof(*file));
    struct stat st;

    if (!file || flush_fd < 0 || fstat(fd, &st) < 0) {
        int error = file ? -errno : -ENOMEM;

        free(file);
        return errmsg_set(err, error, "a file beside %s cannot be used: %s", path,
                          strerror(-error));
    }
    pthread_mutex_init(&file->flush_lock, NULL);
    file->store.ops = &store_file_ops;
    file->store.granularity_bytes = granularity_of(&st);
    file_map_init(&file->map, fd, file->store.granularity_bytes);
    file->fd = TAKE_FD(fd);
    file->flush_fd = TAKE_FD(flush_fd);
    *ret = &file->store;
    return 0;
}

int store_file_scratch(const char *path, uint64_t bytes, struct store **ret, struct errmsg *err)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    int error = file_place_open(path, &place, err);
    struct store *store = NULL;
    int fd;

    if (error)
        return error;
    fd = openat(place.folder, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd < 0)
        return errmsg_set(err, -errno, "no file without a name can be made beside %s: %s", path,
                          strerror(errno));
    error = wrap_scratch(fd, path, &store, err);
    if (error)
        return error;
    error = store_resize(store, bytes);
    if (error) {
        store_close(store);
        return errmsg_set(err, error, "a file beside %s cannot be made %llu bytes long: %s", path,
                          (unsigned long long)bytes, strerror(-error));
    }
    *ret = store;
    return 0;
}
