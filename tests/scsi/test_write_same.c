/* SPDX-License-Identifier: Apache-2.0 */

/* WRITE SAME(10) and (16): patterns, zeros, UNMAP, NDOB, and what is refused. */

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

#define ANCHOR 0x10
#define UNMAP  0x08
#define PBDATA 0x04
#define LBDATA 0x02
#define NDOB   0x01

static void write_same_cdb(uint8_t *cdb, uint8_t opcode, uint8_t flags, uint64_t lba,
                           uint32_t blocks)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = opcode;
    cdb[1] = flags;
    if (opcode == SCSI_WRITE_SAME_10) {
        put_be32(cdb + 2, (uint32_t)lba);
        put_be16(cdb + 7, (uint16_t)blocks);
    } else {
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
    }
}

static struct answer write_same(struct rig *rig, uint8_t opcode, uint8_t flags, uint64_t lba,
                                uint32_t blocks, uint8_t byte)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t block[4096];

    memset(block, byte, sizeof(block));
    write_same_cdb(cdb, opcode, flags, lba, blocks);
    return rig_command_out(rig, cdb, block, rig->block_size);
}

static const uint8_t opcodes[] = {SCSI_WRITE_SAME_10, SCSI_WRITE_SAME_16};

static void a_pattern_is_written_to_every_block_and_maps_it(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        uint8_t byte = (uint8_t)(0x40 + i);

        rig_unmap(rig, 0, 1024);
        assert_good(write_same(rig, opcodes[i], 0, 8, 600, byte));
        rig_assert_mapped(rig, 0, 8, false);
        rig_assert_mapped(rig, 8, 600, true);
        rig_assert_blocks(rig, 0, 8, 0);
        rig_assert_blocks(rig, 8, 600, byte);
        rig_assert_blocks(rig, 608, 8, 0);
    }
}

static void every_byte_of_the_block_counts(void **state)
{
    struct rig *rig = *state;
    uint8_t block[4096] = {0};
    uint8_t found[2 * 4096];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    block[rig->block_size - 1] = 1;
    write_same_cdb(cdb, SCSI_WRITE_SAME_16, UNMAP, 16, 2);
    assert_good(rig_command_out(rig, cdb, block, rig->block_size));
    rig_read(rig, 16, 2, found);
    assert_memory_equal(found, block, rig->block_size);
    assert_memory_equal(found + rig->block_size, block, rig->block_size);
}

static void zeros_with_unmap_deallocate(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        rig_fill(rig, 0, 64, 0x55);
        assert_good(write_same(rig, opcodes[i], UNMAP, 8, 16, 0));
        rig_assert_blocks(rig, 0, 8, 0x55);
        rig_assert_blocks(rig, 8, 16, 0);
        rig_assert_mapped(rig, 8, 16, false);
        rig_assert_blocks(rig, 24, 40, 0x55);
    }
}

static void what_unmap_cannot_deallocate_is_zeroed(void **state)
{
    struct rig *rig = *state; /* 8 blocks a granule */

    rig_fill(rig, 0, 32, 0x55);
    assert_good(write_same(rig, SCSI_WRITE_SAME_16, UNMAP, 5, 14, 0));
    rig_assert_blocks(rig, 0, 5, 0x55);
    rig_assert_blocks(rig, 5, 14, 0);
    rig_assert_blocks(rig, 19, 13, 0x55);
    rig_assert_mapped(rig, 0, 8, true);
    rig_assert_mapped(rig, 8, 8, false);
    rig_assert_mapped(rig, 16, 16, true);
}

static void another_pattern_with_unmap_is_written(void **state)
{
    struct rig *rig = *state;

    assert_good(write_same(rig, SCSI_WRITE_SAME_16, UNMAP, 8, 16, 0x12));
    rig_assert_blocks(rig, 8, 16, 0x12);
    rig_assert_mapped(rig, 8, 16, true);
}

static void zeros_without_unmap_stay_mapped(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 8, 8, 0x55);
    assert_good(write_same(rig, SCSI_WRITE_SAME_16, 0, 8, 16, 0));
    rig_assert_blocks(rig, 8, 16, 0);
    rig_assert_backed(rig, 8, 16);
}

static void ndob_means_zeros_and_takes_no_data(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_fill(rig, 0, 64, 0x55);
    write_same_cdb(cdb, SCSI_WRITE_SAME_16, NDOB, 8, 8);
    assert_good(rig_command(rig, cdb));
    rig_assert_blocks(rig, 8, 8, 0);
    rig_assert_backed(rig, 8, 8);
    write_same_cdb(cdb, SCSI_WRITE_SAME_16, NDOB | UNMAP, 24, 8);
    assert_good(rig_command(rig, cdb));
    rig_assert_blocks(rig, 24, 8, 0);
    rig_assert_mapped(rig, 24, 8, false);
    rig_assert_blocks(rig, 32, 32, 0x55);
}

static void data_of_another_length_than_one_block_is_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t bytes[2 * 4096] = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    rig_fill(rig, 0, 16, 0x55);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        write_same_cdb(cdb, opcodes[i], UNMAP, 0, 16);
        for (size_t size = 0; size <= 2 * rig->block_size; size += rig->block_size / 2) {
            if (size != rig->block_size)
                assert_check(rig_command_out(rig, cdb, bytes, size), SENSE_ILLEGAL_REQUEST,
                             ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
        }
    }
    write_same_cdb(cdb, SCSI_WRITE_SAME_16, NDOB, 0, 16);
    assert_check(rig_command_out(rig, cdb, bytes, rig->block_size), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    rig_assert_blocks(rig, 0, 16, 0x55);
}

static void a_count_of_zero_is_refused_because_wsnz_is_set(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 0, 16, 0x55);
    for (size_t i = 0; i < sizeof(opcodes); i++)
        assert_check(write_same(rig, opcodes[i], UNMAP, 0, 0, 0), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    rig_assert_blocks(rig, 0, 16, 0x55);
}

static void what_reaches_past_the_end_is_refused(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, rig->blocks - 8, 8, 0x55);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_check(write_same(rig, opcodes[i], UNMAP, rig->blocks - 8, 9, 0),
                     SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        assert_check(write_same(rig, opcodes[i], 0, rig->blocks, 1, 0), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    }
    assert_check(write_same(rig, SCSI_WRITE_SAME_16, UNMAP, UINT64_MAX, 1, 0),
                 SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_check(write_same(rig, SCSI_WRITE_SAME_16, UNMAP, UINT64_MAX - 7, 8, 0),
                 SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    rig_assert_blocks(rig, rig->blocks - 8, 8, 0x55);
}

static void anchor_without_unmap_protection_and_obsolete_bits_are_refused(void **state)
{
    const uint8_t wrong[] = {ANCHOR, PBDATA, LBDATA, 0x20, 0xE0};
    struct rig *rig = *state;

    rig_fill(rig, 0, 16, 0x55);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (size_t f = 0; f < sizeof(wrong); f++)
            assert_check(write_same(rig, opcodes[i], wrong[f], 0, 16, 0), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_CDB);
    }
    rig_assert_blocks(rig, 0, 16, 0x55);
}

static void more_blocks_than_block_limits_states_are_refused(void **state)
{
    const uint32_t most = (8u << 20) / 512;
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 1 << 20, 4096, false);
    assert_good(write_same(&rig, SCSI_WRITE_SAME_16, UNMAP, 0, most, 0));
    assert_check(write_same(&rig, SCSI_WRITE_SAME_16, UNMAP, 0, most + 1, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    rig_close(&rig);
}

static void errors_below_are_reported(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    store_mem_set_fault(rig->store, "punch", 0, EIO);
    assert_check(write_same(rig, SCSI_WRITE_SAME_16, UNMAP, 0, 8, 0), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "zero", 0, ENOSPC);
    assert_check(write_same(rig, SCSI_WRITE_SAME_16, 0, 0, 8, 0), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    store_mem_set_fault(rig->store, "write", 1, EIO);
    assert_check(write_same(rig, SCSI_WRITE_SAME_16, 0, 0, 600, 1), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_pattern_is_written_to_every_block_and_maps_it),
        BOTH(every_byte_of_the_block_counts),
        BOTH(zeros_with_unmap_deallocate),
        cmocka_unit_test_setup_teardown(what_unmap_cannot_deallocate_is_zeroed, rig_setup_512,
                                        rig_teardown),
        BOTH(another_pattern_with_unmap_is_written),
        BOTH(zeros_without_unmap_stay_mapped),
        BOTH(ndob_means_zeros_and_takes_no_data),
        BOTH(data_of_another_length_than_one_block_is_refused),
        BOTH(a_count_of_zero_is_refused_because_wsnz_is_set),
        BOTH(what_reaches_past_the_end_is_refused),
        BOTH(anchor_without_unmap_protection_and_obsolete_bits_are_refused),
        cmocka_unit_test(more_blocks_than_block_limits_states_are_refused),
        BOTH(errors_below_are_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
