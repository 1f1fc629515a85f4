/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "exact.h"
#include "lba_status.h"

/* Field positions: SBC-4 5.9.2. */

struct descriptor {
    uint64_t lba;
    uint32_t blocks;
    uint8_t status;
};

/* A reply as a target would send it, built here byte by byte. */
static size_t reply_bytes(uint8_t *to, const struct descriptor *descriptors, size_t count)
{
    uint32_t parameter_length = (uint32_t)(4 + 16 * count);

    memset(to, 0, 8 + 16 * count);
    for (size_t i = 0; i < 4; i++)
        to[i] = (uint8_t)(parameter_length >> (24 - 8 * i));
    for (size_t d = 0; d < count; d++) {
        uint8_t *at = to + 8 + 16 * d;

        for (size_t i = 0; i < 8; i++)
            at[i] = (uint8_t)(descriptors[d].lba >> (56 - 8 * i));
        for (size_t i = 0; i < 4; i++)
            at[8 + i] = (uint8_t)(descriptors[d].blocks >> (24 - 8 * i));
        at[12] = descriptors[d].status;
    }
    return 8 + 16 * count;
}

struct outcome {
    struct extent_list list;
    uint64_t next;
    enum lba_status_defect defect;
};

static void outcome_free(struct outcome *outcome)
{
    extent_list_free(&outcome->list);
}

static struct outcome decode_cut(const uint8_t *bytes, size_t length, uint64_t lba,
                                 uint64_t capacity)
{
    uint8_t *exact = exact_copy(bytes, length);
    struct outcome outcome = {0};

    assert_int_equal(lba_status_decode(exact, length, lba, capacity, &outcome.list, &outcome.next,
                                       &outcome.defect),
                     0);
    free(exact);
    return outcome;
}

static struct outcome decode(const struct descriptor *descriptors, size_t count, uint64_t lba,
                             uint64_t capacity)
{
    uint8_t bytes[256];

    assert_true(8 + 16 * count <= sizeof(bytes));
    return decode_cut(bytes, reply_bytes(bytes, descriptors, count), lba, capacity);
}

#define COUNT(array)                     (sizeof(array) / sizeof((array)[0]))
#define DECODE(descriptors, lba, blocks) decode(descriptors, COUNT(descriptors), lba, blocks)

static void an_allocation_length_holds_whole_descriptors_only(void **state)
{
    (void)state;
    assert_int_equal(lba_status_capacity(0), 0);
    assert_int_equal(lba_status_capacity(7), 0);
    assert_int_equal(lba_status_capacity(8), 0);
    assert_int_equal(lba_status_capacity(23), 0);
    assert_int_equal(lba_status_capacity(24), 1);
    assert_int_equal(lba_status_capacity(39), 1);
    assert_int_equal(lba_status_capacity(40), 2);
    assert_int_equal(lba_status_capacity(UINT32_MAX), 268435455);
}

static void a_reply_is_laid_out_as_the_standard_says(void **state)
{
    static const uint8_t expected[] = {0, 0,    0,    36,   0,    0,    0,   0x07, 0,  1,
                                       2, 3,    4,    5,    6,    7,    8,   9,    10, 11,
                                       1, 0,    0,    0,    0xFF, 0xFE, 0,   0,    0,  0,
                                       0, 0x01, 0xFF, 0xFF, 0xFF, 0xFF, 0x2, 0,    0,  0};
    uint8_t bytes[40];

    (void)state;
    memset(bytes, 0xEE, sizeof(bytes));
    lba_status_encode_header(bytes, 2, LBA_STATUS_END_OF_CAPACITY, true);
    lba_status_encode_descriptor(bytes + 8, 0x0001020304050607, 0x08090A0B, EXTENT_DEALLOCATED);
    lba_status_encode_descriptor(bytes + 24, 0xFFFE000000000001, UINT32_MAX, EXTENT_ANCHORED);
    assert_memory_equal(bytes, expected, sizeof(expected));
}

static void the_header_says_why_the_reply_ends(void **state)
{
    static const uint8_t nothing[] = {0, 0, 0, 4, 0, 0, 0, 0};
    uint8_t bytes[LBA_STATUS_HEADER_BYTES];

    (void)state;
    lba_status_encode_header(bytes, 0, LBA_STATUS_NO_INDICATION, false);
    assert_memory_equal(bytes, nothing, sizeof(nothing));
    lba_status_encode_header(bytes, 1, LBA_STATUS_ALLOCATION_LENGTH, false);
    assert_int_equal(bytes[3], 20);
    assert_int_equal(bytes[7], 0x02);
    lba_status_encode_header(bytes, 1, LBA_STATUS_SCAN_LENGTH, false);
    assert_int_equal(bytes[7], 0x04);
    lba_status_encode_header(bytes, 1, LBA_STATUS_END_OF_CAPACITY, false);
    assert_int_equal(bytes[7], 0x06);
}

static void a_sound_reply_becomes_an_extent_list(void **state)
{
    static const struct descriptor reply[] = {{16, 8, 0}, {24, 8, 1}, {32, 8, 2}, {40, 24, 1}};
    CLEANUP(outcome_free) struct outcome outcome = DECODE(reply, 16, 100);

    (void)state;
    assert_int_equal(outcome.defect, LBA_STATUS_SOUND);
    assert_int_equal(outcome.next, 64);
    assert_int_equal(outcome.list.count, 4);
    assert_int_equal(outcome.list.items[0].start, 16);
    assert_int_equal(outcome.list.items[0].length, 8);
    assert_int_equal(outcome.list.items[0].status, EXTENT_MAPPED);
    assert_int_equal(outcome.list.items[1].status, EXTENT_DEALLOCATED);
    assert_int_equal(outcome.list.items[2].status, EXTENT_ANCHORED);
    assert_int_equal(outcome.list.items[3].length, 24);
}

static void statuses_nobody_knows_count_as_mapped(void **state)
{
    (void)state;
    for (unsigned status = 0; status < 256; status++) {
        struct descriptor reply = {0, 8, (uint8_t)status};
        CLEANUP(outcome_free) struct outcome outcome = decode(&reply, 1, 0, 8);
        enum extent_status expected = (status & 0xF) == 1   ? EXTENT_DEALLOCATED
                                      : (status & 0xF) == 2 ? EXTENT_ANCHORED
                                                            : EXTENT_MAPPED;

        assert_int_equal(outcome.list.items[0].status, expected);
    }
}

static void one_extent_over_several_descriptors_is_joined(void **state)
{
    static const struct descriptor reply[] = {{0, UINT32_MAX, 1},
                                              {UINT32_MAX, UINT32_MAX, 1},
                                              {UINT64_C(2) * UINT32_MAX, 2, 1}};
    CLEANUP(outcome_free)
    struct outcome outcome = DECODE(reply, 0, UINT64_C(1) << 33);

    (void)state;
    assert_int_equal(outcome.list.count, 1);
    assert_true(outcome.list.items[0].length == UINT64_C(1) << 33);
    assert_true(outcome.next == UINT64_C(1) << 33);
}

static void every_cut_keeps_the_whole_descriptors_before_it(void **state)
{
    static const struct descriptor reply[] = {{4, 4, 0}, {8, 4, 1}, {12, 4, 0}};
    uint8_t bytes[56];
    size_t whole = reply_bytes(bytes, reply, COUNT(reply));

    (void)state;
    for (size_t length = 0; length <= whole; length++) {
        CLEANUP(outcome_free) struct outcome outcome = decode_cut(bytes, length, 4, 16);
        size_t descriptors = length < 8 ? 0 : (length - 8) / 16;

        assert_int_equal(outcome.list.count, descriptors);
        assert_int_equal(outcome.next, 4 + 4 * descriptors);
        assert_int_equal(outcome.defect, descriptors ? LBA_STATUS_SOUND : LBA_STATUS_SHORT);
    }
}

static void the_replys_own_length_is_believed_when_it_is_shorter(void **state)
{
    static const struct descriptor reply[] = {{0, 4, 0}, {4, 4, 1}};
    uint8_t bytes[40];
    size_t whole = reply_bytes(bytes, reply, COUNT(reply));

    (void)state;
    for (uint8_t stated = 0; stated < 50; stated++) {
        CLEANUP(outcome_free) struct outcome outcome = {0};
        size_t expected = stated < 20 ? 0 : stated < 36 ? 1 : 2;

        bytes[3] = stated;
        outcome = decode_cut(bytes, whole, 0, 16);
        assert_int_equal(outcome.list.count, expected);
        assert_int_equal(outcome.defect, expected ? LBA_STATUS_SOUND : LBA_STATUS_SHORT);
    }
}

static void a_length_near_2_32_does_not_wrap(void **state)
{
    static const struct descriptor reply[] = {{0, 4, 0}};
    uint8_t bytes[24];
    size_t whole = reply_bytes(bytes, reply, COUNT(reply));

    (void)state;
    for (unsigned low = 0xF0; low <= 0xFF; low++) {
        CLEANUP(outcome_free) struct outcome outcome = {0};

        memset(bytes, 0xFF, 3);
        bytes[3] = (uint8_t)low;
        outcome = decode_cut(bytes, whole, 0, 16);
        assert_int_equal(outcome.list.count, 1);
    }
}

static void a_reply_about_another_lba_is_not_used(void **state)
{
    static const struct descriptor before[] = {{0, 64, 1}};
    static const struct descriptor after[] = {{33, 8, 1}};
    CLEANUP(outcome_free) struct outcome first = DECODE(before, 32, 100);
    CLEANUP(outcome_free) struct outcome second = DECODE(after, 32, 100);

    (void)state;
    assert_int_equal(first.defect, LBA_STATUS_WRONG_START);
    assert_int_equal(first.list.count, 0);
    assert_int_equal(first.next, 32);
    assert_int_equal(second.defect, LBA_STATUS_WRONG_START);
    assert_int_equal(second.next, 32);
}

static void overlaps_gaps_and_steps_back_end_the_reply(void **state)
{
    static const struct descriptor replies[][3] = {{{0, 8, 1}, {7, 8, 0}, {15, 8, 0}},
                                                   {{0, 8, 1}, {9, 8, 0}, {17, 8, 0}},
                                                   {{0, 8, 1}, {0, 8, 0}, {8, 8, 0}}};

    (void)state;
    for (size_t i = 0; i < COUNT(replies); i++) {
        CLEANUP(outcome_free) struct outcome outcome = DECODE(replies[i], 0, 100);

        assert_int_equal(outcome.defect, LBA_STATUS_UNORDERED);
        assert_int_equal(outcome.list.count, 1);
        assert_int_equal(outcome.next, 8);
    }
}

static void a_descriptor_of_no_blocks_cannot_make_the_reader_stand_still(void **state)
{
    static const struct descriptor alone[] = {{5, 0, 1}};
    static const struct descriptor second[] = {{5, 3, 1}, {8, 0, 1}, {8, 8, 1}};
    CLEANUP(outcome_free) struct outcome first = DECODE(alone, 5, 100);
    CLEANUP(outcome_free) struct outcome other = DECODE(second, 5, 100);

    (void)state;
    assert_int_equal(first.defect, LBA_STATUS_ZERO_BLOCKS);
    assert_int_equal(first.next, 5);
    assert_int_equal(other.defect, LBA_STATUS_ZERO_BLOCKS);
    assert_int_equal(other.next, 8);
}

static void nothing_past_the_capacity_is_believed(void **state)
{
    static const struct descriptor reply[] = {{0, 8, 1}, {8, 9, 1}};
    static const struct descriptor behind[] = {{0, 16, 1}, {16, 1, 1}};
    CLEANUP(outcome_free) struct outcome outcome = DECODE(reply, 0, 16);
    CLEANUP(outcome_free) struct outcome second = DECODE(behind, 0, 16);

    (void)state;
    assert_int_equal(outcome.defect, LBA_STATUS_BEYOND_END);
    assert_int_equal(outcome.next, 8);
    assert_int_equal(second.defect, LBA_STATUS_BEYOND_END);
    assert_int_equal(second.next, 16);
}

static void an_address_near_2_64_does_not_wrap(void **state)
{
    static const struct descriptor reply[] = {{UINT64_MAX - 3, 8, 1}};
    static const struct descriptor last[] = {{UINT64_MAX - 3, 3, 1}};
    CLEANUP(outcome_free) struct outcome outcome = DECODE(reply, UINT64_MAX - 3, UINT64_MAX);
    CLEANUP(outcome_free) struct outcome fits = DECODE(last, UINT64_MAX - 3, UINT64_MAX);

    (void)state;
    assert_int_equal(outcome.defect, LBA_STATUS_BEYOND_END);
    assert_true(outcome.next == UINT64_MAX - 3);
    assert_int_equal(fits.defect, LBA_STATUS_SOUND);
    assert_true(fits.next == UINT64_MAX);
}

static void a_list_that_is_already_further_on_is_an_error(void **state)
{
    static const struct descriptor reply[] = {{0, 8, 1}};
    CLEANUP(extent_list_free) struct extent_list list = {0};
    enum lba_status_defect defect;
    uint8_t bytes[24];
    uint64_t next;

    (void)state;
    assert_int_equal(extent_list_append(&list, 0, 100, EXTENT_MAPPED), 0);
    assert_int_equal(lba_status_decode(bytes, reply_bytes(bytes, reply, 1), 0, 200, &list, &next,
                                       &defect),
                     -EINVAL);
    assert_int_equal(next, 0);
}

static void every_defect_has_words_of_its_own(void **state)
{
    (void)state;
    for (unsigned a = LBA_STATUS_SOUND; a <= LBA_STATUS_BEYOND_END; a++)
        for (unsigned b = LBA_STATUS_SOUND; b < a; b++)
            assert_string_not_equal(lba_status_defect_text((enum lba_status_defect)a),
                                    lba_status_defect_text((enum lba_status_defect)b));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_allocation_length_holds_whole_descriptors_only),
        cmocka_unit_test(a_reply_is_laid_out_as_the_standard_says),
        cmocka_unit_test(the_header_says_why_the_reply_ends),
        cmocka_unit_test(a_sound_reply_becomes_an_extent_list),
        cmocka_unit_test(statuses_nobody_knows_count_as_mapped),
        cmocka_unit_test(one_extent_over_several_descriptors_is_joined),
        cmocka_unit_test(every_cut_keeps_the_whole_descriptors_before_it),
        cmocka_unit_test(the_replys_own_length_is_believed_when_it_is_shorter),
        cmocka_unit_test(a_length_near_2_32_does_not_wrap),
        cmocka_unit_test(a_reply_about_another_lba_is_not_used),
        cmocka_unit_test(overlaps_gaps_and_steps_back_end_the_reply),
        cmocka_unit_test(a_descriptor_of_no_blocks_cannot_make_the_reader_stand_still),
        cmocka_unit_test(nothing_past_the_capacity_is_believed),
        cmocka_unit_test(an_address_near_2_64_does_not_wrap),
        cmocka_unit_test(a_list_that_is_already_further_on_is_an_error),
        cmocka_unit_test(every_defect_has_words_of_its_own),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
