/* SPDX-License-Identifier: Apache-2.0 */

/* When the module wakes the kernel for what it completed. */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cdb.h"
#include "module_fixture.h"

/* Reads of the page cache only wait at this gate; behind it some find nothing in the cache. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool shut;
    off64_t absent; /* the offset of what is not in the cache; -1: all is */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER, .absent = -1};

/* What is read from the disk stays there until the gate is shut no more. */
static pthread_mutex_t disk = PTHREAD_MUTEX_INITIALIZER;

static void set_gate(bool shut)
{
    pthread_mutex_lock(&gate.lock);
    gate.shut = shut;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);

ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t, int))dlsym(RTLD_NEXT, "preadv64v2");
    bool absent;

    pthread_mutex_lock(&gate.lock);
    while (gate.shut)
        pthread_cond_wait(&gate.changed, &gate.lock);
    absent = offset == gate.absent;
    pthread_mutex_unlock(&gate.lock);
    if (absent) {
        errno = EAGAIN;
        return -1;
    }
    return real(fd, iov, count, offset, flags & ~RWF_NOWAIT); /* all else is in the cache */
}

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t offset);

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "preadv64");

    pthread_mutex_lock(&disk);
    pthread_mutex_unlock(&disk);
    return real(fd, iov, count, offset);
}

/* The module's clocks, and whether a thread of its slept. The coarse one stands still, so that no
 * command is slow, or ticks at each look at it, so that all are; the other one is an hour ahead:
 * what looks at the devices from time to time does not come to it. */
static atomic_bool ticks;

int clock_gettime(clockid_t clock, struct timespec *ret)
{
    static atomic_long ticked_ms;

    if (clock != CLOCK_MONOTONIC_COARSE) {
        int result = (int)syscall(SYS_clock_gettime, clock, ret);

        if (clock == CLOCK_REALTIME)
            ret->tv_sec += 3600;
        return result;
    }
    if (ticks)
        ticked_ms += 4;
    *ret =
        (struct timespec){.tv_sec = 1000 + ticked_ms / 1000, .tv_nsec = ticked_ms % 1000 * 1000000};
    return 0;
}

int getrusage(__rusage_who_t who, struct rusage *usage)
{
    (void)who;
    *usage = (struct rusage){0};
    return 0;
}

enum { COMMANDS_MAX = 40 };

static struct host_command commands[COMMANDS_MAX];
static unsigned char *buffers;

/* A device with count reads of bytes on its ring, one after the other, of which the first has just
 * been taken off it. */
static struct host_device *serve_reads(int count, size_t bytes)
{
    struct host_device *device = serve(cfgstring, 512);

    buffers = calloc((size_t)count, bytes);
    write_blocks(device, 0, buffers, (uint32_t)((size_t)count * bytes / 512), 512);
    set_gate(true);
    memset(commands, 0, sizeof(commands));
    for (int i = 0; i < count; i++) {
        cdb_read_16(commands[i].cdb, (uint64_t)i * bytes / 512, (uint32_t)(bytes / 512));
        commands[i].iov[0] =
            (struct iovec){.iov_base = buffers + (size_t)i * bytes, .iov_len = bytes};
        commands[i].iov_count = 1;
        host_submit(device, &commands[i]);
    }
    return device;
}

static void expect_wake_ups(int count, size_t bytes, unsigned expected)
{
    struct host_device *device = serve_reads(count, bytes);
    unsigned before = host_wake_ups(device);

    set_gate(false);
    for (int i = 0; i < count; i++) {
        host_wait(device, &commands[i]);
        assert_int_equal(commands[i].status, TCMU_STS_OK);
    }
    assert_int_equal(host_wake_ups(device) - before, expected);
    host_remove(device);
    free(buffers);
}

static void one_command_alone_is_told_at_once(void **state)
{
    (void)state;
    expect_wake_ups(1, 512, 1);
}

static void small_commands_that_lie_on_the_ring_together_are_told_together(void **state)
{
    (void)state;
    expect_wake_ups(10, 4096, 1);
}

static void not_too_many_are_told_together(void **state)
{
    (void)state;
    expect_wake_ups(40, 512, 3);
}

static void large_commands_are_told_one_by_one(void **state)
{
    (void)state;
    expect_wake_ups(4, 131072, 4);
}

/* The next one may be slow as well, so what is complete is told before it. */
static void after_a_slow_one_small_commands_are_told_one_by_one(void **state)
{
    (void)state;
    ticks = true;
    expect_wake_ups(10, 4096, 10);
    ticks = false;
}

/* The last of three waits for the disk: the others must not wait for it. */
static void what_is_complete_is_told_before_others_wait(void **state)
{
    struct host_device *device = serve_reads(3, 4096);

    (void)state;
    gate.absent = 8192;
    pthread_mutex_lock(&disk);
    set_gate(false);
    host_wait(device, &commands[0]);
    host_wait(device, &commands[1]);
    assert_false(commands[2].done);
    pthread_mutex_unlock(&disk);
    host_wait(device, &commands[2]);
    gate.absent = -1;
    host_remove(device);
    free(buffers);
}

/* The first waits for the disk; the others are behind it on the ring, and are no reason to wait. */
static void what_others_hold_is_no_reason_to_tell_later(void **state)
{
    struct host_device *device = serve_reads(3, 4096);

    (void)state;
    gate.absent = 0;
    pthread_mutex_lock(&disk);
    set_gate(false);
    host_wait(device, &commands[1]);
    host_wait(device, &commands[2]);
    assert_false(commands[0].done);
    pthread_mutex_unlock(&disk);
    host_wait(device, &commands[0]);
    gate.absent = -1;
    host_remove(device);
    free(buffers);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MODULE_TEST(one_command_alone_is_told_at_once),
        MODULE_TEST(small_commands_that_lie_on_the_ring_together_are_told_together),
        MODULE_TEST(not_too_many_are_told_together),
        MODULE_TEST(large_commands_are_told_one_by_one),
        MODULE_TEST(after_a_slow_one_small_commands_are_told_one_by_one),
        MODULE_TEST(what_is_complete_is_told_before_others_wait),
        MODULE_TEST(what_others_hold_is_no_reason_to_tell_later),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
