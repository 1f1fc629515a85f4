/* SPDX-License-Identifier: Apache-2.0 */

/* COMPARE AND WRITE and ORWRITE(16). That nothing comes between their halves is tried in
 * test_threads.c. */

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

#define FUA 0x08

/* Data-Out holds what should be there and then what is to be written. */
static struct answer compare_and_write(struct rig *rig, uint8_t flags, uint64_t lba, uint8_t blocks,
                                       const void *data, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_COMPARE_AND_WRITE, flags};

    put_be64(cdb + 2, lba);
    cdb[13] = blocks;
    return rig_command_out(rig, cdb, data, size);
}

static struct answer orwrite(struct rig *rig, uint8_t flags, uint64_t lba, uint32_t blocks,
                             const void *data, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_ORWRITE_16, flags};

    put_be64(cdb + 2, lba);
    put_be32(cdb + 10, blocks);
    return rig_command_out(rig, cdb, data, size);
}

static uint8_t *two_halves(size_t size, uint8_t first, uint8_t second)
{
    uint8_t *data = malloc(size);

    assert_non_null(data);
    memset(data, first, size / 2);
    memset(data + size / 2, second, size / 2);
    return data;
}

static void what_is_as_expected_is_replaced(void **state)
{
    static const uint8_t counts[] = {1, 2, 9, 128, 255};
    struct rig *rig = *state;

    for (size_t i = 0; i < sizeof(counts); i++) {
        size_t size = 2 * (size_t)counts[i] * rig->block_size;
        uint8_t *data = two_halves(size, 0x11, 0x22);

        rig_fill(rig, 2, 270, 0x11);
        assert_good(compare_and_write(rig, i % 2 ? FUA : 0, 3, counts[i], data, size));
        rig_assert_blocks(rig, 3, counts[i], 0x22);
        rig_assert_blocks(rig, 2, 1, 0x11);
        rig_assert_blocks(rig, 3u + counts[i], 1, 0x11);
        free(data);
    }
}

static void the_first_difference_is_told_and_nothing_written(void **state)
{
    struct rig *rig = *state;
    size_t half = 3 * rig->block_size;
    uint8_t *data = two_halves(2 * half, 0x11, 0x22);
    const size_t places[] = {0, 1, 511, 512, half / 2, half - 2, half - 1};

    rig_fill(rig, 0, 8, 0x11);
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
        struct answer answer;

        data[places[i]] = 0x12;
        data[half - 1] = 0x13; /* a later one does not matter */
        answer = compare_and_write(rig, 0, 2, 3, data, 2 * half);
        assert_check(answer, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
        assert_true(answer.information_valid);
        assert_int_equal(answer.information, places[i]);
        rig_assert_blocks(rig, 0, 8, 0x11);
        data[places[i]] = data[half - 1] = 0x11;
    }
    free(data);
}

static void blocks_that_are_not_mapped_compare_as_zeros(void **state)
{
    struct rig *rig = *state;
    size_t size = 16 * rig->block_size;
    uint8_t *data = two_halves(size, 0, 0x33);

    assert_good(compare_and_write(rig, 0, 8, 8, data, size));
    rig_assert_blocks(rig, 8, 8, 0x33);
    assert_check(compare_and_write(rig, 0, 8, 8, data, size), SENSE_MISCOMPARE,
                 ASC_MISCOMPARE_DURING_VERIFY);
    free(data);
}

static void no_blocks_compare_equal(void **state)
{
    struct rig *rig = *state;

    assert_good(compare_and_write(rig, 0, 0, 0, NULL, 0));
    assert_good(compare_and_write(rig, 0, rig->blocks, 0, NULL, 0));
    assert_good(orwrite(rig, 0, 0, 0, NULL, 0));
}

static void bits_are_added(void **state)
{
    struct rig *rig = *state;
    const uint32_t blocks = 40;
    size_t size = blocks * rig->block_size;
    uint8_t *data = malloc(size), *found = malloc(size);

    rig_fill(rig, 5, blocks, 0x21);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i % 251);
    assert_good(orwrite(rig, 0, 5, blocks, data, size));
    assert_good(orwrite(rig, FUA, 5, blocks, data, size)); /* changes nothing more */
    rig_read(rig, 5, blocks, found);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(found[i], 0x21 | i % 251);
    rig_assert_blocks(rig, 5 + blocks, 1, 0);
    free(found);
    free(data);
}

static void wrong_fields_and_lengths_are_refused(void **state)
{
    struct rig *rig = *state;
    uint32_t block = rig->block_size;
    uint8_t *data = calloc(4, block);
    uint64_t end = rig->blocks;

    assert_check(compare_and_write(rig, 0, end, 1, data, 2 * block), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
    assert_check(compare_and_write(rig, 0, end - 1, 2, data, 4 * block), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
    assert_check(compare_and_write(rig, 0, UINT64_MAX, 2, data, 4 * block), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
    assert_check(compare_and_write(rig, 0x20 /* WRPROTECT */, 0, 1, data, 2 * block),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(orwrite(rig, 0, end, 1, data, block), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_check(orwrite(rig, 0x20 /* ORPROTECT */, 0, 1, data, block), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    if (rig_is_native()) { /* a target may pad or cut what does not fit */
        assert_check(compare_and_write(rig, 0, 0, 1, data, block), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
        assert_check(compare_and_write(rig, 0, 0, 1, data, 4 * block), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
        assert_check(orwrite(rig, 0, 0, 2, data, block), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    }
    rig_assert_mapped(rig, 0, 8, false);
    free(data);
}

static void errors_below_are_medium_errors_and_a_full_store_is_told(void **state)
{
    struct rig *rig = *state;
    size_t size = 2 * rig->block_size;
    uint8_t *data;

    rig_needs_native("it makes the store fail");
    data = two_halves(size, 0, 0x44);
    store_mem_set_quota(rig->store, 0);
    assert_check(compare_and_write(rig, 0, 0, 1, data, size), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    assert_check(orwrite(rig, 0, 0, 1, data + size / 2, size / 2), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    store_mem_set_quota(rig->store, UINT64_MAX);
    store_mem_set_fault(rig->store, "read", 0, EIO);
    assert_check(compare_and_write(rig, 0, 0, 1, data, size), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "read", 0, 0);
    rig_assert_blocks(rig, 0, 1, 0);
    free(data);
}

static void a_read_only_unit_refuses_both(void **state)
{
    uint8_t data[1024] = {0};
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    assert_check(compare_and_write(&rig, 0, 0, 1, data, 1024), SENSE_DATA_PROTECT,
                 ASC_WRITE_PROTECTED);
    assert_check(orwrite(&rig, 0, 0, 1, data, 512), SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_as_expected_is_replaced),
        BOTH(the_first_difference_is_told_and_nothing_written),
        BOTH(blocks_that_are_not_mapped_compare_as_zeros),
        BOTH(no_blocks_compare_equal),
        BOTH(bits_are_added),
        BOTH(wrong_fields_and_lengths_are_refused),
        BOTH(errors_below_are_medium_errors_and_a_full_store_is_told),
        cmocka_unit_test(a_read_only_unit_refuses_both),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
