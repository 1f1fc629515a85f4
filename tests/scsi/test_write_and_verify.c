/* SPDX-License-Identifier: Apache-2.0 */

/* WRITE AND VERIFY(10), (12) and (16). */

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

static const uint8_t opcodes[] = {SCSI_WRITE_AND_VERIFY_10, SCSI_WRITE_AND_VERIFY_12,
                                  SCSI_WRITE_AND_VERIFY_16};

static struct answer write_and_verify(struct rig *rig, uint8_t opcode, uint8_t flags, uint64_t lba,
                                      uint32_t blocks, const void *data, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {opcode, flags};

    if (opcode == SCSI_WRITE_AND_VERIFY_16) {
        put_be64(cdb + 2, lba);
        put_be32(cdb + 10, blocks);
    } else {
        put_be32(cdb + 2, (uint32_t)lba);
        if (opcode == SCSI_WRITE_AND_VERIFY_10)
            put_be16(cdb + 7, (uint16_t)blocks);
        else
            put_be32(cdb + 6, blocks);
    }
    return rig_command_out(rig, cdb, data, size);
}

static void the_data_are_written_with_and_without_comparison(void **state)
{
    struct rig *rig = *state;
    const uint32_t blocks = 70; /* more than are compared at a time, with either block size */
    size_t size = blocks * rig->block_size;
    uint8_t *data = malloc(size), *found = malloc(size);

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (uint8_t bytchk = 0; bytchk <= 1; bytchk++) {
            for (size_t at = 0; at < size; at++)
                data[at] = (uint8_t)(at % (251 - 2 * i - bytchk));
            assert_good(
                write_and_verify(rig, opcodes[i], (uint8_t)(bytchk << 1), 9, blocks, data, size));
            rig_read(rig, 9, blocks, found);
            assert_memory_equal(found, data, size);
            assert_good(write_and_verify(rig, opcodes[i], (uint8_t)(bytchk << 1), 9, 0, NULL, 0));
        }
    }
    free(found);
    free(data);
}

static void data_that_cannot_be_made_durable_or_read_back_are_no_success(void **state)
{
    struct rig *rig = *state;
    size_t size = rig->block_size;
    uint8_t *data;

    rig_needs_native("it makes the store fail");
    data = calloc(1, size);
    for (size_t i = 0; i < sizeof(opcodes); i++) {
        store_mem_set_fault(rig->store, "flush", 0, EIO);
        assert_check(write_and_verify(rig, opcodes[i], 0, 0, 1, data, size), SENSE_MEDIUM_ERROR,
                     ASC_WRITE_ERROR);
        store_mem_set_fault(rig->store, "flush", 0, 0);
        store_mem_set_fault(rig->store, "read", 0, EIO);
        assert_check(write_and_verify(rig, opcodes[i], 0, 0, 1, data, size), SENSE_MEDIUM_ERROR,
                     ASC_UNRECOVERED_READ_ERROR);
        store_mem_set_fault(rig->store, "read", 0, 0);
    }
    free(data);
}

static void wrong_fields_and_lengths_are_refused(void **state)
{
    struct rig *rig = *state;
    size_t size = rig->block_size;
    uint8_t *data = calloc(2, size);

    for (size_t i = 0; i < sizeof(opcodes); i++) {
        for (uint8_t bytchk = 2; bytchk <= 3; bytchk++)
            assert_check(write_and_verify(rig, opcodes[i], (uint8_t)(bytchk << 1), 0, 1, data,
                                          size),
                         SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_check(write_and_verify(rig, opcodes[i], 0x20 /* WRPROTECT */, 0, 1, data, size),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        assert_check(write_and_verify(rig, opcodes[i], 0, rig->blocks, 1, data, size),
                     SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        if (rig_is_native()) /* a target may pad or cut what does not fit */
            assert_check(write_and_verify(rig, opcodes[i], 0, 0, 1, data, 2 * size),
                         SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    }
    rig_assert_mapped(rig, 0, 8, false);
    free(data);
}

static void a_read_only_unit_refuses_it(void **state)
{
    uint8_t data[512] = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    for (size_t i = 0; i < sizeof(opcodes); i++)
        assert_check(write_and_verify(&rig, opcodes[i], 0, 0, 1, data, 512), SENSE_DATA_PROTECT,
                     ASC_WRITE_PROTECTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_data_are_written_with_and_without_comparison),
        BOTH(data_that_cannot_be_made_durable_or_read_back_are_no_success),
        BOTH(wrong_fields_and_lengths_are_refused),
        cmocka_unit_test(a_read_only_unit_refuses_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
