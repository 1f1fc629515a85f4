/* SPDX-License-Identifier: Apache-2.0 */

/* VERIFY(10), (12) and (16) with every BYTCHK. */

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

static const uint8_t opcodes[] = {SCSI_VERIFY_10, SCSI_VERIFY_12, SCSI_VERIFY_16};

static struct answer verify(struct rig *rig, uint8_t opcode, uint8_t bytchk, uint64_t lba,
                            uint32_t blocks, const void *data, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {opcode, (uint8_t)(bytchk << 1)};

    if (opcode == SCSI_VERIFY_16) {
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
    } else {
        put_be32(cdb + 2, (uint32_t)lba);
        if (opcode == SCSI_VERIFY_10)
            put_be16(cdb + 7, (uint16_t)blocks);
        else
            put_be32(cdb + 6, blocks);
    }
    return rig_command_out(rig, cdb, data, size);
}

static void without_data_the_blocks_are_read(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_good(verify(rig, opcodes[i], 0, 3, 100, NULL, 0));
        assert_good(verify(rig, opcodes[i], 0, 3, 0, NULL, 0));
        if (!rig->store)
            continue;
        store_mem_set_fault(rig->store, "read", 0, EIO);
        assert_check(verify(rig, opcodes[i], 0, 3, 100, NULL, 0), SENSE_MEDIUM_ERROR,
                     ASC_UNRECOVERED_READ_ERROR);
        store_mem_set_fault(rig->store, "read", 0, 0);
    }
}

static void a_comparison_finds_every_difference(void **state)
{
    struct rig *rig = *state;
    const uint32_t blocks = 70; /* more than are held at a time, with either block size */
    size_t size = blocks * rig->block_size;
    uint8_t *data = malloc(size);

    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i % 251);
    rig_write(rig, 9, blocks, data);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_good(verify(rig, opcodes[i], 1, 9, blocks, data, size));
        for (size_t at = 0; at < size; at += 9973) {
            data[at] ^= 1;
            assert_check(verify(rig, opcodes[i], 1, 9, blocks, data, size), SENSE_MISCOMPARE,
                         ASC_MISCOMPARE_DURING_VERIFY);
            data[at] ^= 1;
        }
        data[size - 1] ^= 1;
        assert_check(verify(rig, opcodes[i], 1, 9, blocks, data, size), SENSE_MISCOMPARE,
                     ASC_MISCOMPARE_DURING_VERIFY);
        data[size - 1] ^= 1;
    }
    free(data);
}

static void one_block_is_compared_with_all(void **state)
{
    struct rig *rig = *state;
    uint8_t block[2 * 4096];

    memset(block, 0x3C, sizeof(block));
    rig_fill(rig, 0, 100, 0x3C);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_good(verify(rig, opcodes[i], 3, 0, 100, block, rig->block_size));
        assert_check(verify(rig, opcodes[i], 3, 0, 101, block, rig->block_size), SENSE_MISCOMPARE,
                     ASC_MISCOMPARE_DURING_VERIFY);
        assert_check(verify(rig, opcodes[i], 3, 0, 2, block, 2 * rig->block_size),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    }
}

static void blocks_that_are_not_mapped_compare_as_zeros(void **state)
{
    struct rig *rig = *state;
    uint8_t *zeros = calloc(8, rig->block_size);

    assert_good(verify(rig, SCSI_VERIFY_16, 1, 8, 8, zeros, 8 * rig->block_size));
    zeros[0] = 1;
    assert_check(verify(rig, SCSI_VERIFY_16, 1, 8, 8, zeros, 8 * rig->block_size), SENSE_MISCOMPARE,
                 ASC_MISCOMPARE_DURING_VERIFY);
    free(zeros);
}

static void wrong_fields_and_lengths_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t *zeros = calloc(3, rig->block_size);

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_check(verify(rig, opcodes[i], 2, 0, 1, zeros, rig->block_size),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_check(verify(rig, opcodes[i], 1, 0, 2, zeros, rig->block_size),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
        assert_check(verify(rig, opcodes[i], 1, 0, 2, zeros, 3 * rig->block_size),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
        assert_check(verify(rig, opcodes[i], 0x10 /* VRPROTECT */, 0, 1, NULL, 0),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_check(verify(rig, opcodes[i], 0, rig->blocks, 1, NULL, 0), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    }
    free(zeros);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(without_data_the_blocks_are_read),
        BOTH(a_comparison_finds_every_difference),
        BOTH(one_block_is_compared_with_all),
        BOTH(blocks_that_are_not_mapped_compare_as_zeros),
        BOTH(wrong_fields_and_lengths_are_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
