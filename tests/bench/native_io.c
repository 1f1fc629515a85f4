/* SPDX-License-Identifier: Apache-2.0 */

/* What a 4 KiB command costs in the handler, beside nothing but the system call that it ends in:
 *
 *   bench_native_io MODULE VOLUMES PLAIN_FILES THREADS COMMANDS ROUNDS
 *
 * The module is loaded as tcmu-runner loads it, and THREADS threads give COMMANDS commands each to
 * a LUN of their own, VOLUMES0 and so on, as tcmu-runner has one thread for a LUN; as many do as
 * many preadv and pwritev calls on PLAIN_FILES0 and so on. All are written over first. One line a
 * run: "read|write handler|bare THREADS CPU_NS WALL_NS", nanoseconds of processor time for one
 * command, and of time for all of them divided by their number. */

#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "bench_util.h"
#include "cdb.h"
#include "runner_host.h"

#define BYTES       4096
#define BLOCK       512
#define FILL_BYTES  (1 << 20)
#define MAX_THREADS 64

/* A thread's LUN and its plain file. */
struct place {
    struct host_device *device;
    int fd;
    uint64_t pieces; /* of BYTES in either */
};

struct run {
    const struct place *places;
    bool bare;
    bool write;
    long commands;
};

struct runner {
    const struct run *run;
    const struct place *place;
    uint64_t random; /* the generator's state, never 0 */
    uint64_t cpu_ns;
};

static uint64_t next_piece(struct runner *runner)
{
    runner->random ^= runner->random << 13;
    runner->random ^= runner->random >> 7;
    runner->random ^= runner->random << 17;
    return runner->random % runner->place->pieces;
}

static void bare_command(struct runner *runner, struct iovec *iov)
{
    off_t offset = (off_t)(next_piece(runner) * BYTES);
    int fd = runner->place->fd;
    ssize_t done = runner->run->write ? pwritev(fd, iov, 1, offset) : preadv(fd, iov, 1, offset);

    if (done != BYTES)
        give_up_errno("a bare command");
}

static void handler_command(struct runner *runner, const struct iovec *iov)
{
    struct host_command command = {.iov = {*iov}, .iov_count = 1};
    uint64_t lba = next_piece(runner) * (BYTES / BLOCK);

    if (runner->run->write)
        cdb_write_16(command.cdb, lba, BYTES / BLOCK, false);
    else
        cdb_read_16(command.cdb, lba, BYTES / BLOCK);
    if (host_call(runner->place->device, &command) != TCMU_STS_OK)
        give_up("a command failed");
}

static void *work(void *argument)
{
    struct runner *runner = argument;
    static _Thread_local _Alignas(BYTES) uint8_t buffer[BYTES];
    struct iovec iov = {.iov_base = buffer, .iov_len = BYTES};
    uint64_t start = now_ns(CLOCK_THREAD_CPUTIME_ID);

    for (long i = 0; i < runner->run->commands; i++) {
        if (runner->run->bare)
            bare_command(runner, &iov);
        else
            handler_command(runner, &iov);
    }
    runner->cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - start;
    return NULL;
}

static void measure(const struct run *run, int threads)
{
    struct runner runners[MAX_THREADS];
    pthread_t ids[MAX_THREADS];
    uint64_t start = now_ns(CLOCK_MONOTONIC), cpu_ns = 0, wall_ns;
    uint64_t commands = (uint64_t)threads * (uint64_t)run->commands;

    for (int i = 0; i < threads; i++) {
        runners[i] = (struct runner){.run = run,
                                     .place = &run->places[i],
                                     .random = 0x9E3779B97F4A7C15u * (unsigned)(i + 1)};
        if (pthread_create(&ids[i], NULL, work, &runners[i]))
            give_up_errno("pthread_create");
    }
    for (int i = 0; i < threads; i++) {
        pthread_join(ids[i], NULL);
        cpu_ns += runners[i].cpu_ns;
    }
    wall_ns = now_ns(CLOCK_MONOTONIC) - start;
    printf("%s %s %d %.1f %.1f\n", run->write ? "write" : "read", run->bare ? "bare" : "handler",
           threads, (double)cpu_ns / (double)commands, (double)wall_ns / (double)commands);
    fflush(stdout);
}

static int open_filled(const char *path, uint64_t *ret_bytes)
{
    static uint8_t bytes[FILL_BYTES];
    int fd = open(path, O_RDWR | O_CLOEXEC);
    struct stat st;

    if (fd < 0 || fstat(fd, &st) < 0)
        give_up_errno(path);
    memset(bytes, 0x5A, sizeof(bytes));
    for (off_t at = 0; at < st.st_size; at += FILL_BYTES)
        if (pwrite(fd, bytes, FILL_BYTES, at) != FILL_BYTES)
            give_up_errno(path);
    *ret_bytes = (uint64_t)st.st_size;
    return fd;
}

static void open_place(struct place *place, const char *volumes, const char *plains, int number)
{
    struct host_command first = {.cdb = {0}};
    char volume[PATH_MAX], plain[PATH_MAX], cfgstring[PATH_MAX + 8];
    uint64_t bytes, plain_bytes;

    snprintf(volume, sizeof(volume), "%s%d", volumes, number);
    snprintf(plain, sizeof(plain), "%s%d", plains, number);
    snprintf(cfgstring, sizeof(cfgstring), "thin/%s", volume);
    close(open_filled(volume, &bytes));
    place->fd = open_filled(plain, &plain_bytes);
    place->pieces = (bytes < plain_bytes ? bytes : plain_bytes) / BYTES;
    if (host_add(cfgstring, BLOCK, bytes, &place->device)) {
        fprintf(stderr, "%s\n", host_log());
        exit(1);
    }
    while (host_call(place->device, &first) != TCMU_STS_OK)
        ; /* the power on's unit attention */
}

int main(int argc, char **argv)
{
    static struct place places[MAX_THREADS];
    struct run run = {.places = places};
    int threads, rounds;

    if (argc != 7)
        return 2;
    threads = atoi(argv[4]);
    run.commands = atol(argv[5]);
    rounds = atoi(argv[6]);
    if (threads < 1 || threads > MAX_THREADS || run.commands < 1 || rounds < 1)
        return 2;
    host_load(argv[1]);
    for (int i = 0; i < threads; i++)
        open_place(&places[i], argv[2], argv[3], i);
    for (int round = 0; round < 2 * rounds; round++) {
        run.write = round % 2;
        run.bare = false;
        measure(&run, threads);
        run.bare = true;
        measure(&run, threads);
    }
    for (int i = 0; i < threads; i++) {
        host_remove(places[i].device);
        close(places[i].fd);
    }
    return 0;
}
