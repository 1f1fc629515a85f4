/* SPDX-License-Identifier: Apache-2.0 */

/* What is asked of a logical unit at open, and what is made of its answers. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "endpoint_kinds.h"
#include "fake_unit.h"
#include "scsi_defs.h"

static int setup(void **state)
{
    *state = fake_unit_new();
    return 0;
}

static int teardown(void **state)
{
    fake_unit_free(*state);
    return 0;
}

static struct endpoint *open_ok(struct fake_unit *unit, unsigned flags)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    if (endpoint_scsi_open("lun-a", "sg", &unit->transport, flags, &endpoint, &err) < 0)
        fail_msg("%s", err.text);
    return endpoint;
}

static void open_fails(struct fake_unit *unit, unsigned flags, int error, const char *words)
{
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    assert_int_equal(endpoint_scsi_open("lun-a", "sg", &unit->transport, flags, &endpoint, &err),
                     error);
    assert_null(endpoint);
    if (!strstr(err.text, words) || !strstr(err.text, "lun-a"))
        fail_msg("'%s' does not say '%s' and the name", err.text, words);
    assert_null(unit->data); /* the transport is closed */
}

static void a_thin_unit_is_asked_once_for_everything(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint = open_ok(unit, 0);
    const struct endpoint_info *info = &endpoint->info;

    assert_string_equal(unit->log, "TUR INQ VPD00 RC16 VPD83 VPD80 VPDB0 VPDB2 MAP 0:65528 TUR");
    assert_string_equal(info->name, "lun-a");
    assert_string_equal(info->kind, "sg");
    assert_int_equal(info->blocks, 1024);
    assert_int_equal(info->block_size, 512);
    assert_string_equal(info->identity, "naa.60014050010203040506070809"
                                        "0a0b0c");
    assert_string_equal(info->vendor, "FAKE");
    assert_string_equal(info->product, "UNIT");
    assert_string_equal(info->serial, "serial-1");
    assert_true(info->thin && info->unmapped_reads_zeros && info->can_map && info->can_unmap);
    assert_false(info->writable || info->any_block_size);
    assert_int_equal(info->max_transfer_blocks, 16 * 1024 * 1024 / 512);
    assert_true(info->max_zero_blocks > 0);
    assert_int_equal(info->unmap_granularity_blocks, 1);
    endpoint_close(endpoint);
}

static void write_protection_matters_to_a_writer(void **state)
{
    struct fake_unit *unit = *state;

    unit->write_protected = true;
    open_fails(unit, ENDPOINT_WRITABLE, -EROFS, "write protected");
}

static void write_protection_does_not_matter_to_a_reader(void **state)
{
    struct fake_unit *unit = *state;

    unit->write_protected = true;
    endpoint_close(open_ok(unit, 0));
}

static void a_unit_without_mode_pages_may_be_written(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->unknown = "MODE";
    endpoint = open_ok(unit, ENDPOINT_WRITABLE);
    assert_true(endpoint->info.writable);
    endpoint_close(endpoint);
}

static void limits_are_kept(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->max_transfer = 128;
    unit->optimal_transfer = 96;
    unit->max_write_same = 256;
    unit->granularity = 8;
    endpoint = open_ok(unit, 0);
    assert_int_equal(endpoint->info.max_transfer_blocks, 128);
    assert_int_equal(endpoint->info.optimal_transfer_blocks, 96);
    assert_int_equal(endpoint->info.max_zero_blocks, 256);
    assert_int_equal(endpoint->info.unmap_granularity_blocks, 8);
    endpoint_close(endpoint);
}

static void the_transport_limits_transfers_too(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->transport.max_transfer_bytes = 64 * 1024;
    endpoint = open_ok(unit, 0);
    assert_int_equal(endpoint->info.max_transfer_blocks, 128);
    endpoint_close(endpoint);
}

static void what_a_unit_is_asked_takes_three_round_trips(void **state)
{
    struct fake_unit *unit = *state;

    endpoint_close(open_ok(unit, ENDPOINT_WRITABLE));
    assert_int_equal(unit->rounds, 3);
}

#define ASKED_FIRST  "TUR INQ VPD00 RC16 "
#define ASKED_SECOND "VPD83 VPD80 VPDB0 VPDB2 MAP 0:65528 "

static void unit_attentions_are_passed_over(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "TUR",
                                              .times = 2,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = ASC_POWER_ON_RESET});
    fake_unit_fault(unit, (struct fake_fault){.word = "RC16",
                                              .skip = 1,
                                              .times = 1,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = ASC_REPORTED_LUNS_DATA_CHANGED});
    endpoint_close(open_ok(unit, 0));
    assert_string_equal(unit->log, ASKED_FIRST ASKED_FIRST ASKED_FIRST
                        "VPD83 VPD80 VPDB0 VPDB2 MAP 0:65528 TUR");
}

/* Shrinks while it is asked, and says so to the question for the map. */
static size_t shrink(struct fake_unit *unit, uint64_t lba, uint8_t *reply, size_t size)
{
    (void)lba, (void)reply, (void)size;
    unit->blocks = 512;
    unit->lie = NULL;
    return 0;
}

static void a_unit_that_changes_while_it_is_asked_is_asked_anew(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->lie = shrink;
    fake_unit_fault(unit, (struct fake_fault){.word = "MAP",
                                              .times = 1,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = ASC_CAPACITY_DATA_CHANGED});
    endpoint = open_ok(unit, 0);
    assert_int_equal(endpoint->info.blocks, 512);
    endpoint_close(endpoint);
}

static void a_unit_that_always_has_something_to_tell_is_taken_all_the_same(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "RC16",
                                              .times = 10,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = ASC_REPORTED_LUNS_DATA_CHANGED});
    endpoint_close(open_ok(unit, 0));
    assert_non_null(strstr(unit->log, ASKED_FIRST "RC16 RC16 RC16 RC16 RC16 RC16 VPD83"));
}

static void a_connection_that_is_replaced_meanwhile_is_no_failure(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "TUR", .times = 1, .result = -ERESTART});
    fake_unit_fault(unit, (struct fake_fault){.word = "VPDB0", .times = 1, .result = -ERESTART});
    endpoint_close(open_ok(unit, 0));
    assert_string_equal(unit->log,
                        ASKED_FIRST ASKED_FIRST ASKED_SECOND ASKED_FIRST ASKED_SECOND "TUR");
}

static void unit_attentions_without_end_are_not(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "TUR",
                                              .times = 1000,
                                              .key = SENSE_UNIT_ATTENTION,
                                              .asc_ascq = ASC_POWER_ON_RESET});
    open_fails(unit, 0, -EIO, "TEST UNIT READY");
}

static void a_busy_unit_is_waited_for(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit,
                    (struct fake_fault){.word = "INQ", .times = 2, .status = SCSI_STATUS_BUSY});
    endpoint_close(open_ok(unit, 0));
    assert_non_null(strstr(unit->log, ASKED_FIRST "INQ INQ VPD83"));
}

static void what_is_not_there_is_told(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "TUR",
                                              .times = 1,
                                              .key = SENSE_ILLEGAL_REQUEST,
                                              .asc_ascq = ASC_LUN_NOT_SUPPORTED});
    open_fails(unit, 0, -ENODEV, "no such LUN");
}

static void a_peripheral_qualifier_of_3_is_no_lun(void **state)
{
    struct fake_unit *unit = *state;

    unit->qualifier = 3;
    unit->type = 0x1F;
    open_fails(unit, 0, -ENODEV, "no such LUN");
}

static void only_disks_are_taken(void **state)
{
    struct fake_unit *unit = *state;

    unit->type = 0x05;
    open_fails(unit, 0, -ENOTBLK, "type 05h");
}

static void a_lost_connection_is_no_missing_page(void **state)
{
    struct fake_unit *unit = *state;

    fake_unit_fault(unit, (struct fake_fault){.word = "VPD83", .times = 1, .result = -ENOTCONN});
    open_fails(unit, 0, -ENOTCONN, "connection");
}

static void blocks_of_a_size_that_cannot_be_are_refused(void **state)
{
    struct fake_unit *unit = *state;

    unit->blocks = 1;
    unit->block_size = 2 * 1024 * 1024;
    fake_unit_format(unit);
    open_fails(unit, 0, -EOPNOTSUPP, "2097152 bytes");
}

static void a_block_size_that_is_no_power_of_two_from_512_on_is_refused(void **state)
{
    static const uint32_t sizes[] = {1, 2, 256, 511, 513, 520, 528, 1000, 4104, 4160, 6144};
    const struct errmsg none = {""};

    (void)state;
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fake_unit *unit = fake_unit_new();
        struct endpoint *endpoint;
        struct errmsg err = none;

        unit->block_size = sizes[i];
        fake_unit_format(unit);
        assert_int_equal(endpoint_scsi_open("lun-a", "iscsi", &unit->transport, 0, &endpoint, &err),
                         -EOPNOTSUPP);
        assert_non_null(strstr(err.text, "powers of two from 512"));
        fake_unit_free(unit);
    }
}

static void capacity_by_10_when_16_is_unknown(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->unknown = "RC16";
    endpoint = open_ok(unit, 0);
    assert_string_equal(unit->log, "TUR INQ VPD00 RC16 RC10 VPD83 VPD80 VPDB0 VPDB2 TUR");
    assert_int_equal(endpoint->info.blocks, 1024);
    assert_false(endpoint->info.thin || endpoint->info.can_map || endpoint->info.can_unmap);
    endpoint_close(endpoint);
}

static void a_full_unit_is_not_asked_for_a_map(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->thin = unit->lbprz = false;
    endpoint = open_ok(unit, 0);
    assert_null(strstr(unit->log, "MAP"));
    assert_false(endpoint->info.thin || endpoint->info.can_map || endpoint->info.can_unmap ||
                 endpoint->info.unmapped_reads_zeros);
    endpoint_close(endpoint);
}

static void a_unit_without_map_is_all_mapped(void **state)
{
    struct fake_unit *unit = *state;
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP, .lba = 8, .blocks = 100, .map = &map};
    struct endpoint *endpoint;

    unit->unknown = "MAP";
    endpoint = open_ok(unit, 0);
    assert_false(endpoint->info.can_map);
    unit->log[0] = '\0';
    assert_int_equal(endpoint_run(endpoint, &request), 0);
    assert_int_equal(map.count, 1);
    assert_int_equal(map.items[0].start, 8);
    assert_int_equal(map.items[0].length, 100);
    assert_int_equal(map.items[0].status, EXTENT_MAPPED);
    assert_string_equal(unit->log, "");
    extent_list_free(&map);
    endpoint_close(endpoint);
}

static void a_smaller_map_is_asked_for_where_a_large_one_is_refused(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->map_limit = 4096;
    endpoint = open_ok(unit, 0);
    assert_non_null(strstr(unit->log, "MAP 0:65528 MAP 0:24 TUR"));
    assert_true(endpoint->info.can_map);
    endpoint_close(endpoint);
}

static void identity_is_the_serial_number_without_page_83(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->naa = NULL;
    endpoint = open_ok(unit, 0);
    assert_string_equal(endpoint->info.identity, "serial.FAKE.UNIT.serial-1");
    endpoint_close(endpoint);
}

static void identity_may_be_missing(void **state)
{
    struct fake_unit *unit = *state;
    struct endpoint *endpoint;

    unit->unknown = "VPD00 VPD80 VPD83";
    endpoint = open_ok(unit, 0);
    assert_string_equal(endpoint->info.identity, "");
    endpoint_close(endpoint);
}

/* Opens a unit of this vendor and name, reached at target; its identity is copied to to. */
static void identity_of(const char *vendor, const uint8_t *naa, const char *target, char *to)
{
    struct fake_unit *unit = fake_unit_new();
    struct endpoint *endpoint;

    unit->vendor = vendor;
    unit->naa = naa;
    unit->serial = "beaf11";
    strcpy(unit->transport.target, target);
    endpoint = open_ok(unit, 0);
    strcpy(to, endpoint->info.identity);
    endpoint_close(endpoint);
    fake_unit_free(unit);
}

static bool distinct(const char *a, const char *b)
{
    struct endpoint x = {.info = {.name = "x", .blocks = 8, .block_size = 512}};
    struct endpoint y = {.info = {.name = "y", .blocks = 8, .block_size = 512}};
    struct errmsg err;

    strcpy(x.info.identity, a);
    strcpy(y.info.identity, b);
    return endpoint_check_distinct(&x, &y, &err) == 0;
}

static void twins_of_two_targets_are_told_apart_by_the_target(void **state)
{
    static const uint8_t tgt[16] = {0x60, 0, 0, 0, 0, 0, 0, 0, 0x0E, 0, 0, 0, 0, 1, 0, 1};
    static const uint8_t world_wide[16] = {0x60, 0x01, 0x40, 0x5A, 1};
    char a[ENDPOINT_IDENTITY_BYTES], b[ENDPOINT_IDENTITY_BYTES], c[ENDPOINT_IDENTITY_BYTES];

    (void)state;
    identity_of("IET", tgt, "iqn.2026-11.org.example:a,L,0x1", a);
    identity_of("IET", tgt, "iqn.2026-11.org.example:b,L,0x1", b);
    identity_of("IET", tgt, "", c);
    assert_string_equal(a, "naa.60000000000000000e00000000010001/beaf11"
                           "@iqn.2026-11.org.example:a,L,0x1");
    assert_true(distinct(a, b));
    assert_false(distinct(a, a));
    /* A way that is not known may be any way. */
    assert_false(distinct(a, c));
    assert_false(distinct(c, b));
    assert_false(distinct(c, c));
    /* A company identifier of zeros makes no name. */
    identity_of("ACME", tgt, "", c);
    assert_non_null(strstr(c, "@?"));
    /* A world-wide name needs no help, and is the same by every way. */
    identity_of("ACME", world_wide, "iqn.2026-11.org.example:a,L,0x1", a);
    identity_of("ACME", world_wide, "iqn.2026-11.org.example:b,L,0x7", b);
    assert_string_equal(a, b);
    assert_false(distinct(a, b));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_thin_unit_is_asked_once_for_everything),
        TEST(write_protection_matters_to_a_writer),
        TEST(write_protection_does_not_matter_to_a_reader),
        TEST(a_unit_without_mode_pages_may_be_written),
        TEST(limits_are_kept),
        TEST(the_transport_limits_transfers_too),
        TEST(what_a_unit_is_asked_takes_three_round_trips),
        TEST(unit_attentions_are_passed_over),
        TEST(a_unit_that_changes_while_it_is_asked_is_asked_anew),
        TEST(a_unit_that_always_has_something_to_tell_is_taken_all_the_same),
        TEST(a_connection_that_is_replaced_meanwhile_is_no_failure),
        TEST(unit_attentions_without_end_are_not),
        TEST(a_busy_unit_is_waited_for),
        TEST(what_is_not_there_is_told),
        TEST(a_peripheral_qualifier_of_3_is_no_lun),
        TEST(only_disks_are_taken),
        TEST(a_lost_connection_is_no_missing_page),
        TEST(blocks_of_a_size_that_cannot_be_are_refused),
        cmocka_unit_test(a_block_size_that_is_no_power_of_two_from_512_on_is_refused),
        TEST(capacity_by_10_when_16_is_unknown),
        TEST(a_full_unit_is_not_asked_for_a_map),
        TEST(a_unit_without_map_is_all_mapped),
        TEST(a_smaller_map_is_asked_for_where_a_large_one_is_refused),
        TEST(identity_is_the_serial_number_without_page_83),
        TEST(identity_may_be_missing),
        cmocka_unit_test(twins_of_two_targets_are_told_apart_by_the_target),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
