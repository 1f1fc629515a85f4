/* SPDX-License-Identifier: Apache-2.0 */

/* The unit as such: readiness, sense, unit attentions, flushing, a full store, a read-only volume,
 * and commands that are no commands. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "sense.h"
#include "store_mem.h"

static void test_unit_ready_is_good(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_test_unit_ready(cdb);
    assert_good(rig_command(*state, cdb));
}

static void request_sense_has_both_formats(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, 252};
    struct sense sense;
    uint8_t bytes[252];
    struct answer answer = rig_command_in(*state, cdb, bytes, sizeof(bytes));

    assert_good(answer);
    assert_length(answer, 18);
    assert_int_equal(bytes[0], 0x70);
    assert_int_equal(sense_decode(bytes, answer.length, &sense), 0);
    assert_int_equal(sense.key, SENSE_NO_SENSE);
    assert_int_equal(sense.asc_ascq, 0);
    cdb[1] = 0x01; /* DESC */
    answer = rig_command_in(*state, cdb, bytes, sizeof(bytes));
    assert_good(answer);
    assert_length(answer, 8);
    assert_int_equal(bytes[0], 0x72);
    cdb[4] = 3;
    assert_length(rig_command_in(*state, cdb, bytes, sizeof(bytes)), 3);
}

static void grow(struct rig *rig)
{
    struct errmsg err;

    rig->blocks += 64;
    assert_int_equal(lun_resize(rig->lun, rig->blocks * rig->block_size, &err), 0);
}

static void a_resize_is_told_to_the_next_command_once(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t bytes[96];

    rig_needs_native("it resizes the LUN");
    rig_fill(rig, 0, 8, 0x11);
    grow(rig);
    cdb_inquiry(cdb, sizeof(bytes));
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes))); /* is served, and leaves it */
    cdb_write_16(cdb, 0, 1, false);
    assert_check(rig_command_out(rig, cdb, bytes, rig->block_size == 512 ? 96 : 1),
                 SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    rig_assert_blocks(rig, 0, 8, 0x11);
    rig_fill(rig, rig->blocks - 8, 8, 0x12);
    rig_assert_blocks(rig, rig->blocks - 8, 8, 0x12);
}

static void request_sense_takes_the_unit_attention(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, 1, 0, 0, 252};
    struct rig *rig = *state;
    uint8_t bytes[252];

    rig_needs_native("it resizes the LUN");
    grow(rig);
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[1], SENSE_UNIT_ATTENTION);
    assert_int_equal(get_be16(bytes + 2), ASC_CAPACITY_DATA_CHANGED);
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(bytes[1], SENSE_NO_SENSE);
    cdb_test_unit_ready(cdb);
    assert_good(rig_command(rig, cdb));
}

static void a_resize_to_the_same_size_tells_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct errmsg err;

    rig_needs_native("it resizes the LUN");
    assert_int_equal(lun_resize(rig->lun, rig->blocks * rig->block_size, &err), 0);
    cdb_test_unit_ready(cdb);
    assert_good(rig_command(rig, cdb));
}

static void shrinking_over_data_is_refused_and_changes_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct errmsg err;

    rig_needs_native("it resizes the LUN");
    rig_fill(rig, rig->blocks - 8, 8, 0x12);
    assert_int_equal(lun_resize(rig->lun, rig->blocks / 2 * rig->block_size, &err), -EBUSY);
    cdb_test_unit_ready(cdb);
    assert_good(rig_command(rig, cdb));
    rig_assert_blocks(rig, rig->blocks - 8, 8, 0x12);
    rig_unmap(rig, rig->blocks - 8, 8);
    assert_int_equal(lun_resize(rig->lun, rig->blocks / 2 * rig->block_size, &err), 0);
    assert_check(rig_command(rig, cdb), SENSE_UNIT_ATTENTION, ASC_CAPACITY_DATA_CHANGED);
    cdb_read_16(cdb, rig->blocks / 2, 1);
    assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

static void synchronize_cache_flushes(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    size_t (*const build[])(uint8_t *) = {cdb_synchronize_cache_10, cdb_synchronize_cache_16};

    for (int i = 0; i < 2; i++) {
        build[i](cdb);
        assert_good(rig_command(rig, cdb));
        if (rig->store) {
            store_mem_set_fault(rig->store, "flush", 0, EIO);
            assert_check(rig_command(rig, cdb), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
            store_mem_set_fault(rig->store, "flush", 0, 0);
        }
        put_be32(cdb + (i == 0 ? 2 : 6), (uint32_t)rig->blocks + 1);
        assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    }
}

static void start_stop_unit_flushes_and_stays_ready(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_START_STOP_UNIT};
    uint8_t ready[SCSI_CDB_MAX_BYTES];

    cdb[4] = 0x01; /* START */
    assert_good(rig_command(rig, cdb));
    cdb[4] = 0x00;
    assert_good(rig_command(rig, cdb));
    cdb_test_unit_ready(ready);
    assert_good(rig_command(rig, ready));
    if (rig->store) {
        store_mem_set_fault(rig->store, "flush", 0, EIO);
        assert_check(rig_command(rig, cdb), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
        cdb[4] = 0x04; /* NO_FLUSH */
        assert_good(rig_command(rig, cdb));
        store_mem_set_fault(rig->store, "flush", 0, 0);
    }
    cdb[4] = 0x02; /* LOEJ */
    assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    cdb[4] = 0x10; /* POWER CONDITION: active */
    assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

/* A full store: refused with 7/27/07, and everything else goes on. */
static void a_full_store_refuses_new_blocks_only(void **state)
{
    struct rig *rig = *state;
    uint32_t per_granule = 4096 / rig->block_size;
    uint8_t bytes[4 * 4096];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_needs_native("it sets the store a quota");
    memset(bytes, 0x71, sizeof(bytes));
    store_mem_set_quota(rig->store, 2 * 4096);
    rig_fill(rig, 0, 2 * per_granule, 0x70);
    cdb_write_16(cdb, 8 * per_granule, per_granule, false);
    for (int i = 0; i < 3; i++)
        assert_check(rig_command_out(rig, cdb, bytes, 4096), SENSE_DATA_PROTECT,
                     ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    rig_fill(rig, 0, per_granule, 0x72); /* mapped already */
    rig_assert_blocks(rig, 0, per_granule, 0x72);
    rig_assert_blocks(rig, per_granule, per_granule, 0x70);
    rig_assert_blocks(rig, 8 * per_granule, per_granule, 0);
    rig_unmap(rig, 0, per_granule);
    assert_good(rig_command_out(rig, cdb, bytes, 4096));
    rig_assert_blocks(rig, 8 * per_granule, per_granule, 0x71);
    cdb_write_same_16(cdb, 16 * per_granule, per_granule, false);
    assert_check(rig_command_out(rig, cdb, bytes, rig->block_size), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
}

static void a_read_only_lun_refuses_every_write_and_serves_the_rest(void **state)
{
    const uint8_t writing[] = {SCSI_WRITE_6, SCSI_WRITE_10,      SCSI_WRITE_12,     SCSI_WRITE_16,
                               SCSI_UNMAP,   SCSI_WRITE_SAME_10, SCSI_WRITE_SAME_16};
    uint8_t block[512] = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    for (size_t i = 0; i < sizeof(writing); i++) {
        memset(cdb, 0, sizeof(cdb));
        cdb[0] = writing[i];
        assert_check(rig_command_out(&rig, cdb, block, sizeof(block)), SENSE_DATA_PROTECT,
                     ASC_WRITE_PROTECTED);
    }
    rig_assert_blocks(&rig, 0, 64, 0);
    rig_assert_mapped(&rig, 0, 64, false);
    cdb_synchronize_cache_10(cdb);
    assert_good(rig_command(&rig, cdb));
    rig_close(&rig);
}

static void naca_is_refused(void **state)
{
    const uint8_t opcodes[] = {SCSI_TEST_UNIT_READY, SCSI_SYNCHRONIZE_CACHE_10, SCSI_READ_12,
                               SCSI_READ_16};

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {opcodes[i]};

        cdb[cdb_length(opcodes[i]) - 1] = 0x04;
        assert_check(rig_command(*state, cdb), SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
}

static void a_cdb_shorter_than_its_opcode_says_is_refused(void **state)
{
    struct rig *rig = *state;
    const uint8_t opcodes[] = {SCSI_INQUIRY, SCSI_READ_10, SCSI_READ_12, SCSI_READ_16,
                               SCSI_SERVICE_ACTION_IN_16};

    rig_needs_native("it cuts the CDB");
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (size_t length = 0; length < cdb_length(opcodes[i]); length++) {
            uint8_t *cdb = calloc(1, length ? length : 1);
            struct lun_command command = {.cdb = cdb, .cdb_length = length};
            struct sense sense;

            if (length > 0)
                cdb[0] = opcodes[i];
            assert_int_equal(lun_execute(rig->lun, &command), SCSI_STATUS_CHECK_CONDITION);
            assert_int_equal(sense_decode(command.sense, sizeof(command.sense), &sense), 0);
            assert_int_equal(sense.key, SENSE_ILLEGAL_REQUEST);
            assert_int_equal(sense.asc_ascq, ASC_INVALID_OPERATION_CODE);
            free(cdb);
        }
    }
}

/* Its operation code is a known one: the field is wrong that tells its length. */
static void a_variable_length_cdb_that_is_too_short_has_a_wrong_field(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it cuts the CDB");
    for (size_t length = 8; length < 32; length += 4) {
        uint8_t *cdb = calloc(1, length);
        struct lun_command command = {.cdb = cdb, .cdb_length = length};
        struct sense sense;

        cdb[0] = SCSI_VARIABLE_LENGTH;
        cdb[7] = (uint8_t)(length - 8);
        assert_int_equal(lun_execute(rig->lun, &command), SCSI_STATUS_CHECK_CONDITION);
        assert_int_equal(sense_decode(command.sense, sizeof(command.sense), &sense), 0);
        assert_int_equal(sense.key, SENSE_ILLEGAL_REQUEST);
        assert_int_equal(sense.asc_ascq, ASC_INVALID_FIELD_IN_CDB);
        free(cdb);
    }
}

/* Who cannot tell the direction gives one list for both. */
static void one_set_of_buffers_serves_both_directions(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[2 * 4096];
    struct iovec iov = {.iov_base = bytes, .iov_len = 2 * rig->block_size};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct lun_command command = {.cdb = cdb,
                                  .cdb_length = 16,
                                  .data_out = &iov,
                                  .data_out_count = 1,
                                  .data_in = &iov,
                                  .data_in_count = 1};

    rig_needs_native("it calls lun_execute itself");
    memset(bytes, 0x5E, sizeof(bytes));
    cdb_write_16(cdb, 4, 2, false);
    assert_int_equal(lun_execute(rig->lun, &command), SCSI_STATUS_GOOD);
    rig_assert_blocks(rig, 4, 2, 0x5E);
    memset(bytes, 0xEE, sizeof(bytes));
    cdb_read_capacity_16(cdb, 32);
    assert_int_equal(lun_execute(rig->lun, &command), SCSI_STATUS_GOOD);
    for (size_t i = 32; i < iov.iov_len; i++)
        assert_int_equal(bytes[i], 0);
    memset(bytes, 0xEE, sizeof(bytes));
    memset(cdb, 0xEE, sizeof(cdb));
    assert_int_equal(lun_execute(rig->lun, &command), SCSI_STATUS_CHECK_CONDITION);
    for (size_t i = 0; i < iov.iov_len; i++)
        assert_int_equal(bytes[i], 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(test_unit_ready_is_good),
        BOTH(request_sense_has_both_formats),
        BOTH(a_resize_is_told_to_the_next_command_once),
        BOTH(request_sense_takes_the_unit_attention),
        BOTH(a_resize_to_the_same_size_tells_nothing),
        BOTH(shrinking_over_data_is_refused_and_changes_nothing),
        BOTH(synchronize_cache_flushes),
        BOTH(start_stop_unit_flushes_and_stays_ready),
        BOTH(a_full_store_refuses_new_blocks_only),
        cmocka_unit_test(a_read_only_lun_refuses_every_write_and_serves_the_rest),
        BOTH(naca_is_refused),
        BOTH(a_cdb_shorter_than_its_opcode_says_is_refused),
        BOTH(a_variable_length_cdb_that_is_too_short_has_a_wrong_field),
        BOTH(one_set_of_buffers_serves_both_directions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
