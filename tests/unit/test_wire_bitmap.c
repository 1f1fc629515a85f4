/* SPDX-License-Identifier: Apache-2.0 */

/* The allocation bitmap's page, CDB and replies, sound and unsound. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "bitmap_reply.h"
#include "byteorder.h"

#define BLOCKS      (UINT64_C(8) * 100) /* of 512 bytes: 100 elements of 4096 */
#define REPLY_BYTES (BITMAP_HEADER_BYTES + 16)

static struct bitmap_geometry geometry(void)
{
    struct bitmap_geometry ret = {.page = {.element_bytes = 4096,
                                           .max_bitmap_bytes = 64,
                                           .uuid = "0123456789abcde"},
                                  .block_size = 512,
                                  .blocks = BLOCKS};

    return ret;
}

static void make_reply(uint8_t *to, uint64_t first, uint32_t bits, uint64_t next)
{
    struct bitmap_geometry of = geometry();
    struct bitmap_header header = {.lun_bytes = BLOCKS * 512,
                                   .element_bytes = 4096,
                                   .first = first,
                                   .bits = bits,
                                   .next = next};

    memcpy(header.uuid, of.page.uuid, sizeof(header.uuid));
    memset(to, 0, REPLY_BYTES);
    bitmap_header_encode(to, &header);
}

static int decode(const uint8_t *reply, size_t length, uint64_t lba, uint64_t limit,
                  struct extent_list *list, uint64_t *ret_next)
{
    struct bitmap_geometry of = geometry();

    return bitmap_reply_decode(&of, reply, length, lba, limit, list, ret_next);
}

static void the_page_is_what_it_was(void **state)
{
    struct bitmap_geometry before = geometry();
    struct bitmap_page after;
    uint8_t bytes[BITMAP_PAGE_BYTES];

    (void)state;
    assert_int_equal(bitmap_page_encode(bytes, &before.page), sizeof(bytes));
    assert_int_equal(bytes[1], 0xC0);
    assert_int_equal(get_be16(bytes + 2), sizeof(bytes) - 4);
    assert_int_equal(bitmap_page_decode(bytes, sizeof(bytes), &after), 0);
    assert_int_equal(after.element_bytes, before.page.element_bytes);
    assert_int_equal(after.max_bitmap_bytes, before.page.max_bitmap_bytes);
    assert_memory_equal(after.uuid, before.page.uuid, sizeof(after.uuid));
    for (size_t length = 0; length < sizeof(bytes); length++)
        assert_int_equal(bitmap_page_decode(bytes, length, &after), -EINVAL);
    for (size_t i = 0; i < 14; i++) { /* another page, length, signature, version or mode */
        bytes[i] ^= 0x80;
        if (i != 0 && i != 2 && i != 3) /* a longer page may have more to say */
            assert_int_equal(bitmap_page_decode(bytes, sizeof(bytes), &after), -EINVAL);
        bytes[i] ^= 0x80;
    }
    put_be64(bytes + 20, 4097);
    assert_int_equal(bitmap_page_decode(bytes, sizeof(bytes), &after), -EINVAL);
    put_be64(bytes + 20, 0);
    assert_int_equal(bitmap_page_decode(bytes, sizeof(bytes), &after), -EINVAL);
}

static void a_page_that_cannot_be_of_the_lun_is_found_out(void **state)
{
    struct bitmap_geometry of = geometry();

    (void)state;
    assert_true(bitmap_geometry_is_sound(&of));
    of.block_size = 8192;
    assert_false(bitmap_geometry_is_sound(&of));
    of = geometry();
    of.blocks = 0;
    assert_false(bitmap_geometry_is_sound(&of));
    of.blocks = UINT64_MAX;
    assert_false(bitmap_geometry_is_sound(&of));
    of.blocks = BITMAP_MAX_ELEMENTS * 8;
    assert_true(bitmap_geometry_is_sound(&of));
    of.blocks++;
    assert_false(bitmap_geometry_is_sound(&of));
}

static void the_byte_s_number_is_in_the_cdb_from_the_buffer_id_on(void **state)
{
    const uint8_t expected[10] = {0x3C, 0x01, 0xAB, 0xCD, 0xEF, 0x12, 0x01, 0x02, 0x03, 0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct bitmap_geometry of = geometry();

    (void)state;
    assert_int_equal(bitmap_cdb(cdb, 0xABCDEF12, 0x010203), sizeof(expected));
    assert_memory_equal(cdb, expected, sizeof(expected));
    assert_int_equal(bitmap_byte_of(&of, 63), 0);
    assert_int_equal(bitmap_byte_of(&of, 64), 1);
}

static void bits_become_extents_from_the_block_asked_for_on(void **state)
{
    struct extent_list list = {0};
    uint8_t reply[REPLY_BYTES];
    uint64_t next;

    (void)state;
    make_reply(reply, 8, 16, 96);
    reply[BITMAP_HEADER_BYTES] = 0x06;     /* elements 9 and 10 */
    reply[BITMAP_HEADER_BYTES + 1] = 0x80; /* 23 */
    assert_int_equal(decode(reply, sizeof(reply), 77, BLOCKS, &list, &next), 0);
    assert_int_equal(next, 96 * 8);
    assert_int_equal(list.count, 4);
    assert_int_equal(list.items[0].start, 77);
    assert_int_equal(list.items[0].length, 88 - 77);
    assert_int_equal(list.items[0].status, EXTENT_MAPPED);
    assert_int_equal(list.items[1].length, 96);
    assert_int_equal(list.items[1].status, EXTENT_DEALLOCATED);
    assert_int_equal(list.items[2].start, 23 * 8);
    assert_int_equal(list.items[2].length, 8);
    assert_int_equal(list.items[2].status, EXTENT_MAPPED);
    assert_int_equal(list.items[3].status, EXTENT_DEALLOCATED);
    extent_list_free(&list);
    assert_int_equal(decode(reply, sizeof(reply), 77, 80, &list, &next), 0);
    assert_int_equal(next, 80);
    assert_int_equal(extent_list_total(&list, EXTENT_MAPPED), 3);
    extent_list_free(&list);
}

static void a_reply_about_something_else_is_not_believed(void **state)
{
    struct extent_list list = {0};
    uint8_t reply[REPLY_BYTES];
    uint64_t next;

    (void)state;
    make_reply(reply, 8, 16, 24);
    for (size_t length = 0; length < BITMAP_HEADER_BYTES + 2; length++)
        assert_int_equal(decode(reply, length, 77, BLOCKS, &list, &next), -EINVAL);
    assert_int_equal(decode(reply, sizeof(reply), 63, BLOCKS, &list, &next), -EINVAL);
    assert_int_equal(decode(reply, sizeof(reply), 128, BLOCKS, &list, &next), -EINVAL);
    for (size_t i = 0; i < BITMAP_HEADER_BYTES; i++) {
        if (i == 9) /* reserved */
            continue;
        reply[i] ^= 0x80;
        assert_int_equal(decode(reply, sizeof(reply), 77, BLOCKS, &list, &next), -EINVAL);
        reply[i] ^= 0x80;
    }
    assert_int_equal(list.count, 0);
}

static void a_reply_that_contradicts_itself_is_not_believed(void **state)
{
    const struct {
        uint32_t bits;
        uint64_t next;
    } wrong[] = {{16, 23}, {0, 8}, {8, 101}, {1000, 1008}, {UINT32_MAX, UINT64_MAX}};
    struct extent_list list = {0};
    uint8_t reply[REPLY_BYTES];
    uint64_t next;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        make_reply(reply, 8, wrong[i].bits, wrong[i].next);
        assert_int_equal(decode(reply, sizeof(reply), 64, BLOCKS, &list, &next), -EINVAL);
    }
    assert_int_equal(list.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_page_is_what_it_was),
        cmocka_unit_test(a_page_that_cannot_be_of_the_lun_is_found_out),
        cmocka_unit_test(the_byte_s_number_is_in_the_cdb_from_the_buffer_id_on),
        cmocka_unit_test(bits_become_extents_from_the_block_asked_for_on),
        cmocka_unit_test(a_reply_about_something_else_is_not_believed),
        cmocka_unit_test(a_reply_that_contradicts_itself_is_not_believed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
