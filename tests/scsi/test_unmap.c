/* SPDX-License-Identifier: Apache-2.0 */

/* UNMAP: what it deallocates, and every way its parameter list can be wrong. */

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
#include "unmap_list.h"

/* A list of one sound descriptor, for 8 blocks at LBA 8, to spoil. */
struct raw_list {
    uint8_t bytes[UNMAP_HEADER_BYTES + 4 * UNMAP_DESCRIPTOR_BYTES];
};

static struct raw_list sound_list(void)
{
    struct raw_list list = {{0}};

    unmap_list_encode(list.bytes, &(struct unmap_descriptor){.lba = 8, .blocks = 8}, 1);
    return list;
}

/* UNMAP with a PARAMETER LIST LENGTH that need not be what is sent. */
static struct answer unmap_raw(struct rig *rig, const void *bytes, uint16_t list_length,
                               size_t sent)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_unmap(cdb, list_length);
    return rig_command_out(rig, cdb, bytes, sent);
}

static void whole_granules_are_deallocated_and_read_as_zeros(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 0, 32, 0x55);
    rig_unmap(rig, 8, 16);
    rig_assert_blocks(rig, 0, 8, 0x55);
    rig_assert_blocks(rig, 8, 16, 0);
    rig_assert_blocks(rig, 24, 8, 0x55);
    rig_assert_mapped(rig, 0, 8, true);
    rig_assert_mapped(rig, 8, 16, false);
    rig_assert_mapped(rig, 24, 8, true);
}

static void parts_of_granules_stay_mapped_but_read_as_zeros(void **state)
{
    struct rig *rig = *state; /* 8 blocks a granule */

    rig_fill(rig, 0, 32, 0x55);
    rig_unmap(rig, 3, 18);
    rig_assert_blocks(rig, 0, 3, 0x55);
    rig_assert_blocks(rig, 3, 18, 0);
    rig_assert_blocks(rig, 21, 11, 0x55);
    rig_assert_mapped(rig, 0, 8, true);
    rig_assert_mapped(rig, 8, 8, false);
    rig_assert_mapped(rig, 16, 16, true);
}

static void a_list_of_length_zero_is_good_and_does_nothing(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 8, 8, 0x66);
    assert_good(unmap_raw(rig, NULL, 0, 0));
    rig_assert_blocks(rig, 8, 8, 0x66);
}

static void a_list_shorter_than_its_header_is_a_length_error(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    rig_fill(rig, 8, 8, 0x66);
    for (uint16_t length = 1; length < UNMAP_HEADER_BYTES; length++) {
        assert_check(unmap_raw(rig, list.bytes, length, length), SENSE_ILLEGAL_REQUEST,
                     ASC_PARAMETER_LIST_LENGTH_ERROR);
        assert_check(unmap_raw(rig, list.bytes, length, 24), SENSE_ILLEGAL_REQUEST,
                     ASC_PARAMETER_LIST_LENGTH_ERROR);
    }
    rig_assert_blocks(rig, 8, 8, 0x66);
}

static void a_descriptor_that_is_cut_is_ignored(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    rig_fill(rig, 8, 8, 0x66);
    for (uint16_t length = UNMAP_HEADER_BYTES; length < 24; length++)
        assert_good(unmap_raw(rig, list.bytes, length, length));
    rig_assert_blocks(rig, 8, 8, 0x66);
    assert_good(unmap_raw(rig, list.bytes, 24, 24));
    rig_assert_blocks(rig, 8, 8, 0);
}

static void the_block_descriptor_length_limits_what_is_done(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    rig_fill(rig, 8, 8, 0x66);
    for (uint16_t length = 0; length < 16; length++) {
        put_be16(list.bytes + 2, length);
        assert_good(unmap_raw(rig, list.bytes, 24, 24));
    }
    rig_assert_blocks(rig, 8, 8, 0x66);
    put_be16(list.bytes + 2, 31); /* one descriptor, and a part that is ignored */
    assert_good(unmap_raw(rig, list.bytes, 39, 39));
    rig_assert_blocks(rig, 8, 8, 0);
}

static void a_block_descriptor_length_beyond_the_list_reads_nothing_behind_it(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    rig_fill(rig, 8, 8, 0x66);
    put_be16(list.bytes + 2, 0xFFFF);
    assert_good(unmap_raw(rig, list.bytes, 24, 24));
    rig_assert_blocks(rig, 8, 8, 0);
}

static void a_list_longer_than_what_was_sent_is_refused(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    rig_fill(rig, 8, 8, 0x66);
    for (size_t sent = 0; sent < 24; sent++)
        assert_check(unmap_raw(rig, list.bytes, 24, sent), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    assert_check(unmap_raw(rig, list.bytes, UINT16_MAX, 24), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_COMMAND_INFORMATION_UNIT);
    rig_assert_blocks(rig, 8, 8, 0x66);
}

static void bytes_sent_beyond_the_list_are_not_looked_at(void **state)
{
    struct rig *rig = *state;
    struct raw_list list = sound_list();

    unmap_list_encode(list.bytes, (struct unmap_descriptor[]){{8, 8}, {16, 8}}, 2);
    rig_fill(rig, 8, 16, 0x66);
    assert_good(unmap_raw(rig, list.bytes, 24, 40));
    rig_assert_blocks(rig, 8, 8, 0);
    rig_assert_blocks(rig, 16, 8, 0x66);
}

static void overlapping_ranges_in_any_order_are_all_unmapped(void **state)
{
    struct rig *rig = *state;
    const struct rig_range ranges[] = {{40, 16}, {8, 16}, {8, 8}, {16, 32}, {48, 8}};

    rig_fill(rig, 0, 64, 0x55);
    assert_good(rig_unmap_ranges(rig, ranges, 5));
    rig_assert_blocks(rig, 0, 8, 0x55);
    rig_assert_mapped(rig, 8, 48, false);
    rig_assert_blocks(rig, 56, 8, 0x55);
}

static void ranges_of_no_blocks_are_no_error(void **state)
{
    struct rig *rig = *state;
    const struct rig_range ranges[] = {{8, 0}, {rig->blocks, 0}, {0, 0}};

    rig_fill(rig, 0, 16, 0x55);
    assert_good(rig_unmap_ranges(rig, ranges, 3));
    assert_good(rig_unmap_ranges(rig, ranges, 0));
    rig_assert_blocks(rig, 0, 16, 0x55);
}

static void a_list_with_one_range_out_of_bounds_unmaps_nothing(void **state)
{
    struct rig *rig = *state;
    const struct rig_range wrong[] = {
        {rig->blocks, 1},         {rig->blocks - 1, 2}, {rig->blocks + 1, 0},
        {UINT64_MAX, 1},          {UINT64_MAX, 0},      {UINT64_MAX - 7, 8},
        {UINT64_MAX, UINT32_MAX}, {0, UINT32_MAX},      {UINT64_MAX / rig->block_size + 1, 8}};

    rig_fill(rig, 0, 64, 0x55);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        for (size_t at = 0; at < 3; at++) {
            struct rig_range ranges[3] = {{0, 8}, {16, 8}, {32, 8}};

            ranges[at] = wrong[i];
            assert_check(rig_unmap_ranges(rig, ranges, 3), SENSE_ILLEGAL_REQUEST,
                         ASC_LBA_OUT_OF_RANGE);
        }
    }
    rig_assert_blocks(rig, 0, 64, 0x55);
}

static void more_descriptors_than_block_limits_states_are_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_range ranges[300];

    for (size_t i = 0; i < 300; i++)
        ranges[i] = (struct rig_range){.lba = 8 * (i % 64), .blocks = 8};
    rig_fill(rig, 0, 64, 0x55);
    for (size_t count = 257; count <= 300; count += 43)
        assert_check(rig_unmap_ranges(rig, ranges, count), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    rig_assert_blocks(rig, 0, 64, 0x55);
    assert_good(rig_unmap_ranges(rig, ranges, 256));
    rig_assert_mapped(rig, 0, 64, false);
}

static void more_blocks_than_block_limits_states_are_refused(void **state)
{
    const uint32_t most = 1u << 20;
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, UINT64_C(1) << 33, 1 << 20, false);
    rig_fill(&rig, 0, 2048, 0x55);
    assert_check(rig_unmap_ranges(&rig, &(struct rig_range){0, most + 1}, 1), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_check(rig_unmap_ranges(&rig, (struct rig_range[]){{0, most}, {most, 1}}, 2),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_check(rig_unmap_ranges(&rig,
                                  (struct rig_range[]){{0, UINT32_MAX}, {0, UINT32_MAX}, {0, 2}},
                                  3),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    rig_assert_blocks(&rig, 0, 2048, 0x55);
    assert_good(rig_unmap_ranges(&rig, (struct rig_range[]){{0, most - 1}, {most, 1}}, 2));
    rig_assert_mapped(&rig, 0, most, false);
    rig_close(&rig);
}

static void the_last_blocks_of_a_lun_that_ends_within_a_granule_are_deallocated(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 13, 4096, false);
    rig_fill(&rig, 0, 13, 0x55);
    rig_unmap(&rig, 8, 5);
    rig_assert_mapped(&rig, 0, 8, true);
    rig_assert_mapped(&rig, 8, 5, false);
    rig_close(&rig);
}

static void an_error_below_is_reported_and_not_swallowed(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    store_mem_set_fault(rig->store, "punch", 1, EIO);
    assert_check(rig_unmap_ranges(rig, (struct rig_range[]){{0, 8}, {16, 8}, {32, 8}}, 3),
                 SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(whole_granules_are_deallocated_and_read_as_zeros),
        cmocka_unit_test_setup_teardown(parts_of_granules_stay_mapped_but_read_as_zeros,
                                        rig_setup_512, rig_teardown),
        BOTH(a_list_of_length_zero_is_good_and_does_nothing),
        BOTH(a_list_shorter_than_its_header_is_a_length_error),
        BOTH(a_descriptor_that_is_cut_is_ignored),
        BOTH(the_block_descriptor_length_limits_what_is_done),
        BOTH(a_block_descriptor_length_beyond_the_list_reads_nothing_behind_it),
        BOTH(a_list_longer_than_what_was_sent_is_refused),
        BOTH(bytes_sent_beyond_the_list_are_not_looked_at),
        BOTH(overlapping_ranges_in_any_order_are_all_unmapped),
        BOTH(ranges_of_no_blocks_are_no_error),
        BOTH(a_list_with_one_range_out_of_bounds_unmaps_nothing),
        BOTH(more_descriptors_than_block_limits_states_are_refused),
        cmocka_unit_test(more_blocks_than_block_limits_states_are_refused),
        cmocka_unit_test(the_last_blocks_of_a_lun_that_ends_within_a_granule_are_deallocated),
        BOTH(an_error_below_is_reported_and_not_swallowed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
