/* SPDX-License-Identifier: Apache-2.0 */

/* GET LBA STATUS(16): its header, its descriptors, any allocation length and any LBA. */

#include <errno.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "lba_status.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "skip.h"
#include "store_file.h"
#include "store_mem.h"

#define MAPPED      0
#define DEALLOCATED 1
#define ANCHORED    2

static struct answer get_lba_status(struct rig *rig, uint64_t lba, uint32_t allocation_length,
                                    uint8_t *reply, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_get_lba_status_16(cdb, lba, allocation_length);
    return rig_command_in(rig, cdb, reply, size);
}

static void assert_descriptor(const uint8_t *reply, size_t index, uint64_t lba, uint32_t blocks,
                              uint8_t status)
{
    const uint8_t *at = reply + 8 + 16 * index;
    const uint8_t zeros[3] = {0};

    assert_int_equal(get_be64(at), lba);
    assert_int_equal(get_be32(at + 8), blocks);
    assert_int_equal(at[12], status);
    assert_memory_equal(at + 13, zeros, 3); /* ADDITIONAL STATUS 00h and what is reserved */
}

static void assert_header(const uint8_t *reply, uint32_t descriptors,
                          enum lba_status_completion completion)
{
    const uint8_t zeros[3] = {0};

    assert_int_equal(get_be32(reply), 4 + 16 * descriptors);
    assert_memory_equal(reply + 4, zeros, 3);
    assert_int_equal(reply[7], completion << 1 | 1); /* RTP */
}

/* Mapped: LBA 8 to 23 and 64 to 71. */
static void make_islands(struct rig *rig)
{
    rig_fill(rig, 8, 16, 1);
    rig_fill(rig, 64, 8, 2);
}

static void an_empty_lun_is_one_deallocated_extent(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[64];

    assert_good(get_lba_status(rig, 0, sizeof(reply), reply, sizeof(reply)));
    assert_header(reply, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 0, (uint32_t)rig->blocks, DEALLOCATED);
}

static void a_full_lun_is_one_mapped_extent(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[64];

    rig_fill(rig, 0, (uint32_t)rig->blocks, 3);
    assert_good(get_lba_status(rig, 5, sizeof(reply), reply, sizeof(reply)));
    assert_header(reply, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 5, (uint32_t)rig->blocks - 5, MAPPED);
}

static void one_reply_holds_as_many_descriptors_as_fit(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[128];
    struct answer answer;

    make_islands(rig);
    answer = get_lba_status(rig, 3, sizeof(reply), reply, sizeof(reply));
    assert_good(answer);
    assert_length(answer, 8 + 5 * 16);
    assert_header(reply, 5, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 3, 5, DEALLOCATED);
    assert_descriptor(reply, 1, 8, 16, MAPPED);
    assert_descriptor(reply, 2, 24, 40, DEALLOCATED);
    assert_descriptor(reply, 3, 64, 8, MAPPED);
    assert_descriptor(reply, 4, 72, (uint32_t)rig->blocks - 72, DEALLOCATED);
    answer = get_lba_status(rig, 3, 8 + 3 * 16, reply, sizeof(reply));
    assert_good(answer);
    assert_length(answer, 8 + 3 * 16); /* and behind that only zeros, if anything */
    assert_header(reply, 3, LBA_STATUS_ALLOCATION_LENGTH);
    assert_descriptor(reply, 2, 24, 40, DEALLOCATED);
}

/* From every LBA round the islands, with every allocation length: never an error, never a byte
 * beyond it, and what there is is the beginning of the long reply. */
static void any_allocation_length_cuts_the_reply_and_is_no_error(void **state)
{
    struct rig *rig = *state;
    uint8_t whole[88], reply[88];

    make_islands(rig);
    for (uint64_t lba = 0; lba < 80; lba += rig_step(rig, 13)) {
        assert_good(get_lba_status(rig, lba, sizeof(whole), whole, sizeof(whole)));
        assert_int_equal(get_be64(whole + 8), lba);
        for (uint32_t length = 0; length <= sizeof(whole); length++) {
            uint32_t available = (get_be32(whole) - 4) / 16;
            uint32_t told = length < 24 ? 1 : (length - 8) / 16;
            struct answer answer = get_lba_status(rig, lba, length, reply, sizeof(reply));
            uint32_t sent = told < available ? 8 + 16 * told : 8 + 16 * available;

            assert_good(answer);
            assert_length(answer, length < sent ? length : sent);
            if (length < 8)
                continue;
            if (told > available)
                told = available;
            assert_int_equal(get_be32(reply), 4 + 16 * told);
            assert_memory_equal(reply + 8, whole + 8, (length < sent ? length : sent) - 8);
            assert_int_equal(reply[7] >> 1, told == available ? LBA_STATUS_END_OF_CAPACITY
                                                              : LBA_STATUS_ALLOCATION_LENGTH);
        }
    }
}

static void buffers_smaller_than_the_allocation_length_are_never_overrun(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[88];

    make_islands(rig);
    for (size_t size = 0; size <= sizeof(reply); size++)
        assert_good(get_lba_status(rig, 0, UINT32_MAX, reply, size));
    assert_good(get_lba_status(rig, 0, UINT32_MAX, reply, 8 + 2 * 16));
    assert_header(reply, 2, LBA_STATUS_ALLOCATION_LENGTH);
}

static void the_end_of_capacity_wins_over_the_allocation_length(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[24];

    make_islands(rig);
    assert_good(get_lba_status(rig, 100, 24, reply, 24));
    assert_header(reply, 1, LBA_STATUS_END_OF_CAPACITY);
    assert_good(get_lba_status(rig, 0, 24, reply, 24));
    assert_header(reply, 1, LBA_STATUS_ALLOCATION_LENGTH);
}

static void a_start_at_or_beyond_the_capacity_is_out_of_range(void **state)
{
    struct rig *rig = *state;
    const uint64_t wrong[] = {rig->blocks, rig->blocks + 1, UINT64_C(1) << 63, UINT64_MAX - 1,
                              UINT64_MAX};
    uint8_t reply[24];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_check(get_lba_status(rig, wrong[i], 24, reply, 24), SENSE_ILLEGAL_REQUEST,
                     ASC_LBA_OUT_OF_RANGE);
    assert_good(get_lba_status(rig, rig->blocks - 1, 24, reply, 24));
    assert_descriptor(reply, 0, rig->blocks - 1, 1, DEALLOCATED);
}

static void report_types_of_no_meaning_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[24];

    for (unsigned type = 0; type < 256; type++) {
        cdb_get_lba_status_16(cdb, 0, 24);
        cdb[14] = (uint8_t)type;
        if (type <= LBA_STATUS_TYPE_ANCHORED || type == LBA_STATUS_TYPE_UNREADABLE)
            assert_good(rig_command_in(rig, cdb, reply, 24));
        else
            assert_check(rig_command_in(rig, cdb, reply, 24), SENSE_ILLEGAL_REQUEST,
                         ASC_INVALID_FIELD_IN_CDB);
    }
}

/* The two commands differ in nothing but the CDB; the rest is tried with the long one. */
static void the_report_type_is_honoured(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[64];

    make_islands(rig);
    cdb_get_lba_status_16(cdb, 10, sizeof(reply));
    cdb[14] = LBA_STATUS_TYPE_MAPPED;
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_header(reply, 2, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 10, 14, LBA_STATUS_SURELY_MAPPED);
    assert_descriptor(reply, 1, 64, 8, LBA_STATUS_SURELY_MAPPED);
}

static void an_extent_of_more_than_32_bits_takes_several_descriptors(void **state)
{
    const uint64_t blocks = (UINT64_C(1) << 33) + 4096;
    uint8_t reply[8 + 4 * 16];
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, blocks, 1 << 20, false);
    rig_fill(&rig, 0, 2048, 1);
    assert_good(get_lba_status(&rig, 0, sizeof(reply), reply, sizeof(reply)));
    assert_header(reply, 4, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 0, 2048, MAPPED);
    assert_descriptor(reply, 1, 2048, UINT32_MAX, DEALLOCATED);
    assert_descriptor(reply, 2, 2048 + (uint64_t)UINT32_MAX, UINT32_MAX, DEALLOCATED);
    assert_descriptor(reply, 3, 2048 + 2 * (uint64_t)UINT32_MAX,
                      (uint32_t)(blocks - 2048 - 2 * (uint64_t)UINT32_MAX), DEALLOCATED);
    assert_good(get_lba_status(&rig, 2048, 24, reply, 24));
    assert_header(reply, 1, LBA_STATUS_ALLOCATION_LENGTH);
    assert_descriptor(reply, 0, 2048, UINT32_MAX, DEALLOCATED);
    rig_close(&rig);
}

static void a_block_only_part_of_which_is_deallocated_counts_as_mapped(void **state)
{
    uint8_t reply[8 + 5 * 16];
    struct iovec iov;
    struct rig rig;

    (void)state;
    rig_needs_native("it writes below the LUN");
    rig_open(&rig, 4096, 64, 512, false);
    iov = (struct iovec){.iov_base = reply, .iov_len = 1};
    assert_int_equal(store_write(rig.store, &iov, 1, 10 * 4096 + 600, false), 0);
    assert_int_equal(store_write(rig.store, &iov, 1, 12 * 4096 - 1, false), 0);
    assert_int_equal(store_write(rig.store, &iov, 1, 20 * 4096, false), 0);
    assert_good(get_lba_status(&rig, 0, sizeof(reply), reply, sizeof(reply)));
    assert_header(reply, 5, LBA_STATUS_END_OF_CAPACITY);
    assert_descriptor(reply, 0, 0, 10, DEALLOCATED);
    assert_descriptor(reply, 1, 10, 2, MAPPED);
    assert_descriptor(reply, 2, 12, 8, DEALLOCATED);
    assert_descriptor(reply, 3, 20, 1, MAPPED);
    assert_descriptor(reply, 4, 21, 43, DEALLOCATED);
    rig_close(&rig);
}

static void reserved_storage_is_anchored_where_the_store_promises_what_that_means(void **state)
{
    uint8_t reply[8 + 4 * 16];
    struct scratch scratch;
    struct extent extent;
    struct store *store;
    struct errmsg err;
    struct statfs fs;
    struct rig rig;
    bool told;

    (void)state;
    rig_needs_native("it writes below the LUN");
    scratch_make(&scratch);
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), 1 << 20, &store, &err), 0);
    rig_open_store(&rig, 512, store);
    rig_fill(&rig, 64, 16, 1);
    assert_int_equal(store_zero(store, 48 * 512, 16 * 512), 0);
    assert_int_equal(store_extent(store, 48 * 512, 1 << 20, &extent), 0);
    assert_int_equal(statfs(scratch.directory, &fs), 0);
    /* Btrfs may need more room for what is written into it. */
    told = extent.status == EXTENT_ANCHORED && fs.f_type != BTRFS_SUPER_MAGIC;
    if (told)
        assert_true(store->can_anchor);
    for (int promised = told; promised >= 0; promised--) {
        store->can_anchor = promised;
        assert_good(get_lba_status(&rig, 0, sizeof(reply), reply, sizeof(reply)));
        assert_header(reply, promised ? 4 : 3, LBA_STATUS_END_OF_CAPACITY);
        assert_descriptor(reply, 0, 0, 48, DEALLOCATED);
        assert_descriptor(reply, 1, 48, promised ? 16 : 32, promised ? ANCHORED : MAPPED);
        assert_descriptor(reply, promised ? 3 : 2, 80, 2048 - 80, DEALLOCATED);
    }
    rig_close(&rig);
    scratch_remove(&scratch);
    if (!told)
        skip_because("this file system does not tell reserved storage from written");
}

static void one_descriptor_costs_the_same_however_large_the_lun_is(void **state)
{
    uint8_t reply[24];
    struct rig rig;

    (void)state;
    rig_needs_native("it counts what the store is asked");
    rig_open(&rig, 512, 1 << 20, 4096, false);
    for (uint64_t lba = 0; lba < rig.blocks; lba += 16)
        rig_fill(&rig, lba, 8, 1);
    store_mem_set_fault(rig.store, "extent", 8, EIO); /* the ninth look at the map would fail */
    assert_good(get_lba_status(&rig, 0, 24, reply, 24));
    assert_descriptor(reply, 0, 0, 8, MAPPED);
    rig_close(&rig);
}

static void a_map_that_cannot_be_read_is_a_medium_error(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[88];

    rig_needs_native("it makes the store fail");
    make_islands(rig);
    store_mem_set_fault(rig->store, "extent", 3, EIO);
    assert_check(get_lba_status(rig, 0, sizeof(reply), reply, sizeof(reply)), SENSE_MEDIUM_ERROR,
                 ASC_UNRECOVERED_READ_ERROR);
}

/* Page by page as an initiator does it, with every page size. */
static void paging_covers_the_lun_without_gap_or_overlap(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[8 + 16 * 16];

    for (uint64_t lba = 0; lba < rig->blocks; lba += 56)
        rig_fill(rig, lba, 8, 1);
    for (uint32_t length = 24; length <= sizeof(reply); length += 16) {
        uint64_t lba = 0;

        while (lba < rig->blocks) {
            assert_good(get_lba_status(rig, lba, length, reply, length));
            for (uint32_t i = 0; i < (get_be32(reply) - 4) / 16; i++) {
                const uint8_t *at = reply + 8 + 16 * i;

                assert_int_equal(get_be64(at), lba);
                assert_int_equal(at[12], lba % 56 < 8 ? MAPPED : DEALLOCATED);
                assert_true(get_be32(at + 8) > 0);
                lba += get_be32(at + 8);
            }
        }
        assert_int_equal(lba, rig->blocks);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(an_empty_lun_is_one_deallocated_extent),
        BOTH(a_full_lun_is_one_mapped_extent),
        BOTH(one_reply_holds_as_many_descriptors_as_fit),
        BOTH(any_allocation_length_cuts_the_reply_and_is_no_error),
        BOTH(buffers_smaller_than_the_allocation_length_are_never_overrun),
        BOTH(the_end_of_capacity_wins_over_the_allocation_length),
        BOTH(a_start_at_or_beyond_the_capacity_is_out_of_range),
        BOTH(report_types_of_no_meaning_are_refused),
        BOTH(the_report_type_is_honoured),
        cmocka_unit_test(an_extent_of_more_than_32_bits_takes_several_descriptors),
        cmocka_unit_test(a_block_only_part_of_which_is_deallocated_counts_as_mapped),
        cmocka_unit_test(reserved_storage_is_anchored_where_the_store_promises_what_that_means),
        cmocka_unit_test(one_descriptor_costs_the_same_however_large_the_lun_is),
        BOTH(a_map_that_cannot_be_read_is_a_medium_error),
        BOTH(paging_covers_the_lun_without_gap_or_overlap),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
