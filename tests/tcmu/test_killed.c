/* SPDX-License-Identifier: Apache-2.0 */

/* The program that serves a volume is killed at any moment, with commands of every kind that write
 * under way. What was acknowledged is there afterwards, of what was under way each block is as
 * before or as wanted, and the volume and its description open as after any other end. */

#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "copy_list.h"
#include "module_fixture.h"
#include "sense.h"
#include "volume.h"

#define ROUNDS        10
#define WORKERS       3
#define OWN_BLOCKS    96
#define BLOCK         512
#define MODE_PAGE     0x08
#define WCE           0x04
#define PF_AND_SP     0x11
#define DBD           0x08
#define IMMED         0x80
#define PATTERN       0xA5
#define SANITIZED_MIB 1

/* What both programs see. Each block is of one byte, over and over. */
struct shared {
    atomic_bool started;
    atomic_bool failed;
    atomic_bool begun; /* SANITIZE has been acknowledged */
    atomic_uint commands;
    _Atomic uint8_t acked[WORKERS][OWN_BLOCKS];
    _Atomic uint8_t wanted[WORKERS][OWN_BLOCKS]; /* another while a command is under way */
};

static struct shared *shared;

struct worker {
    struct host_device *device;
    unsigned index;
    unsigned seed;
};

static uint64_t first_lba(unsigned worker)
{
    return UINT64_C(4096) * worker + 3; /* on no edge of a granule */
}

/* The command is told that mode parameters have changed, and has done nothing. */
static bool met_attention(const struct host_command *command)
{
    struct sense sense;

    return command->status == TCMU_STS_PASSTHROUGH_ERR &&
           sense_decode(command->sense, sizeof(command->sense), &sense) == 0 &&
           sense.key == SENSE_UNIT_ATTENTION;
}

static bool run(struct host_device *device, struct host_command *command, void *buffer,
                size_t bytes)
{
    bool good;

    do {
        good = host_execute(device, command, buffer, bytes) == TCMU_STS_OK;
    } while (!good && met_attention(command));
    if (good)
        atomic_fetch_add(&shared->commands, 1);
    else
        atomic_store(&shared->failed, true);
    return good;
}

/* What a worker is about to do with blocks of its own. */
struct deed {
    struct host_command command;
    uint8_t buffer[OWN_BLOCKS * BLOCK];
    size_t bytes;
};

static void make_unmap(struct deed *deed, uint64_t lba, uint32_t blocks)
{
    deed->bytes = 24;
    memset(deed->buffer, 0, deed->bytes);
    put_be16(deed->buffer, 22);
    put_be16(deed->buffer + 2, 16);
    put_be64(deed->buffer + 8, lba);
    put_be32(deed->buffer + 16, blocks);
    cdb_unmap(deed->command.cdb, (uint16_t)deed->bytes);
}

static void make_copy(struct deed *deed, uint64_t from, uint64_t to, uint16_t blocks)
{
    uint8_t *segment = deed->buffer + COPY_LIST_HEADER_BYTES;

    deed->bytes = COPY_LIST_HEADER_BYTES + COPY_SEGMENT_BYTES;
    memset(deed->buffer, 0, deed->bytes);
    deed->buffer[1] = COPY_LIST_ID_NONE << 3;
    put_be32(deed->buffer + 8, COPY_SEGMENT_BYTES);
    segment[0] = COPY_SEGMENT_BLOCK_TO_BLOCK;
    put_be16(segment + 2, COPY_SEGMENT_BYTES - 4);
    put_be16(segment + 4, COPY_CSCD_ID_SELF);
    put_be16(segment + 6, COPY_CSCD_ID_SELF);
    put_be16(segment + 10, blocks);
    put_be64(segment + 12, from);
    put_be64(segment + 20, to);
    deed->command.cdb[0] = SCSI_THIRD_PARTY_COPY_OUT;
    deed->command.cdb[1] = SCSI_SA_EXTENDED_COPY_LID1;
    put_be32(deed->command.cdb + 10, (uint32_t)deed->bytes);
}

/* COMPARE AND WRITE and ORWRITE have a block count of their own place. */
static void make_update(struct deed *deed, uint8_t opcode, uint64_t lba, uint8_t blocks)
{
    deed->command.cdb[0] = opcode;
    put_be64(deed->command.cdb + 2, lba);
    deed->command.cdb[13] = blocks;
}

enum { WRITE, UNMAP, WRITE_SAME, UNMAP_SAME, ZERO_SAME, COMPARE, OR, COPY, KINDS };

/* Sets what is wanted of the blocks, and makes the command. */
static void make_deed(struct worker *worker, struct deed *deed)
{
    _Atomic uint8_t *acked = shared->acked[worker->index], *wanted = shared->wanted[worker->index];
    int kind = rand_r(&worker->seed) % KINDS;
    uint32_t from = (uint32_t)rand_r(&worker->seed) % (OWN_BLOCKS / 2);
    uint32_t blocks = kind == COMPARE ? 1 : 1 + (uint32_t)rand_r(&worker->seed) % (OWN_BLOCKS / 2);
    uint64_t lba = first_lba(worker->index) + from;
    bool zeros = kind == UNMAP || kind == UNMAP_SAME || kind == ZERO_SAME;
    uint8_t byte = (uint8_t)(zeros ? 0 : 1 + rand_r(&worker->seed) % 255);

    memset(&deed->command, 0, sizeof(deed->command));
    for (uint32_t i = from; i < from + blocks; i++) {
        if (kind == COPY)
            wanted[i] = acked[i % (OWN_BLOCKS / 2) + OWN_BLOCKS / 2];
        else
            wanted[i] = kind == OR ? acked[i] | byte : byte;
    }
    deed->bytes = (size_t)blocks * BLOCK;
    memset(deed->buffer, byte, deed->bytes);
    if (kind == WRITE) {
        cdb_write_16(deed->command.cdb, lba, blocks, byte % 16 == 0);
    } else if (kind == UNMAP) {
        make_unmap(deed, lba, blocks);
    } else if (zeros || kind == WRITE_SAME) {
        cdb_write_same_16(deed->command.cdb, lba, blocks, kind == UNMAP_SAME);
        deed->bytes = BLOCK;
    } else if (kind == COMPARE) {
        make_update(deed, SCSI_COMPARE_AND_WRITE, lba, 1);
        memset(deed->buffer, acked[from], BLOCK);
        memset(deed->buffer + BLOCK, byte, BLOCK);
        deed->bytes = 2 * BLOCK;
    } else if (kind == OR) {
        make_update(deed, SCSI_ORWRITE_16, lba, (uint8_t)blocks);
    } else {
        /* Only the upper half is read, so that both can't overlap. */
        blocks = blocks > OWN_BLOCKS / 2 - from ? OWN_BLOCKS / 2 - from : blocks;
        for (uint32_t i = from + blocks; i < OWN_BLOCKS; i++)
            wanted[i] = acked[i];
        make_copy(deed, lba + OWN_BLOCKS / 2, lba, (uint16_t)blocks);
    }
}

static void *work(void *argument)
{
    struct worker *worker = argument;
    static _Thread_local struct deed deed;

    while (!atomic_load(&shared->failed)) {
        make_deed(worker, &deed);
        if (!run(worker->device, &deed.command, deed.buffer, deed.bytes))
            break;
        for (unsigned i = 0; i < OWN_BLOCKS; i++)
            shared->acked[worker->index][i] = shared->wanted[worker->index][i];
    }
    return NULL;
}

/* Switches the write cache on and off and has that saved, so that the description is rewritten all
 * the time. */
static void switch_cache(struct host_device *device)
{
    while (!atomic_load(&shared->failed)) {
        struct host_command sense = {0}, select = {0};
        uint8_t bytes[24];

        cdb_mode_sense_6(sense.cdb, MODE_PAGE, sizeof(bytes));
        sense.cdb[1] = DBD;
        if (!run(device, &sense, bytes, sizeof(bytes)))
            return;
        bytes[0] = bytes[2] = 0;
        bytes[4] &= 0x3F;
        bytes[6] ^= WCE;
        select.cdb[0] = SCSI_MODE_SELECT_6;
        select.cdb[1] = PF_AND_SP;
        select.cdb[4] = sizeof(bytes);
        if (!run(device, &select, bytes, sizeof(bytes)))
            return;
    }
}

static struct host_device *open_quietly(void)
{
    struct host_command command = {0};
    struct host_device *device;

    if (host_add(cfgstring, BLOCK, VOLUME_BYTES, &device) != 0)
        _exit(1);
    host_execute(device, &command, NULL, 0); /* is told of the power on */
    return device;
}

static void write_until_killed(unsigned seed)
{
    struct worker workers[WORKERS];
    struct host_device *device = open_quietly();
    pthread_t thread;

    for (unsigned i = 0; i < WORKERS; i++) {
        workers[i] = (struct worker){.device = device, .index = i, .seed = seed * WORKERS + i};
        if (pthread_create(&thread, NULL, work, &workers[i]) != 0)
            _exit(1);
    }
    atomic_store(&shared->started, true);
    switch_cache(device);
    _exit(1);
}

static void sanitize_until_killed(unsigned seed)
{
    struct host_device *device = open_quietly();
    struct host_command command = {.cdb = {SCSI_SANITIZE, IMMED | SCSI_SA_SANITIZE_OVERWRITE}};
    uint8_t list[8] = {31, 0, 0, 4, PATTERN, PATTERN, PATTERN, PATTERN};

    (void)seed;
    command.cdb[8] = sizeof(list);
    atomic_store(&shared->started, true);
    if (!run(device, &command, list, sizeof(list)))
        _exit(1);
    atomic_store(&shared->begun, true);
    for (;;)
        pause();
}

/* Runs it in a program of its own and kills that after a random time up to a limit in microseconds.
 */
static void kill_amid(void (*serve_it)(unsigned), unsigned *seed, long within_us)
{
    struct timespec pause = {.tv_nsec = 1000L * (rand_r(seed) % within_us)};
    pid_t child;
    int status;

    atomic_store(&shared->started, false);
    atomic_store(&shared->begun, false);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        serve_it((unsigned)rand_r(seed));
    while (!atomic_load(&shared->started)) {
        assert_int_equal(waitpid(child, &status, WNOHANG), 0);
        nanosleep(&(struct timespec){.tv_nsec = 100000}, NULL);
    }
    nanosleep(&pause, NULL);
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    assert_false(atomic_load(&shared->failed));
}

static void assert_all(const uint8_t *bytes, size_t length, uint8_t byte)
{
    for (size_t i = 0; i < length; i++)
        assert_int_equal(bytes[i], byte);
}

static void check_blocks(struct host_device *device)
{
    static uint8_t bytes[OWN_BLOCKS * BLOCK];

    for (unsigned w = 0; w < WORKERS; w++) {
        read_blocks(device, first_lba(w), bytes, OWN_BLOCKS, BLOCK);
        for (unsigned i = 0; i < OWN_BLOCKS; i++) {
            uint8_t found = bytes[i * BLOCK];

            assert_all(bytes + i * BLOCK, BLOCK, found);
            if (found != shared->acked[w][i])
                assert_int_equal(found, shared->wanted[w][i]);
            shared->acked[w][i] = shared->wanted[w][i] = found;
        }
    }
}

/* The folder must be empty at last: only a description's next text may be left, and only once. */
static void remove_leftover(void)
{
    char name[96];

    snprintf(name, sizeof(name), "%s" VOLUME_META_SUFFIX ".new", volume_path);
    unlink(name);
}

static void what_was_acknowledged_is_there_after_the_program_was_killed(void **state)
{
    unsigned seed = 1;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct host_device *device;

        kill_amid(write_until_killed, &seed, 60000);
        device = serve(cfgstring, BLOCK);
        check_blocks(device);
        host_remove(device);
    }
    remove_leftover();
    assert_true(atomic_load(&shared->commands) > ROUNDS);
}

/* The byte that all of the blocks have. */
static uint8_t only_byte(struct host_device *device)
{
    static uint8_t bytes[SANITIZED_MIB << 20];

    read_blocks(device, 0, bytes, sizeof(bytes) / BLOCK, BLOCK);
    assert_all(bytes, sizeof(bytes), bytes[0]);
    return bytes[0];
}

static void assert_sanitize_failed(struct host_device *device)
{
    struct host_command command = {0};
    struct sense sense;
    uint8_t block[BLOCK];

    cdb_read_16(command.cdb, 0, 1);
    assert_int_equal(host_execute(device, &command, block, BLOCK), TCMU_STS_PASSTHROUGH_ERR);
    assert_int_equal(sense_decode(command.sense, sizeof(command.sense), &sense), 0);
    assert_int_equal(sense.key, SENSE_MEDIUM_ERROR);
    assert_int_equal(sense.asc_ascq, ASC_SANITIZE_FAILED);
    command = (struct host_command){.cdb = {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE}};
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_OK);
    assert_int_equal(only_byte(device), 0);
}

static void a_sanitize_that_was_killed_has_failed_or_has_not_begun_or_is_done(void **state)
{
    static uint8_t data[SANITIZED_MIB << 20];
    unsigned seed = 2;

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        struct host_device *device = serve(cfgstring, BLOCK);
        struct host_command ready = {0};

        memset(data, 0x11, sizeof(data));
        write_blocks(device, 0, data, sizeof(data) / BLOCK, BLOCK);
        host_remove(device);
        kill_amid(sanitize_until_killed, &seed, 30000);
        device = serve(cfgstring, BLOCK);
        if (host_execute(device, &ready, NULL, 0) != TCMU_STS_OK)
            assert_sanitize_failed(device);
        else if (only_byte(device) != PATTERN)
            assert_true(!atomic_load(&shared->begun) && only_byte(device) == 0x11);
        host_remove(device);
    }
    remove_leftover();
}

static int fresh_shared_volume(void **state)
{
    memset(shared, 0, sizeof(*shared));
    return fresh_volume(state);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(what_was_acknowledged_is_there_after_the_program_was_killed,
                               fresh_shared_volume),
        cmocka_unit_test_setup(a_sanitize_that_was_killed_has_failed_or_has_not_begun_or_is_done,
                               fresh_shared_volume),
    };

    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED) {
        perror("mmap");
        return 1;
    }
    return RUN_MODULE_TESTS(argc, argv, tests);
}
