/* SPDX-License-Identifier: Apache-2.0 */

/* ROD tokens: POPULATE TOKEN, WRITE USING TOKEN, RECEIVE ROD TOKEN INFORMATION. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "store_mem.h"
#include "token_list.h"
#include "vpd.h"

#define TOKEN_BYTES    512
#define TOKEN_AT       38 /* in RECEIVE ROD TOKEN INFORMATION's reply */
#define MAX_RANGES     64
#define MAX_BYTES      (256u << 20)
#define DEL_TKN        0x02
#define RTV            0x02
#define PIT_VULNERABLE 0x00800001u
#define MAX_SECONDS    600

struct list {
    uint8_t bytes[TOKEN_LIST_WRITE_BYTES + (MAX_RANGES + 1) * TOKEN_LIST_RANGE_BYTES];
    size_t length;
    size_t header;
};

static void populate_list(struct list *list)
{
    memset(list, 0, sizeof(*list));
    list->length = list->header = TOKEN_LIST_POPULATE_BYTES;
}

static void write_list(struct list *list, const uint8_t *token, uint64_t offset)
{
    memset(list, 0, sizeof(*list));
    list->length = list->header = TOKEN_LIST_WRITE_BYTES;
    put_be64(list->bytes + 8, offset);
    memcpy(list->bytes + 16, token, TOKEN_BYTES);
}

static void add_range(struct list *list, uint64_t lba, uint32_t blocks)
{
    put_be64(list->bytes + list->length, lba);
    put_be32(list->bytes + list->length + 8, blocks);
    list->length += TOKEN_LIST_RANGE_BYTES;
    put_be16(list->bytes, (uint16_t)(list->length - 2));
    put_be16(list->bytes + list->header - 2, (uint16_t)(list->length - list->header));
}

static struct answer send_list(struct rig *rig, uint8_t action, uint32_t id,
                               const struct list *list)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_THIRD_PARTY_COPY_OUT, action};

    put_be32(cdb + 6, id);
    put_be32(cdb + 10, (uint32_t)list->length);
    return rig_command_out(rig, cdb, list->bytes, list->length);
}

static struct answer populate(struct rig *rig, uint32_t id, uint64_t lba, uint32_t blocks)
{
    struct list list;

    populate_list(&list);
    add_range(&list, lba, blocks);
    return send_list(rig, SCSI_SA_POPULATE_TOKEN, id, &list);
}

static struct answer write_token(struct rig *rig, uint32_t id, const uint8_t *token,
                                 uint64_t offset, uint64_t lba, uint32_t blocks)
{
    struct list list;

    write_list(&list, token, offset);
    add_range(&list, lba, blocks);
    return send_list(rig, SCSI_SA_WRITE_USING_TOKEN, id, &list);
}

static struct answer receive(struct rig *rig, uint32_t id, void *to, size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_THIRD_PARTY_COPY_IN,
                                       SCSI_SA_RECEIVE_ROD_TOKEN_INFORMATION};

    put_be32(cdb + 2, id);
    put_be32(cdb + 10, (uint32_t)size);
    return rig_command_in(rig, cdb, to, size);
}

/* The token that POPULATE TOKEN has made. */
static void fetch_token(struct rig *rig, uint32_t id, uint8_t *token)
{
    uint8_t reply[TOKEN_AT + TOKEN_BYTES];

    assert_good(receive(rig, id, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply), sizeof(reply) - 4);
    assert_int_equal(get_be32(reply + 32), 2 + TOKEN_BYTES);
    memcpy(token, reply + TOKEN_AT, TOKEN_BYTES);
}

static void make_token(struct rig *rig, uint64_t lba, uint32_t blocks, uint8_t *token)
{
    static uint32_t id = 1000;

    assert_good(populate(rig, ++id, lba, blocks));
    fetch_token(rig, id, token);
}

static void a_token_stands_for_its_blocks_and_where_they_go(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES], reply[64];

    rig_fill(rig, 0, 64, 0x11);
    rig_fill(rig, 128, 64, 0x22);
    rig_fill(rig, 1024, 256, 0x99);
    make_token(rig, 0, 192, token);
    assert_int_equal(get_be32(token), PIT_VULNERABLE);
    assert_int_equal(get_be16(token + 6), 0x1F8);
    assert_int_equal(get_be64(token + 56), 192 * rig->block_size);
    assert_int_equal(get_be32(token + 96), rig->block_size);
    assert_good(write_token(rig, 5, token, 0, 1024, 192));
    rig_assert_blocks(rig, 1024, 64, 0x11);
    rig_assert_blocks(rig, 1088, 64, 0);
    rig_assert_blocks(rig, 1152, 64, 0x22);
    rig_assert_blocks(rig, 1216, 64, 0x99);
    rig_assert_mapped(rig, 1088, 64, false);
    assert_good(receive(rig, 5, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply), 32);
    assert_int_equal(reply[4], SCSI_SA_WRITE_USING_TOKEN);
    assert_int_equal(reply[5], 0x01);
    assert_int_equal(reply[15], 0xF1);
    assert_int_equal(get_be64(reply + 16), 192);
    assert_int_equal(get_be32(reply + 32), 0);
    /* a part of it, and again */
    assert_good(write_token(rig, 6, token, 128, 1500, 64));
    rig_assert_blocks(rig, 1500, 64, 0x22);
    assert_good(write_token(rig, 6, token, 60, 1600, 8));
    rig_assert_blocks(rig, 1600, 4, 0x11);
    rig_assert_blocks(rig, 1604, 4, 0);
}

static void ranges_follow_each_other_on_both_sides(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];
    struct list list;

    for (unsigned i = 0; i < 32; i++)
        rig_fill(rig, 4 * i, 4, (uint8_t)(i + 1));
    populate_list(&list);
    add_range(&list, 40, 12);
    add_range(&list, 100, 0);
    add_range(&list, 0, 8);
    add_range(&list, 64, 20);
    assert_good(send_list(rig, SCSI_SA_POPULATE_TOKEN, 77, &list));
    fetch_token(rig, 77, token);
    write_list(&list, token, 4);
    add_range(&list, 1000, 10);
    add_range(&list, 500, 26);
    assert_good(send_list(rig, SCSI_SA_WRITE_USING_TOKEN, 78, &list));
    rig_assert_blocks(rig, 1000, 4, 12);
    rig_assert_blocks(rig, 1004, 4, 13);
    rig_assert_blocks(rig, 1008, 2, 1);
    rig_assert_blocks(rig, 500, 2, 1);
    rig_assert_blocks(rig, 502, 4, 2);
    rig_assert_blocks(rig, 506, 4, 17);
    rig_assert_blocks(rig, 522, 4, 21);
    rig_assert_blocks(rig, 526, 1, 0);
}

/* Whatever changes a block of it. */
static void change(struct rig *rig, int how)
{
    uint8_t *block = calloc(2, rig->block_size);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0};

    switch (how) {
    case 0:
        rig_fill(rig, 20, 1, 0x77);
        break;
    case 1:
        rig_unmap(rig, 8, 16);
        break;
    case 2:
        cdb_write_same_16(cdb, 31, 1, false);
        assert_good(rig_command_out(rig, cdb, block, rig->block_size));
        break;
    case 3:
        cdb[0] = SCSI_ORWRITE_16;
        put_be64(cdb + 2, 16);
        put_be32(cdb + 10, 1);
        assert_good(rig_command_out(rig, cdb, block, rig->block_size));
        break;
    default:
        cdb[0] = SCSI_FORMAT_UNIT;
        assert_good(rig_command(rig, cdb));
        break;
    }
    free(block);
}

static void a_token_is_revoked_when_its_data_change(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];

    for (int how = 0; how < 5; how++) {
        rig_fill(rig, 0, 64, 0x11);
        make_token(rig, 16, 16, token);
        rig_fill(rig, 15, 1, 0x55); /* beside it */
        rig_fill(rig, 32, 1, 0x55);
        assert_good(write_token(rig, 1, token, 0, 1000, 16));
        change(rig, how);
        rig_fill(rig, 1000, 16, 0x33);
        assert_check(write_token(rig, 1, token, 0, 1000, 16), SENSE_ILLEGAL_REQUEST,
                     ASC_TOKEN_REVOKED);
        rig_assert_blocks(rig, 1000, 16, 0x33);
    }
}

static void a_token_is_revoked_by_its_own_overwriting(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];

    rig_fill(rig, 0, 64, 0x11);
    make_token(rig, 0, 64, token);
    assert_check(write_token(rig, 1, token, 0, 32, 32), SENSE_ILLEGAL_REQUEST, ASC_TOKEN_REVOKED);
}

static void the_zero_token_stands_for_zeros(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES] = {0xFF, 0xFF, 0x00, 0x01, 0, 0, 0x01, 0xF8};

    rig_fill(rig, 0, 128, 0x11);
    assert_good(write_token(rig, 1, token, 123456, 8, 64));
    rig_assert_blocks(rig, 0, 8, 0x11);
    rig_assert_blocks(rig, 8, 64, 0);
    rig_assert_mapped(rig, 8, 64, false);
    rig_assert_blocks(rig, 72, 56, 0x11);
}

static void tokens_that_are_not_real_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES], forged[TOKEN_BYTES];

    rig_fill(rig, 0, 8, 0x11);
    make_token(rig, 0, 8, token);
    for (size_t i = 0; i < TOKEN_BYTES; i++) {
        struct answer answer;

        memcpy(forged, token, TOKEN_BYTES);
        forged[i] ^= 0x10;
        answer = write_token(rig, 1, forged, 0, 100, 8);
        assert_int_equal(answer.status, SCSI_STATUS_CHECK_CONDITION);
        assert_int_equal(answer.key, SENSE_ILLEGAL_REQUEST);
        assert_int_equal(answer.asc_ascq, i < 4 || i == 6 || i == 7 ? ASC_UNSUPPORTED_TOKEN_TYPE
                                          : i >= 8 && i < 16        ? ASC_TOKEN_UNKNOWN
                                                                    : ASC_TOKEN_CORRUPT);
        if (i == 5) /* reserved bytes are part of the token, too */
            assert_int_equal(answer.asc_ascq, ASC_TOKEN_CORRUPT);
    }
    rig_assert_blocks(rig, 100, 8, 0);
    assert_good(write_token(rig, 1, token, 0, 100, 8));
}

static void two_tokens_have_nothing_in_common_that_could_be_guessed(void **state)
{
    struct rig *rig = *state;
    uint8_t first[TOKEN_BYTES], second[TOKEN_BYTES];
    unsigned same = 0;

    make_token(rig, 0, 8, first);
    make_token(rig, 0, 8, second);
    assert_memory_not_equal(first + 8, second + 8, 8);
    for (size_t i = 128; i < 160; i++)
        same += first[i] == second[i];
    assert_true(same < 8);
}

static void a_token_can_be_deleted_by_its_last_use(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];
    struct list list;

    rig_fill(rig, 0, 8, 0x11);
    make_token(rig, 0, 8, token);
    write_list(&list, token, 0);
    list.bytes[2] = DEL_TKN;
    add_range(&list, 100, 8);
    assert_good(send_list(rig, SCSI_SA_WRITE_USING_TOKEN, 1, &list));
    assert_check(write_token(rig, 1, token, 0, 100, 8), SENSE_ILLEGAL_REQUEST, ASC_TOKEN_DELETED);
}

static void a_token_expires_when_it_is_not_used(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];
    struct list list;

    rig_fill(rig, 0, 8, 0x11);
    populate_list(&list);
    put_be32(list.bytes + 4, 1); /* INACTIVITY TIMEOUT, seconds */
    add_range(&list, 0, 8);
    assert_good(send_list(rig, SCSI_SA_POPULATE_TOKEN, 4, &list));
    fetch_token(rig, 4, token);
    assert_good(write_token(rig, 1, token, 0, 100, 8));
    sleep(3);
    {
        struct answer answer = write_token(rig, 1, token, 0, 100, 8);

        assert_int_equal(answer.key, SENSE_ILLEGAL_REQUEST);
        assert_true(answer.asc_ascq == ASC_TOKEN_EXPIRED || answer.asc_ascq == ASC_TOKEN_UNKNOWN);
    }
    put_be32(list.bytes + 4, MAX_SECONDS + 1);
    assert_check(send_list(rig, SCSI_SA_POPULATE_TOKEN, 4, &list), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
}

static void wrong_lists_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];
    struct list list;

    make_token(rig, 0, 8, token);
    assert_check(populate(rig, 1, rig->blocks - 7, 8), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_check(populate(rig, 1, UINT64_MAX, 8), SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_check(populate(rig, 1, 0, 0), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_check(write_token(rig, 1, token, 0, rig->blocks, 1), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
    assert_check(write_token(rig, 1, token, 0, 100, 9), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_check(write_token(rig, 1, token, 8, 100, 1), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_check(write_token(rig, 1, token, UINT64_MAX, 100, 1), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    populate_list(&list);
    add_range(&list, 0, 8);
    add_range(&list, 7, 8);
    assert_check(send_list(rig, SCSI_SA_POPULATE_TOKEN, 1, &list), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    populate_list(&list);
    list.bytes[2] = RTV;
    put_be32(list.bytes + 8, 0x00010000); /* access upon reference */
    add_range(&list, 0, 8);
    assert_check(send_list(rig, SCSI_SA_POPULATE_TOKEN, 1, &list), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    populate_list(&list);
    for (uint32_t i = 0; i < MAX_RANGES; i++)
        add_range(&list, 2 * i, 1);
    assert_good(send_list(rig, SCSI_SA_POPULATE_TOKEN, 900, &list));
    fetch_token(rig, 900, token);
    add_range(&list, 2 * MAX_RANGES, 1);
    assert_check(send_list(rig, SCSI_SA_POPULATE_TOKEN, 1, &list), SENSE_ILLEGAL_REQUEST,
                 ASC_TOO_MANY_SEGMENTS);
}

static void lists_that_are_cut_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES];
    struct list list;

    make_token(rig, 0, 8, token);
    populate_list(&list);
    add_range(&list, 0, 8);
    for (list.length = 1; list.length < 32; list.length++)
        assert_check(send_list(rig, SCSI_SA_POPULATE_TOKEN, 1, &list), SENSE_ILLEGAL_REQUEST,
                     list.length < 16 ? ASC_PARAMETER_LIST_LENGTH_ERROR
                                      : ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    write_list(&list, token, 0);
    add_range(&list, 100, 8);
    for (list.length = 1; list.length < 552; list.length += rig_step(rig, 50))
        assert_check(send_list(rig, SCSI_SA_WRITE_USING_TOKEN, 1, &list), SENSE_ILLEGAL_REQUEST,
                     list.length < 536 ? ASC_PARAMETER_LIST_LENGTH_ERROR
                                       : ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    list.length = 0; /* nothing to do */
    assert_good(send_list(rig, SCSI_SA_WRITE_USING_TOKEN, 1, &list));
    assert_good(send_list(rig, SCSI_SA_POPULATE_TOKEN, 1, &list));
}

static void an_identifier_whose_token_waits_is_taken(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES], reply[64];

    assert_check(receive(rig, 0xABCDEF01, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    rig_fill(rig, 0, 8, 0x11);
    assert_good(populate(rig, 50, 0, 8));
    assert_check(populate(rig, 50, 100, 8), SENSE_ILLEGAL_REQUEST, ASC_OPERATION_IN_PROGRESS);
    fetch_token(rig, 50, token);
    assert_good(write_token(rig, 50, token, 0, 200, 8));
    rig_assert_blocks(rig, 200, 8, 0x11);
    assert_good(populate(rig, 50, 100, 8));
    rig_fill(rig, 100, 1, 0x22); /* an invalid token keeps no other token out */
    assert_good(populate(rig, 50, 100, 8));
    fetch_token(rig, 50, token);
}

static void the_limits_are_those_of_the_page(void **state)
{
    struct rig *rig = *state;
    uint8_t page[VPD_PAGE_MAX_BYTES], cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry_vpd(cdb, VPD_THIRD_PARTY_COPY, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(get_be16(page + 4), 0x0000);
    assert_int_equal(get_be16(page + 6), 32);
    assert_int_equal(get_be16(page + 14), MAX_RANGES);
    assert_int_equal(get_be32(page + 16), MAX_SECONDS);
    assert_true(get_be32(page + 20) > 0 && get_be32(page + 20) <= MAX_SECONDS);
    assert_int_equal(get_be64(page + 24), MAX_BYTES / rig->block_size);
    assert_true(get_be64(page + 32) <= get_be64(page + 24));
}

static void a_token_of_more_than_allowed_is_refused(void **state)
{
    struct rig rig;
    uint8_t token[TOKEN_BYTES];

    (void)state;
    rig_open(&rig, 512, 1048576, 4096, false);
    make_token(&rig, 0, MAX_BYTES / 512, token);
    assert_check(populate(&rig, 1, 0, MAX_BYTES / 512 + 1), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    rig_close(&rig);
}

static void a_token_works_at_another_unit_until_its_own_is_closed(void **state)
{
    struct volume_meta meta = {.block_size = 512};
    struct rig a, b = {.block_size = 512, .blocks = 2048};
    uint8_t token[TOKEN_BYTES];
    struct errmsg err;

    (void)state;
    rig_needs_native("it opens logical units of its own");
    rig_open(&a, 512, 2048, 4096, false);
    memcpy(meta.uuid, rig_uuid, sizeof(uuid_t));
    meta.uuid[15] = 0xEE;
    assert_int_equal(store_mem_create(2048 * 512, 4096, &b.store), 0);
    assert_int_equal(volume_over_store(b.store, &meta, false, &b.volume, &err), 0);
    assert_int_equal(lun_open(b.volume, &b.lun), 0);
    rig_take_attentions(&b);
    rig_fill(&a, 0, 64, 0x11);
    make_token(&a, 0, 64, token);
    assert_good(write_token(&b, 1, token, 0, 500, 64));
    rig_assert_blocks(&b, 500, 64, 0x11);
    store_mem_set_quota(b.store, 0);
    assert_check(write_token(&b, 1, token, 0, 1000, 64), SENSE_DATA_PROTECT,
                 ASC_SPACE_ALLOCATION_FAILED_WRITE_PROTECT);
    store_mem_set_quota(b.store, UINT64_MAX);
    rig_close(&a);
    assert_check(write_token(&b, 1, token, 0, 500, 64), SENSE_ILLEGAL_REQUEST, ASC_TOKEN_UNKNOWN);
    rig_close(&b);
}

static uint64_t hurried_ms;

/* Four seconds pass between two looks. */
static uint64_t hurried_clock(void)
{
    return hurried_ms += 4000;
}

static void a_use_that_takes_long_ends_with_a_part_that_is_told(void **state)
{
    struct rig *rig = *state;
    uint8_t token[TOKEN_BYTES], reply[64];
    struct list list;

    rig_needs_native("it needs a clock of its own");
    lun_set_clock(rig->lun, hurried_clock);
    rig_fill(rig, 0, 64, 0x11);
    make_token(rig, 0, 64, token);
    write_list(&list, token, 0);
    list.bytes[2] = DEL_TKN;
    for (unsigned i = 0; i < 5; i++)
        add_range(&list, 1000 + 100 * i, 8);
    assert_good(send_list(rig, SCSI_SA_WRITE_USING_TOKEN, 5, &list));
    assert_good(receive(rig, 5, reply, sizeof(reply)));
    assert_int_equal(reply[5], 0x04);
    assert_int_equal(get_be64(reply + 16), 24);
    rig_assert_blocks(rig, 1200, 8, 0x11);
    rig_assert_mapped(rig, 1300, 8, false);
    /* the rest, with the token that is still there */
    assert_good(write_token(rig, 5, token, 24, 1300, 8));
    assert_good(receive(rig, 5, reply, sizeof(reply)));
    assert_int_equal(reply[5], 0x01);
    rig_assert_blocks(rig, 1300, 8, 0x11);
}

static void a_read_only_unit_makes_tokens_and_takes_none(void **state)
{
    struct rig rig;
    uint8_t token[TOKEN_BYTES];

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    make_token(&rig, 0, 8, token);
    assert_check(write_token(&rig, 1, token, 0, 32, 8), SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(a_token_stands_for_its_blocks_and_where_they_go),
        BOTH(ranges_follow_each_other_on_both_sides),
        BOTH(a_token_is_revoked_when_its_data_change),
        BOTH(a_token_is_revoked_by_its_own_overwriting),
        BOTH(the_zero_token_stands_for_zeros),
        BOTH(tokens_that_are_not_real_are_refused),
        BOTH(two_tokens_have_nothing_in_common_that_could_be_guessed),
        BOTH(a_token_can_be_deleted_by_its_last_use),
        cmocka_unit_test_setup_teardown(a_token_expires_when_it_is_not_used, rig_setup_512,
                                        rig_teardown),
        BOTH(wrong_lists_are_refused),
        BOTH(lists_that_are_cut_are_refused),
        BOTH(an_identifier_whose_token_waits_is_taken),
        BOTH(the_limits_are_those_of_the_page),
        BOTH(a_use_that_takes_long_ends_with_a_part_that_is_told),
        cmocka_unit_test(a_token_of_more_than_allowed_is_refused),
        cmocka_unit_test(a_token_works_at_another_unit_until_its_own_is_closed),
        cmocka_unit_test(a_read_only_unit_makes_tokens_and_takes_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
