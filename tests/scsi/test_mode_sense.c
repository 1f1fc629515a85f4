/* SPDX-License-Identifier: Apache-2.0 */

/* MODE SENSE(6) and (10). */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"

#define PS           0x80
#define SPF          0x40
#define RECOVERY     0x01
#define CACHING      0x08
#define CONTROL      0x0A
#define PROVISIONING 0x1C
#define EXCEPTIONS   0x1C
#define ALL_PAGES    0x3F

#define DBD          0x08
#define LLBAA        0x10

static struct answer mode_sense_6(struct rig *rig, uint8_t flags, uint8_t page, uint8_t subpage,
                                  uint8_t *reply, uint8_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_6, flags, page, subpage, size};

    return rig_command_in(rig, cdb, reply, size);
}

static struct answer mode_sense_10(struct rig *rig, uint8_t flags, uint8_t page, uint8_t subpage,
                                   uint8_t *reply, uint8_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_MODE_SENSE_10, flags, page, subpage, 0, 0, 0, 0, size};

    return rig_command_in(rig, cdb, reply, size);
}

static void the_short_header_and_descriptor_tell_the_geometry(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[255];
    struct answer answer = mode_sense_6(rig, 0, CACHING, 0, reply, sizeof(reply));

    assert_good(answer);
    assert_length(answer, 4 + 8 + 20);
    assert_int_equal(reply[0], 4 + 8 + 20 - 1);
    assert_int_equal(reply[1], 0);
    assert_int_equal(reply[2], 0x10); /* DPOFUA, no WP */
    assert_int_equal(reply[3], 8);
    assert_int_equal(get_be32(reply + 4), rig->blocks);
    assert_int_equal(get_be24(reply + 9), rig->block_size);
    assert_int_equal(reply[12], PS | CACHING);
    assert_int_equal(reply[13], 18);
    assert_int_equal(reply[14], 0x04); /* WCE */
}

static void dbd_leaves_the_descriptor_out(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[255];

    assert_good(mode_sense_6(rig, DBD, CONTROL, 0, reply, sizeof(reply)));
    assert_int_equal(reply[0], 3 + 12);
    assert_int_equal(reply[3], 0);
    assert_int_equal(reply[4], PS | CONTROL);
    assert_int_equal(reply[5], 10);
    assert_good(mode_sense_10(rig, DBD | LLBAA, CONTROL, 0, reply, sizeof(reply)));
    assert_int_equal(get_be16(reply), 6 + 12);
    assert_int_equal(reply[4], 0); /* LONGLBA */
    assert_int_equal(get_be16(reply + 6), 0);
    assert_int_equal(reply[8], PS | CONTROL);
}

static void the_long_header_has_either_descriptor(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[255];

    assert_good(mode_sense_10(rig, 0, CACHING, 0, reply, sizeof(reply)));
    assert_int_equal(get_be16(reply), 6 + 8 + 20);
    assert_int_equal(reply[3], 0x10);
    assert_int_equal(get_be16(reply + 6), 8);
    assert_int_equal(get_be32(reply + 8), rig->blocks);
    assert_int_equal(reply[16], PS | CACHING);
    assert_good(mode_sense_10(rig, LLBAA, CACHING, 0, reply, sizeof(reply)));
    assert_int_equal(get_be16(reply), 6 + 16 + 20);
    assert_int_equal(reply[4], 1); /* LONGLBA */
    assert_int_equal(get_be16(reply + 6), 16);
    assert_int_equal(get_be64(reply + 8), rig->blocks);
    assert_int_equal(get_be32(reply + 20), rig->block_size);
    assert_int_equal(reply[24], PS | CACHING);
}

static void all_pages_are_the_single_ones_in_order(void **state)
{
    struct rig *rig = *state;
    uint8_t all[255], one[255];
    size_t at = 4;

    assert_good(mode_sense_6(rig, DBD, ALL_PAGES, 0, all, sizeof(all)));
    for (uint8_t page = 0; page < ALL_PAGES; page++) {
        struct answer answer = mode_sense_6(rig, DBD, page, 0, one, sizeof(one));

        if (answer.status == SCSI_STATUS_GOOD) {
            assert_memory_equal(all + at, one + 4, one[0] - 3u);
            at += one[0] - 3u;
        } else {
            assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        }
    }
    assert_int_equal(all[0], at - 1);
    assert_int_equal(at, 4 + 12 + 20 + 12 + 12);
    for (unsigned subpage = 1; subpage < 0xFF; subpage += rig_step(rig, 23))
        assert_check(mode_sense_6(rig, DBD, ALL_PAGES, (uint8_t)subpage, one, sizeof(one)),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
}

static void all_subpages_are_the_pages_and_the_provisioning_page(void **state)
{
    struct rig *rig = *state;
    uint8_t all[255], pages[255], one[255], other[255];

    assert_good(mode_sense_6(rig, DBD, ALL_PAGES, 0, pages, sizeof(pages)));
    assert_good(mode_sense_6(rig, DBD, ALL_PAGES, 0xFF, all, sizeof(all)));
    assert_good(mode_sense_6(rig, DBD, PROVISIONING, 2, one, sizeof(one)));
    assert_int_equal(all[0], pages[0] + 40);
    assert_memory_equal(all + 4, pages + 4, pages[0] - 3u);
    assert_memory_equal(all + pages[0] + 1, one + 4, 40);
    assert_good(mode_sense_6(rig, DBD, EXCEPTIONS, 0, other, sizeof(other)));
    assert_good(mode_sense_6(rig, DBD, PROVISIONING, 0xFF, all, sizeof(all)));
    assert_int_equal(all[0], 3 + 12 + 40);
    assert_memory_equal(all + 4, other + 4, 12);
    assert_memory_equal(all + 16, one + 4, 40);
    assert_check(mode_sense_6(rig, DBD, PROVISIONING, 1, one, sizeof(one)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

/* SPC-4 7.5.11: MRIE 6h, only on request; nothing is logged, nothing is repeated. */
static void informational_exceptions_are_told_on_request(void **state)
{
    static const uint8_t page[12] = {PS | EXCEPTIONS, 10, 0, 6};
    uint8_t reply[64];

    assert_good(mode_sense_6(*state, DBD, EXCEPTIONS, 0, reply, sizeof(reply)));
    assert_int_equal(reply[0], 3 + sizeof(page));
    assert_memory_equal(reply + 4, page, sizeof(page));
}

/* SBC-4 6.5.9: available and used threshold sets, available percent; none enabled. */
static void the_provisioning_page_has_a_descriptor_for_each_resource(void **state)
{
    static const uint8_t page[40] = {PS | SPF | PROVISIONING,
                                     2,
                                     0,
                                     36,
                                     0x01 /* SITUA */,
                                     [17] = 1,
                                     [24] = 0x01,
                                     [25] = 2,
                                     [32] = 0x08,
                                     [33] = 3};
    uint8_t reply[64];

    assert_good(mode_sense_6(*state, DBD, PROVISIONING, 2, reply, sizeof(reply)));
    assert_memory_equal(reply + 4, page, sizeof(page));
}

static void changeable_are_wce_swp_d_sense_lbpere_test_and_the_thresholds(void **state)
{
    uint8_t expected[96] = {PS | RECOVERY, 10};
    uint8_t reply[255];

    expected[7] = 0x80; /* LBPERE */
    expected[12] = PS | CACHING;
    expected[13] = 18;
    expected[14] = 0x04; /* WCE */
    expected[32] = PS | CONTROL;
    expected[33] = 10;
    expected[34] = 0x04; /* D_SENSE */
    expected[36] = 0x08; /* SWP */
    expected[44] = PS | EXCEPTIONS;
    expected[45] = 10;
    expected[46] = 0x04; /* TEST */
    expected[56] = PS | SPF | PROVISIONING;
    expected[57] = 2;
    expected[59] = 36;
    for (int i = 0; i < 3; i++)
        expected[72 + 8 * i] = 0x80; /* ENABLED */
    memset(expected + 76, 0xFF, 4);
    memset(expected + 84, 0xFF, 4);
    expected[95] = 0x7F;
    assert_good(mode_sense_6(*state, DBD, 0x40 | ALL_PAGES, 0xFF, reply, sizeof(reply)));
    assert_int_equal(reply[0], 3 + sizeof(expected));
    assert_memory_equal(reply + 4, expected, sizeof(expected));
}

static void at_first_current_default_and_saved_values_are_the_same(void **state)
{
    struct rig *rig = *state;
    uint8_t current[255], reply[255];

    assert_good(mode_sense_6(rig, DBD, ALL_PAGES, 0xFF, current, sizeof(current)));
    assert_good(mode_sense_6(rig, DBD, 0x80 | ALL_PAGES, 0xFF, reply, sizeof(reply)));
    assert_memory_equal(reply, current, sizeof(current));
    assert_good(mode_sense_6(rig, DBD, 0xC0 | ALL_PAGES, 0xFF, reply, sizeof(reply)));
    assert_memory_equal(reply, current, sizeof(current));
}

static void any_allocation_length_cuts_the_reply(void **state)
{
    struct rig *rig = *state;
    uint8_t whole[64], reply[64];

    assert_good(mode_sense_6(rig, 0, ALL_PAGES, 0, whole, sizeof(whole)));
    for (uint8_t size = 0; size < 56; size++) {
        struct answer answer = mode_sense_6(rig, 0, ALL_PAGES, 0, reply, size);

        assert_good(answer);
        assert_length(answer, size);
        assert_memory_equal(reply, whole, size);
    }
}

static void a_read_only_lun_has_the_wp_bit_and_saves_nothing(void **state)
{
    uint8_t reply[64];
    struct rig rig;

    (void)state;
    rig_open(&rig, 512, 64, 4096, true);
    assert_good(mode_sense_6(&rig, 0, CACHING, 0, reply, sizeof(reply)));
    assert_int_equal(reply[2], 0x90);
    assert_int_equal(reply[12], CACHING); /* no PS */
    assert_good(mode_sense_10(&rig, 0, CACHING, 0, reply, sizeof(reply)));
    assert_int_equal(reply[3], 0x90);
    assert_check(mode_sense_6(&rig, DBD, 0xC0 | ALL_PAGES, 0, reply, sizeof(reply)),
                 SENSE_ILLEGAL_REQUEST, ASC_SAVING_PARAMETERS_NOT_SUPPORTED);
    assert_check(mode_sense_10(&rig, DBD, 0xC0 | CACHING, 0, reply, sizeof(reply)),
                 SENSE_ILLEGAL_REQUEST, ASC_SAVING_PARAMETERS_NOT_SUPPORTED);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_short_header_and_descriptor_tell_the_geometry),
        BOTH(dbd_leaves_the_descriptor_out),
        BOTH(the_long_header_has_either_descriptor),
        BOTH(all_pages_are_the_single_ones_in_order),
        BOTH(all_subpages_are_the_pages_and_the_provisioning_page),
        BOTH(informational_exceptions_are_told_on_request),
        BOTH(the_provisioning_page_has_a_descriptor_for_each_resource),
        BOTH(changeable_are_wce_swp_d_sense_lbpere_test_and_the_thresholds),
        BOTH(at_first_current_default_and_saved_values_are_the_same),
        BOTH(any_allocation_length_cuts_the_reply),
        cmocka_unit_test(a_read_only_lun_has_the_wp_bit_and_saves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
