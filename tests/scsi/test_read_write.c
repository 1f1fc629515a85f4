/* SPDX-License-Identifier: Apache-2.0 */

/* READ and WRITE of every length, FUA, and what they refuse. */

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

/* READ or WRITE with a CDB of 6, 10, 12 or 16 bytes. */
static void transfer_cdb(uint8_t *cdb, uint8_t opcode, uint64_t lba, uint32_t blocks)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = opcode;
    switch (cdb_length(opcode)) {
    case 6:
        put_be24(cdb + 1, (uint32_t)lba);
        cdb[4] = (uint8_t)blocks;
        break;
    case 10:
        put_be32(cdb + 2, (uint32_t)lba);
        put_be16(cdb + 7, (uint16_t)blocks);
        break;
    case 12:
        put_be32(cdb + 2, (uint32_t)lba);
        put_be32(cdb + 6, blocks);
        break;
    default:
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
        break;
    }
}

static const uint8_t read_opcodes[] = {SCSI_READ_6, SCSI_READ_10, SCSI_READ_12, SCSI_READ_16};
static const uint8_t write_opcodes[] = {SCSI_WRITE_6, SCSI_WRITE_10, SCSI_WRITE_12, SCSI_WRITE_16};

static void what_one_length_writes_every_other_reads(void **state)
{
    struct rig *rig = *state;
    size_t size = 3 * rig->block_size;
    uint8_t *wrote = malloc(size), *found = malloc(size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (size_t w = 0; w < sizeof(write_opcodes); w++) {
        for (size_t i = 0; i < size; i++)
            wrote[i] = (uint8_t)(i * 7 + w);
        transfer_cdb(cdb, write_opcodes[w], 5 + 10 * w, 3);
        assert_good(rig_command_out(rig, cdb, wrote, size));
        for (size_t r = 0; r < sizeof(read_opcodes); r++) {
            transfer_cdb(cdb, read_opcodes[r], 5 + 10 * w, 3);
            assert_good(rig_command_in(rig, cdb, found, size));
            assert_memory_equal(found, wrote, size);
        }
    }
    free(wrote);
    free(found);
}

static void blocks_never_written_read_as_zeros(void **state)
{
    rig_assert_blocks(*state, 0, 100, 0);
}

static void a_six_byte_length_of_zero_means_256_blocks(void **state)
{
    struct rig *rig = *state;
    size_t size = (size_t)256 * rig->block_size;
    uint8_t *bytes = malloc(size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    memset(bytes, 0x77, size);
    transfer_cdb(cdb, SCSI_WRITE_6, 1, 0);
    assert_good(rig_command_out(rig, cdb, bytes, size));
    rig_assert_blocks(rig, 0, 1, 0);
    rig_assert_blocks(rig, 1, 256, 0x77);
    rig_assert_blocks(rig, 257, 1, 0);
    transfer_cdb(cdb, SCSI_READ_6, 1, 0);
    assert_good(rig_command_in(rig, cdb, bytes, size));
    free(bytes);
}

static void a_longer_length_of_zero_moves_nothing_and_is_good(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (size_t i = 1; i < sizeof(read_opcodes); i++) {
        transfer_cdb(cdb, read_opcodes[i], 0, 0);
        assert_good(rig_command(rig, cdb));
        transfer_cdb(cdb, write_opcodes[i], rig->blocks - 1, 0);
        assert_good(rig_command(rig, cdb));
        transfer_cdb(cdb, write_opcodes[i], rig->blocks + 1, 0);
        assert_check(rig_command(rig, cdb), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    }
}

static void what_reaches_past_the_end_is_refused_whole(void **state)
{
    struct rig *rig = *state;
    const struct {
        uint64_t lba;
        uint32_t blocks;
    } wrong[] = {{rig->blocks, 1},
                 {rig->blocks - 1, 2},
                 {UINT64_MAX, 1},
                 {UINT64_MAX - 1, 2},
                 {UINT64_MAX, UINT32_MAX},
                 {UINT64_C(1) << 63, 1},
                 {0, UINT32_MAX},
                 {rig->blocks - 2, 3},
                 {UINT64_MAX / rig->block_size, 1},
                 {UINT64_MAX / rig->block_size + 1, 1}};
    uint8_t *bytes = calloc(3, rig->block_size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_fill(rig, rig->blocks - 2, 2, 0x31);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        size_t size = (wrong[i].blocks <= 3 ? wrong[i].blocks : 1) * rig->block_size;

        transfer_cdb(cdb, SCSI_WRITE_16, wrong[i].lba, wrong[i].blocks);
        assert_check(rig_command_out(rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
        transfer_cdb(cdb, SCSI_READ_16, wrong[i].lba, wrong[i].blocks);
        assert_check(rig_command_in(rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    }
    rig_assert_blocks(rig, rig->blocks - 2, 2, 0x31);
    free(bytes);
}

static void a_write_whose_data_is_not_as_long_as_the_cdb_says_writes_nothing(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes = malloc(3 * rig->block_size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_fill(rig, 8, 3, 0x22);
    memset(bytes, 0x33, 3 * rig->block_size);
    for (size_t i = 0; i < sizeof(write_opcodes); i++) {
        transfer_cdb(cdb, write_opcodes[i], 8, 2);
        for (size_t size = 0; size <= 3 * rig->block_size; size += rig->block_size / 2) {
            if (size != 2 * rig->block_size)
                assert_check(rig_command_out(rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                             ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
        }
    }
    rig_assert_blocks(rig, 8, 3, 0x22);
    free(bytes);
}

static void a_read_with_too_little_room_is_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes = malloc(2 * rig->block_size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_fill(rig, 0, 2, 0x44);
    for (size_t i = 0; i < sizeof(read_opcodes); i++) {
        transfer_cdb(cdb, read_opcodes[i], 0, 2);
        assert_check(rig_command_in(rig, cdb, bytes, 2 * rig->block_size - 1),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
        assert_check(rig_command_in(rig, cdb, bytes, 0), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    }
    free(bytes);
}

static void a_read_with_more_room_fills_the_rest_with_zeros(void **state)
{
    struct rig *rig = *state;
    size_t size = 5 * rig->block_size + 3;
    uint8_t *bytes = malloc(size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    rig_fill(rig, 0, 6, 0x44);
    cdb_read_16(cdb, 0, 5);
    answer = rig_command_in(rig, cdb, bytes, size); /* which looks at the rest */
    assert_good(answer);
    assert_length(answer, 5 * rig->block_size);
    for (size_t i = 0; i < 5 * rig->block_size; i++)
        assert_int_equal(bytes[i], 0x44);
    free(bytes);
}

static void a_transfer_longer_than_block_limits_states_is_refused(void **state)
{
    struct rig rig;
    uint32_t most = (8u << 20) / 512;
    size_t size = (size_t)(most + 1) * 512;
    uint8_t *bytes;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    (void)state;
    rig_open(&rig, 512, 1 << 20, 4096, false);
    rig_needs_transfer(&rig, size);
    bytes = calloc(1, size);
    assert_non_null(bytes);
    cdb_write_16(cdb, 0, most, false);
    assert_good(rig_command_out(&rig, cdb, bytes, size - 512));
    cdb_write_16(cdb, 0, most + 1, false);
    assert_check(rig_command_out(&rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    cdb_read_16(cdb, 0, most);
    assert_good(rig_command_in(&rig, cdb, bytes, size - 512));
    cdb_read_16(cdb, 0, most + 1);
    assert_check(rig_command_in(&rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    rig_close(&rig);
    free(bytes);
}

static void protection_information_is_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes = calloc(1, rig->block_size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (size_t i = 1; i < sizeof(read_opcodes); i++) {
        for (unsigned protect = 1; protect < 8; protect++) {
            transfer_cdb(cdb, read_opcodes[i], 0, 1);
            cdb[1] = (uint8_t)(protect << 5);
            assert_check(rig_command_in(rig, cdb, bytes, rig->block_size), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_CDB);
            transfer_cdb(cdb, write_opcodes[i], 0, 1);
            cdb[1] = (uint8_t)(protect << 5);
            assert_check(rig_command_out(rig, cdb, bytes, rig->block_size), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_CDB);
        }
    }
    free(bytes);
}

static void a_read_with_fua_makes_durable_first(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[4096];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_needs_native("it makes the store fail");
    cdb_read_16(cdb, 0, 1);
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_good(rig_command_in(rig, cdb, bytes, rig->block_size));
    cdb[1] = 0x08; /* FUA */
    assert_check(rig_command_in(rig, cdb, bytes, rig->block_size), SENSE_MEDIUM_ERROR,
                 ASC_UNRECOVERED_READ_ERROR);
    store_mem_set_fault(rig->store, "flush", 0, 0);
}

static void errors_below_are_medium_errors(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[4096] = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_needs_native("it makes the store fail");
    store_mem_set_fault(rig->store, "read", 0, EIO);
    cdb_read_16(cdb, 0, 1);
    assert_check(rig_command_in(rig, cdb, bytes, rig->block_size), SENSE_MEDIUM_ERROR,
                 ASC_UNRECOVERED_READ_ERROR);
    store_mem_set_fault(rig->store, "write", 0, EIO);
    cdb_write_16(cdb, 0, 1, false);
    assert_check(rig_command_out(rig, cdb, bytes, rig->block_size), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_one_length_writes_every_other_reads),
        BOTH(blocks_never_written_read_as_zeros),
        BOTH(a_six_byte_length_of_zero_means_256_blocks),
        BOTH(a_longer_length_of_zero_moves_nothing_and_is_good),
        BOTH(what_reaches_past_the_end_is_refused_whole),
        BOTH(a_write_whose_data_is_not_as_long_as_the_cdb_says_writes_nothing),
        BOTH(a_read_with_too_little_room_is_refused),
        BOTH(a_read_with_more_room_fills_the_rest_with_zeros),
        cmocka_unit_test(a_transfer_longer_than_block_limits_states_is_refused),
        BOTH(protection_information_is_refused),
        BOTH(a_read_with_fua_makes_durable_first),
        BOTH(errors_below_are_medium_errors),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
