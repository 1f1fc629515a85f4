/* SPDX-License-Identifier: Apache-2.0 */

/* MODE SELECT(6) and (10): what it takes, what it refuses, and what the values then do. */

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
#include "token_list.h"

#define ALL     0x3F
#define DBD     0x08
#define PF      0x10
#define SP      0x01
#define CURRENT 0x00
#define DEFAULT 0x80
#define SAVED   0xC0

/* Where the pages lie in the reply to all pages and subpages, behind a header of 4 bytes. */
#define PAGES_BYTES  96
#define AT_RECOVERY  4
#define AT_CACHING   16
#define AT_CONTROL   36
#define AT_EXCEPTION 48
#define AT_PROVISION 60
#define LIST_BYTES   (4 + PAGES_BYTES)
#define WCE          0x04
#define D_SENSE      0x04
#define SWP          0x08

static struct answer sense(struct rig *rig, uint8_t control, uint8_t *list)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_6, DBD, control | ALL, 0xFF, LIST_BYTES};

    return rig_command_in(rig, cdb, list, LIST_BYTES);
}

/* All pages as they are, ready to be changed and sent back. */
static void get(struct rig *rig, uint8_t control, uint8_t *list)
{
    assert_good(sense(rig, control, list));
    assert_int_equal(list[0], LIST_BYTES - 1);
    memset(list, 0, 4);
}

static struct answer select_6(struct rig *rig, uint8_t flags, const uint8_t *list, size_t length)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_6, flags, 0, 0, (uint8_t)length};

    return rig_command_out(rig, cdb, list, length);
}

static struct answer select_10(struct rig *rig, uint8_t flags, const uint8_t *list, size_t length)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SELECT_10, flags};

    put_be16(cdb + 7, (uint16_t)length);
    return rig_command_out(rig, cdb, list, length);
}

/* One page, its header of 4 bytes before it, from the list of all. */
static size_t one_page(const uint8_t *list, size_t at, uint8_t *to)
{
    size_t length = (list[at] & 0x40) ? 4u + get_be16(list + at + 2) : 2u + list[at + 1];

    memset(to, 0, 4);
    memcpy(to + 4, list + at, length);
    return 4 + length;
}

static void set(struct rig *rig, uint8_t flags, const uint8_t *list)
{
    assert_good(select_6(rig, PF | flags, list, LIST_BYTES));
    rig_take_attentions(rig);
}

static void change(struct rig *rig, size_t byte, uint8_t bit, bool on)
{
    uint8_t list[LIST_BYTES];

    get(rig, CURRENT, list);
    list[byte] = (uint8_t)(on ? list[byte] | bit : list[byte] & ~bit);
    set(rig, 0, list);
}

/* A LUN behind a transport outlives the test. */
static void restore(struct rig *rig)
{
    uint8_t list[LIST_BYTES];

    get(rig, DEFAULT, list);
    set(rig, SP, list);
}

static void assert_field(struct answer answer, uint16_t byte, int bit)
{
    assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    assert_int_equal(answer.specific[0], bit < 0 ? 0x80 : 0x88 | bit);
    assert_int_equal(get_be16(answer.specific + 1), byte);
}

static void what_is_changed_is_current_and_not_saved(void **state)
{
    uint8_t list[LIST_BYTES], before[LIST_BYTES], now[LIST_BYTES];
    struct rig *rig = *state;

    get(rig, CURRENT, before);
    get(rig, CURRENT, list);
    list[AT_CACHING + 2] &= (uint8_t)~WCE;
    put_be32(list + AT_PROVISION + 16 + 4, 0x01020304);
    set(rig, 0, list);
    get(rig, CURRENT, now);
    assert_memory_equal(now, list, LIST_BYTES);
    get(rig, SAVED, now);
    assert_memory_equal(now, before, LIST_BYTES);
    get(rig, DEFAULT, now);
    assert_memory_equal(now, before, LIST_BYTES);
    restore(rig);
}

static void sp_saves_all_current_values(void **state)
{
    uint8_t list[LIST_BYTES], page[64], now[LIST_BYTES];
    struct rig *rig = *state;
    size_t length;

    change(rig, AT_PROVISION + 16, 0x80, true);
    get(rig, CURRENT, list);
    list[AT_RECOVERY + 7] = 0; /* LBPERE */
    length = one_page(list, AT_RECOVERY, page);
    assert_good(select_6(rig, PF | SP, page, length));
    rig_take_attentions(rig);
    get(rig, SAVED, now);
    assert_memory_equal(now, list, LIST_BYTES);
    restore(rig);
}

static void a_change_that_is_saved_is_told_to_the_next_command(void **state)
{
    uint8_t list[LIST_BYTES], cdb[SCSI_CDB_MAX_BYTES];
    struct rig *rig = *state;

    rig_needs_native("a kernel may send a command in between");
    cdb_test_unit_ready(cdb);
    get(rig, CURRENT, list);
    assert_good(select_6(rig, PF | SP, list, LIST_BYTES)); /* changes nothing */
    assert_good(rig_command(rig, cdb));
    list[AT_CONTROL + 4] ^= SWP;
    assert_good(select_6(rig, PF, list, LIST_BYTES)); /* for now */
    assert_good(rig_command(rig, cdb));
    list[AT_CACHING + 2] ^= WCE;
    assert_good(select_6(rig, PF | SP, list, LIST_BYTES));
    assert_check(rig_command(rig, cdb), SENSE_UNIT_ATTENTION, ASC_MODE_PARAMETERS_CHANGED);
    assert_good(rig_command(rig, cdb));
}

static void both_forms_take_either_block_descriptor(void **state)
{
    uint8_t list[LIST_BYTES], page[64], bytes[64] = {0};
    struct rig *rig = *state;
    size_t length;

    get(rig, CURRENT, list);
    length = one_page(list, AT_CACHING, page) - 4;
    bytes[3] = 8;
    put_be32(bytes + 4, (uint32_t)rig->blocks);
    put_be24(bytes + 9, rig->block_size);
    memcpy(bytes + 12, page + 4, length);
    assert_good(select_6(rig, PF, bytes, 12 + length));
    put_be32(bytes + 4, 0); /* as many as there are */
    assert_good(select_6(rig, PF, bytes, 12 + length));
    put_be32(bytes + 4, (uint32_t)rig->blocks - 1);
    assert_field(select_6(rig, PF, bytes, 12 + length), 4, -1);
    put_be32(bytes + 4, UINT32_MAX);
    put_be24(bytes + 9, rig->block_size * 2);
    assert_field(select_6(rig, PF, bytes, 12 + length), 9, -1);
    memset(bytes, 0, sizeof(bytes));
    bytes[4] = 0x01; /* LONGLBA */
    bytes[7] = 16;
    put_be64(bytes + 8, rig->blocks);
    put_be32(bytes + 20, rig->block_size);
    memcpy(bytes + 24, page + 4, length);
    assert_good(select_10(rig, PF, bytes, 24 + length));
    put_be32(bytes + 20, 520);
    assert_field(select_10(rig, PF, bytes, 24 + length), 20, -1);
    bytes[7] = 8;
    assert_field(select_10(rig, PF, bytes, 24 + length), 6, -1);
}

static void a_cdb_that_asks_for_what_there_is_not_is_refused(void **state)
{
    uint8_t list[LIST_BYTES];
    struct rig *rig = *state;

    get(rig, CURRENT, list);
    assert_check(select_6(rig, 0, list, LIST_BYTES), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_good(select_6(rig, PF, list, 0));
    assert_good(select_10(rig, PF | SP, list, 0));
}

static void a_list_cut_in_the_middle_is_refused(void **state)
{
    uint8_t list[LIST_BYTES], page[64];
    struct rig *rig = *state;
    size_t length;

    get(rig, CURRENT, list);
    length = one_page(list, AT_CONTROL, page);
    for (size_t cut = 1; cut < length; cut++) {
        if (cut == 4) /* a header and no page */
            assert_good(select_6(rig, PF, page, cut));
        else
            assert_check(select_6(rig, PF, page, cut), SENSE_ILLEGAL_REQUEST,
                         ASC_PARAMETER_LIST_LENGTH_ERROR);
    }
    page[3] = 8; /* a block descriptor that is not there */
    assert_check(select_6(rig, PF, page, 8), SENSE_ILLEGAL_REQUEST,
                 ASC_PARAMETER_LIST_LENGTH_ERROR);
}

static void every_bit_that_may_not_change_is_named_when_it_would(void **state)
{
    uint8_t list[LIST_BYTES], mask[LIST_BYTES], now[LIST_BYTES];
    struct rig *rig = *state;

    get(rig, CURRENT, list);
    assert_good(sense(rig, 0x40, mask));
    for (size_t byte = 4; byte < LIST_BYTES; byte += rig_step(rig, 7)) {
        for (int bit = 0; bit < 8; bit += (int)rig_step(rig, 3)) {
            bool header = byte == AT_RECOVERY || byte == AT_CACHING || byte == AT_CONTROL ||
                          byte == AT_EXCEPTION || byte == AT_EXCEPTION + 1 ||
                          (byte >= AT_PROVISION && byte < AT_PROVISION + 4);

            if (header || byte == AT_RECOVERY + 1 || byte == AT_CACHING + 1 ||
                byte == AT_CONTROL + 1 || (mask[byte] >> bit & 1))
                continue;
            list[byte] ^= (uint8_t)(1 << bit);
            assert_field(select_6(rig, PF, list, LIST_BYTES), (uint16_t)byte, bit);
            list[byte] ^= (uint8_t)(1 << bit);
        }
    }
    get(rig, CURRENT, now);
    assert_memory_equal(now, list, LIST_BYTES);
}

static void pages_that_are_not_there_or_not_so_long_are_refused(void **state)
{
    uint8_t list[LIST_BYTES];
    struct rig *rig = *state;

    get(rig, CURRENT, list);
    list[AT_RECOVERY] = 0x02;
    assert_field(select_6(rig, PF, list, LIST_BYTES), AT_RECOVERY, 5);
    get(rig, CURRENT, list);
    list[AT_CACHING + 1] = 10;
    assert_field(select_6(rig, PF, list, LIST_BYTES), AT_CACHING + 1, -1);
    get(rig, CURRENT, list);
    list[AT_PROVISION + 1] = 0x03;
    assert_field(select_6(rig, PF, list, LIST_BYTES), AT_PROVISION, 5);
    get(rig, CURRENT, list);
    list[AT_PROVISION + 3]++;
    assert_field(select_6(rig, PF, list, LIST_BYTES), AT_PROVISION + 2, -1);
    get(rig, CURRENT, list);
    list[AT_PROVISION + 39] = 101; /* percent */
    assert_field(select_6(rig, PF, list, LIST_BYTES), AT_PROVISION + 39, -1);
    get(rig, CURRENT, list);
    list[1] = 1; /* MEDIUM TYPE */
    assert_field(select_6(rig, PF, list, LIST_BYTES), 1, -1);
}

static void of_a_list_with_one_fault_nothing_takes_effect(void **state)
{
    uint8_t list[LIST_BYTES], before[LIST_BYTES], now[LIST_BYTES];
    struct rig *rig = *state;

    get(rig, CURRENT, before);
    get(rig, CURRENT, list);
    list[AT_CACHING + 2] ^= WCE;
    list[AT_CONTROL + 2] ^= D_SENSE;
    list[AT_PROVISION + 4] ^= 1; /* SITUA: the last page */
    assert_field(select_6(rig, PF | SP, list, LIST_BYTES), AT_PROVISION + 4, 0);
    get(rig, CURRENT, now);
    assert_memory_equal(now, before, LIST_BYTES);
    get(rig, SAVED, now);
    assert_memory_equal(now, before, LIST_BYTES);
}

static void with_d_sense_sense_data_have_descriptors(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, 18};
    uint8_t bytes[18], read[SCSI_CDB_MAX_BYTES], list[LIST_BYTES];
    struct rig *rig = *state;
    struct answer answer;

    cdb_read_16(read, rig->blocks, 1);
    answer = rig_command(rig, read);
    assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_int_equal(answer.response, 0x70);
    change(rig, AT_CONTROL + 2, D_SENSE, true);
    answer = rig_command(rig, read);
    assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    assert_int_equal(answer.response, 0x72);
    get(rig, CURRENT, list);
    list[1] = 1;
    answer = select_6(rig, PF, list, LIST_BYTES);
    assert_int_equal(answer.response, 0x72);
    assert_field(answer, 1, -1);
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes))); /* DESC is 0 */
    assert_int_equal(bytes[0], 0x70);
    restore(rig);
    assert_int_equal(rig_command(rig, read).response, 0x70);
}

static void with_swp_nothing_is_written(void **state)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_6, DBD, 0x08, 0, 64};
    uint8_t bytes[4096] = {0}, reply[64];
    struct rig *rig = *state;

    rig_fill(rig, 0, 8, 0x31);
    change(rig, AT_CONTROL + 4, SWP, true);
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(reply[2], 0x90); /* WP */
    cdb_write_16(cdb, 0, 1, false);
    assert_check(rig_command_out(rig, cdb, bytes, rig->block_size), SENSE_DATA_PROTECT,
                 ASC_SOFTWARE_WRITE_PROTECTED);
    assert_check(rig_unmap_ranges(rig, &(struct rig_range){0, 8}, 1), SENSE_DATA_PROTECT,
                 ASC_SOFTWARE_WRITE_PROTECTED);
    rig_assert_blocks(rig, 0, 8, 0x31);
    restore(rig);
    rig_fill(rig, 0, 8, 0x32);
}

/* WRITE USING TOKEN of zeros into 8 blocks. */
static struct answer write_zero_token(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_WRITE_USING_TOKEN};
    uint8_t list[TOKEN_LIST_WRITE_BYTES + TOKEN_LIST_RANGE_BYTES] = {0};

    put_be16(list, sizeof(list) - 2);
    put_be32(list + TOKEN_LIST_WRITE_TOKEN_AT, 0xFFFF0001); /* the block device zero token */
    put_be16(list + TOKEN_FIELD_WRITE_RANGES, TOKEN_LIST_RANGE_BYTES);
    put_be32(list + TOKEN_LIST_WRITE_BYTES + 8, 8);
    put_be32(cdb + 10, sizeof(list));
    return rig_command_out(rig, cdb, list, sizeof(list));
}

/* A store whose flush fails: whether one was asked for. */
static void without_wce_every_write_is_flushed(void **state)
{
    uint8_t write[SCSI_CDB_MAX_BYTES], same[SCSI_CDB_MAX_BYTES], bytes[4096] = {1};
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    cdb_write_16(write, 0, 1, false);
    cdb_write_same_16(same, 0, 8, false);
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_good(rig_command_out(rig, same, bytes, rig->block_size));
    store_mem_set_fault(rig->store, "flush", 0, 0);
    change(rig, AT_CACHING + 2, WCE, false);
    assert_good(rig_command_out(rig, write, bytes, rig->block_size));
    assert_good(rig_command_out(rig, same, bytes, rig->block_size));
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_check(rig_command_out(rig, same, bytes, rig->block_size), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
    assert_check(rig_unmap_ranges(rig, &(struct rig_range){0, 8}, 1), SENSE_MEDIUM_ERROR,
                 ASC_WRITE_ERROR);
    assert_check(write_zero_token(rig), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
    store_mem_set_fault(rig->store, "flush", 0, 0);
    assert_good(write_zero_token(rig));
}

static void the_cache_is_emptied_before_it_is_switched_off(void **state)
{
    uint8_t list[LIST_BYTES], now[LIST_BYTES], bytes[4096] = {1};
    uint8_t same[SCSI_CDB_MAX_BYTES];
    struct rig *rig = *state;

    rig_needs_native("it makes the store fail");
    get(rig, CURRENT, list);
    list[AT_CACHING + 2] &= (uint8_t)~WCE;
    list[AT_CONTROL + 4] |= SWP;
    store_mem_set_fault(rig->store, "flush", 0, EIO);
    assert_check(select_6(rig, PF | SP, list, LIST_BYTES), SENSE_MEDIUM_ERROR, ASC_WRITE_ERROR);
    get(rig, CURRENT, now);
    assert_int_equal(now[AT_CACHING + 2], WCE);
    get(rig, SAVED, now);
    assert_int_equal(now[AT_CACHING + 2], WCE);
    cdb_write_same_16(same, 0, 8, false);
    assert_good(rig_command_out(rig, same, bytes, rig->block_size)); /* still caching, writable */
}

static void a_read_only_lun_takes_current_values_and_saves_none(void **state)
{
    uint8_t list[LIST_BYTES], cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_6, DBD, ALL, 0xFF, 255};
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    cdb[4] = LIST_BYTES;
    assert_good(rig_command_in(&rig, cdb, list, LIST_BYTES));
    memset(list, 0, 4);
    assert_check(select_6(&rig, PF | SP, list, LIST_BYTES), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
    assert_good(select_6(&rig, PF, list, LIST_BYTES));
    rig_close(&rig);
}

/* SPC-4 7.5.11: TEST makes REQUEST SENSE tell of a false one (5Dh/FFh), which is no error; so does
 * the log page (7.3.9), of which sg_logs reads the same (test_sg_utils.py). */
static void a_false_exception_is_told_on_request(void **state)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_REQUEST_SENSE, 0, 0, 0, 18};
    struct rig *rig = *state;
    const uint8_t log_cdb[SCSI_CDB_MAX_BYTES] = {SCSI_LOG_SENSE, 0, 0x6F, 0, 0, 0, 0, 0, 64};
    uint8_t page[] = {0xAF, 0, 0, 8, 0, 0, 0x03, 4, 0x5D, 0xFF, 0xFF, 0xFF};
    uint8_t bytes[18], log[64];

    for (int on = 1; on >= 0; on--) {
        change(rig, AT_EXCEPTION + 2, 0x04, on);
        put_be16(page + 8, on ? 0x5DFF : 0);
        assert_length(rig_command_in(rig, log_cdb, log, sizeof(log)), sizeof(page));
        assert_memory_equal(log, page, sizeof(page));
        for (int i = 0; i < 2; i++) {
            assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
            assert_int_equal(bytes[2], 0); /* NO SENSE */
            assert_int_equal(get_be16(bytes + 12), on ? 0x5DFF : 0);
        }
    }
    restore(rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(what_is_changed_is_current_and_not_saved),
        BOTH(sp_saves_all_current_values),
        BOTH(a_change_that_is_saved_is_told_to_the_next_command),
        BOTH(both_forms_take_either_block_descriptor),
        BOTH(a_cdb_that_asks_for_what_there_is_not_is_refused),
        BOTH(a_list_cut_in_the_middle_is_refused),
        BOTH(every_bit_that_may_not_change_is_named_when_it_would),
        BOTH(pages_that_are_not_there_or_not_so_long_are_refused),
        BOTH(of_a_list_with_one_fault_nothing_takes_effect),
        BOTH(with_d_sense_sense_data_have_descriptors),
        BOTH(with_swp_nothing_is_written),
        BOTH(without_wce_every_write_is_flushed),
        BOTH(the_cache_is_emptied_before_it_is_switched_off),
        cmocka_unit_test(a_read_only_lun_takes_current_values_and_saves_none),
        BOTH(a_false_exception_is_told_on_request),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
