/* SPDX-License-Identifier: Apache-2.0 */

/* The built module under load: many commands at once, and a device that goes while they run. */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cmocka.h>

#include "cdb.h"
#include "module_fixture.h"

#define STREAMS 32

/* One submitter: writes its own blocks over and over, reads each back. */
struct stream {
    pthread_t thread;
    struct host_device *device;
    uint64_t lba;
    int rounds;
    int wrong;
};

static void *run_stream(void *data)
{
    struct stream *stream = data;
    unsigned char out[4096], in[4096];

    for (int i = 0; i < stream->rounds; i++) {
        struct host_command command = {0};

        memset(out, i + 1, sizeof(out));
        cdb_write_16(command.cdb, stream->lba, 8, false);
        stream->wrong += host_execute(stream->device, &command, out, sizeof(out)) != 0;
        cdb_read_16(command.cdb, stream->lba, 8);
        stream->wrong += host_execute(stream->device, &command, in, sizeof(in)) != 0;
        stream->wrong += memcmp(in, out, sizeof(in)) != 0;
    }
    return NULL;
}

static void run_streams(const char *config)
{
    struct host_device *device = serve(config, 512);
    struct stream streams[STREAMS];

    for (size_t i = 0; i < STREAMS; i++) {
        streams[i] = (struct stream){.device = device, .lba = i * 1024 + i, .rounds = 50};
        assert_int_equal(pthread_create(&streams[i].thread, NULL, run_stream, &streams[i]), 0);
    }
    for (size_t i = 0; i < STREAMS; i++) {
        pthread_join(streams[i].thread, NULL);
        assert_int_equal(streams[i].wrong, 0);
    }
    host_remove(device);
}

static void many_threads_at_once_keep_their_data(void **state)
{
    char config[160];

    (void)state;
    run_streams(cfgstring);
    snprintf(config, sizeof(config), "%s;threads=2", cfgstring);
    run_streams(config);
}

/* The module's reads of the file come through here, so that they can be counted and held. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int hold_until; /* that number are inside at once; 0: none is held */
    int inside;
    int most;
} reads = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t offset);

ssize_t preadv64(int fd, const struct iovec *iov, int count, off64_t offset)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t))dlsym(RTLD_NEXT, "preadv64");
    ssize_t result;

    pthread_mutex_lock(&reads.lock);
    reads.inside++;
    if (reads.inside > reads.most)
        reads.most = reads.inside;
    pthread_cond_broadcast(&reads.changed);
    while (reads.most < reads.hold_until)
        pthread_cond_wait(&reads.changed, &reads.lock);
    pthread_mutex_unlock(&reads.lock);
    if (reads.hold_until)
        usleep(1000); /* time for one too many to come in */
    result = real(fd, iov, count, offset);
    pthread_mutex_lock(&reads.lock);
    reads.inside--;
    pthread_mutex_unlock(&reads.lock);
    return result;
}

/* Nothing is in memory while reads are held. */
ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags);

ssize_t preadv64v2(int fd, const struct iovec *iov, int count, off64_t offset, int flags)
{
    ssize_t (*real)(int, const struct iovec *, int, off64_t, int) =
        (ssize_t(*)(int, const struct iovec *, int, off64_t, int))dlsym(RTLD_NEXT, "preadv64v2");

    if (reads.hold_until && (flags & RWF_NOWAIT)) {
        errno = EAGAIN;
        return -1;
    }
    return real(fd, iov, count, offset, flags);
}

static void expect_at_once(const char *option, int expected)
{
    enum { COMMANDS = 64 };
    static struct host_command commands[COMMANDS];
    static unsigned char in[COMMANDS][512];
    struct host_device *device;
    char config[160];

    snprintf(config, sizeof(config), "%s%s", cfgstring, option);
    device = serve(config, 512);
    write_blocks(device, 0, in, COMMANDS, 512);
    reads.most = 0;
    reads.hold_until = expected;
    for (int i = 0; i < COMMANDS; i++) {
        cdb_read_16(commands[i].cdb, (uint64_t)i, 1);
        commands[i].iov[0] = (struct iovec){.iov_base = in[i], .iov_len = 512};
        commands[i].iov_count = 1;
        host_submit(device, &commands[i]);
    }
    for (int i = 0; i < COMMANDS; i++)
        host_wait(device, &commands[i]);
    reads.hold_until = 0;
    assert_int_equal(reads.most, expected);
    host_remove(device);
}

static void as_many_commands_wait_for_the_disk_as_threads_allows(void **state)
{
    (void)state;
    expect_at_once("", 8);
    expect_at_once(";threads=3", 3);
    expect_at_once(";threads=1", 1);
}

/* One command that waits for the disk does not keep those that need none. */
static void what_memory_answers_does_not_queue_behind_the_disk(void **state)
{
    struct host_command slow = {0}, quick = {0};
    unsigned char in[512];
    struct host_device *device;

    (void)state;
    device = serve(cfgstring, 512);
    write_blocks(device, 0, in, 1, 512);
    reads.most = 0;
    reads.hold_until = 2;
    cdb_read_16(slow.cdb, 0, 1);
    slow.iov[0] = (struct iovec){.iov_base = in, .iov_len = sizeof(in)};
    slow.iov_count = 1;
    host_submit(device, &slow);
    assert_int_equal(host_execute(device, &quick, NULL, 0), TCMU_STS_OK); /* TEST UNIT READY */
    assert_false(slow.done);
    pthread_mutex_lock(&reads.lock);
    reads.most = 2;
    pthread_cond_broadcast(&reads.changed);
    pthread_mutex_unlock(&reads.lock);
    host_wait(device, &slow);
    assert_int_equal(slow.status, TCMU_STS_OK);
    reads.hold_until = 0;
    host_remove(device);
}

/* More writes than the workers can have begun when the device goes. What was answered GOOD must be
 * there afterwards, and the lock must be gone. */
static void a_device_can_go_under_load(void **state)
{
    enum { COMMANDS = 400, BYTES = 65536 };
    struct host_command *commands = calloc(COMMANDS, sizeof(*commands));
    unsigned char *out = malloc(BYTES), *in = malloc(BYTES);
    int done = 0, waited = 0;

    (void)state;
    memset(out, 0x77, BYTES);
    for (int round = 0; round < 5; round++) {
        struct host_device *device = serve(cfgstring, 512);

        for (int i = 0; i < COMMANDS; i++) {
            cdb_write_16(commands[i].cdb, (uint64_t)i * BYTES / 512, BYTES / 512, false);
            commands[i].iov[0] = (struct iovec){.iov_base = out, .iov_len = BYTES};
            commands[i].iov_count = 1;
            host_submit(device, &commands[i]);
        }
        host_wait(device, &commands[waited += 10]);
        host_remove(device);
    }
    struct host_device *device = serve(cfgstring, 512);
    for (int i = 0; i < COMMANDS; i++) {
        if (!commands[i].done)
            continue;
        done++;
        assert_int_equal(commands[i].status, TCMU_STS_OK);
        read_blocks(device, (uint64_t)i * BYTES / 512, in, BYTES / 512, 512);
        assert_memory_equal(in, out, BYTES);
    }
    assert_true(done > 10);
    host_remove(device);
    free(in);
    free(out);
    free(commands);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        MODULE_TEST(many_threads_at_once_keep_their_data),
        MODULE_TEST(as_many_commands_wait_for_the_disk_as_threads_allows),
        MODULE_TEST(what_memory_answers_does_not_queue_behind_the_disk),
        MODULE_TEST(a_device_can_go_under_load),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
