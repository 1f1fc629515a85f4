/* SPDX-License-Identifier: Apache-2.0 */

/* The module over a file system that holds writes up, as a frozen one does: this program's
 * pwritev2 stands before the C library's. */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "cdb.h"
#include "module_fixture.h"

static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool frozen;
    unsigned held; /* writes that wait now */
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

typedef ssize_t write_function(int fd, const struct iovec *iov, int count, off_t offset, int flags);

static void pass_gate(void)
{
    pthread_mutex_lock(&gate.lock);
    gate.held++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.frozen)
        pthread_cond_wait(&gate.changed, &gate.lock);
    gate.held--;
    pthread_mutex_unlock(&gate.lock);
}

__attribute__((visibility("default"))) ssize_t pwritev64v2(int fd, const struct iovec *iov,
                                                           int count, off_t offset, int flags);

ssize_t pwritev64v2(int fd, const struct iovec *iov, int count, off_t offset, int flags)
{
    write_function *real = (write_function *)dlsym(RTLD_NEXT, "pwritev64v2");

    pass_gate();
    return real(fd, iov, count, offset, flags);
}

static void freeze(bool frozen)
{
    pthread_mutex_lock(&gate.lock);
    gate.frozen = frozen;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
}

static void wait_for_held(unsigned count)
{
    pthread_mutex_lock(&gate.lock);
    while (gate.held < count)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
}

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static unsigned char block[4096];

static void submit_write(struct host_device *device, struct host_command *command, uint64_t lba)
{
    *command = (struct host_command){0};
    cdb_write_16(command->cdb, lba, 8, false);
    command->iov[0] = (struct iovec){.iov_base = block, .iov_len = sizeof(block)};
    command->iov_count = 1;
    host_submit(device, command);
}

/* Also with more writes than there are workers. */
static void cached_reads_go_on_while_writes_are_held_up(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command writes[12];
    unsigned char in[4096];
    uint64_t begun;

    (void)state;
    memset(block, 0x33, sizeof(block));
    write_blocks(device, 800, block, 8, 512);
    for (int round = 0; round < 3; round++) {
        freeze(true);
        submit_write(device, &writes[0], 0);
        wait_for_held(1);
        begun = now_ms();
        for (int i = 0; i < 200; i++) {
            memset(in, 0, sizeof(in));
            read_blocks(device, 800, in, 8, 512);
            assert_memory_equal(in, block, sizeof(in));
        }
        for (uint64_t i = 1; i < 12; i++)
            submit_write(device, &writes[i], 8 * i);
        for (int i = 0; i < 200; i++)
            read_blocks(device, 800, in, 8, 512);
        assert_true(now_ms() - begun < 10000);
        assert_false(writes[0].done);
        freeze(false);
        for (int i = 0; i < 12; i++) {
            host_wait(device, &writes[i]);
            assert_int_equal(writes[i].status, TCMU_STS_OK);
        }
        read_blocks(device, 88, in, 8, 512);
        assert_memory_equal(in, block, sizeof(in));
    }
    host_remove(device);
}

static void *thaw_later(void *opaque)
{
    usleep(300000);
    freeze(false);
    return opaque;
}

static void a_device_is_removed_after_what_held_it_up(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command write;
    pthread_t thread;

    (void)state;
    freeze(true);
    submit_write(device, &write, 0);
    wait_for_held(1);
    assert_int_equal(pthread_create(&thread, NULL, thaw_later, NULL), 0);
    host_remove(device);
    pthread_join(thread, NULL);
    assert_true(write.done);
    host_remove(serve(cfgstring, 512));
}

static void the_ring_goes_back_when_nothing_came_meanwhile(void **state)
{
    struct host_device *device = serve(cfgstring, 512);
    struct host_command writes[3];
    unsigned char in[4096];

    (void)state;
    for (uint64_t i = 0; i < 3; i++) {
        freeze(true);
        submit_write(device, &writes[i], 8 * i);
        wait_for_held(1);
        usleep(120000); /* the other thread has the ring now, and nothing to do */
        freeze(false);
        host_wait(device, &writes[i]);
        read_blocks(device, 8 * i, in, 8, 512);
    }
    host_remove(device);
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        MODULE_TEST(cached_reads_go_on_while_writes_are_held_up),
        MODULE_TEST(a_device_is_removed_after_what_held_it_up),
        MODULE_TEST(the_ring_goes_back_when_nothing_came_meanwhile),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
