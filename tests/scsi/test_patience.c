/* SPDX-License-Identifier: Apache-2.0 */

/* Commands that are not to wait: what would have to is left, with nothing done, and is served when
 * it may wait. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cdb.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "store_file.h"

#define FUA 0x08

static uint8_t bytes[4096];

static uint8_t run(struct rig *rig, const uint8_t *cdb, bool out, enum lun_patience patience)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = rig->block_size};
    struct lun_command command = {.cdb = cdb,
                                  .cdb_length = cdb_length(cdb[0]),
                                  .data_out = &iov,
                                  .data_out_count = out,
                                  .data_in = &iov,
                                  .data_in_count = !out,
                                  .patience = patience};

    return lun_execute(rig->lun, &command);
}

/* A file says what it has in memory, where its file system can; the memory store never does. */
static void open_over_file(struct rig *rig, struct scratch *scratch)
{
    const char *path;
    struct errmsg err;
    struct store *store;

    rig_needs_native("no transport has a patience");
    scratch_make(scratch);
    path = scratch_path(scratch, "v");
    assert_int_equal(store_file_create(path, 1 << 20, &store, &err), 0);
    rig_open_store(rig, 512, store);
}

static void a_read_that_must_be_durable_first_is_left(void **state)
{
    struct scratch scratch;
    struct rig rig;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    (void)state;
    open_over_file(&rig, &scratch);
    rig_fill(&rig, 0, 8, 0x11);
    cdb_read_16(cdb, 0, 1);
    cdb[1] = FUA;
    assert_int_equal(run(&rig, cdb, false, LUN_NEVER_WAITS), LUN_WOULD_WAIT);
    assert_int_equal(run(&rig, cdb, false, LUN_WAITS_IF_UNKNOWN), LUN_WOULD_WAIT);
    assert_int_equal(run(&rig, cdb, false, LUN_WAITS), SCSI_STATUS_GOOD);
    assert_int_equal(bytes[0], 0x11);
    rig_close(&rig);
    scratch_remove(&scratch);
}

static void a_read_of_a_store_that_cannot_tell_is_left_only_by_who_never_waits(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_needs_native("no transport has a patience");
    rig_fill(rig, 0, 1, 0x22);
    cdb_read_16(cdb, 0, 1);
    assert_int_equal(run(rig, cdb, false, LUN_NEVER_WAITS), LUN_WOULD_WAIT);
    memset(bytes, 0, sizeof(bytes));
    assert_int_equal(run(rig, cdb, false, LUN_WAITS_IF_UNKNOWN), SCSI_STATUS_GOOD);
    assert_int_equal(bytes[0], 0x22);
}

static void a_write_is_never_known_not_to_wait(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_needs_native("no transport has a patience");
    memset(bytes, 0x33, sizeof(bytes));
    cdb_write_16(cdb, 0, 1, false);
    assert_int_equal(run(rig, cdb, true, LUN_NEVER_WAITS), LUN_WOULD_WAIT);
    rig_assert_blocks(rig, 0, 1, 0);
    memset(bytes, 0x33, sizeof(bytes));
    assert_int_equal(run(rig, cdb, true, LUN_WAITS_IF_UNKNOWN), SCSI_STATUS_GOOD);
    rig_assert_blocks(rig, 0, 1, 0x33);
    cdb_write_16(cdb, 1, 1, true); /* durable: the disk is needed */
    assert_int_equal(run(rig, cdb, true, LUN_WAITS_IF_UNKNOWN), LUN_WOULD_WAIT);
    rig_assert_blocks(rig, 1, 1, 0);
}

/* Another thread has block 0 to itself until it is told to leave. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside, leave;
} gate = {.lock = PTHREAD_MUTEX_INITIALIZER, .changed = PTHREAD_COND_INITIALIZER};

static int stay_inside(uint8_t *found, size_t length, void *context)
{
    (void)found;
    (void)length;
    (void)context;
    pthread_mutex_lock(&gate.lock);
    gate.inside = true;
    pthread_cond_broadcast(&gate.changed);
    while (!gate.leave)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    return 0;
}

static void *own_block_0(void *argument)
{
    struct rig *rig = argument;
    uint8_t found[4096];

    return volume_update(rig->volume, 0, found, rig->block_size, stay_inside, NULL, false)
               ? argument
               : NULL;
}

static void a_write_to_blocks_another_has_alone_is_left(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    pthread_t owner;
    void *failed;

    rig_needs_native("no transport has a patience");
    gate.inside = gate.leave = false;
    assert_int_equal(pthread_create(&owner, NULL, own_block_0, rig), 0);
    pthread_mutex_lock(&gate.lock);
    while (!gate.inside)
        pthread_cond_wait(&gate.changed, &gate.lock);
    pthread_mutex_unlock(&gate.lock);
    memset(bytes, 0x44, sizeof(bytes));
    cdb_write_16(cdb, 0, 1, false);
    assert_int_equal(run(rig, cdb, true, LUN_WAITS_IF_UNKNOWN), LUN_WOULD_WAIT);
    pthread_mutex_lock(&gate.lock);
    gate.leave = true;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.lock);
    assert_int_equal(pthread_join(owner, &failed), 0);
    assert_null(failed);
    memset(bytes, 0x44, sizeof(bytes));
    assert_int_equal(run(rig, cdb, true, LUN_WAITS_IF_UNKNOWN), SCSI_STATUS_GOOD);
    rig_assert_blocks(rig, 0, 1, 0x44);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_read_that_must_be_durable_first_is_left),
        BOTH(a_read_of_a_store_that_cannot_tell_is_left_only_by_who_never_waits),
        BOTH(a_write_is_never_known_not_to_wait),
        BOTH(a_write_to_blocks_another_has_alone_is_left),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
