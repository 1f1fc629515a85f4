/* SPDX-License-Identifier: Apache-2.0 */

/* READ BUFFER(16) in the vendor-specific mode: the change record. The bytes expected are those of
 * the tables in docs/change-record.md. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "track_rig.h"

static void the_page_announces_it(void **state)
{
    static const uint8_t expected[28] = {0,   0xC1, 0,    0x28, 'T', 'M',  'R', 'E',  'C', 'O',
                                         'R', 'D',  1,    1,    0,   0x1F, 0,   0x10, 0,   0,
                                         0,   0,    0x10, 0,    0,   0,    0,   0};
    struct rig *rig = *state;
    uint8_t page[44], supported[32], cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry_vpd(cdb, 0xC1, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_memory_equal(page, expected, sizeof(expected));
    assert_memory_equal(page + 28, volume_get_meta(rig->volume)->uuid, 16);
    cdb_inquiry_vpd(cdb, 0x00, sizeof(supported));
    assert_good(rig_command_in(rig, cdb, supported, sizeof(supported)));
    assert_non_null(memchr(supported + 4, 0xC1, get_be16(supported + 2)));
}

static void status_without_a_record_says_that_there_is_none(void **state)
{
    struct rig *rig = *state;
    uint8_t expected[HEADER] = {'T', 'M', 'R', 'E', 'C', 'O', 'R', 'D', 1, STATUS, 0, 0x60};
    uint8_t reply[HEADER + POINT];
    struct answer answer = ask(rig, STATUS, 0, sizeof(reply), reply);

    memcpy(expected + 16, volume_get_meta(rig->volume)->uuid, 16);
    put_be64(expected + 32, LUN_BYTES);
    put_be32(expected + 40, GRANULE);
    expected[47] = 0x40;
    assert_good(answer);
    assert_length(answer, HEADER);
    assert_memory_equal(reply, expected, HEADER);
}

static void the_first_cut_begins_the_record(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + POINT], listed[HEADER + 2 * POINT];
    static const uint8_t zeros[16];
    struct answer answer = ask(rig, CUT, pair(0x11223344, 0x55667788), sizeof(reply), reply);

    assert_good(answer);
    assert_length(answer, HEADER + POINT);
    assert_int_equal(reply[9], CUT);
    assert_int_equal(get_be32(reply + 12), 1);
    assert_int_equal(get_be32(reply + 44), 0x01000140); /* kept, may be, switched on, 40h */
    assert_memory_not_equal(reply + 48, zeros, 16);
    assert_memory_equal(reply + 64, zeros, 16);
    assert_memory_not_equal(reply + HEADER, zeros, 16);
    assert_int_equal(get_be64(reply + HEADER + 16), 0x1122334455667788);
    assert_true(get_be64(reply + HEADER + 24) > 1700000000);
    assert_int_equal(get_be64(reply + HEADER + 32), LUN_BYTES);
    assert_true(get_be64(reply + HEADER + 40) < LUN_BYTES);
    assert_memory_equal(reply + HEADER + 48, zeros, 16);
    answer = ask(rig, STATUS, 0, sizeof(listed), listed);
    assert_good(answer);
    assert_length(answer, HEADER + POINT);
    assert_memory_equal(listed + 10, reply + 10, HEADER + POINT - 10);
}

static void the_same_cut_again_gives_the_same_point(void **state)
{
    struct rig *rig = *state;
    uint64_t first = cut(rig, 1, 1), second;

    fill(rig, 3, 1);
    assert_int_equal(cut(rig, 1, 1), first);
    second = cut(rig, 1, 2);
    assert_int_not_equal(second, first);
    assert_int_not_equal(cut(rig, 2, 1), first);
    assert_int_equal(cut(rig, 1, 2), second);
    assert_int_equal(count_of(rig), 3);
}

static void changes_since_a_point_are_listed_in_order(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + 8 * RANGE];
    uint64_t first, second;
    struct answer answer;

    fill(rig, 9, 1);
    first = cut(rig, 1, 1);
    fill(rig, 100, 3);
    rig_unmap(rig, 0, 2 * GRANULE / rig->block_size);
    second = cut(rig, 1, 2);
    fill(rig, 16383, 1);
    answer = changed(rig, first, 0, sizeof(reply), reply);
    assert_good(answer);
    assert_length(answer, HEADER + 3 * RANGE);
    assert_int_equal(reply[9], CHANGED);
    assert_int_equal(get_be32(reply + 12), 3);
    assert_int_equal(get_be32(reply + 44), 0x01000110);
    assert_int_equal(get_be64(reply + 64), first);
    assert_int_equal(get_be64(reply + 80), 0);
    assert_int_equal(get_be64(reply + 88), LUN_BYTES / GRANULE);
    assert_range(rig, reply, 0, 0, 2);
    assert_range(rig, reply, 1, 100, 3);
    assert_range(rig, reply, 2, 16383, 1);
    assert_good(changed(rig, second, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 1);
    assert_range(rig, reply, 0, 16383, 1);
}

/* With every size of reply, the pieces are the whole. */
static void the_list_goes_on_where_a_reply_ended(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + 8 * RANGE];
    uint64_t id = cut(rig, 1, 1);

    for (unsigned i = 0; i < 20; i++)
        fill(rig, 700 * i + 5, i % 3 + 1);
    for (uint32_t length = HEADER + RANGE; length <= sizeof(reply); length += 7) {
        uint32_t at = 0;
        unsigned seen = 0;

        while (at < LUN_BYTES / GRANULE) {
            uint32_t count;

            assert_good(changed(rig, id, at, length, reply));
            count = get_be32(reply + 12);
            assert_true(count <= (length - HEADER) / RANGE);
            assert_int_equal(get_be64(reply + 80), at);
            for (unsigned i = 0; i < count; i++, seen++)
                assert_range(rig, reply, i, 700 * seen + 5, seen % 3 + 1);
            assert_true(get_be64(reply + 88) > at);
            at = (uint32_t)get_be64(reply + 88);
        }
        assert_int_equal(seen, 20);
    }
    assert_good(changed(rig, id, 706, sizeof(reply), reply)); /* the second half of one */
    assert_range(rig, reply, 0, 706, 1);
}

static void without_room_for_a_range_the_list_stays_where_it_is(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + RANGE];
    uint64_t id = cut(rig, 1, 1);

    fill(rig, 50, 2);
    for (uint32_t length = 0; length < sizeof(reply); length++) {
        struct answer answer = changed(rig, id, 50, length, reply);

        assert_good(answer);
        assert_length(answer, length < HEADER ? length : HEADER);
        if (length < HEADER)
            continue;
        assert_int_equal(get_be32(reply + 12), 0);
        assert_int_equal(get_be64(reply + 88), 50);
    }
}

static void forget_may_be_repeated(void **state)
{
    struct rig *rig = *state;
    uint64_t first = cut(rig, 1, 1), second = cut(rig, 1, 2);
    uint8_t reply[HEADER + POINT];

    for (int i = 0; i < 2; i++) {
        assert_good(ask(rig, FORGET, first, sizeof(reply), reply));
        assert_int_equal(reply[9], FORGET);
        assert_int_equal(get_be32(reply + 12), 1);
        assert_int_equal(get_be64(reply + HEADER), second);
    }
    assert_check(changed(rig, first, 0, HEADER, reply), SENSE_ILLEGAL_REQUEST, NO_POINT);
}

static void release_forgets_the_older_points_of_its_consumer(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + 3 * POINT];
    uint64_t other = cut(rig, 2, 9), first = cut(rig, 1, 1), second = cut(rig, 1, 2);
    uint64_t third = cut(rig, 1, 3);

    for (int i = 0; i < 2; i++) {
        assert_good(ask(rig, RELEASE, second, sizeof(reply), reply));
        assert_int_equal(get_be32(reply + 12), 3);
        assert_int_equal(get_be64(reply + HEADER), other);
        assert_int_equal(get_be64(reply + HEADER + POINT), second);
        assert_int_equal(get_be64(reply + HEADER + 2 * POINT), third);
    }
    assert_check(ask(rig, RELEASE, first, HEADER, reply), SENSE_ILLEGAL_REQUEST, NO_POINT);
}

static void a_unit_that_is_to_have_none_says_so(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER], page[44], cdb[SCSI_CDB_MAX_BYTES];

    lun_close(rig->lun);
    open_volume(rig);
    volume_refuse_track(rig->volume);
    open_unit(rig);
    assert_check(ask(rig, CUT, pair(1, 1), HEADER, reply), SENSE_ILLEGAL_REQUEST, REFUSED);
    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    assert_int_equal(get_be32(reply + 44), 0x00010040);
    cdb_inquiry_vpd(cdb, 0xC1, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(page[24], 1);
}

static void what_is_not_there_is_told_from_what_is_wrong(void **state)
{
    static const struct {
        uint8_t function;
        uint64_t argument;
        uint16_t without, with; /* a record */
    } cases[] = {
        {STATUS, 1, 0x2400, 0x2400},
        {CUT, 0xFFFFFFFF, 0x2400, 0x2400},
        {CHANGED, 0, NOT_THERE, NO_POINT},
        {CHANGED, LUN_BYTES / GRANULE, 0x2400, 0x2400},
        {CHANGED, UINT64_MAX, 0x2400, 0x2400},
        {FORGET, 7, NOT_THERE, 0},
        {RELEASE, 7, NOT_THERE, NO_POINT},
        {NO_FUNCTION, 0, 0x2400, 0x2400},
        {0xFF, 0, 0x2400, 0x2400},
    };
    struct rig *rig = *state;
    uint8_t reply[HEADER];

    for (int tracked = 0; tracked < 2; tracked++) {
        for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
            uint16_t expected = tracked ? cases[i].with : cases[i].without;
            struct answer answer = ask(rig, cases[i].function, cases[i].argument, HEADER, reply);

            if (expected == 0)
                assert_good(answer);
            else
                assert_check(answer, SENSE_ILLEGAL_REQUEST, expected);
        }
        cut(rig, 1, 1);
    }
}

static void only_so_many_points_are_kept(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + POINT];
    uint64_t first = cut(rig, 1, 0);

    for (uint32_t i = 1; i < 32; i++)
        cut(rig, 1, i);
    assert_check(ask(rig, CUT, pair(1, 32), HEADER, reply), SENSE_ILLEGAL_REQUEST, TOO_MANY_POINTS);
    assert_int_equal(cut(rig, 1, 0), first); /* that one is there */
    assert_good(ask(rig, FORGET, first, HEADER, reply));
    cut(rig, 1, 32);
    assert_int_equal(count_of(rig), 32);
}

static void points_are_there_when_the_unit_is_opened_again(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER + RANGE];
    uint64_t id = cut(rig, 1, 1);

    fill(rig, 20, 1);
    lun_close(rig->lun);
    open_volume(rig);
    open_unit(rig);
    fill(rig, 21, 1);
    assert_int_equal(cut(rig, 1, 1), id);
    assert_good(changed(rig, id, 0, sizeof(reply), reply));
    assert_int_equal(get_be32(reply + 12), 1);
    assert_range(rig, reply, 0, 20, 2);
}

static void what_was_sanitized_begins_a_new_record(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[HEADER];
    uint64_t id = cut(rig, 1, 1);
    struct answer answer;

    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    assert_int_equal(reply[44], 1);
    /* SANITIZE BLOCK ERASE: the record begins anew. */
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x48, 0x02};
    assert_good(rig_command(rig, cdb));
    answer = changed(rig, id, 0, HEADER, reply);
    assert_check(answer, SENSE_ILLEGAL_REQUEST, NO_POINT);
    assert_good(ask(rig, STATUS, 0, HEADER, reply));
    assert_int_equal(get_be32(reply + 44), 0x01000640); /* kept, since it was sanitized */
}

static void other_modes_tell_of_an_empty_buffer(void **state)
{
    struct rig *rig = *state;
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0x9B, 0x03}, reply[8];
    struct answer answer;

    cdb[13] = sizeof(reply);
    answer = rig_command_in(rig, cdb, reply, sizeof(reply));
    assert_good(answer);
    assert_length(answer, 4);
    assert_memory_equal(reply, "\0\0\0\0", 4);
    cdb[1] = 0x21; /* MODE SPECIFIC */
    assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST, 0x2400);
    cdb[1] = 0x1F;
    assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST, 0x2400);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH_SIZES(the_page_announces_it),
        BOTH_SIZES(status_without_a_record_says_that_there_is_none),
        BOTH_SIZES(the_first_cut_begins_the_record),
        BOTH_SIZES(the_same_cut_again_gives_the_same_point),
        BOTH_SIZES(changes_since_a_point_are_listed_in_order),
        BOTH_SIZES(the_list_goes_on_where_a_reply_ended),
        BOTH_SIZES(without_room_for_a_range_the_list_stays_where_it_is),
        BOTH_SIZES(forget_may_be_repeated),
        BOTH_SIZES(release_forgets_the_older_points_of_its_consumer),
        BOTH_SIZES(a_unit_that_is_to_have_none_says_so),
        BOTH_SIZES(what_is_not_there_is_told_from_what_is_wrong),
        BOTH_SIZES(only_so_many_points_are_kept),
        BOTH_SIZES(points_are_there_when_the_unit_is_opened_again),
        BOTH_SIZES(what_was_sanitized_begins_a_new_record),
        BOTH_SIZES(other_modes_tell_of_an_empty_buffer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
