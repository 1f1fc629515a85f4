/* SPDX-License-Identifier: Apache-2.0 */

/* ANCHOR in UNMAP and WRITE SAME: blocks that read as zeros, whose space is theirs already. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cdb.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "skip.h"
#include "store_file.h"
#include "store_mem.h"

#define SAME_UNMAP  0x08
#define SAME_ANCHOR 0x10
#define SAME_NDOB   0x01

static struct answer write_same(struct rig *rig, uint8_t flags, uint64_t lba, uint32_t blocks,
                                uint8_t byte)
{
    uint8_t block[4096];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    memset(block, byte, sizeof(block));
    cdb_write_same_16(cdb, lba, blocks, false);
    cdb[1] = flags;
    return flags & SAME_NDOB ? rig_command(rig, cdb)
                             : rig_command_out(rig, cdb, block, rig->block_size);
}

static void unmap_anchors_what_was_mapped_and_what_was_not(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 8, 16, 0x77);
    rig_anchor(rig, 16, 16);
    rig_assert_status(rig, 0, 8, EXTENT_DEALLOCATED);
    rig_assert_status(rig, 8, 8, EXTENT_MAPPED);
    rig_assert_status(rig, 16, 16, EXTENT_ANCHORED);
    rig_assert_status(rig, 32, 8, EXTENT_DEALLOCATED);
    rig_assert_blocks(rig, 8, 8, 0x77);
    rig_assert_blocks(rig, 16, 16, 0);
}

static void anchoring_twice_changes_nothing(void **state)
{
    struct rig *rig = *state;

    rig_anchor(rig, 16, 16);
    rig_anchor(rig, 16, 16);
    rig_assert_status(rig, 16, 16, EXTENT_ANCHORED);
    rig_assert_blocks(rig, 16, 16, 0);
}

static void a_write_maps_anchored_blocks_and_an_unmap_gives_them_back(void **state)
{
    struct rig *rig = *state;

    rig_anchor(rig, 16, 32);
    rig_fill(rig, 24, 8, 0x42);
    rig_assert_status(rig, 16, 8, EXTENT_ANCHORED);
    rig_assert_status(rig, 24, 8, EXTENT_MAPPED);
    rig_assert_status(rig, 32, 16, EXTENT_ANCHORED);
    rig_assert_blocks(rig, 16, 8, 0);
    rig_assert_blocks(rig, 24, 8, 0x42);
    rig_assert_blocks(rig, 32, 16, 0);
    rig_unmap(rig, 16, 32);
    rig_assert_status(rig, 0, 64, EXTENT_DEALLOCATED);
}

static void anchored_blocks_can_be_verified_as_zeros(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_VERIFY_16, 0x02};
    uint8_t block[4096] = {0};

    rig_anchor(rig, 16, 8);
    cdb[9] = 16;
    cdb[13] = 1;
    assert_good(rig_command_out(rig, cdb, block, rig->block_size));
    block[0] = 1;
    assert_check(rig_command_out(rig, cdb, block, rig->block_size), SENSE_MISCOMPARE,
                 ASC_MISCOMPARE_DURING_VERIFY);
}

static void write_same_of_zeros_anchors(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 0, 64, 0x11);
    rig_anchor(rig, 0, 8);
    assert_good(write_same(rig, SAME_UNMAP | SAME_ANCHOR, 8, 8, 0));
    assert_good(write_same(rig, SAME_UNMAP | SAME_ANCHOR | SAME_NDOB, 16, 8, 0));
    rig_assert_status(rig, 0, 24, EXTENT_ANCHORED);
    rig_assert_blocks(rig, 0, 24, 0);
    rig_assert_status(rig, 24, 40, EXTENT_MAPPED);
    rig_assert_blocks(rig, 24, 40, 0x11);
}

static void write_same_of_another_pattern_is_written_whatever_it_is_told_to_anchor(void **state)
{
    struct rig *rig = *state;

    rig_anchor(rig, 0, 64);
    assert_good(write_same(rig, SAME_UNMAP | SAME_ANCHOR, 8, 8, 0x3C));
    rig_assert_status(rig, 0, 8, EXTENT_ANCHORED);
    rig_assert_status(rig, 8, 8, EXTENT_MAPPED);
    rig_assert_blocks(rig, 8, 8, 0x3C);
}

static void parts_of_granules_read_as_zeros_and_are_never_deallocated(void **state)
{
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 2048, 4096, false);
    rig_fill(&rig, 0, 16, 0x66);
    rig_anchor(&rig, 4, 8); /* half of two that are mapped */
    rig_assert_blocks(&rig, 0, 4, 0x66);
    rig_assert_blocks(&rig, 4, 8, 0);
    rig_assert_blocks(&rig, 12, 4, 0x66);
    rig_assert_status(&rig, 0, 16, EXTENT_MAPPED);
    rig_anchor(&rig, 44, 8); /* half of two that are not */
    rig_assert_backed(&rig, 44, 8);
    rig_assert_blocks(&rig, 40, 16, 0);
    rig_close(&rig);
}

static void all_ranges_are_checked_before_the_first_is_anchored(void **state)
{
    struct rig *rig = *state;
    const struct rig_range ranges[] = {{0, 8}, {rig->blocks - 1, 2}};

    rig_anchor(rig, 64, 8); /* or skipped */
    rig_fill(rig, 0, 8, 0x55);
    assert_check(rig_unmap_ranges_anchor(rig, ranges, 2), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
    rig_assert_blocks(rig, 0, 8, 0x55);
}

static void a_write_into_anchored_blocks_finds_its_space_when_there_is_no_more(void **state)
{
    struct rig *rig = *state;
    uint8_t *bytes;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;
    uint64_t taken;

    rig_needs_native("it fills the store");
    bytes = calloc(8, rig->block_size);
    assert_non_null(bytes);
    rig_anchor(rig, 16, 16);
    assert_int_equal(store_allocated(rig->store, &taken), 0);
    store_mem_set_quota(rig->store, taken);
    cdb_write_16(cdb, 32, 8, false);
    answer = rig_command_out(rig, cdb, bytes, (size_t)8 * rig->block_size);
    assert_check(answer, SENSE_DATA_PROTECT, ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    rig_fill(rig, 16, 16, 0x21);
    rig_assert_blocks(rig, 16, 16, 0x21);
    assert_check(rig_unmap_ranges_anchor(rig, &(struct rig_range){64, 8}, 1), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    free(bytes);
}

static void without_anc_sup_anchor_is_refused_and_nothing_is_done(void **state)
{
    struct rig *rig = *state;

    rig_needs_native("it takes the support away");
    rig->store->can_anchor = false;
    rig_fill(rig, 0, 8, 0x44);
    assert_check(rig_unmap_ranges_anchor(rig, &(struct rig_range){0, 8}, 1), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(write_same(rig, SAME_UNMAP | SAME_ANCHOR, 0, 8, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    rig_assert_blocks(rig, 0, 8, 0x44);
}

static void a_file_anchors_where_its_file_system_can(void **state)
{
    struct scratch scratch;
    struct store *store;
    struct errmsg err;
    struct rig rig;
    bool able;

    (void)state;
    rig_needs_native("it makes the store itself");
    scratch_make(&scratch);
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), 1 << 20, &store, &err), 0);
    rig_open_store(&rig, 512, store);
    able = store->can_anchor;
    if (able) {
        rig_fill(&rig, 0, 64, 0x12);
        rig_anchor(&rig, 24, 16);
        rig_assert_status(&rig, 24, 16, EXTENT_ANCHORED);
        rig_anchor(&rig, 100, 8); /* half of two granules that are not mapped */
        rig_assert_status(&rig, 96, 16, EXTENT_ANCHORED);
        rig_fill(&rig, 24, 8, 0x13); /* in the page cache, where the disk does not know of it */
        rig_assert_status(&rig, 24, 8, EXTENT_MAPPED);
        rig_assert_status(&rig, 32, 8, EXTENT_ANCHORED);
        rig_assert_blocks(&rig, 24, 8, 0x13);
        rig_assert_blocks(&rig, 32, 8, 0); /* which leaves zeros in the page cache */
        rig_assert_status(&rig, 32, 8, EXTENT_ANCHORED);
    } else {
        assert_check(rig_unmap_ranges_anchor(&rig, &(struct rig_range){0, 8}, 1),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
    rig_close(&rig);
    scratch_remove(&scratch);
    if (!able)
        skip_because("this file system does not tell reserved storage from written");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(unmap_anchors_what_was_mapped_and_what_was_not),
        BOTH(anchoring_twice_changes_nothing),
        BOTH(a_write_maps_anchored_blocks_and_an_unmap_gives_them_back),
        BOTH(anchored_blocks_can_be_verified_as_zeros),
        BOTH(write_same_of_zeros_anchors),
        BOTH(write_same_of_another_pattern_is_written_whatever_it_is_told_to_anchor),
        cmocka_unit_test(parts_of_granules_read_as_zeros_and_are_never_deallocated),
        BOTH(all_ranges_are_checked_before_the_first_is_anchored),
        BOTH(a_write_into_anchored_blocks_finds_its_space_when_there_is_no_more),
        BOTH(without_anc_sup_anchor_is_refused_and_nothing_is_done),
        cmocka_unit_test(a_file_anchors_where_its_file_system_can),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
