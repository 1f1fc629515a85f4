/* SPDX-License-Identifier: Apache-2.0 */

/* INQUIRY and READ CAPACITY: the identity of the logical unit and its size. */

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "inquiry.h"
#include "scsi_rig.h"
#include "store_mem.h"
#include "vpd.h"

static void the_standard_data_names_the_product_and_its_standards(void **state)
{
    struct rig *rig = *state;
    struct inquiry inquiry;
    uint8_t bytes[INQUIRY_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    cdb_inquiry(cdb, sizeof(bytes));
    answer = rig_command_in(rig, cdb, bytes, sizeof(bytes));
    assert_good(answer);
    assert_int_equal(inquiry_decode(bytes, answer.length, &inquiry), 0);
    assert_int_equal(inquiry.peripheral_qualifier, 0);
    assert_int_equal(inquiry.peripheral_type, 0);
    assert_false(inquiry.removable);
    assert_int_equal(inquiry.version, 6);
    assert_true(inquiry.command_queuing);
    assert_string_equal(inquiry.vendor, "THINMIRR");
    assert_string_equal(inquiry.product, "THIN VOLUME");
    assert_int_equal(inquiry.version_descriptors[0], INQUIRY_CLAIMS_SAM_5);
    assert_int_equal(inquiry.version_descriptors[1], INQUIRY_CLAIMS_SPC_4);
    assert_int_equal(inquiry.version_descriptors[2], INQUIRY_CLAIMS_SBC_3);
    assert_int_equal(inquiry.version_descriptors[3], INQUIRY_CLAIMS_SBC_4);
}

static void every_page_listed_is_there_and_no_other(void **state)
{
    struct rig *rig = *state;
    uint8_t listed[VPD_PAGE_MAX_BYTES], bytes[VPD_PAGE_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer whole;

    cdb_inquiry_vpd(cdb, VPD_SUPPORTED_PAGES, sizeof(listed));
    whole = rig_command_in(rig, cdb, listed, sizeof(listed));
    assert_good(whole);
    for (unsigned page = 0; page < 256; page++) {
        struct answer answer;

        cdb_inquiry_vpd(cdb, (uint8_t)page, sizeof(bytes));
        answer = rig_command_in(rig, cdb, bytes, sizeof(bytes));
        if (!vpd_supports(listed, whole.length, (uint8_t)page)) {
            assert_check(answer, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB);
            continue;
        }
        assert_good(answer);
        assert_int_equal(bytes[1], page);
        assert_length(answer, 4 + get_be16(bytes + 2));
    }
}

static void a_page_code_without_evpd_is_refused(void **state)
{
    uint8_t bytes[96];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry(cdb, sizeof(bytes));
    cdb[2] = VPD_UNIT_SERIAL_NUMBER;
    assert_check(rig_command_in(*state, cdb, bytes, sizeof(bytes)), SENSE_ILLEGAL_REQUEST,
                 ASC_INVALID_FIELD_IN_CDB);
}

static void any_allocation_length_cuts_the_reply(void **state)
{
    struct rig *rig = *state;
    const int pages[] = {-1, 0x00, 0x80, 0x83, 0x8F, 0xB0, 0xB1, 0xB2};
    uint8_t whole[VPD_PAGE_MAX_BYTES], bytes[VPD_PAGE_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        for (int length = sizeof(whole) - 1; length >= 0;
             length -= (int)(length > 96 ? rig_step(rig, 17) : rig_step(rig, 3))) {
            if (pages[i] < 0)
                cdb_inquiry(cdb, (uint16_t)length);
            else
                cdb_inquiry_vpd(cdb, (uint8_t)pages[i], (uint16_t)length);
            if (length == sizeof(whole) - 1) {
                assert_good(rig_command_in(rig, cdb, whole, sizeof(whole)));
                continue;
            }
            assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
            assert_memory_equal(bytes, whole, (size_t)length);
        }
    }
}

static void identity_of(const uuid_t uuid, char *serial, size_t size, struct vpd_identity *identity)
{
    struct volume_meta meta = {.block_size = 512};
    struct rig rig = {.block_size = 512};
    uint8_t bytes[VPD_PAGE_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;
    struct errmsg err;

    memcpy(meta.uuid, uuid, sizeof(uuid_t));
    assert_int_equal(store_mem_create(1 << 20, 4096, &rig.store), 0);
    assert_int_equal(volume_over_store(rig.store, &meta, false, &rig.volume, &err), 0);
    assert_int_equal(lun_open(rig.volume, &rig.lun), 0);
    cdb_inquiry_vpd(cdb, VPD_UNIT_SERIAL_NUMBER, sizeof(bytes));
    answer = rig_command_in(&rig, cdb, bytes, sizeof(bytes));
    assert_good(answer);
    assert_int_equal(vpd_decode_serial(bytes, answer.length, serial, size), 0);
    cdb_inquiry_vpd(cdb, VPD_DEVICE_IDENTIFICATION, sizeof(bytes));
    answer = rig_command_in(&rig, cdb, bytes, sizeof(bytes));
    assert_good(answer);
    assert_int_equal(vpd_decode_identity(bytes, answer.length, identity), 0);
    rig_close(&rig);
}

static void identity_comes_from_the_uuid_alone(void **state)
{
    struct vpd_identity identity;
    char serial[64];

    (void)state;
    rig_needs_native("it chooses the UUID");
    identity_of(rig_uuid, serial, sizeof(serial), &identity);
    assert_string_equal(serial, "00010203-0405-4607-8809-0a0b0c0d0e0f");
    /* NAA 6, company 02544Dh, and the last 25 of the digits that are neither version nor variant */
    assert_string_equal(identity.text, "naa.602544d20304056078090a0b0c0d0e0f");
}

/* Of two UUIDs that differ in one bit of the last 100 random ones the designators differ. */
static void one_bit_makes_another_designator(void **state)
{
    struct vpd_identity first, other;
    char serial[64], other_serial[64];
    uuid_t uuid;

    (void)state;
    rig_needs_native("it chooses the UUID");
    identity_of(rig_uuid, serial, sizeof(serial), &first);
    for (int bit = 0; bit < 128; bit++) {
        int nibble = bit / 4;

        if (nibble < 5 || nibble == 12 || nibble == 16)
            continue;
        memcpy(uuid, rig_uuid, sizeof(uuid));
        uuid[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
        identity_of(uuid, other_serial, sizeof(other_serial), &other);
        assert_string_not_equal(serial, other_serial);
        assert_string_not_equal(first.text, other.text);
    }
}

static void read_capacity_tells_the_last_block(void **state)
{
    struct rig *rig = *state;
    struct capacity capacity;
    uint8_t bytes[32], whole[32];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_read_capacity_10(cdb);
    assert_good(rig_command_in(rig, cdb, bytes, 8));
    assert_int_equal(capacity_decode_10(bytes, 8, &capacity), 0);
    assert_int_equal(capacity.blocks, rig->blocks);
    assert_int_equal(capacity.block_size, rig->block_size);
    cdb_read_capacity_16(cdb, 32);
    assert_good(rig_command_in(rig, cdb, whole, 32));
    assert_int_equal(capacity_decode_16(whole, 32, &capacity), 0);
    assert_int_equal(capacity.blocks, rig->blocks);
    assert_int_equal(capacity.block_size, rig->block_size);
    for (uint32_t length = 0; length < 32; length++) {
        struct answer answer;

        cdb_read_capacity_16(cdb, length);
        answer = rig_command_in(rig, cdb, bytes, 32);
        assert_good(answer);
        assert_length(answer, length);
        assert_memory_equal(bytes, whole, length);
    }
}

static void a_lun_too_large_for_ten_bytes_says_so(void **state)
{
    struct capacity capacity;
    struct rig rig;
    uint8_t bytes[32];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    (void)state;
    rig_open(&rig, 512, (UINT64_C(1) << 32) + 8, 1 << 20, false);
    cdb_read_capacity_10(cdb);
    assert_good(rig_command_in(&rig, cdb, bytes, 8));
    assert_int_equal(get_be32(bytes), UINT32_MAX);
    cdb_read_capacity_16(cdb, 32);
    assert_good(rig_command_in(&rig, cdb, bytes, 32));
    assert_int_equal(capacity_decode_16(bytes, 32, &capacity), 0);
    assert_int_equal(capacity.blocks, (UINT64_C(1) << 32) + 8);
    rig_fill(&rig, UINT64_C(1) << 32, 8, 0x21);
    rig_assert_blocks(&rig, UINT64_C(1) << 32, 8, 0x21);
    rig_close(&rig);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        BOTH(the_standard_data_names_the_product_and_its_standards),
        BOTH(every_page_listed_is_there_and_no_other),
        BOTH(a_page_code_without_evpd_is_refused),
        BOTH(any_allocation_length_cuts_the_reply),
        cmocka_unit_test(identity_comes_from_the_uuid_alone),
        cmocka_unit_test(one_bit_makes_another_designator),
        BOTH(read_capacity_tells_the_last_block),
        cmocka_unit_test(a_lun_too_large_for_ten_bytes_says_so),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
