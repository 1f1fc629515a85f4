/* SPDX-License-Identifier: Apache-2.0 */

/* LOG SENSE: the lists of pages, and what the provisioning page says of the space. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "scsi_rig.h"
#include "store_mem.h"

#define PROVISIONING 0x0C
#define EXCEPTIONS   0x2F
#define CUMULATIVE   0x40
#define PARAMETER    12

static struct answer log_sense(struct rig *rig, uint8_t page, uint8_t subpage, uint16_t from,
                               uint8_t *reply, uint16_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_LOG_SENSE, 0, page, subpage};

    put_be16(cdb + 5, from);
    put_be16(cdb + 7, size);
    return rig_command_in(rig, cdb, reply, size);
}

static void the_pages_are_listed(void **state)
{
    const uint8_t pages[] = {0x00, 0, 0, 3, 0x00, PROVISIONING, EXCEPTIONS};
    const uint8_t subpages[] = {0x40,       0xFF,         0, 12,           0,    0,          0,
                                0xFF,       PROVISIONING, 0, PROVISIONING, 0xFF, EXCEPTIONS, 0,
                                EXCEPTIONS, 0xFF};
    const uint8_t of_one[] = {0x40 | PROVISIONING, 0xFF, 0, 4, PROVISIONING, 0, PROVISIONING, 0xFF};
    struct rig *rig = *state;
    uint8_t reply[64];

    for (int pc = 0; pc < 4; pc++) { /* which means nothing in a list */
        uint8_t control = (uint8_t)(pc << 6);

        assert_length(log_sense(rig, control, 0, 0, reply, sizeof(reply)), sizeof(pages));
        assert_memory_equal(reply, pages, sizeof(pages));
        assert_length(log_sense(rig, control, 0xFF, 0, reply, sizeof(reply)), sizeof(subpages));
        assert_memory_equal(reply, subpages, sizeof(subpages));
        assert_length(log_sense(rig, control | PROVISIONING, 0xFF, 0, reply, sizeof(reply)),
                      sizeof(of_one));
        assert_memory_equal(reply, of_one, sizeof(of_one));
    }
}

static void every_page_listed_is_there_and_no_other(void **state)
{
    struct rig *rig = *state;
    uint8_t list[64], reply[64];

    assert_good(log_sense(rig, 0, 0xFF, 0, list, sizeof(list)));
    for (unsigned page = 0; page < 0x40; page += 1) {
        for (unsigned subpage = 0; subpage <= 0xFF; subpage += subpage == 0 ? 1 : 127) {
            bool listed = false;

            for (size_t at = 4; at < 4u + get_be16(list + 2); at += 2)
                listed |= list[at] == page && list[at + 1] == subpage;
            if (listed)
                assert_good(log_sense(rig, (uint8_t)(CUMULATIVE | page), (uint8_t)subpage, 0, reply,
                                      sizeof(reply)));
            else
                assert_check(log_sense(rig, (uint8_t)(CUMULATIVE | page), (uint8_t)subpage, 0,
                                       reply, sizeof(reply)),
                             SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
        }
    }
}

/* SBC-4 6.4.5: code, list parameters of 8 bytes, count, scope. */
static void assert_parameter(const uint8_t *parameter, uint16_t code, uint8_t scope)
{
    assert_int_equal(get_be16(parameter), code);
    assert_int_equal(parameter[2], 0x03);
    assert_int_equal(parameter[3], 8);
    assert_int_equal(parameter[8], scope);
    for (int i = 9; i < PARAMETER; i++)
        assert_int_equal(parameter[i], 0);
}

static void the_provisioning_page_has_five_parameters(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[128];
    struct answer answer = log_sense(rig, CUMULATIVE | PROVISIONING, 0, 0, reply, sizeof(reply));

    assert_good(answer);
    assert_length(answer, 4 + 5 * PARAMETER);
    assert_int_equal(reply[0], 0x80 | PROVISIONING); /* DS */
    assert_int_equal(reply[1], 0);
    assert_int_equal(get_be16(reply + 2), 5 * PARAMETER);
    assert_parameter(reply + 4, 0x0001, 2);
    assert_parameter(reply + 16, 0x0002, 1);
    assert_parameter(reply + 28, 0x0003, 2);
    assert_in_range(get_be16(reply + 32), 0, 100); /* SBC-4 table 201: two bytes, two reserved */
    assert_int_equal(get_be16(reply + 34), 0);
    assert_parameter(reply + 40, 0xFFF1, 2);
    assert_parameter(reply + 52, 0xFFF2, 2);
}

static void the_counts_are_those_of_the_store(void **state)
{
    uint8_t reply[128];
    struct rig rig;

    (void)state;
    rig_needs_native("it sets the store a quota");
    rig_open(&rig, 4096, 16 * 256, 4096, false); /* 16 MiB */
    store_mem_set_quota(rig.store, 8 << 20);
    assert_good(log_sense(&rig, CUMULATIVE | PROVISIONING, 0, 0, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply + 8), 8);
    assert_int_equal(get_be32(reply + 20), 0);
    assert_int_equal(get_be16(reply + 32), 100);
    assert_int_equal(get_be32(reply + 44), 8);
    assert_int_equal(get_be32(reply + 56), 0);
    rig_fill(&rig, 0, 2 * 256, 0x51);
    assert_good(log_sense(&rig, CUMULATIVE | PROVISIONING, 0, 0, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply + 8), 6);
    assert_int_equal(get_be32(reply + 20), 2);
    assert_int_equal(get_be16(reply + 32), 75);
    assert_int_equal(get_be32(reply + 44), 6);
    assert_int_equal(get_be32(reply + 56), 2);
    rig_unmap(&rig, 0, 256);
    assert_good(log_sense(&rig, CUMULATIVE | PROVISIONING, 0, 0, reply, sizeof(reply)));
    assert_int_equal(get_be32(reply + 8), 7);
    assert_int_equal(get_be32(reply + 20), 1);
    rig_close(&rig);
}

static void the_parameter_pointer_leaves_out_what_lies_before(void **state)
{
    const struct {
        uint16_t from;
        uint16_t first;
        uint16_t count;
    } pointers[] = {{0, 1, 5}, {1, 1, 5},      {2, 2, 4},
                    {3, 3, 3}, {4, 0xFFF1, 2}, {0xFFF2, 0xFFF2, 1}};
    struct rig *rig = *state;
    uint8_t reply[128];

    for (size_t i = 0; i < sizeof(pointers) / sizeof(pointers[0]); i++) {
        assert_good(
            log_sense(rig, CUMULATIVE | PROVISIONING, 0, pointers[i].from, reply, sizeof(reply)));
        assert_int_equal(get_be16(reply + 2), pointers[i].count * PARAMETER);
        assert_int_equal(get_be16(reply + 4), pointers[i].first);
    }
    assert_check(log_sense(rig, CUMULATIVE | PROVISIONING, 0, 0xFFF3, reply, sizeof(reply)),
                 SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    assert_check(log_sense(rig, 0, 0, 1, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

static void sp_ppc_and_other_values_than_the_present_ones_are_refused(void **state)
{
    struct rig *rig = *state;
    uint8_t reply[128];

    for (uint8_t bits = 1; bits < 4; bits++) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_LOG_SENSE, bits, CUMULATIVE | PROVISIONING};

        cdb[8] = sizeof(reply);
        assert_check(rig_command_in(rig, cdb, reply, sizeof(reply)), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
    for (int pc = 0; pc < 4; pc++) {
        if (pc == 1)
            continue;
        assert_check(log_sense(rig, (uint8_t)(pc << 6 | PROVISIONING), 0, 0, reply, sizeof(reply)),
                     SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
    }
}

static void any_allocation_length_cuts_the_reply(void **state)
{
    struct rig *rig = *state;
    uint8_t whole[64], reply[64];

    assert_good(log_sense(rig, 0, 0xFF, 0, whole, sizeof(whole)));
    for (uint16_t size = 0; size < 13; size++) {
        struct answer answer = log_sense(rig, 0, 0xFF, 0, reply, size);

        assert_good(answer);
        assert_length(answer, size < 12 ? size : 12);
        assert_memory_equal(reply, whole, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_pages_are_listed),
        BOTH(every_page_listed_is_there_and_no_other),
        BOTH(the_provisioning_page_has_five_parameters),
        cmocka_unit_test(the_counts_are_those_of_the_store),
        BOTH(the_parameter_pointer_leaves_out_what_lies_before),
        BOTH(sp_ppc_and_other_values_than_the_present_ones_are_refused),
        BOTH(any_allocation_length_cuts_the_reply),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
