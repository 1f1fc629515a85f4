/* SPDX-License-Identifier: Apache-2.0 */

/* What is peculiar to the file store: what it opens, whom it names, and what it does when the
 * kernel gives less than was asked for. The system calls of the store are wrapped by the linker. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "joined_extent.h"
#include "scratch.h"
#include "skip.h"
#include "store_file.h"

#define GRANULE 4096
#define SIZE    (64 * GRANULE)

/* What the wrapped calls are to do. */
static struct {
    bool interrupt;         /* every other call ends with EINTR */
    size_t most;            /* transfer no more than this at once; 0: no limit */
    int fsync_error;        /* fdatasync fails with this, once */
    int dsync_error;        /* a write with RWF_DSYNC fails with this */
    int zero_error;         /* FALLOC_FL_ZERO_RANGE fails with this */
    atomic_uint fdatasyncs; /* counted */
    int written_fd;         /* by the last write */
    int flushed_fd;         /* by the last fdatasync */
    sem_t *slow;            /* the first fdatasync posts it, and waits a while for a second one */
    unsigned calls;
} inject;

static bool interrupted(void)
{
    if (!inject.interrupt || inject.calls++ % 2 == 1)
        return false;
    errno = EINTR;
    return true;
}

/* The first bytes of the list, as one element of it. */
static struct iovec shortened(const struct iovec *iov, int count)
{
    struct iovec first = {0};

    for (int i = 0; i < count && first.iov_len == 0; i++)
        first = iov[i];
    if (first.iov_len > inject.most)
        first.iov_len = inject.most;
    return first;
}

ssize_t __real_preadv64(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int count, off_t offset);
ssize_t __real_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags);
int __real_fdatasync(int fd);
int __wrap_fdatasync(int fd);
int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);

ssize_t __wrap_preadv64(int fd, const struct iovec *iov, int count, off_t offset)
{
    struct iovec first;

    if (interrupted())
        return -1;
    if (inject.most == 0)
        return __real_preadv64(fd, iov, count, offset);
    first = shortened(iov, count);
    return __real_preadv64(fd, &first, 1, offset);
}

ssize_t __wrap_pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    struct iovec first;

    inject.written_fd = fd;
    if (interrupted())
        return -1;
    if (flags & RWF_DSYNC && inject.dsync_error) {
        errno = inject.dsync_error;
        return -1;
    }
    if (inject.most == 0)
        return __real_pwritev64v2(fd, iov, count, offset, flags);
    first = shortened(iov, count);
    return __real_pwritev64v2(fd, &first, 1, offset, flags);
}

int __wrap_fdatasync(int fd)
{
    int error = inject.fsync_error;

    if (interrupted())
        return -1;
    inject.fdatasyncs++;
    inject.fsync_error = 0;
    inject.flushed_fd = fd;
    if (inject.slow && inject.fdatasyncs == 1) {
        sem_post(inject.slow);
        for (int i = 0; i < 30 && inject.fdatasyncs == 1; i++)
            usleep(10000);
    }
    if (error) {
        errno = error;
        return -1;
    }
    return __real_fdatasync(fd);
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
    if (interrupted())
        return -1;
    if (mode & FALLOC_FL_ZERO_RANGE && inject.zero_error) {
        errno = inject.zero_error;
        return -1;
    }
    return __real_fallocate64(fd, mode, offset, length);
}

struct bench {
    struct scratch scratch;
    struct store *store;
    char path[128];
};

static int setup(void **state)
{
    struct bench *bench = calloc(1, sizeof(*bench));
    struct errmsg err;

    assert_non_null(bench);
    memset(&inject, 0, sizeof(inject));
    scratch_make(&bench->scratch);
    snprintf(bench->path, sizeof(bench->path), "%s", scratch_path(&bench->scratch, "store"));
    assert_int_equal(store_file_create(bench->path, SIZE, &bench->store, &err), 0);
    *state = bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *bench = *state;

    memset(&inject, 0, sizeof(inject));
    store_close(bench->store);
    scratch_remove(&bench->scratch);
    free(bench);
    return 0;
}

static int write_byte(struct store *store, uint64_t offset, size_t length, uint8_t byte, bool fua)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov[2] = {{bytes, length / 3}, {bytes + length / 3, length - length / 3}};
    int error;

    assert_non_null(bytes);
    memset(bytes, byte, length);
    error = store_write(store, iov, 2, offset, fua);
    free(bytes);
    return error;
}

static void assert_bytes(struct store *store, uint64_t offset, size_t length, uint8_t byte)
{
    uint8_t *bytes = malloc(length);
    struct iovec iov[2] = {{bytes, length / 3}, {bytes + length / 3, length - length / 3}};

    assert_non_null(bytes);
    assert_int_equal(store_read(store, iov, 2, offset), 0);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte);
    free(bytes);
}

static void assert_refused(const char *path, bool read_only, int expected, const char *words)
{
    struct store *store = NULL;
    struct errmsg err = {""};

    assert_int_equal(store_file_open(path, read_only, &store, &err), expected);
    assert_null(store);
    if (!strstr(err.text, path) || !strstr(err.text, words))
        fail_msg("no \"%s\" in: %s", words, err.text);
}

static void short_transfers_and_interruptions_lose_nothing(void **state)
{
    struct bench *bench = *state;

    inject.interrupt = true;
    inject.most = 777;
    assert_int_equal(write_byte(bench->store, 100, 3 * GRANULE, 0x31, false), 0);
    assert_int_equal(write_byte(bench->store, 5 * GRANULE, GRANULE, 0x32, true), 0);
    assert_bytes(bench->store, 0, 100, 0);
    assert_bytes(bench->store, 100, 3 * GRANULE, 0x31);
    assert_bytes(bench->store, 5 * GRANULE, GRANULE, 0x32);
    assert_int_equal(store_flush(bench->store), 0);
    assert_int_equal(store_punch(bench->store, 0, GRANULE), 0);
    assert_int_equal(store_zero(bench->store, GRANULE, GRANULE), 0);
    assert_bytes(bench->store, 0, 2 * GRANULE, 0);
}

static void a_flush_that_failed_keeps_failing_until_the_file_is_opened_anew(void **state)
{
    struct bench *bench = *state;
    struct errmsg err;

    inject.fsync_error = EIO;
    assert_int_equal(store_flush(bench->store), -EIO);
    assert_int_equal(store_flush(bench->store), -EIO);
    assert_int_equal(write_byte(bench->store, 0, 512, 1, true), -EIO);
    assert_int_equal(write_byte(bench->store, 0, 512, 1, false), 0);
    assert_bytes(bench->store, 0, 512, 1);
    store_close(bench->store);
    assert_int_equal(store_file_open(bench->path, false, &bench->store, &err), 0);
    assert_int_equal(store_flush(bench->store), 0);
}

static void *flush_in_thread(void *store)
{
    return (void *)(intptr_t)store_flush(store);
}

/* Linux tells one of two concurrent flushes only. */
static void a_flush_beside_one_that_fails_fails_too(void **state)
{
    struct bench *bench = *state;
    pthread_t thread;
    void *result;
    sem_t begun;

    sem_init(&begun, 0, 0);
    inject.slow = &begun;
    inject.fsync_error = EIO;
    assert_int_equal(pthread_create(&thread, NULL, flush_in_thread, bench->store), 0);
    while (sem_wait(&begun) < 0)
        continue;
    assert_int_equal(store_flush(bench->store), -EIO);
    assert_int_equal(pthread_join(thread, &result), 0);
    assert_int_equal((intptr_t)result, -EIO);
    sem_destroy(&begun);
}

/* What a durable write is told of earlier ones that were lost, flushes are told as well. */
static void flushes_have_an_open_file_of_their_own(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(write_byte(bench->store, 0, 512, 1, true), 0);
    assert_int_equal(store_flush(bench->store), 0);
    assert_true(lseek(inject.written_fd, 512, SEEK_SET) == 512);
    assert_true(lseek(inject.flushed_fd, 0, SEEK_CUR) == 0);
}

static void a_durable_write_that_failed_makes_flushes_fail_too(void **state)
{
    struct bench *bench = *state;

    inject.dsync_error = EIO;
    assert_int_equal(write_byte(bench->store, 0, 512, 1, true), -EIO);
    inject.dsync_error = 0;
    assert_int_equal(store_flush(bench->store), -EIO);
}

static void a_durable_write_that_found_no_space_does_not(void **state)
{
    struct bench *bench = *state;

    inject.dsync_error = EDQUOT;
    assert_int_equal(write_byte(bench->store, 0, 512, 1, true), -ENOSPC);
    inject.dsync_error = 0;
    assert_int_equal(write_byte(bench->store, 0, 512, 1, true), 0);
    assert_int_equal(store_flush(bench->store), 0);
}

static void without_durable_writes_a_flush_follows_the_write(void **state)
{
    struct bench *bench = *state;

    inject.dsync_error = EOPNOTSUPP;
    assert_int_equal(write_byte(bench->store, 0, 512, 7, true), 0);
    assert_int_equal(inject.fdatasyncs, 1);
    assert_bytes(bench->store, 0, 512, 7);
    inject.fsync_error = EIO;
    assert_int_equal(write_byte(bench->store, 0, 512, 7, true), -EIO);
}

static void without_zero_range_zeros_are_written(void **state)
{
    struct bench *bench = *state;

    assert_int_equal(write_byte(bench->store, 0, SIZE, 0x41, false), 0);
    assert_int_equal(store_punch(bench->store, 20 * GRANULE, 20 * GRANULE), 0);
    inject.zero_error = EOPNOTSUPP;
    inject.most = 100000;
    assert_int_equal(store_zero(bench->store, 10 * GRANULE + 1, 45 * GRANULE), 0);
    assert_bytes(bench->store, 0, 10 * GRANULE + 1, 0x41);
    assert_bytes(bench->store, 10 * GRANULE + 1, 45 * GRANULE, 0);
    assert_bytes(bench->store, 55 * GRANULE + 1, 9 * GRANULE - 1, 0x41);
    assert_joined_extent(bench->store, 0, SIZE, EXTENT_MAPPED);
}

static void storage_reserved_but_never_written_is_anchored(void **state)
{
    struct bench *bench = *state;
    struct extent extent;
    int fd = open(bench->path, O_RDWR | O_CLOEXEC);
    int error;

    assert_true(fd >= 0);
    error = __real_fallocate64(fd, 0, 8 * GRANULE, 4 * GRANULE);
    close(fd);
    if (error)
        skip_because("this file system cannot reserve storage");
    assert_int_equal(write_byte(bench->store, 9 * GRANULE, GRANULE, 1, false), 0);
    assert_int_equal(store_extent(bench->store, 0, SIZE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_DEALLOCATED);
    if (extent.length != 8 * GRANULE)
        skip_because("this file system does not tell reserved storage from written");
    assert_int_equal(store_extent(bench->store, 8 * GRANULE, SIZE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_ANCHORED);
    assert_int_equal(extent.length, GRANULE);
    assert_int_equal(store_extent(bench->store, 9 * GRANULE, SIZE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_MAPPED);
    assert_int_equal(extent.length, GRANULE);
    assert_int_equal(store_extent(bench->store, 10 * GRANULE, SIZE, &extent), 0);
    assert_int_equal(extent.status, EXTENT_ANCHORED);
    assert_int_equal(extent.length, 2 * GRANULE);
}

static void a_file_cut_short_behind_our_back_is_an_error_and_no_hang(void **state)
{
    struct bench *bench = *state;
    uint8_t byte;
    struct iovec iov = {.iov_base = &byte, .iov_len = 1};
    struct extent extent;

    assert_int_equal(truncate(bench->path, GRANULE), 0);
    assert_int_equal(store_read(bench->store, &iov, 1, GRANULE - 1), 0);
    assert_int_equal(store_read(bench->store, &iov, 1, GRANULE), -EIO);
    assert_int_equal(store_extent(bench->store, 0, GRANULE, &extent), 0);
    assert_int_equal(store_extent(bench->store, GRANULE, SIZE, &extent), -EIO);
}

static void assert_busy(const char *path, bool read_only, pid_t holder)
{
    char words[64];

    snprintf(words, sizeof(words), "in use by process %d (%.15s)", (int)holder,
             program_invocation_short_name);
    assert_refused(path, read_only, -EBUSY, words);
}

static void a_second_open_in_this_process_is_refused(void **state)
{
    struct bench *bench = *state;

    assert_busy(bench->path, false, getpid());
    assert_busy(bench->path, true, getpid());
}

/* Runs in a child that keeps the file locked until the pipe closes. */
static pid_t start_holder(const char *path, int *ret_release)
{
    int ready[2], release[2];
    char byte;
    pid_t child;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(release), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        int fd = open(path, O_RDWR);

        close(release[1]);
        if (fd >= 0 && flock(fd, LOCK_EX) == 0 && write(ready[1], "x", 1) == 1)
            (void)!read(release[0], &byte, 1);
        _exit(0);
    }
    close(ready[1]);
    close(release[0]);
    assert_int_equal(read(ready[0], &byte, 1), 1);
    close(ready[0]);
    *ret_release = release[1];
    return child;
}

static void another_process_is_named(void **state)
{
    struct bench *bench = *state;
    int release;
    pid_t child;

    store_close(bench->store);
    bench->store = NULL;
    child = start_holder(bench->path, &release);
    assert_busy(bench->path, false, child);
    close(release);
    assert_int_equal(waitpid(child, NULL, 0), child);
}

static void readers_share_the_file(void **state)
{
    struct bench *bench = *state;
    struct store *first, *second;
    struct errmsg err;

    store_close(bench->store);
    bench->store = NULL;
    assert_int_equal(store_file_open(bench->path, true, &first, &err), 0);
    assert_int_equal(store_file_open(bench->path, true, &second, &err), 0);
    assert_refused(bench->path, false, -EBUSY, "in use by");
    store_close(first);
    store_close(second);
    assert_int_equal(store_file_open(bench->path, false, &bench->store, &err), 0);
}

static void only_regular_files_that_exist_are_opened(void **state)
{
    struct bench *bench = *state;

    assert_refused(scratch_path(&bench->scratch, "none"), false, -ENOENT, "does not exist");
    assert_false(scratch_exists(scratch_path(&bench->scratch, "none")));
    assert_refused(bench->scratch.directory, false, -EISDIR, "is a directory");
    assert_refused(bench->scratch.directory, true, -EISDIR, "is a directory");
    assert_int_equal(mkfifo(scratch_path(&bench->scratch, "fifo"), 0600), 0);
    assert_refused(scratch_path(&bench->scratch, "fifo"), false, -EINVAL, "not a regular file");
    assert_refused("/dev/null", false, -EINVAL, "not a regular file");
}

static void creating_refuses_what_exists_and_leaves_nothing_behind(void **state)
{
    struct bench *bench = *state;
    struct store *store = NULL;
    struct errmsg err;

    assert_int_equal(store_file_create(bench->path, SIZE, &store, &err), -EEXIST);
    assert_int_equal(store_file_create(scratch_path(&bench->scratch, "no/where"), SIZE, &store,
                                       &err),
                     -ENOENT);
    assert_non_null(strstr(err.text, "directory"));
    assert_null(store);
    assert_int_equal(scratch_count(&bench->scratch), 1);
}

static void a_file_larger_than_the_file_system_has_is_refused(void **state)
{
    struct bench *bench = *state;
    const char *path = scratch_path(&bench->scratch, "big");
    struct store *store = NULL;
    struct errmsg err;
    int error = store_file_create(path, INT64_MAX - 4095, &store, &err);

    store_close(store);
    if (error == 0)
        skip_because("this file system has files of any size");
    assert_int_equal(error, -EFBIG);
    assert_non_null(strstr(err.text, path));
    assert_false(scratch_exists(path));
}

/* A file without a hole makes the probe look elsewhere; one in a directory that may not be written
 * to has to do with less. */
static void opening_changes_nothing_in_the_file_nor_beside_it(void **state)
{
    struct bench *bench = *state;
    const char *path = scratch_path(&bench->scratch, "full");
    struct stat before, after;
    struct errmsg err;
    struct store *store;

    scratch_file(path, 10000, 0x4D);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(stat(path, &before), 0);
        assert_int_equal(store_file_open(path, false, &store, &err), 0);
        assert_bytes(store, 0, 10000, 0x4D);
        store_close(store);
        assert_int_equal(stat(path, &after), 0);
        assert_int_equal(after.st_size, before.st_size);
        assert_int_equal(after.st_blocks, before.st_blocks);
        assert_int_equal(scratch_count(&bench->scratch), 2);
        assert_int_equal(chmod(bench->scratch.directory, 0500), 0);
    }
    assert_int_equal(chmod(bench->scratch.directory, 0700), 0);
}

static void a_file_system_without_holes_is_refused(void **state)
{
    struct scratch scratch;
    struct store *store = NULL;
    struct errmsg err = {""};
    const char *path;

    (void)state;
    if (!scratch_mount(&scratch, "ramfs", NULL))
        skip_because("nothing can be mounted here, not even in a namespace");
    path = scratch_path(&scratch, "volume");
    assert_int_equal(store_file_create(path, SIZE, &store, &err), -EOPNOTSUPP);
    assert_non_null(strstr(err.text, "cannot punch holes"));
    assert_false(scratch_exists(path));
    scratch_file(path, 3 * GRANULE, 1);
    assert_refused(path, false, -EOPNOTSUPP, "cannot punch holes");
    scratch_remove(&scratch);
}

static void a_full_file_system_is_enospc_and_the_store_goes_on(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;
    uint64_t offset = 0;
    int error;

    (void)state;
    if (!scratch_mount(&scratch, "tmpfs", "size=1m"))
        skip_because("nothing can be mounted here, not even in a namespace");
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), 16 << 20, &store, &err), 0);
    while ((error = write_byte(store, offset, 64 << 10, 0x66, false)) == 0)
        offset += 64 << 10;
    assert_int_equal(error, -ENOSPC);
    assert_true(offset >= 512 << 10);
    assert_int_equal(write_byte(store, 8 << 20, GRANULE, 1, true), -ENOSPC);
    assert_int_equal(store_zero(store, 8 << 20, 1 << 20), -ENOSPC);
    assert_int_equal(store_flush(store), 0);
    assert_int_equal(write_byte(store, 0, 64 << 10, 0x67, false), 0);
    assert_bytes(store, 0, 64 << 10, 0x67);
    assert_bytes(store, 64 << 10, offset - (64 << 10), 0x66);
    assert_int_equal(store_punch(store, 0, 128 << 10), 0);
    assert_int_equal(write_byte(store, 8 << 20, 64 << 10, 0x68, false), 0);
    assert_bytes(store, 8 << 20, 64 << 10, 0x68);
    store_close(store);
    scratch_remove(&scratch);
}

static void opening_works_on_a_full_file_system(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;

    (void)state;
    if (!scratch_mount(&scratch, "tmpfs", "size=64k"))
        skip_because("nothing can be mounted here, not even in a namespace");
    scratch_file(scratch_path(&scratch, "full"), 64 << 10, 1);
    assert_int_equal(store_file_open(scratch_path(&scratch, "full"), false, &store, &err), 0);
    assert_bytes(store, 0, 64 << 10, 1);
    store_close(store);
    scratch_remove(&scratch);
}

#define WITH_STORE(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(short_transfers_and_interruptions_lose_nothing),
        WITH_STORE(a_flush_that_failed_keeps_failing_until_the_file_is_opened_anew),
        WITH_STORE(a_flush_beside_one_that_fails_fails_too),
        WITH_STORE(flushes_have_an_open_file_of_their_own),
        WITH_STORE(a_durable_write_that_failed_makes_flushes_fail_too),
        WITH_STORE(a_durable_write_that_found_no_space_does_not),
        WITH_STORE(without_durable_writes_a_flush_follows_the_write),
        WITH_STORE(without_zero_range_zeros_are_written),
        WITH_STORE(storage_reserved_but_never_written_is_anchored),
        WITH_STORE(a_file_cut_short_behind_our_back_is_an_error_and_no_hang),
        WITH_STORE(a_second_open_in_this_process_is_refused),
        WITH_STORE(another_process_is_named),
        WITH_STORE(readers_share_the_file),
        WITH_STORE(only_regular_files_that_exist_are_opened),
        WITH_STORE(creating_refuses_what_exists_and_leaves_nothing_behind),
        WITH_STORE(a_file_larger_than_the_file_system_has_is_refused),
        WITH_STORE(opening_changes_nothing_in_the_file_nor_beside_it),
        cmocka_unit_test(a_file_system_without_holes_is_refused),
        cmocka_unit_test(a_full_file_system_is_enospc_and_the_store_goes_on),
        cmocka_unit_test(opening_works_on_a_full_file_system),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
