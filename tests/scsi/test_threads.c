/* SPDX-License-Identifier: Apache-2.0 */

/* Many commands at once. Each thread has blocks of its own, which must stay as it leaves them
 * whatever the others do; all of them also write to blocks they share, and meanwhile the map is
 * read and the LUN grows. Meant for ThreadSanitizer as much as for itself. */

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "lba_status.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "store_file.h"

#define BLOCK      512
#define THREADS    4
#define OWN_BLOCKS 96 /* a thread's; whole granules */
#define SHARED     (THREADS * OWN_BLOCKS)
#define ROUNDS     400
#define BLOCKS     1024

struct worker {
    struct lun *lun;
    unsigned seed;
    uint64_t first; /* its own blocks */
    atomic_bool *stop;
    const char *trouble; /* NULL: none */
    uint8_t model[OWN_BLOCKS * BLOCK];
};

/* Again when a resize was announced to this command. */
static uint8_t execute(struct lun *lun, const uint8_t *cdb, void *out, void *in, size_t size)
{
    struct iovec iov = {.iov_base = out ? out : in, .iov_len = size};
    struct lun_command command = {.cdb = cdb,
                                  .cdb_length = cdb_length(cdb[0]),
                                  .data_out = &iov,
                                  .data_out_count = out ? 1 : 0,
                                  .data_in = &iov,
                                  .data_in_count = in ? 1 : 0};
    uint8_t status;

    do {
        status = lun_execute(lun, &command);
    } while (status == SCSI_STATUS_CHECK_CONDITION &&
             (command.sense[2] & 0x0F) == SENSE_UNIT_ATTENTION);
    return status;
}

static bool write_blocks(struct lun *lun, uint64_t lba, uint32_t blocks, uint8_t *bytes)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_write_16(cdb, lba, blocks, false);
    return execute(lun, cdb, bytes, NULL, (size_t)blocks * BLOCK) == SCSI_STATUS_GOOD;
}

static bool unmap_by_write_same(struct lun *lun, uint64_t lba, uint32_t blocks)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t zeros[BLOCK] = {0};

    cdb_write_same_16(cdb, lba, blocks, true);
    return execute(lun, cdb, zeros, NULL, BLOCK) == SCSI_STATUS_GOOD;
}

/* A write or an unmap in the blocks of its own, kept in the model, and another in those of all. */
static bool one_round(struct worker *worker)
{
    uint32_t from = (uint32_t)rand_r(&worker->seed) % OWN_BLOCKS;
    uint32_t blocks = 1 + (uint32_t)rand_r(&worker->seed) % (OWN_BLOCKS - from);
    uint8_t *model = worker->model + (size_t)from * BLOCK;
    size_t length = (size_t)blocks * BLOCK;
    uint8_t bytes[OWN_BLOCKS * BLOCK];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    bool done;

    if (rand_r(&worker->seed) % 3) {
        memset(model, rand_r(&worker->seed), length);
        done = write_blocks(worker->lun, worker->first + from, blocks, model);
    } else {
        memset(model, 0, length);
        done = unmap_by_write_same(worker->lun, worker->first + from, blocks);
    }
    memset(bytes, 0x99, sizeof(bytes));
    done = done && write_blocks(worker->lun, SHARED + from, blocks, bytes);
    done = done && unmap_by_write_same(worker->lun, SHARED + from / 2, blocks);
    cdb_read_16(cdb, worker->first, OWN_BLOCKS);
    if (!done || execute(worker->lun, cdb, NULL, bytes, sizeof(bytes)) != SCSI_STATUS_GOOD) {
        worker->trouble = "a command failed";
        return false;
    }
    if (memcmp(bytes, worker->model, sizeof(bytes)) != 0) {
        worker->trouble = "blocks of its own are not as it left them";
        return false;
    }
    return true;
}

static void *work(void *argument)
{
    struct worker *worker = argument;

    for (int i = 0; i < ROUNDS && one_round(worker); i++)
        ;
    return NULL;
}

/* Reads the map from the first block to the last, over and over. */
static void *map(void *argument)
{
    struct worker *worker = argument;
    uint8_t reply[8 + 16 * 4];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint64_t lba = 0;

    while (!atomic_load(worker->stop)) {
        cdb_get_lba_status_16(cdb, lba, sizeof(reply));
        if (execute(worker->lun, cdb, NULL, reply, sizeof(reply)) != SCSI_STATUS_GOOD) {
            if (lba >= BLOCKS) { /* no longer there */
                lba = 0;
                continue;
            }
            worker->trouble = "the map cannot be read";
            return NULL;
        }
        for (const uint8_t *at = reply + 8; at < reply + 4 + get_be32(reply); at += 16) {
            if (get_be64(at) != lba || get_be32(at + 8) == 0) {
                worker->trouble = "the map has a gap";
                return NULL;
            }
            lba += get_be32(at + 8);
        }
        if (reply[7] >> 1 == LBA_STATUS_END_OF_CAPACITY)
            lba = 0;
    }
    return NULL;
}

static void *resize(void *argument)
{
    struct worker *worker = argument;
    uint64_t bytes = BLOCKS * BLOCK;
    struct errmsg err;

    while (!atomic_load(worker->stop)) {
        bytes = bytes == BLOCKS * BLOCK ? 2 * BLOCKS * BLOCK : BLOCKS * BLOCK;
        if (lun_resize(worker->lun, bytes, &err) < 0) {
            worker->trouble = "it cannot be resized";
            return NULL;
        }
    }
    return NULL;
}

static void run_threads(struct rig *rig)
{
    struct worker *workers = calloc(THREADS + 2, sizeof(*workers));
    pthread_t threads[THREADS + 2];
    atomic_bool stop = false;

    assert_non_null(workers);
    for (unsigned i = 0; i < THREADS + 2; i++) {
        void *(*const body)(void *) = i < THREADS ? work : i == THREADS ? map : resize;

        workers[i].lun = rig->lun;
        workers[i].seed = i + 1;
        workers[i].first = (uint64_t)i * OWN_BLOCKS;
        workers[i].stop = &stop;
        assert_int_equal(pthread_create(&threads[i], NULL, body, &workers[i]), 0);
    }
    for (unsigned i = 0; i < THREADS + 2; i++) {
        if (i == THREADS)
            atomic_store(&stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (unsigned i = 0; i < THREADS + 2; i++) {
        if (workers[i].trouble)
            fail_msg("thread %u: %s", i, workers[i].trouble);
    }
    free(workers);
}

/* A counter in every 8 bytes of COUNTER_BLOCKS blocks, which all say the same, and beside each side
 * of them blocks that are written and unmapped all the time. */
#define COUNTER_LBA    64
#define COUNTER_BLOCKS 24
#define COUNTER_BYTES  (COUNTER_BLOCKS * BLOCK)
#define COUNTS         150

struct counter {
    struct lun *lun;
    atomic_bool *stop;
    atomic_ulong *misses; /* another thread was first */
    unsigned number;
    const char *trouble;
};

static bool all_say_the_same(const uint8_t *bytes)
{
    for (size_t at = 8; at < COUNTER_BYTES; at += 8)
        if (get_be64(bytes + at) != get_be64(bytes))
            return false;
    return true;
}

static uint8_t compare_and_write(struct lun *lun, uint8_t *both)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_COMPARE_AND_WRITE};

    put_be64(cdb + 2, COUNTER_LBA);
    cdb[13] = COUNTER_BLOCKS;
    return execute(lun, cdb, both, NULL, 2 * COUNTER_BYTES);
}

/* Reads the counters and writes them with one more, until no other write came between; COUNTS
 * times. */
static void *count(void *argument)
{
    struct counter *counter = argument;
    uint8_t both[2 * COUNTER_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (int done = 0; done < COUNTS;) {
        uint64_t value;

        cdb_read_16(cdb, COUNTER_LBA, COUNTER_BLOCKS);
        if (execute(counter->lun, cdb, NULL, both, COUNTER_BYTES) != SCSI_STATUS_GOOD ||
            !all_say_the_same(both)) {
            counter->trouble = "half of an update was read";
            break;
        }
        value = get_be64(both);
        for (size_t at = COUNTER_BYTES; at < sizeof(both); at += 8)
            put_be64(both + at, value + 1);
        if (compare_and_write(counter->lun, both) == SCSI_STATUS_GOOD)
            done++;
        else
            atomic_fetch_add(counter->misses, 1);
    }
    return NULL;
}

/* Writes and unmaps right beside the counters. */
static void *disturb(void *argument)
{
    struct counter *counter = argument;
    uint8_t bytes[16 * BLOCK];

    memset(bytes, 0x77, sizeof(bytes));
    while (!atomic_load(counter->stop)) {
        uint64_t lba = counter->number % 2 ? COUNTER_LBA - 16 : COUNTER_LBA + COUNTER_BLOCKS;

        if (!write_blocks(counter->lun, lba, 16, bytes) ||
            !unmap_by_write_same(counter->lun, lba, 16))
            counter->trouble = "a command beside it failed";
    }
    return NULL;
}

static void run_counters(struct rig *rig)
{
    struct counter counters[2 * THREADS];
    pthread_t threads[2 * THREADS];
    uint8_t bytes[COUNTER_BYTES];
    atomic_bool stop = false;
    atomic_ulong misses = 0;

    for (unsigned i = 0; i < 2 * THREADS; i++) {
        counters[i] = (struct counter){rig->lun, &stop, &misses, i, NULL};
        assert_int_equal(pthread_create(&threads[i], NULL, i < THREADS ? count : disturb,
                                        &counters[i]),
                         0);
    }
    for (unsigned i = 0; i < 2 * THREADS; i++) {
        if (i == THREADS)
            atomic_store(&stop, true);
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    }
    for (unsigned i = 0; i < 2 * THREADS; i++)
        if (counters[i].trouble)
            fail_msg("thread %u: %s", i, counters[i].trouble);
    rig_read(rig, COUNTER_LBA, COUNTER_BLOCKS, bytes);
    assert_true(all_say_the_same(bytes));
    assert_int_equal(get_be64(bytes), THREADS * COUNTS);
    print_message("# %lu comparisons failed\n", atomic_load(&misses));
}

static void counters_lose_no_update_over_memory(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, BLOCK, BLOCKS, 4096, false);
    run_counters(&rig);
    rig_close(&rig);
}

static void counters_lose_no_update_over_a_file(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;
    struct rig rig;

    (void)state;
    scratch_make(&scratch);
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), BLOCKS * BLOCK, &store, &err),
                     0);
    rig_open_store(&rig, BLOCK, store);
    run_counters(&rig);
    rig_close(&rig);
    scratch_remove(&scratch);
}

static void threads_do_not_disturb_each_other_over_memory(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, BLOCK, BLOCKS, 4096, false);
    run_threads(&rig);
    rig_close(&rig);
}

static void threads_do_not_disturb_each_other_over_a_file(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;
    struct rig rig;

    (void)state;
    scratch_make(&scratch);
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), BLOCKS * BLOCK, &store, &err),
                     0);
    rig_open_store(&rig, BLOCK, store);
    run_threads(&rig);
    rig_close(&rig);
    scratch_remove(&scratch);
}

/* A second passes with each look at the clock, so that every command looks at the thresholds. */
static _Atomic uint64_t fast_ms;

static uint64_t fast_clock(void)
{
    return atomic_fetch_add(&fast_ms, 1000);
}

static void *write_and_look(void *argument)
{
    struct worker *worker = argument;
    uint8_t bytes[BLOCK] = {1};

    for (int i = 0; i < ROUNDS && !worker->trouble; i++)
        if (!write_blocks(worker->lun, worker->first + (uint64_t)i % OWN_BLOCKS, 1, bytes))
            worker->trouble = "a write failed";
    return NULL;
}

static void many_look_at_the_thresholds_at_once(void **state)
{
    struct worker workers[THREADS] = {0};
    pthread_t threads[THREADS];
    struct rig rig;

    (void)state;
    rig_open(&rig, BLOCK, BLOCKS, 4096, false);
    lun_set_clock(rig.lun, fast_clock);
    lun_set_threshold(rig.lun, 1);
    for (uint64_t i = 0; i < THREADS; i++) {
        workers[i].lun = rig.lun;
        workers[i].first = i * OWN_BLOCKS;
        assert_int_equal(pthread_create(&threads[i], NULL, write_and_look, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_null(workers[i].trouble);
    }
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_look_at_the_thresholds_at_once),
        cmocka_unit_test(threads_do_not_disturb_each_other_over_memory),
        cmocka_unit_test(threads_do_not_disturb_each_other_over_a_file),
        cmocka_unit_test(counters_lose_no_update_over_memory),
        cmocka_unit_test(counters_lose_no_update_over_a_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
