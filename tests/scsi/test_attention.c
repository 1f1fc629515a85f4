/* SPDX-License-Identifier: Apache-2.0 */

/* Unit attentions: which there are, in which order, and who is told. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "store_mem.h"

/* A LUN as the one who opened it finds it. */
static void open_fresh(struct rig *rig)
{
    struct volume_meta meta = {.block_size = 512};
    struct errmsg err;

    rig_needs_native("it is the first to send a command");
    *rig = (struct rig){.block_size = 512, .blocks = 2048};
    memcpy(meta.uuid, rig_uuid, sizeof(uuid_t));
    assert_int_equal(store_mem_create(1 << 20, 4096, &rig->store), 0);
    assert_int_equal(volume_over_store(rig->store, &meta, false, &rig->volume, &err), 0);
    assert_int_equal(lun_open(rig->volume, &rig->lun), 0);
}

static void the_first_command_is_told_of_the_power_on_once(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], bytes[512];
    struct rig rig;

    (void)state;
    open_fresh(&rig);
    cdb_read_16(cdb, 0, 1);
    assert_check(rig_command_in(&rig, cdb, bytes, 512), SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    assert_good(rig_command_in(&rig, cdb, bytes, 512));
    rig_close(&rig);
}

static void inquiry_neither_meets_a_unit_attention_nor_takes_it(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], bytes[96];
    struct rig rig;

    (void)state;
    open_fresh(&rig);
    cdb_inquiry(cdb, sizeof(bytes));
    assert_good(rig_command_in(&rig, cdb, bytes, sizeof(bytes)));
    cdb_test_unit_ready(cdb);
    assert_check(rig_command(&rig, cdb), SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    assert_good(rig_command(&rig, cdb));
    rig_close(&rig);
}

static void request_sense_returns_it_as_parameter_data(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, 18};
    uint8_t bytes[18];
    struct rig rig;

    (void)state;
    open_fresh(&rig);
    assert_good(rig_command_in(&rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[2], SENSE_UNIT_ATTENTION);
    assert_int_equal(get_be16(bytes + 12), ASC_POWER_ON_RESET);
    cdb_test_unit_ready(cdb);
    assert_good(rig_command(&rig, cdb));
    rig_close(&rig);
}

static void a_command_that_does_not_exist_leaves_it(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x01};
    struct rig rig;

    (void)state;
    open_fresh(&rig);
    assert_check(rig_command(&rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE);
    cdb_test_unit_ready(cdb);
    assert_check(rig_command(&rig, cdb), SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    rig_close(&rig);
}

static void the_power_on_comes_before_what_happened_since(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct errmsg err;
    struct rig rig;

    (void)state;
    open_fresh(&rig);
    assert_int_equal(lun_resize(rig.lun, 2 << 20, &err), 0);
    cdb_test_unit_ready(cdb);
    assert_check(rig_command(&rig, cdb), SENSE_UNIT_ATTENTION, ASC_POWER_ON_RESET);
    assert_check(rig_command(&rig, cdb), SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    assert_good(rig_command(&rig, cdb));
    rig_close(&rig);
}

static void what_happens_twice_is_told_once(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct errmsg err;

    rig_needs_native("it resizes the LUN");
    for (uint64_t i = 1; i <= 2; i++)
        assert_int_equal(lun_resize(rig->lun, (rig->blocks + 64 * i) * rig->block_size, &err), 0);
    cdb_test_unit_ready(cdb);
    assert_check(rig_command(rig, cdb), SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    assert_good(rig_command(rig, cdb));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_command_is_told_of_the_power_on_once),
        cmocka_unit_test(inquiry_neither_meets_a_unit_attention_nor_takes_it),
        cmocka_unit_test(request_sense_returns_it_as_parameter_data),
        cmocka_unit_test(a_command_that_does_not_exist_leaves_it),
        cmocka_unit_test(the_power_on_comes_before_what_happened_since),
        BOTH(what_happens_twice_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
