/* SPDX-License-Identifier: Apache-2.0 */

/* EXTENDED COPY(LID1) and what can be asked about it afterwards. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "copy_rig.h"
#include "vpd.h"

#define MAX_CSCDS      16
#define MAX_SEGMENTS   16
#define MAX_LIST_BYTES (MAX_CSCDS * COPY_CSCD_BYTES + MAX_SEGMENTS * 32)
#define MAX_SEGMENT    (16u << 20)
#define LIST_ROOM      2048

#define DC             0x02
#define SELF           COPY_CSCD_ID_SELF

static struct answer copy_within(struct rig *rig, uint64_t from, uint64_t to, uint16_t blocks)
{
    struct copy_rig_list list;

    copy_rig_start(&list, 7, COPY_LIST_ID_HOLD);
    copy_rig_add_cscd(&list, rig);
    copy_rig_add_segment(&list, 0, from, 0, to, blocks);
    return copy_rig_send(rig, &list);
}

static void blocks_are_copied_and_holes_stay_holes(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 0, 64, 0x11);
    rig_fill(rig, 128, 64, 0x22);
    rig_fill(rig, 1024, 512, 0x99);
    assert_good(copy_within(rig, 0, 1024, 256));
    rig_assert_blocks(rig, 1024, 64, 0x11);
    rig_assert_blocks(rig, 1088, 64, 0);
    rig_assert_blocks(rig, 1152, 64, 0x22);
    rig_assert_blocks(rig, 1216, 64, 0);
    rig_assert_blocks(rig, 1280, 256, 0x99);
    rig_assert_mapped(rig, 1024, 64, true);
    rig_assert_mapped(rig, 1088, 64, false);
    rig_assert_mapped(rig, 1152, 64, true);
    rig_assert_mapped(rig, 1216, 64, false);
}

static void segments_are_done_in_their_order(void **state)
{
    struct rig *rig = *state;
    struct copy_rig_list list;

    rig_fill(rig, 0, 8, 0x31);
    copy_rig_start(&list, 0, COPY_LIST_ID_NONE);
    copy_rig_add_cscd(&list, rig);
    copy_rig_add_segment(&list, 0, 0, 0, 100, 8);
    copy_rig_add_segment(&list, 0, 100, SELF, 200, 8);
    copy_rig_add_segment(&list, SELF, 200, 0, 300, 8);
    copy_rig_add_segment(&list, SELF, 1000, SELF, 100, 8);
    copy_rig_add_segment(&list, SELF, 0, SELF, 1, 0); /* no blocks: nothing to do */
    assert_good(copy_rig_send(rig, &list));
    rig_assert_blocks(rig, 300, 8, 0x31);
    rig_assert_blocks(rig, 200, 8, 0x31);
    rig_assert_blocks(rig, 100, 8, 0);
    copy_rig_start(&list, 0, COPY_LIST_ID_NONE); /* and none at all */
    assert_good(copy_rig_send(rig, &list));
    list.length = 0;
    assert_good(copy_rig_send(rig, &list));
}

static void ranges_that_overlap_are_read_before_they_are_overwritten(void **state)
{
    struct rig *rig = *state;

    for (unsigned i = 0; i < 16; i++)
        rig_fill(rig, 64 * i, 64, (uint8_t)(i + 1));
    assert_good(copy_within(rig, 0, 64, 1024));
    for (unsigned i = 0; i < 16; i++)
        rig_assert_blocks(rig, 64 * (i + 1), 64, (uint8_t)(i + 1));
    assert_good(copy_within(rig, 64, 0, 1024));
    for (unsigned i = 0; i < 16; i++)
        rig_assert_blocks(rig, 64 * i, 64, (uint8_t)(i + 1));
}

static void lists_that_are_wrong_are_refused_before_anything_is_copied(void **state)
{
    static const struct {
        size_t at; /* from the CSCD descriptor, 16, and the segment descriptor, 48 */
        uint8_t value;
        uint16_t asc_ascq;
    } cases[] = {
        {1, 1 << 3, ASC_INVALID_FIELD_IN_PARAMETER_LIST}, /* LIST ID USAGE */
        {1, 3 << 3, ASC_INVALID_FIELD_IN_PARAMETER_LIST}, /* with a LIST IDENTIFIER */
        {3, 31, ASC_INVALID_FIELD_IN_PARAMETER_LIST},     {11, 29, ASC_PARAMETER_LIST_LENGTH_ERROR},
        {15, 1, ASC_INLINE_DATA_LENGTH_EXCEEDED},         {16, 0xE0, ASC_UNSUPPORTED_CSCD_TYPE},
        {48, 0x00, ASC_UNSUPPORTED_SEGMENT_TYPE},         {48, 0x09, ASC_UNSUPPORTED_SEGMENT_TYPE},
        {48, 0x0A, ASC_PARAMETER_LIST_LENGTH_ERROR}, /* that one is longer */
        {51, 0x14, ASC_INVALID_FIELD_IN_PARAMETER_LIST},
    };
    struct rig *rig = *state;

    rig_fill(rig, 0, 8, 0x55);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct copy_rig_list list;

        copy_rig_start(&list, 9, COPY_LIST_ID_HOLD);
        copy_rig_add_cscd(&list, rig);
        copy_rig_add_segment(&list, 0, 0, 0, 100, 8);
        list.bytes[cases[i].at] = cases[i].value;
        assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST, cases[i].asc_ascq);
    }
    rig_assert_blocks(rig, 100, 8, 0);
}

static void a_list_that_is_cut_is_refused(void **state)
{
    struct rig *rig = *state;
    struct copy_rig_list list;
    size_t whole;

    copy_rig_start(&list, 9, COPY_LIST_ID_HOLD);
    copy_rig_add_cscd(&list, rig);
    copy_rig_add_segment(&list, 0, 0, 0, 100, 8);
    whole = list.length;
    for (list.length = 1; list.length < whole; list.length++)
        assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST,
                     ASC_PARAMETER_LIST_LENGTH_ERROR);
    assert_good(copy_rig_send(rig, &list));
}

static void the_limits_are_those_that_are_reported(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[64];
    struct copy_rig_list list;

    assert_good(
        copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_OPERATING_PARAMETERS, 0, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply), 43);
    assert_int_equal(reply[4], 0x01); /* SNLID */
    assert_int_equal(get_be16(reply + 8), MAX_CSCDS);
    assert_int_equal(get_be16(reply + 10), MAX_SEGMENTS);
    assert_int_equal(get_be32(reply + 12), MAX_LIST_BYTES);
    assert_int_equal(get_be32(reply + 16), MAX_SEGMENT);
    assert_int_equal(get_be32(reply + 20), 0);
    assert_memory_equal(reply + 43, "\x03\x02\x0A\xE4", 4);

    copy_rig_start(&list, 1, COPY_LIST_ID_HOLD);
    for (int i = 0; i < MAX_CSCDS; i++)
        copy_rig_add_cscd(&list, rig);
    for (int i = 0; i < MAX_SEGMENTS; i++)
        copy_rig_add_segment(&list, (uint16_t)i, 0, 0, 8, 1);
    assert_good(copy_rig_send(rig, &list));
    copy_rig_add_segment(&list, 0, 0, 0, 8, 1);
    assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_SEGMENTS);
    for (int i = 0; i < 2; i++)
        copy_rig_add_segment(&list, 0, 0, 0, 8, 1);
    assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
    copy_rig_start(&list, 1, COPY_LIST_ID_HOLD);
    for (int i = 0; i < MAX_CSCDS + 1; i++)
        copy_rig_add_cscd(&list, rig);
    copy_rig_add_segment(&list, 0, 0, 0, 8, 1);
    assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_CSCDS);
    copy_rig_start(&list, 1, COPY_LIST_ID_HOLD);
    copy_rig_add_cscd(&list, rig);
    for (int i = 0; i < MAX_SEGMENTS + 1; i++)
        copy_rig_add_segment(&list, 0, 0, 0, 8, 1);
    assert_check(copy_rig_send(rig, &list), SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_SEGMENTS);
}

/* A segment of type 0Ah, byte by byte as SPC-4's table of it has them; returns where it stands. */
static uint8_t *add_byte_segment(struct copy_rig_list *list, uint64_t from, uint16_t from_offset,
                                 uint64_t to, uint16_t to_offset, uint32_t bytes)
{
    uint8_t *segment = list->bytes + list->length;

    memset(segment, 0, 32);
    segment[0] = 0x0A;
    segment[3] = 0x1C;
    segment[4] = segment[5] = segment[6] = segment[7] = 0xFF; /* within this logical unit */
    put_be32(segment + 8, bytes);
    put_be64(segment + 12, from);
    put_be64(segment + 20, to);
    put_be16(segment + 28, from_offset);
    put_be16(segment + 30, to_offset);
    list->length += 32;
    put_be32(list->bytes + 8, get_be32(list->bytes + 8) + 32);
    return segment;
}

static struct answer copy_bytes(struct rig *rig, uint64_t from, uint16_t from_offset, uint64_t to,
                                uint16_t to_offset, uint32_t bytes)
{
    struct copy_rig_list list;

    copy_rig_start(&list, 7, COPY_LIST_ID_HOLD);
    add_byte_segment(&list, from, from_offset, to, to_offset, bytes);
    return copy_rig_send(rig, &list);
}

/* The byte that stands at this place of the blocks that write_numbers wrote. */
static uint8_t number_at(size_t place)
{
    return (uint8_t)(place / 256 * 31 + place % 256) | 1;
}

static void write_numbers(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    size_t length = (size_t)blocks * rig->block_size;
    uint8_t *bytes = malloc(length), cdb[SCSI_CDB_MAX_BYTES];

    assert_non_null(bytes);
    for (size_t i = 0; i < length; i++)
        bytes[i] = number_at(i);
    cdb_write_16(cdb, lba, blocks, false);
    assert_good(rig_command_out(rig, cdb, bytes, length));
    free(bytes);
}

static uint8_t *read_blocks(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    size_t length = (size_t)blocks * rig->block_size;
    uint8_t *bytes = malloc(length), cdb[SCSI_CDB_MAX_BYTES];

    assert_non_null(bytes);
    cdb_read_16(cdb, lba, blocks);
    assert_good(rig_command_in(rig, cdb, bytes, length));
    return bytes;
}

static void bytes_are_copied_and_those_around_them_stay(void **state)
{
    static const struct {
        uint16_t from, to;
        uint32_t bytes;
    } cases[] = {
        {0, 0, 1},   {5, 9, 100},   {511, 1, 512},  {0, 1, 1024},      {7, 7, 3000},
        {0, 0, 700}, {3, 0, 40000}, {0, 510, 8192}, {100, 200, 32000},
    };
    struct rig *rig = *state;

    write_numbers(rig, 0, 128);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t begin = rig->block_size + cases[i].to, end = begin + cases[i].bytes;
        uint8_t *bytes;

        rig_fill(rig, 512, 128, 0xEE);
        assert_good(copy_bytes(rig, 2, cases[i].from, 513, cases[i].to, cases[i].bytes));
        bytes = read_blocks(rig, 512, 128);
        for (size_t at = 0; at < (size_t)128 * rig->block_size; at++) {
            size_t source = 2 * (size_t)rig->block_size + cases[i].from + (at - begin);

            assert_int_equal(bytes[at], at >= begin && at < end ? number_at(source) : 0xEE);
        }
        free(bytes);
    }
}

static void bytes_that_overlap_are_read_before_they_are_overwritten(void **state)
{
    struct rig *rig = *state;
    size_t length = (size_t)1024 * rig->block_size;
    uint32_t most = 1000 * rig->block_size;
    uint8_t *expected, *bytes;

    for (int forward = 0; forward < 2; forward++) {
        write_numbers(rig, 0, 1024);
        expected = read_blocks(rig, 0, 1024);
        if (forward)
            memmove(expected + 3 * (size_t)rig->block_size + 7, expected + 5, most);
        else
            memmove(expected + 5, expected + 3 * (size_t)rig->block_size + 7, most);
        assert_good(forward ? copy_bytes(rig, 0, 5, 3, 7, most)
                            : copy_bytes(rig, 3, 7, 0, 5, most));
        bytes = read_blocks(rig, 0, 1024);
        assert_memory_equal(bytes, expected, length);
        free(bytes);
        free(expected);
    }
}

static void segments_of_both_kinds_may_stand_in_one_list(void **state)
{
    struct rig *rig = *state;
    struct copy_rig_list list;
    uint8_t *bytes;

    rig_fill(rig, 0, 8, 0x21);
    copy_rig_start(&list, 0, COPY_LIST_ID_NONE);
    copy_rig_add_segment(&list, SELF, 0, SELF, 100, 8);
    add_byte_segment(&list, 100, 1, 200, 2, 3);
    copy_rig_add_segment(&list, SELF, 200, SELF, 300, 1);
    add_byte_segment(&list, 0, 0, 0, 0, 0); /* no bytes: nothing to do */
    assert_good(copy_rig_send(rig, &list));
    bytes = read_blocks(rig, 300, 1);
    assert_memory_equal(bytes, "\0\0\x21\x21\x21\0\0", 7);
    free(bytes);
}

static void bytes_that_are_not_there_are_told_by_their_field(void **state)
{
    struct rig *rig = *state;
    const uint16_t size = (uint16_t)rig->block_size;
    const struct {
        uint64_t from, to;
        uint16_t from_offset, to_offset;
        uint32_t bytes;
        uint16_t asc_ascq, field;
    } cases[] = {
        {rig->blocks - 1, 0, 1, 0, size, ASC_NONE, 12},
        {0, rig->blocks - 1, 0, 1, size, ASC_NONE, 20},
        {UINT64_MAX, 0, 0, 0, size, ASC_NONE, 12},
        {0, UINT64_MAX / size, 0, 0, size, ASC_NONE, 20},
        {rig->blocks, 0, 1, 0, 0, ASC_NONE, 12},
        {0, 0, size, 0, 1, ASC_INVALID_FIELD_IN_PARAMETER_LIST, 28},
        {0, 0, 0, size, 1, ASC_INVALID_FIELD_IN_PARAMETER_LIST, 30},
        {0, 0, 0, 0, MAX_SEGMENT + 1, ASC_INVALID_FIELD_IN_PARAMETER_LIST, 8},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_check(copy_bytes(rig, cases[i].from, cases[i].from_offset, cases[i].to,
                                cases[i].to_offset, cases[i].bytes),
                     SENSE_COPY_ABORTED, cases[i].asc_ascq);
        assert_int_equal(copy_rig_failure(rig, 7).field, cases[i].field);
    }
    assert_good(copy_bytes(rig, rig->blocks, 0, rig->blocks, 0, 0));
}

static void holes_are_copied_as_holes_where_whole_blocks_are(void **state)
{
    struct rig *rig = *state;

    rig_fill(rig, 1024, 256, 0x99);
    assert_good(copy_bytes(rig, 0, 8, 1024, 0, 128 * rig->block_size));
    rig_assert_blocks(rig, 1024, 128, 0);
    rig_assert_blocks(rig, 1152, 128, 0x99);
    rig_assert_mapped(rig, 1024, 128, false);
}

static void a_segment_longer_than_allowed_is_refused(void **state)
{
    struct rig rig;
    uint16_t most;

    (void)state;
    rig_open(&rig, 512, 1048576, 4096, false);
    most = MAX_SEGMENT / 512;
    rig_fill(&rig, most - 8u, 8, 0x44);
    assert_good(copy_within(&rig, 0, 100000, most));
    rig_assert_blocks(&rig, 100000u + most - 8u, 8, 0x44);
    assert_check(copy_within(&rig, 0, 100000, (uint16_t)(most + 1)), SENSE_COPY_ABORTED,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    rig_close(&rig);
}

static void a_unit_that_is_not_there_cannot_be_copied_from(void **state)
{
    static const struct {
        size_t at;
        uint8_t value;
        uint16_t asc_ascq;
    } cases[] = {
        {16 + 1, 0x20, ASC_UNREACHABLE_COPY_TARGET},     /* NUL */
        {16 + 1, 0x01, ASC_INCORRECT_COPY_TARGET_TYPE},  /* a tape */
        {16 + 23, 0xFE, ASC_COPY_TARGET_NOT_REACHABLE},  /* another NAA designator */
        {16 + 7, 8, ASC_COPY_TARGET_NOT_REACHABLE},      /* a shorter one */
        {16 + 5, 0x02, ASC_COPY_TARGET_NOT_REACHABLE},   /* EUI-64 */
        {16 + 4, 0x02, ASC_COPY_TARGET_NOT_REACHABLE},   /* in ASCII */
        {16 + 31, 0x01, ASC_INCORRECT_COPY_TARGET_TYPE}, /* blocks of another size */
        {48 + 5, 1, ASC_UNREACHABLE_COPY_TARGET},        /* no CSCD descriptor has this number */
        {48 + 4, 0xF8, ASC_UNREACHABLE_COPY_TARGET},
    };
    struct rig *rig = *state;

    rig_fill(rig, 0, 8, 0x66);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct copy_rig_list list;

        copy_rig_start(&list, 9, COPY_LIST_ID_HOLD);
        copy_rig_add_cscd(&list, rig);
        copy_rig_add_segment(&list, 0, 0, SELF, 100, 8);
        /* A designator is random, and may end so already. */
        list.bytes[cases[i].at] = cases[i].value ^ (list.bytes[cases[i].at] == cases[i].value);
        assert_check(copy_rig_send(rig, &list), SENSE_COPY_ABORTED, cases[i].asc_ascq);
    }
    rig_assert_blocks(rig, 100, 8, 0);
}

static void the_segment_at_fault_is_told_and_those_before_it_are_done(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[12];
    struct copy_rig_blame blame;
    struct copy_rig_list list;

    rig_fill(rig, 0, 8, 0x77);
    copy_rig_start(&list, 21, COPY_LIST_ID_HOLD);
    copy_rig_add_cscd(&list, rig);
    copy_rig_add_segment(&list, 0, 0, 0, 100, 8);
    copy_rig_add_segment(&list, 0, 0, 0, 200, 8);
    copy_rig_add_segment(&list, 0, rig->blocks - 7, 0, 300, 8);
    copy_rig_add_segment(&list, 0, 0, 0, 400, 8);
    assert_check(copy_rig_send(rig, &list), SENSE_COPY_ABORTED, ASC_NONE);
    rig_assert_blocks(rig, 200, 8, 0x77);
    rig_assert_blocks(rig, 400, 8, 0);
    blame = copy_rig_failure(rig, 21);
    assert_int_equal(blame.segment, 2);
    assert_true(blame.has_field);
    assert_int_equal(blame.field, 12);
    assert_true(blame.by_source);
    assert_int_equal(blame.told.key, SENSE_ILLEGAL_REQUEST);
    assert_int_equal(blame.told.asc_ascq, ASC_LBA_OUT_OF_RANGE);
    assert_good(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_STATUS_LID1, 21, reply, sizeof(reply)));
    assert_int_equal(reply[4], 0x02); /* with errors */
    assert_int_equal(get_be16(reply + 5), 2);
    assert_int_equal(get_be32(reply + 8), 16 * rig->block_size);
    /* the other side, and an LBA that wraps */
    assert_check(copy_within(rig, 0, rig->blocks, 1), SENSE_COPY_ABORTED, ASC_NONE);
    blame = copy_rig_failure(rig, 7);
    assert_int_equal(blame.field, 20);
    assert_true(blame.by_destination && !blame.by_source);
    assert_check(copy_within(rig, UINT64_MAX, 0, 2), SENSE_COPY_ABORTED, ASC_NONE);
    assert_check(copy_within(rig, 0, UINT64_MAX, 2), SENSE_COPY_ABORTED, ASC_NONE);
}

static void what_a_copy_did_can_be_asked_for_by_its_identifier(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[64];

    assert_check(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_STATUS_LID1, 200, reply, 12),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, 200, reply, 12),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_DATA_LID1, 200, reply, 12),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    rig_fill(rig, 0, 16, 0x12);
    assert_good(copy_within(rig, 0, 32, 16));
    for (size_t size = 0; size <= 13; size++) {
        struct answer answer =
            copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_STATUS_LID1, 7, reply, size);

        assert_good(answer);
        assert_length(answer, size < 12 ? size : 12);
    }
    assert_int_equal(get_be32(reply), 8);
    assert_int_equal(reply[4], 0x01);
    assert_int_equal(get_be16(reply + 5), 1);
    assert_int_equal(reply[7], 0x00);
    assert_int_equal(get_be32(reply + 8), 16 * rig->block_size);
    assert_good(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, 7, reply, 64));
    assert_int_equal(get_be32(reply), 0); /* nothing failed */
    assert_good(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_DATA_LID1, 7, reply, 64));
    assert_int_equal(get_be32(reply), 0); /* nothing is held */
}

static uint64_t hurried_ms;

/* Four seconds pass between two looks. */
static uint64_t hurried_clock(void)
{
    return hurried_ms += 4000;
}

static void a_copy_that_takes_long_ends_before_its_initiator_gives_it_up(void **state)
{
    struct rig *rig = *state;
    struct copy_rig_list list;
    uint8_t reply[12];

    rig_needs_native("it needs a clock of its own");
    lun_set_clock(rig->lun, hurried_clock);
    rig_fill(rig, 0, 8, 0x31);
    copy_rig_start(&list, 9, COPY_LIST_ID_HOLD);
    for (unsigned i = 0; i < 5; i++)
        copy_rig_add_segment(&list, SELF, 0, SELF, 100 * (i + 1), 8);
    assert_check(copy_rig_send(rig, &list), SENSE_COPY_ABORTED,
                 ASC_COMMAND_TIMEOUT_DURING_PROCESSING);
    assert_int_equal(copy_rig_failure(rig, 9).segment, 3);
    assert_good(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_STATUS_LID1, 9, reply, sizeof(reply)));
    assert_int_equal(reply[4], 0x02);
    assert_int_equal(get_be16(reply + 5), 3);
    rig_assert_blocks(rig, 300, 8, 0x31);
    rig_assert_mapped(rig, 400, 8, false);
}

static void the_page_lists_what_is_served(void **state)
{
    struct rig *rig = *state;
    uint8_t page[VPD_PAGE_MAX_BYTES], cdb[SCSI_CDB_MAX_BYTES];
    size_t end;
    bool has_commands = false;

    cdb_inquiry_vpd(cdb, VPD_THIRD_PARTY_COPY, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(page[1], VPD_THIRD_PARTY_COPY);
    end = 4u + get_be16(page + 2);
    assert_true(end <= sizeof(page));
    for (size_t at = 4; at < end; at += 4u + get_be16(page + at + 2)) {
        const uint8_t *descriptor = page + at;

        assert_int_equal(get_be16(descriptor + 2) % 4, 0);
        if (get_be16(descriptor) == 0x0004) {
            assert_int_equal(get_be16(descriptor + 8), MAX_CSCDS);
            assert_int_equal(get_be16(descriptor + 10), MAX_SEGMENTS);
            assert_int_equal(get_be32(descriptor + 12), MAX_LIST_BYTES);
        }
        if (get_be16(descriptor) == 0x8001)
            assert_int_equal(get_be32(descriptor + 12), MAX_SEGMENT);
        if (get_be16(descriptor) == 0x0001) {
            has_commands = true;
            assert_int_equal(descriptor[5], SCSI_THIRD_PARTY_COPY_OUT);
            assert_int_equal(descriptor[7], SCSI_SA_EXTENDED_COPY_LID1);
        }
    }
    assert_true(has_commands);
    cdb_inquiry(cdb, 96);
    assert_good(rig_command_in(rig, cdb, page, 96));
    assert_true(page[5] & 0x08); /* 3PC */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(blocks_are_copied_and_holes_stay_holes),
        BOTH(segments_are_done_in_their_order),
        BOTH(ranges_that_overlap_are_read_before_they_are_overwritten),
        BOTH(lists_that_are_wrong_are_refused_before_anything_is_copied),
        BOTH(a_list_that_is_cut_is_refused),
        BOTH(the_limits_are_those_that_are_reported),
        BOTH(bytes_are_copied_and_those_around_them_stay),
        BOTH(bytes_that_overlap_are_read_before_they_are_overwritten),
        BOTH(segments_of_both_kinds_may_stand_in_one_list),
        BOTH(bytes_that_are_not_there_are_told_by_their_field),
        BOTH(holes_are_copied_as_holes_where_whole_blocks_are),
        cmocka_unit_test(a_segment_longer_than_allowed_is_refused),
        BOTH(a_unit_that_is_not_there_cannot_be_copied_from),
        BOTH(the_segment_at_fault_is_told_and_those_before_it_are_done),
        BOTH(what_a_copy_did_can_be_asked_for_by_its_identifier),
        BOTH(a_copy_that_takes_long_ends_before_its_initiator_gives_it_up),
        BOTH(the_page_lists_what_is_served),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
