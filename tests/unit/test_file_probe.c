/* SPDX-License-Identifier: Apache-2.0 */

/* What opening a file store costs: the calls that may have the kernel read a file's whole list of
 * extents, millions of them, are wrapped by the linker and counted. */

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "skip.h"
#include "store.h"
#include "store_file.h"

#define GRANULE 4096

static struct {
    ino_t watched;
    unsigned of_watched;
    unsigned of_any;
    bool interrupt; /* the first punch ends with EINTR */
    int lock_error; /* flock fails with this */
    unsigned interrupted, punches;
} looks;

int __real_fallocate64(int fd, int mode, off_t offset, off_t length);
int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length);
off_t __real_lseek64(int fd, off_t offset, int whence);
off_t __wrap_lseek64(int fd, off_t offset, int whence);
int __real_ioctl(int fd, unsigned long request, void *argument);
int __wrap_ioctl(int fd, unsigned long request, void *argument);

static void note_look(int fd)
{
    struct stat st;

    looks.of_any++;
    if (fstat(fd, &st) == 0 && st.st_ino == looks.watched)
        looks.of_watched++;
}

int __wrap_fallocate64(int fd, int mode, off_t offset, off_t length)
{
    note_look(fd);
    looks.punches += (mode & FALLOC_FL_PUNCH_HOLE) != 0;
    if (looks.interrupt && looks.punches == 1) {
        looks.interrupted++;
        errno = EINTR;
        return -1;
    }
    return __real_fallocate64(fd, mode, offset, length);
}

off_t __wrap_lseek64(int fd, off_t offset, int whence)
{
    note_look(fd);
    return __real_lseek64(fd, offset, whence);
}

int __wrap_ioctl(int fd, unsigned long request, void *argument)
{
    note_look(fd);
    return __real_ioctl(fd, request, argument);
}

/* Whether its blocks can be anchored. */
static bool open_and_close(const char *path)
{
    bool can_anchor;

    struct store *store;
    struct errmsg err;
    struct stat st;

    assert_int_equal(stat(path, &st), 0);
    looks.watched = st.st_ino;
    looks.of_watched = looks.of_any = 0;
    if (store_file_open(path, false, &store, &err))
        fail_msg("%s", err.text);
    can_anchor = store->can_anchor;
    store_close(store);
    return can_anchor;
}

static void opening_looks_at_no_extent_of_the_file(void **state)
{
    struct scratch scratch;
    const char *path;

    (void)state;
    if (!scratch_mount(&scratch, "tmpfs", "size=1m"))
        skip_because("nothing can be mounted here, not even in a namespace");
    path = scratch_path(&scratch, "volume");
    scratch_file(path, 16 * GRANULE, 1);
    open_and_close(path);
    assert_int_equal(looks.of_watched, 0);
    assert_true(looks.of_any > 0);
    scratch_remove(&scratch);
}

static void a_file_system_is_tried_once(void **state)
{
    struct scratch scratch;

    (void)state;
    scratch_make(&scratch);
    scratch_file(scratch_path(&scratch, "one"), 16 * GRANULE, 1);
    scratch_file(scratch_path(&scratch, "two"), 16 * GRANULE, 1);
    open_and_close(scratch_path(&scratch, "one"));
    /* That it cannot may be for want of room, and is found out each time: beside the file. */
    if (open_and_close(scratch_path(&scratch, "two")))
        assert_int_equal(looks.of_any, 0);
    assert_int_equal(looks.of_watched, 0);
    scratch_remove(&scratch);
}

int __real_flock(int fd, int operation);
int __wrap_flock(int fd, int operation);

int __wrap_flock(int fd, int operation)
{
    if (looks.lock_error) {
        errno = looks.lock_error;
        return -1;
    }
    return __real_flock(fd, operation);
}

/* As on a file system that has no locks (NFS without lockd). */
static void a_file_that_cannot_be_locked_is_refused_and_named(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err = {""};
    const char *path;

    (void)state;
    scratch_make(&scratch);
    path = scratch_path(&scratch, "new");
    if (store_file_create(path, 16 * GRANULE, &store, &err))
        fail_msg("%s", err.text);
    store_close(store);
    looks.lock_error = ENOLCK;
    assert_int_equal(store_file_open(path, false, &store, &err), -ENOLCK);
    looks.lock_error = 0;
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, strerror(ENOLCK)));
    scratch_remove(&scratch);
}

/* Once: a call that goes well leaves errno as it is. */
static void a_signal_has_the_question_asked_again(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;

    (void)state;
    scratch_make(&scratch);
    looks.watched = 0;
    looks.interrupted = looks.punches = 0;
    looks.interrupt = true;
    alarm(60); /* what asks for ever does not come back */
    if (store_file_create(scratch_path(&scratch, "new"), 16 * GRANULE, &store, &err))
        fail_msg("%s", err.text);
    alarm(0);
    looks.interrupt = false;
    assert_int_equal(looks.interrupted, 1);
    assert_int_equal(looks.punches, 2);
    store_close(store);
    scratch_remove(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(opening_looks_at_no_extent_of_the_file),
        cmocka_unit_test(a_file_system_is_tried_once),
        cmocka_unit_test(a_file_that_cannot_be_locked_is_refused_and_named),
        cmocka_unit_test(a_signal_has_the_question_asked_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
