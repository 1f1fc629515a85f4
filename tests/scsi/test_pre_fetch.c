/* SPDX-License-Identifier: Apache-2.0 */

/* PRE-FETCH(10) and (16). */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "store_mem.h"

#define IMMED 0x02

static const uint8_t opcodes[] = {SCSI_PRE_FETCH_10, SCSI_PRE_FETCH_16};

static struct answer pre_fetch(struct rig *rig, uint8_t opcode, uint8_t flags, uint64_t lba,
                               uint32_t blocks)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {opcode, flags};

    if (opcode == SCSI_PRE_FETCH_16) {
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
    } else {
        put_be32(cdb + 2, (uint32_t)lba);
        put_be16(cdb + 7, (uint16_t)blocks);
    }
    return rig_command(rig, cdb);
}

/* tcmu-runner has no way to say CONDITION MET, and says GOOD. */
static void assert_fetched(struct answer answer)
{
    if (rig_is_native() || answer.status != SCSI_STATUS_GOOD)
        assert_int_equal(answer.status, SCSI_STATUS_CONDITION_MET);
}

static void what_fits_into_memory_meets_the_condition(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 0, 64, 0x55);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (uint8_t flags = 0; flags <= IMMED; flags += IMMED) {
            assert_fetched(pre_fetch(rig, opcodes[i], flags, 0, 64));
            assert_fetched(pre_fetch(rig, opcodes[i], flags, 60, 100));
            assert_fetched(pre_fetch(rig, opcodes[i], flags, rig->blocks - 1, 1));
            assert_fetched(pre_fetch(rig, opcodes[i], flags, 0, 0)); /* up to the end */
            assert_fetched(pre_fetch(rig, opcodes[i], flags, rig->blocks, 0));
        }
    }
    rig_assert_blocks(rig, 0, 64, 0x55);
}

static void what_is_too_much_is_begun(void **state)
{
    struct rig rig;

    (void)state;
    rig_needs_native("it takes a large unit");
    rig_open(&rig, 512, 1 << 16, 4096, false);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (uint8_t flags = 0; flags <= IMMED; flags += IMMED) {
            assert_good(pre_fetch(&rig, opcodes[i], flags, 0, 0));
            assert_int_equal(pre_fetch(&rig, opcodes[i], flags, 0, 1 << 14).status,
                             SCSI_STATUS_CONDITION_MET);
            assert_good(pre_fetch(&rig, opcodes[i], flags, 0, (1 << 14) + 1));
        }
    }
    rig_close(&rig);
}

static void blocks_beyond_the_end_are_refused(void **state)
{
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_check(pre_fetch(rig, opcodes[i], 0, rig->blocks, 1), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
        assert_check(pre_fetch(rig, opcodes[i], IMMED, rig->blocks - 1, 2), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
        assert_check(pre_fetch(rig, opcodes[i], IMMED, rig->blocks + 1, 0), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    }
}

static void blocks_that_cannot_be_read_are_a_medium_error(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    store_mem_set_fault(rig->store, "read", 0, EIO);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        assert_check(pre_fetch(rig, opcodes[i], 0, 0, 1), SENSE_MEDIUM_ERROR,
                     ASC_UNRECOVERED_READ_ERROR);
        assert_int_equal(pre_fetch(rig, opcodes[i], IMMED, 0, 1).status, SCSI_STATUS_CONDITION_MET);
    }
    store_mem_set_fault(rig->store, "read", 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_fits_into_memory_meets_the_condition),
        cmocka_unit_test(what_is_too_much_is_begun),
        BOTH(blocks_beyond_the_end_are_refused),
        BOTH(blocks_that_cannot_be_read_are_a_medium_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
