/* SPDX-License-Identifier: Apache-2.0 */

/* io_uring on a file, as it is on a disk, the kernel's count of a disk's errors, and its session.
 */

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include <errno.h>
#include <poll.h>

#include "block_ring.h"
#include "error_count.h"
#include "event.h"
#include "kernel_session.h"
#include "skip.h"

#define BLOCK  4096
#define BLOCKS 64

struct fixture {
    char folder[32], path[64];
    int fd, event;
    struct block_ring *ring;
    uint8_t *data; /* BLOCKS of them */
    struct iovec iov[BLOCKS];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    assert_non_null(fixture);
    strcpy(fixture->folder, "/var/tmp/thinmirror-XXXXXX");
    assert_non_null(mkdtemp(fixture->folder));
    snprintf(fixture->path, sizeof(fixture->path), "%s/disk", fixture->folder);
    fixture->fd = open(fixture->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fixture->fd >= 0);
    assert_int_equal(ftruncate(fixture->fd, BLOCKS * BLOCK), 0);
    fixture->event = event_open();
    assert_true(fixture->event >= 0);
    fixture->data = aligned_alloc(BLOCK, BLOCKS * BLOCK);
    assert_non_null(fixture->data);
    memset(fixture->data, 0, BLOCKS * BLOCK);
    for (size_t i = 0; i < BLOCKS; i++)
        fixture->iov[i] = (struct iovec){fixture->data + i * BLOCK, BLOCK};
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    block_ring_destroy(fixture->ring);
    close(fixture->event);
    close(fixture->fd);
    unlink(fixture->path);
    rmdir(fixture->folder);
    free(fixture->data);
    free(fixture);
    return 0;
}

static void need_ring(struct fixture *fixture)
{
    int r = block_ring_create(fixture->fd, fixture->event, &fixture->ring);

    if (r == -ENOSYS || r == -EPERM)
        skip_because("no io_uring for this process: %s", strerror(-r));
    assert_int_equal(r, 0);
}

static int submit(struct fixture *fixture, bool write, size_t block)
{
    return block_ring_submit(fixture->ring,
                             &(struct block_ring_io){.write = write,
                                                     .iov = &fixture->iov[block],
                                                     .iov_count = 1,
                                                     .offset = block * BLOCK,
                                                     .opaque = &fixture->iov[block]});
}

/* All BLOCKS at a time; each ends once, and says how much it moved. */
static void move_all(struct fixture *fixture, bool write)
{
    bool ended[BLOCKS] = {false};
    struct iovec *one;
    int64_t moved;

    for (size_t block = 0; block < BLOCKS; block++)
        assert_int_equal(submit(fixture, write, block), 0);
    while ((one = block_ring_next(fixture->ring, true, &moved))) {
        assert_int_equal(moved, BLOCK);
        assert_false(ended[one - fixture->iov]);
        ended[one - fixture->iov] = true;
    }
    for (size_t block = 0; block < BLOCKS; block++)
        assert_true(ended[block]);
}

static void what_many_writes_wrote_many_reads_read(void **state)
{
    struct fixture *fixture = *state;

    need_ring(fixture);
    for (size_t i = 0; i < BLOCKS * BLOCK; i++)
        fixture->data[i] = (uint8_t)(i / BLOCK + i);
    move_all(fixture, true);
    memset(fixture->data, 0, BLOCKS * BLOCK);
    move_all(fixture, false);
    for (size_t i = 0; i < BLOCKS * BLOCK; i++)
        assert_int_equal(fixture->data[i], (uint8_t)(i / BLOCK + i));
}

static void the_event_is_raised_when_something_has_ended(void **state)
{
    struct fixture *fixture = *state;
    struct pollfd polled = {.fd = fixture->event, .events = POLLIN};
    int64_t moved;

    need_ring(fixture);
    assert_int_equal(poll(&polled, 1, 0), 0);
    assert_null(block_ring_next(fixture->ring, false, &moved));
    assert_int_equal(submit(fixture, false, 3), 0);
    assert_int_equal(poll(&polled, 1, 10000), 1);
    event_drain(fixture->event);
    assert_ptr_equal(block_ring_next(fixture->ring, false, &moved), &fixture->iov[3]);
    assert_null(block_ring_next(fixture->ring, true, &moved));
}

static void what_the_kernel_refuses_or_cuts_short_is_told(void **state)
{
    struct fixture *fixture = *state;
    int64_t moved;

    need_ring(fixture);
    assert_int_equal(ftruncate(fixture->fd, 3 * BLOCK + 100), 0);
    assert_int_equal(submit(fixture, false, 3), 0);
    assert_non_null(block_ring_next(fixture->ring, true, &moved));
    assert_int_equal(moved, 100);
    block_ring_destroy(fixture->ring);
    close(fixture->fd);
    fixture->fd = open(fixture->path, O_RDONLY | O_CLOEXEC);
    assert_int_equal(block_ring_create(fixture->fd, fixture->event, &fixture->ring), 0);
    assert_int_equal(submit(fixture, true, 1), 0);
    assert_non_null(block_ring_next(fixture->ring, true, &moved));
    assert_int_equal(moved, -EBADF);
}

static void more_than_there_is_room_for_is_not_taken(void **state)
{
    struct fixture *fixture = *state;
    unsigned taken = 0, ended = 0;
    int64_t moved;
    int r;

    need_ring(fixture);
    while ((r = submit(fixture, false, taken % BLOCKS)) == 0)
        taken++;
    assert_int_equal(r, -EAGAIN);
    assert_in_range(taken, 64, 4096);
    while (block_ring_next(fixture->ring, true, &moved))
        ended++;
    assert_int_equal(ended, taken);
    assert_int_equal(submit(fixture, false, 0), 0);
    assert_non_null(block_ring_next(fixture->ring, true, &moved));
    assert_int_equal(block_ring_submit(fixture->ring, &(struct block_ring_io){.offset = UINT64_MAX,
                                                                              .iov = fixture->iov,
                                                                              .iov_count = 1}),
                     -EINVAL);
}

/* The counter of a disk, in a folder that looks like sysfs. */
struct counter {
    char folder[32], path[96];
};

static void count(const struct counter *counter, const char *text)
{
    FILE *file = fopen(counter->path, "we");

    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void make_counter(struct counter *counter, int fd)
{
    char path[96];
    struct stat st;

    assert_int_equal(fstat(fd, &st), 0);
    strcpy(counter->folder, "/tmp/thinmirror-XXXXXX");
    assert_non_null(mkdtemp(counter->folder));
    snprintf(path, sizeof(path), "mkdir -p %s/dev/block/0:0/device", counter->folder);
    assert_int_equal(system(path), 0);
    assert_int_equal(st.st_rdev, 0);
    snprintf(counter->path, sizeof(counter->path), "%s/dev/block/0:0/device/ioerr_cnt",
             counter->folder);
}

static void remove_counter(const struct counter *counter)
{
    char command[64];

    snprintf(command, sizeof(command), "rm -r %s", counter->folder);
    assert_int_equal(system(command), 0);
}

static void an_error_that_nobody_told_of_shows_in_the_count(void **state)
{
    struct fixture *fixture = *state;
    struct counter counter;
    struct error_count errors;

    make_counter(&counter, fixture->fd);
    assert_int_equal(error_count_open(&errors, counter.folder, fixture->fd), -ENOENT);
    count(&counter, "0xfffffffe\n");
    assert_int_equal(error_count_open(&errors, counter.folder, fixture->fd), 0);
    assert_false(error_count_moved(&errors));
    count(&counter, "0xffffffff\n");
    assert_true(error_count_moved(&errors));
    assert_false(error_count_moved(&errors));
    /* Two that were told otherwise, past the end of its 32 bits. */
    error_count_expect(&errors);
    error_count_expect(&errors);
    count(&counter, "0x1\n");
    assert_false(error_count_moved(&errors));
    count(&counter, "nothing\n");
    assert_true(error_count_moved(&errors));
    error_count_close(&errors);
    assert_int_equal(error_count_open(&errors, counter.folder, fixture->fd), -EIO);
    remove_counter(&counter);
}

static void what_was_expected_and_not_counted_hides_nothing_later(void **state)
{
    struct fixture *fixture = *state;
    struct counter counter;
    struct error_count errors;

    make_counter(&counter, fixture->fd);
    count(&counter, "0x7\n");
    assert_int_equal(error_count_open(&errors, counter.folder, fixture->fd), 0);
    error_count_expect(&errors);
    assert_false(error_count_moved(&errors));
    count(&counter, "0x8\n");
    assert_true(error_count_moved(&errors));
    error_count_close(&errors);
    remove_counter(&counter);
}

static void timeouts_count_too(void **state)
{
    struct fixture *fixture = *state;
    struct counter counter, timeouts;
    struct error_count errors;

    make_counter(&counter, fixture->fd);
    timeouts = counter;
    strcpy(strrchr(timeouts.path, '/'), "/iotmo_cnt");
    count(&counter, "0x7\n");
    count(&timeouts, "0x1\n");
    assert_int_equal(error_count_open(&errors, counter.folder, fixture->fd), 0);
    assert_false(error_count_moved(&errors));
    count(&timeouts, "0x2\n");
    assert_true(error_count_moved(&errors));
    assert_false(error_count_moved(&errors));
    error_count_close(&errors);
    remove_counter(&counter);
}

/* A session of open-iscsi's, in a folder that looks like sysfs; port: NULL: it has no connection.
 */
static void show_port(const struct counter *sysfs, const char *port)
{
    char path[128];
    FILE *file;

    snprintf(path, sizeof(path), "%s/class/iscsi_connection/connection7:0/local_port",
             sysfs->folder);
    file = fopen(path, "we");
    assert_non_null(file);
    if (port)
        fprintf(file, "%s\n", port);
    fclose(file);
}

static void make_session(struct counter *sysfs, const struct stat *node)
{
    char command[512];

    strcpy(sysfs->folder, "/tmp/thinmirror-XXXXXX");
    assert_non_null(mkdtemp(sysfs->folder));
    assert_int_equal(node->st_rdev, 0);
    snprintf(command, sizeof(command),
             "cd %s && mkdir -p dev/char/0:0 devices/host2/session7/target2:0:0/2:0:0:5 "
             "class/iscsi_connection/connection7:0 && "
             "ln -s ../../../devices/host2/session7/target2:0:0/2:0:0:5 dev/char/0:0/device",
             sysfs->folder);
    assert_int_equal(system(command), 0);
}

static void a_new_connection_of_the_kernels_session_shows(void **state)
{
    struct fixture *fixture = *state;
    struct counter sysfs;
    struct kernel_session session;
    struct stat node;

    assert_int_equal(fstat(fixture->fd, &node), 0);
    make_session(&sysfs, &node);
    assert_int_equal(kernel_session_open(&session, sysfs.folder, &node), -ENOENT);
    assert_false(kernel_session_replaced(&session));
    show_port(&sysfs, "40001");
    assert_int_equal(kernel_session_open(&session, sysfs.folder, &node), 0);
    assert_false(kernel_session_replaced(&session));
    show_port(&sysfs, NULL);
    assert_false(kernel_session_replaced(&session));
    show_port(&sysfs, "40002");
    assert_true(kernel_session_replaced(&session));
    assert_false(kernel_session_replaced(&session));
    kernel_session_close(&session);

    show_port(&sysfs, NULL);
    assert_int_equal(kernel_session_open(&session, sysfs.folder, &node), 0);
    show_port(&sysfs, "40003");
    assert_true(kernel_session_replaced(&session));
    kernel_session_close(&session);
    remove_counter(&sysfs);
}

static void a_disk_that_did_not_come_by_open_iscsi_has_no_session(void **state)
{
    struct fixture *fixture = *state;
    struct counter counter;
    struct kernel_session session;
    struct stat node;

    make_counter(&counter, fixture->fd);
    assert_int_equal(fstat(fixture->fd, &node), 0);
    node.st_mode = S_IFBLK;
    assert_int_equal(kernel_session_open(&session, counter.folder, &node), -ENOENT);
    assert_false(kernel_session_replaced(&session));
    kernel_session_close(&session);
    remove_counter(&counter);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_many_writes_wrote_many_reads_read, setup, teardown),
        cmocka_unit_test_setup_teardown(the_event_is_raised_when_something_has_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_the_kernel_refuses_or_cuts_short_is_told, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(more_than_there_is_room_for_is_not_taken, setup, teardown),
        cmocka_unit_test_setup_teardown(an_error_that_nobody_told_of_shows_in_the_count, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_expected_and_not_counted_hides_nothing_later,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(timeouts_count_too, setup, teardown),
        cmocka_unit_test_setup_teardown(a_new_connection_of_the_kernels_session_shows, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_disk_that_did_not_come_by_open_iscsi_has_no_session,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
