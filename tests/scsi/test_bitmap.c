/* SPDX-License-Identifier: Apache-2.0 */

/* READ BUFFER in the vendor-specific mode: a bit for each element of the storage, and the VPD page
 * that announces it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bitmap_reply.h"
#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"

#define GRANULE 4096

static struct bitmap_geometry geometry_of(struct rig *rig)
{
    struct bitmap_geometry geometry = {.block_size = rig->block_size, .blocks = rig->blocks};
    uint8_t page[BITMAP_PAGE_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry_vpd(cdb, VPD_ALLOCATION_BITMAP, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(bitmap_page_decode(page, sizeof(page), &geometry.page), 0);
    return geometry;
}

static struct answer read_bitmap(struct rig *rig, uint32_t byte, uint32_t allocation_length,
                                 uint8_t *reply)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    bitmap_cdb(cdb, byte, allocation_length);
    return rig_command_in(rig, cdb, reply, allocation_length);
}

static void fill_granules(struct rig *rig, uint64_t first, uint32_t count)
{
    uint32_t each = GRANULE / rig->block_size;

    rig_fill(rig, first * each, count * each, 0x5A);
}

static void a_bit_is_set_for_each_element_with_data_and_no_other(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[BITMAP_HEADER_BYTES + 16];
    struct answer answer;

    fill_granules(rig, 1, 2);
    fill_granules(rig, 12, 1);
    fill_granules(rig, 16, 9);
    answer = read_bitmap(rig, 0, sizeof(reply), reply);
    assert_good(answer);
    assert_int_equal(get_be32(reply + 12), 32);
    assert_length(answer, BITMAP_HEADER_BYTES + 4);
    assert_int_equal(get_be64(reply + 32), rig->blocks * rig->block_size);
    assert_int_equal(get_be64(reply + 40), GRANULE);
    assert_int_equal(get_be64(reply + 48), 0);
    assert_int_equal(get_be64(reply + 56), rig->blocks * rig->block_size / GRANULE);
    assert_memory_equal(reply + BITMAP_HEADER_BYTES, "\x06\x10\xff\x01", 4);
}

static void blocks_that_are_anchored_have_no_data(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[BITMAP_HEADER_BYTES + 16];
    uint32_t each = GRANULE / rig->block_size;

    rig_anchor(rig, 0, 8 * each);
    fill_granules(rig, 3, 1);
    assert_good(read_bitmap(rig, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 8);
    assert_int_equal(reply[BITMAP_HEADER_BYTES], 0x08);
}

static void one_block_of_an_element_is_enough(void **state)
{
    uint8_t reply[BITMAP_HEADER_BYTES + 1];
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 2048, GRANULE, false);
    rig_fill(&rig, 15, 2, 1);
    assert_good(read_bitmap(&rig, 0, sizeof(reply), reply));
    assert_int_equal(reply[BITMAP_HEADER_BYTES], 0x06);
    rig_close(&rig);
}

/* Page by page with every size of page, from whatever block, the bitmap and GET LBA STATUS agree.
 */
static void the_bitmap_is_the_map_whatever_the_pages(void **state)
{
    struct rig *rig = *state;
    struct bitmap_geometry geometry = geometry_of(rig);
    uint32_t each = GRANULE / rig->block_size;
    uint8_t reply[BITMAP_HEADER_BYTES + 40];

    for (uint64_t granule = 3; granule < rig->blocks / each; granule += 11)
        fill_granules(rig, granule, (uint32_t)(granule % 4 + 1));
    for (uint32_t length = BITMAP_HEADER_BYTES + 1; length <= sizeof(reply);
         length += rig_step(rig, 13)) {
        struct extent_list list = {0};
        uint64_t lba = 5;

        while (lba < rig->blocks) {
            struct answer answer = read_bitmap(rig, bitmap_byte_of(&geometry, lba), length, reply);

            assert_good(answer);
            assert_int_equal(bitmap_reply_decode(&geometry, reply, answer.length, lba, rig->blocks,
                                                 &list, &lba),
                             0);
        }
        assert_int_equal(extent_list_end(&list), rig->blocks);
        for (size_t i = 0; i < list.count; i++)
            rig_assert_status(rig, list.items[i].start, (uint32_t)list.items[i].length,
                              list.items[i].status);
        extent_list_free(&list);
    }
}

static void any_allocation_length_cuts_the_reply_and_is_no_error(void **state)
{
    struct rig *rig = *state;
    uint8_t whole[BITMAP_HEADER_BYTES + 4], reply[BITMAP_HEADER_BYTES + 4];

    fill_granules(rig, 1, 20);
    assert_good(read_bitmap(rig, 0, sizeof(whole), whole));
    for (uint32_t length = 0; length <= sizeof(whole); length++) {
        struct answer answer = read_bitmap(rig, 0, length, reply);
        uint32_t told = length > BITMAP_HEADER_BYTES ? length - BITMAP_HEADER_BYTES : 0;

        assert_good(answer);
        if (told > 3)
            told = 3;
        assert_length(answer, length < BITMAP_HEADER_BYTES ? length : BITMAP_HEADER_BYTES + told);
        if (length < BITMAP_HEADER_BYTES)
            continue;
        assert_int_equal(get_be32(reply + 12), 8 * told);
        assert_memory_equal(reply + BITMAP_HEADER_BYTES, whole + BITMAP_HEADER_BYTES, told);
    }
}

/* 4 TiB of nothing but two islands: the bitmap of which would be 128 MiB. */
static void what_is_empty_for_long_is_skipped(void **state)
{
    const uint64_t blocks = UINT64_C(1) << 33;
    struct bitmap_geometry geometry;
    struct extent_list list = {0};
    uint8_t reply[4096];
    uint64_t lba = 0;
    unsigned queries = 0;
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, blocks, 1 << 20, false);
    geometry = geometry_of(&rig);
    rig_fill(&rig, UINT64_C(2048) * 1000, 2048, 1);
    rig_fill(&rig, blocks - 2048, 2048, 1);
    for (; lba < blocks; queries++) {
        struct answer answer =
            read_bitmap(&rig, bitmap_byte_of(&geometry, lba), sizeof(reply), reply);

        assert_good(answer);
        assert_int_equal(bitmap_reply_decode(&geometry, reply, answer.length, lba, blocks, &list,
                                             &lba),
                         0);
    }
    assert_true(queries <= 5);
    assert_int_equal(list.count, 4);
    assert_int_equal(extent_list_total(&list, EXTENT_MAPPED), 4096);
    extent_list_free(&list);
    rig_close(&rig);
}

/* 10 TiB with something in each 5000th MiB: each had taken a command of its own. */
static void many_long_gaps_are_told_in_one_reply(void **state)
{
    const uint64_t blocks = UINT64_C(10) << 31, each = 2048, stride = 5000 * each;
    const uint32_t length = 1 << 17;
    struct bitmap_geometry geometry;
    struct extent_list list = {0};
    uint64_t lba = 0, islands = 0;
    unsigned queries = 0;
    uint8_t *reply;
    struct rig rig;

    (void)state;
    rig_needs_native("its LUN is of a size of its own");
    reply = malloc(length);
    assert_non_null(reply);
    rig_open(&rig, 512, blocks, 1 << 20, false);
    geometry = geometry_of(&rig);
    for (uint64_t at = each; at < blocks; at += stride, islands++)
        rig_fill(&rig, at, 1, 1);
    for (; lba < blocks; queries++) {
        struct answer answer = read_bitmap(&rig, bitmap_byte_of(&geometry, lba), length, reply);

        assert_good(answer);
        assert_int_equal(bitmap_reply_decode(&geometry, reply, answer.length, lba, blocks, &list,
                                             &lba),
                         0);
    }
    assert_in_range(queries, 1, 2);
    assert_int_equal(list.count, 2 * islands + 1);
    for (uint64_t i = 0; i < islands; i++) {
        assert_int_equal(list.items[2 * i + 1].start, each + i * stride);
        assert_int_equal(list.items[2 * i + 1].length, each);
        assert_int_equal(list.items[2 * i + 1].status, EXTENT_MAPPED);
    }
    extent_list_free(&list);
    rig_close(&rig);
    free(reply);
}

static void beyond_the_last_element_is_no_bitmap(void **state)
{
    struct rig *rig = *state;
    uint32_t bytes = (uint32_t)(rig->blocks * rig->block_size / GRANULE / 8);
    uint8_t reply[BITMAP_HEADER_BYTES + 1];

    assert_good(read_bitmap(rig, bytes - 1, sizeof(reply), reply));
    assert_check(read_bitmap(rig, bytes, sizeof(reply), reply), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_check(read_bitmap(rig, UINT32_MAX, sizeof(reply), reply), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

static void other_modes_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint8_t reply[BITMAP_HEADER_BYTES];

    for (unsigned mode = 0; mode < 256; mode++) {
        if (mode <= 3 || mode == 0x1C) /* test_diagnostic.c */
            continue;
        bitmap_cdb(cdb, 0, sizeof(reply));
        cdb[1] = (uint8_t)mode;
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

static void the_page_names_the_volume_and_the_element(void **state)
{
    struct rig *rig = *state;
    struct bitmap_geometry geometry = geometry_of(rig);
    uint8_t reply[BITMAP_HEADER_BYTES];

    assert_int_equal(geometry.page.element_bytes, GRANULE);
    assert_good(read_bitmap(rig, 0, sizeof(reply), reply));
    assert_memory_equal(reply + 16, geometry.page.uuid, 16);
    if (rig_is_native())
        assert_memory_equal(geometry.page.uuid, rig_uuid, 16);
}

static void no_reply_tells_more_than_the_page_says(void **state)
{
    const uint64_t bytes = UINT64_C(16) << 30;
    uint32_t length = BITMAP_HEADER_BYTES + (1 << 20);
    struct bitmap_geometry geometry;
    struct rig rig;
    uint8_t *reply;

    (void)state;
    rig_needs_native("its LUN is of a size of its own");
    reply = malloc(length);
    assert_non_null(reply);
    rig_open(&rig, 4096, bytes / 4096, GRANULE, false);
    geometry = geometry_of(&rig);
    for (uint64_t lba = 0; lba < rig.blocks; lba += 2048)
        rig_fill(&rig, lba, 1, 1);
    assert_good(read_bitmap(&rig, 0, length, reply));
    assert_in_range(get_be32(reply + 12), 1, geometry.page.max_bitmap_bytes * 8);
    assert_int_equal(get_be64(reply + 56), geometry.page.max_bitmap_bytes * UINT64_C(8));
    rig_close(&rig);
    free(reply);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_bit_is_set_for_each_element_with_data_and_no_other),
        BOTH(blocks_that_are_anchored_have_no_data),
        cmocka_unit_test(one_block_of_an_element_is_enough),
        BOTH(the_bitmap_is_the_map_whatever_the_pages),
        BOTH(any_allocation_length_cuts_the_reply_and_is_no_error),
        cmocka_unit_test(what_is_empty_for_long_is_skipped),
        cmocka_unit_test(many_long_gaps_are_told_in_one_reply),
        BOTH(beyond_the_last_element_is_no_bitmap),
        BOTH(other_modes_are_refused),
        BOTH(the_page_names_the_volume_and_the_element),
        cmocka_unit_test(no_reply_tells_more_than_the_page_says),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
