/* SPDX-License-Identifier: Apache-2.0 */

/* Our wire formats beside libiscsi's: what it makes of replies that we encode, what we make of CDBs
 * that it builds, and the CDBs of both for the same command. Values are random, from a fixed seed.
 */

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* Names that both have. */
#define scsi_opcode                      libiscsi_scsi_opcode
#define scsi_status                      libiscsi_scsi_status
#define scsi_sense_key                   libiscsi_scsi_sense_key
#define SCSI_STATUS_GOOD                 libiscsi_SCSI_STATUS_GOOD
#define SCSI_STATUS_CHECK_CONDITION      libiscsi_SCSI_STATUS_CHECK_CONDITION
#define SCSI_STATUS_CONDITION_MET        libiscsi_SCSI_STATUS_CONDITION_MET
#define SCSI_STATUS_BUSY                 libiscsi_SCSI_STATUS_BUSY
#define SCSI_STATUS_RESERVATION_CONFLICT libiscsi_SCSI_STATUS_RESERVATION_CONFLICT
#define SCSI_STATUS_TASK_SET_FULL        libiscsi_SCSI_STATUS_TASK_SET_FULL
#define SCSI_STATUS_TASK_ABORTED         libiscsi_SCSI_STATUS_TASK_ABORTED
#include <iscsi/iscsi.h>
#include <iscsi/scsi-lowlevel.h>
#undef scsi_opcode
#undef scsi_status
#undef scsi_sense_key
#undef SCSI_STATUS_GOOD
#undef SCSI_STATUS_CHECK_CONDITION
#undef SCSI_STATUS_CONDITION_MET
#undef SCSI_STATUS_BUSY
#undef SCSI_STATUS_RESERVATION_CONFLICT
#undef SCSI_STATUS_TASK_SET_FULL
#undef SCSI_STATUS_TASK_ABORTED

#include <cmocka.h>

#include "capacity.h"
#include "cdb.h"
#include "extents.h"
#include "inquiry.h"
#include "lba_status.h"
#include "reservation.h"
#include "sense.h"
#include "vpd.h"

#define ROUNDS 200

static uint64_t state_of_random = 0x9E3779B97F4A7C15;

static uint64_t random64(void)
{
    state_of_random ^= state_of_random << 13;
    state_of_random ^= state_of_random >> 7;
    state_of_random ^= state_of_random << 17;
    return state_of_random;
}

/* Small, large and extreme ones in turn. */
static uint64_t random_of(unsigned bits)
{
    uint64_t all = bits == 64 ? UINT64_MAX : (UINT64_C(1) << bits) - 1;

    switch (random64() % 4) {
    case 0:
        return random64() & all & 0xFF;
    case 1:
        return all - (random64() & all & 0xFF);
    default:
        return random64() & all;
    }
}

static bool flip(void)
{
    return random64() & 1;
}

/* --- The same command, built by both --- */

static void assert_same(struct scsi_task *task, const uint8_t *cdb, size_t length)
{
    assert_non_null(task);
    assert_int_equal(length, task->cdb_size);
    assert_memory_equal(cdb, task->cdb, length);
    scsi_free_scsi_task(task);
}

#define ASSERT_SAME(call, task)          \
    do {                                 \
        uint8_t cdb[SCSI_CDB_MAX_BYTES]; \
        size_t length_ = call;           \
        assert_same(task, cdb, length_); \
    } while (0)

static void commands_without_blocks_are_those_of_libiscsi(void **state)
{
    (void)state;
    ASSERT_SAME(cdb_test_unit_ready(cdb), scsi_cdb_testunitready());
    ASSERT_SAME(cdb_inquiry(cdb, 0x1234), scsi_cdb_inquiry(0, 0, 0x1234));
    ASSERT_SAME(cdb_inquiry_vpd(cdb, 0xB2, 255), scsi_cdb_inquiry(1, 0xB2, 255));
    ASSERT_SAME(cdb_mode_sense_6(cdb, 0x08, 192),
                scsi_cdb_modesense6(0, SCSI_MODESENSE_PC_CURRENT, SCSI_MODEPAGE_CACHING, 0, 192));
    ASSERT_SAME(cdb_read_capacity_10(cdb), scsi_cdb_readcapacity10(0, 0));
    ASSERT_SAME(cdb_read_capacity_16(cdb, 32), scsi_cdb_readcapacity16());
    ASSERT_SAME(cdb_synchronize_cache_10(cdb), scsi_cdb_synchronizecache10(0, 0, 0, 0));
    ASSERT_SAME(cdb_synchronize_cache_16(cdb), scsi_cdb_synchronizecache16(0, 0, 0, 0));
    ASSERT_SAME(cdb_unmap(cdb, 0x1008), scsi_cdb_unmap(0, 0, 0x1008));
}

static void commands_with_blocks_are_those_of_libiscsi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        uint64_t lba = random_of(64);
        uint32_t blocks = (uint32_t)random_of(20);
        bool bit = flip();

        ASSERT_SAME(cdb_read_16(cdb, lba, blocks),
                    scsi_cdb_read16(lba, blocks * 512, 512, 0, 0, 0, 0, 0));
        ASSERT_SAME(cdb_write_16(cdb, lba, blocks, bit),
                    scsi_cdb_write16(lba, blocks * 512, 512, 0, 0, bit, 0, 0));
        ASSERT_SAME(cdb_write_same_16(cdb, lba, blocks, bit),
                    scsi_cdb_writesame16(0, 0, bit, lba, 0, blocks, 512));
        ASSERT_SAME(cdb_get_lba_status_16(cdb, lba, blocks), scsi_cdb_get_lba_status(lba, blocks));
    }
}

static void reservations_are_those_of_libiscsi(void **state)
{
    static const uint8_t actions[] = {RESERVATION_REGISTER, RESERVATION_RESERVE,
                                      RESERVATION_RELEASE, RESERVATION_PREEMPT,
                                      RESERVATION_REGISTER_ANYWAY};
    static const uint8_t types[] = {1, 3, 5, 6, 7, 8};

    (void)state;
    ASSERT_SAME(cdb_reserve_in(cdb, RESERVATION_READ_KEYS, 0x1234),
                scsi_cdb_persistent_reserve_in(SCSI_PERSISTENT_RESERVE_READ_KEYS, 0x1234));
    ASSERT_SAME(cdb_reserve_in(cdb, RESERVATION_READ, 24),
                scsi_cdb_persistent_reserve_in(SCSI_PERSISTENT_RESERVE_READ_RESERVATION, 24));
    for (size_t i = 0; i < sizeof(actions) * sizeof(types); i++) {
        uint8_t action = actions[i / sizeof(types)], type = types[i % sizeof(types)];
        struct scsi_persistent_reserve_out_basic basic = {.reservation_key = random64(),
                                                          .service_action_reservation_key =
                                                              random64()};
        uint8_t cdb[SCSI_CDB_MAX_BYTES], list[RESERVATION_LIST_BYTES];
        struct scsi_task *task =
            scsi_cdb_persistent_reserve_out(action, SCSI_PERSISTENT_RESERVE_SCOPE_LU, type, &basic);
        struct scsi_iovec *out;

        assert_non_null(task);
        out = task->iovector_out.iov;
        assert_int_equal(task->iovector_out.niov, 1);
        assert_int_equal(out->iov_len, sizeof(list));
        reservation_list_encode(list, basic.reservation_key, basic.service_action_reservation_key);
        assert_memory_equal(list, out->iov_base, sizeof(list));
        /* Without a RESERVATION to make or to end, the type counts for nothing. */
        if (action == RESERVATION_REGISTER || action == RESERVATION_REGISTER_ANYWAY)
            task->cdb[2] = 0;
        assert_int_equal(cdb_reserve_out(cdb, action, type), task->cdb_size);
        if (action == RESERVATION_REGISTER || action == RESERVATION_REGISTER_ANYWAY)
            cdb[2] = 0;
        assert_memory_equal(cdb, task->cdb, (size_t)task->cdb_size);
        scsi_free_scsi_task(task);
    }
}

/* --- What we make of its CDBs --- */

struct wanted {
    uint64_t lba;
    uint32_t blocks;
    uint8_t protect;
    bool dpo, fua, immed, anchor, unmap;
    uint8_t bytchk;
};

static void assert_fields(struct scsi_task *task, const struct wanted *wanted)
{
    struct cdb_block_fields fields;

    assert_non_null(task);
    assert_int_equal(cdb_length(task->cdb[0]), task->cdb_size);
    assert_int_equal(cdb_decode_block_fields(task->cdb, &fields), 0);
    assert_true(fields.lba == wanted->lba);
    assert_int_equal(fields.blocks, wanted->blocks);
    assert_int_equal(fields.protect, wanted->protect);
    assert_int_equal(fields.dpo, wanted->dpo);
    assert_int_equal(fields.fua, wanted->fua);
    assert_int_equal(fields.immed, wanted->immed);
    assert_int_equal(fields.anchor, wanted->anchor);
    assert_int_equal(fields.unmap, wanted->unmap);
    assert_int_equal(fields.bytchk, wanted->bytchk);
    assert_false(fields.ndob);
    assert_false(fields.obsolete);
    scsi_free_scsi_task(task);
}

static void reads_and_writes_of_libiscsi_are_understood(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct wanted w = {.protect = (uint8_t)random_of(3), .dpo = flip(), .fua = flip()};
        uint32_t bytes;

        w.lba = random_of(32);
        w.blocks = (uint32_t)random_of(16);
        bytes = w.blocks * 512;
        assert_fields(scsi_cdb_read10((uint32_t)w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0),
                      &w);
        assert_fields(scsi_cdb_write10((uint32_t)w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0),
                      &w);
        w.blocks = (uint32_t)random_of(21);
        bytes = w.blocks * 512;
        assert_fields(scsi_cdb_read12((uint32_t)w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0),
                      &w);
        assert_fields(scsi_cdb_write12((uint32_t)w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0),
                      &w);
        w.lba = random_of(64);
        assert_fields(scsi_cdb_read16(w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0), &w);
        assert_fields(scsi_cdb_write16(w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0), &w);
        assert_fields(scsi_cdb_orwrite(w.lba, bytes, 512, w.protect, w.dpo, w.fua, 0, 0), &w);
        w = (struct wanted){.lba = random_of(21), .blocks = 1 + (uint32_t)(random64() % 255)};
        assert_fields(scsi_cdb_read6((uint32_t)w.lba, w.blocks * 512, 512), &w);
    }
}

static void verifies_of_libiscsi_are_understood(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct wanted w = {.lba = random_of(32),
                           .blocks = (uint32_t)random_of(16),
                           .protect = (uint8_t)random_of(3),
                           .dpo = flip(),
                           .bytchk = flip()};
        uint32_t bytes = w.blocks * 512;

        assert_fields(scsi_cdb_verify10((uint32_t)w.lba, bytes, w.protect, w.dpo, w.bytchk, 512),
                      &w);
        assert_fields(scsi_cdb_verify12((uint32_t)w.lba, bytes, w.protect, w.dpo, w.bytchk, 512),
                      &w);
        assert_fields(scsi_cdb_writeverify10((uint32_t)w.lba, bytes, 512, w.protect, w.dpo,
                                             w.bytchk, 0),
                      &w);
        assert_fields(scsi_cdb_writeverify12((uint32_t)w.lba, bytes, 512, w.protect, w.dpo,
                                             w.bytchk, 0),
                      &w);
        w.lba = random_of(64);
        assert_fields(scsi_cdb_verify16(w.lba, bytes, w.protect, w.dpo, w.bytchk, 512), &w);
        assert_fields(scsi_cdb_writeverify16(w.lba, bytes, 512, w.protect, w.dpo, w.bytchk, 0), &w);
    }
}

static void other_block_commands_of_libiscsi_are_understood(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct wanted w = {.lba = random_of(32),
                           .blocks = (uint32_t)random_of(16),
                           .immed = flip()};

        assert_fields(scsi_cdb_prefetch10((uint32_t)w.lba, (int)w.blocks, w.immed, 0), &w);
        assert_fields(scsi_cdb_synchronizecache10((int)(uint32_t)w.lba, (int)w.blocks, 0, w.immed),
                      &w);
        w.lba = random_of(64);
        w.blocks = (uint32_t)random_of(31);
        assert_fields(scsi_cdb_prefetch16(w.lba, (int)w.blocks, w.immed, 0), &w);
        assert_fields(scsi_cdb_synchronizecache16(w.lba, w.blocks, 0, w.immed), &w);

        w = (struct wanted){.lba = random_of(32),
                            .blocks = (uint32_t)random_of(16),
                            .protect = (uint8_t)random_of(3),
                            .anchor = flip(),
                            .unmap = flip()};
        assert_fields(scsi_cdb_writesame10(w.protect, w.anchor, w.unmap, (uint32_t)w.lba, 0,
                                           (uint16_t)w.blocks, 512),
                      &w);
        w.lba = random_of(64);
        w.blocks = (uint32_t)random_of(32);
        assert_fields(scsi_cdb_writesame16(w.protect, w.anchor, w.unmap, w.lba, 0, w.blocks, 512),
                      &w);

        w = (struct wanted){.lba = random_of(64),
                            .blocks = (uint32_t)random_of(8),
                            .protect = (uint8_t)random_of(3),
                            .dpo = flip(),
                            .fua = flip()};
        assert_fields(scsi_cdb_compareandwrite(w.lba, 2 * w.blocks * 512, 512, w.protect, w.dpo,
                                               w.fua, 0, 0),
                      &w);
    }
}

/* --- What it makes of our replies --- */

/* What libiscsi makes of the reply; it lives as long as the task. */
static void *unmarshall(struct scsi_task *task, const uint8_t *reply, size_t length)
{
    void *result;

    assert_non_null(task);
    task->datain.data = malloc(length); /* is freed with the task */
    assert_non_null(task->datain.data);
    memcpy(task->datain.data, reply, length);
    task->datain.size = (int)length;
    result = scsi_datain_unmarshall(task);
    assert_non_null(result);
    return result;
}

static void capacities_are_read_by_libiscsi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct capacity capacity = {.blocks = 1 + random_of(32),
                                    .block_size = flip() ? 512 : 4096,
                                    .physical_exponent = (uint8_t)random_of(4),
                                    .lowest_aligned_lba = (uint16_t)random_of(14),
                                    .lbpme = flip(),
                                    .lbprz = flip()};
        uint8_t bytes[READ_CAPACITY_16_BYTES];
        struct scsi_task *task = scsi_cdb_readcapacity16();
        struct scsi_readcapacity16 *long_form;
        struct scsi_readcapacity10 *short_form;

        capacity_encode_16(&capacity, bytes);
        long_form = unmarshall(task, bytes, sizeof(bytes));
        assert_true(long_form->returned_lba == capacity.blocks - 1);
        assert_int_equal(long_form->block_length, capacity.block_size);
        assert_int_equal(long_form->lbppbe, capacity.physical_exponent);
        assert_int_equal(long_form->lalba, capacity.lowest_aligned_lba);
        assert_int_equal(long_form->lbpme, capacity.lbpme);
        assert_int_equal(long_form->lbprz, capacity.lbprz);
        assert_int_equal(long_form->prot_en, 0);
        scsi_free_scsi_task(task);

        task = scsi_cdb_readcapacity10(0, 0);
        capacity_encode_10(&capacity, bytes);
        short_form = unmarshall(task, bytes, READ_CAPACITY_10_BYTES);
        assert_int_equal(short_form->lba, capacity.blocks - 1);
        assert_int_equal(short_form->block_size, capacity.block_size);
        scsi_free_scsi_task(task);
    }
}

static void block_limits_are_read_by_libiscsi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct vpd_block_limits limits = {.wsnz = flip(),
                                          .max_compare_and_write_blocks = (uint8_t)random_of(8),
                                          .optimal_transfer_granularity = (uint16_t)random_of(16),
                                          .max_transfer = (uint32_t)random_of(32),
                                          .optimal_transfer = (uint32_t)random_of(32),
                                          .max_unmap_blocks = (uint32_t)random_of(32),
                                          .max_unmap_descriptors = (uint32_t)random_of(32),
                                          .optimal_unmap_granularity = (uint32_t)random_of(32),
                                          .unmap_alignment_valid = true,
                                          .unmap_alignment = (uint32_t)random_of(31),
                                          .max_write_same = random_of(64)};
        uint8_t page[VPD_PAGE_MAX_BYTES];
        struct scsi_task *task = scsi_cdb_inquiry(1, VPD_BLOCK_LIMITS, sizeof(page));
        struct scsi_inquiry_block_limits *read =
            unmarshall(task, page, vpd_encode_block_limits(page, &limits));

        assert_int_equal(read->device_type, 0);
        assert_int_equal(read->pagecode, SCSI_INQUIRY_PAGECODE_BLOCK_LIMITS);
        assert_int_equal(read->wsnz, limits.wsnz);
        assert_int_equal(read->max_cmp, limits.max_compare_and_write_blocks);
        assert_int_equal(read->opt_gran, limits.optimal_transfer_granularity);
        assert_int_equal(read->max_xfer_len, limits.max_transfer);
        assert_int_equal(read->opt_xfer_len, limits.optimal_transfer);
        assert_int_equal(read->max_unmap, limits.max_unmap_blocks);
        assert_int_equal(read->max_unmap_bdc, limits.max_unmap_descriptors);
        assert_int_equal(read->opt_unmap_gran, limits.optimal_unmap_granularity);
        assert_int_equal(read->ugavalid, 1);
        assert_int_equal(read->unmap_gran_align, limits.unmap_alignment);
        assert_true(read->max_ws_len == limits.max_write_same);
        assert_int_equal(read->max_atomic_xfer_len, 0);
        scsi_free_scsi_task(task);
    }
}

static void provisioning_is_read_by_libiscsi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct vpd_provisioning provisioning = {.threshold_exponent = (uint8_t)random_of(8),
                                                .lbpu = flip(),
                                                .lbpws = flip(),
                                                .lbpws10 = flip(),
                                                .lbprz = flip(),
                                                .anc_sup = flip(),
                                                .provisioning_type = (uint8_t)(random64() % 3)};
        uint8_t page[VPD_PAGE_MAX_BYTES];
        struct scsi_task *task = scsi_cdb_inquiry(1, VPD_LOGICAL_BLOCK_PROVISIONING, 255);
        struct scsi_inquiry_logical_block_provisioning *read =
            unmarshall(task, page, vpd_encode_provisioning(page, &provisioning));

        assert_int_equal(read->threshold_exponent, provisioning.threshold_exponent);
        assert_int_equal(read->lbpu, provisioning.lbpu);
        assert_int_equal(read->lbpws, provisioning.lbpws);
        assert_int_equal(read->lbpws10, provisioning.lbpws10);
        assert_int_equal(read->lbprz, provisioning.lbprz);
        assert_int_equal(read->anc_sup, provisioning.anc_sup);
        assert_int_equal(read->dp, 0);
        assert_int_equal(read->provisioning_type, provisioning.provisioning_type);
        scsi_free_scsi_task(task);
    }
}

static void names_and_lists_of_pages_are_read_by_libiscsi(void **state)
{
    static const uint8_t naa[16] = {0x60, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    static const uint8_t pages[] = {0x00, 0x80, 0x83, 0xB0};
    uint8_t page[VPD_PAGE_MAX_BYTES];
    struct scsi_task *task = scsi_cdb_inquiry(1, VPD_DEVICE_IDENTIFICATION, 512);
    struct scsi_inquiry_device_identification *read =
        unmarshall(task, page, vpd_encode_identification(page, naa, "VENDOR", "serial"));
    struct scsi_inquiry_device_designator *designator = read->designators;
    struct scsi_inquiry_supported_pages *supported;
    struct scsi_inquiry_unit_serial_number *serial;
    struct scsi_inquiry_block_device_characteristics *characteristics;
    bool has_naa = false, has_t10 = false;

    (void)state;
    for (; designator; designator = designator->next) {
        assert_int_equal(designator->association, SCSI_ASSOCIATION_LOGICAL_UNIT);
        if (designator->designator_type == SCSI_DESIGNATOR_TYPE_NAA) {
            has_naa = true;
            assert_int_equal(designator->code_set, SCSI_CODESET_BINARY);
            assert_int_equal(designator->designator_length, sizeof(naa));
            assert_memory_equal(designator->designator, naa, sizeof(naa));
        } else {
            has_t10 = true;
            assert_int_equal(designator->designator_type, SCSI_DESIGNATOR_TYPE_T10_VENDORT_ID);
            assert_int_equal(designator->code_set, SCSI_CODESET_ASCII);
            assert_memory_equal(designator->designator, "VENDOR  serial", 14);
        }
    }
    assert_true(has_naa && has_t10);
    scsi_free_scsi_task(task);

    task = scsi_cdb_inquiry(1, VPD_SUPPORTED_PAGES, 255);
    supported = unmarshall(task, page, vpd_encode_supported(page, pages, sizeof(pages)));
    assert_int_equal(supported->num_pages, sizeof(pages));
    assert_memory_equal(supported->pages, pages, sizeof(pages));
    scsi_free_scsi_task(task);

    task = scsi_cdb_inquiry(1, VPD_UNIT_SERIAL_NUMBER, 255);
    serial = unmarshall(task, page, vpd_encode_serial(page, "ab-12"));
    assert_string_equal(serial->usn, "ab-12");
    scsi_free_scsi_task(task);

    task = scsi_cdb_inquiry(1, VPD_BLOCK_DEVICE_CHARACTERISTICS, 255);
    characteristics = unmarshall(task, page, vpd_encode_characteristics(page));
    assert_int_equal(characteristics->medium_rotation_rate, 1);
    assert_int_equal(characteristics->vbuls, 1);
    assert_int_equal(characteristics->wabereq, 1);
    scsi_free_scsi_task(task);
}

static void inquiry_data_is_read_by_libiscsi(void **state)
{
    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        struct inquiry inquiry = {.peripheral_type = (uint8_t)random_of(5),
                                  .removable = flip(),
                                  .version = (uint8_t)random_of(3),
                                  .third_party_copy = flip(),
                                  .command_queuing = flip(),
                                  .vendor = "VENDOR",
                                  .product = "A PRODUCT",
                                  .revision = "12",
                                  .version_descriptors = {INQUIRY_CLAIMS_SAM_5,
                                                          INQUIRY_CLAIMS_SPC_4,
                                                          INQUIRY_CLAIMS_SBC_3}};
        uint8_t bytes[INQUIRY_BYTES];
        struct scsi_task *task = scsi_cdb_inquiry(0, 0, sizeof(bytes));
        struct scsi_inquiry_standard *read =
            unmarshall(task, bytes, inquiry_encode(&inquiry, bytes));

        assert_int_equal(read->qualifier, 0);
        assert_int_equal(read->device_type, inquiry.peripheral_type);
        assert_int_equal(read->rmb, inquiry.removable);
        assert_int_equal(read->version, inquiry.version);
        assert_int_equal(read->response_data_format, 2);
        assert_int_equal(read->additional_length, INQUIRY_BYTES - 5);
        assert_int_equal(read->threepc, inquiry.third_party_copy);
        assert_int_equal(read->cmdque, inquiry.command_queuing);
        assert_int_equal(read->hisup, 1);
        assert_int_equal(read->protect, 0);
        assert_string_equal(read->vendor_identification, "VENDOR  ");
        assert_string_equal(read->product_identification, "A PRODUCT       ");
        assert_string_equal(read->product_revision_level, "12  ");
        assert_int_equal(read->version_descriptor[1], SCSI_VERSION_DESCRIPTOR_SPC_4);
        assert_int_equal(read->version_descriptor[2], SCSI_VERSION_DESCRIPTOR_SBC_3);
        scsi_free_scsi_task(task);
    }
}

static void sense_data_is_read_by_libiscsi(void **state)
{
    static const struct {
        uint8_t key;
        uint16_t asc_ascq;
        int theirs;
    } conditions[] = {
        {SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_CDB, SCSI_SENSE_ASCQ_INVALID_FIELD_IN_CDB},
        {SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE, SCSI_SENSE_ASCQ_LBA_OUT_OF_RANGE},
        {SENSE_ILLEGAL_REQUEST, ASC_INVALID_OPERATION_CODE, SCSI_SENSE_ASCQ_INVALID_OPERATION_CODE},
        {SENSE_NOT_READY, ASC_SANITIZE_IN_PROGRESS, SCSI_SENSE_ASCQ_SANITIZE_IN_PROGRESS},
        {SENSE_DATA_PROTECT, ASC_WRITE_PROTECTED, SCSI_SENSE_ASCQ_WRITE_PROTECTED},
        {SENSE_DATA_PROTECT, ASC_SOFTWARE_WRITE_PROTECTED,
         SCSI_SENSE_ASCQ_SOFTWARE_WRITE_PROTECTED},
        {SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY, SCSI_SENSE_ASCQ_MISCOMPARE_DURING_VERIFY},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(conditions) / sizeof(conditions[0]); i++) {
        for (unsigned form = 0; form < 4; form++) {
            struct sense sense = {.key = conditions[i].key, .asc_ascq = conditions[i].asc_ascq};
            uint8_t bytes[SENSE_MAX_BYTES] = {0};
            struct scsi_sense read = {0};

            if (form & 1) /* the CDB's byte 0102h, bit 3 */
                sense_set_field(&sense, true, 0x0102, 3);
            if (form & 2)
                sense_encode_descriptor(&sense, bytes);
            else
                sense_encode_fixed(&sense, bytes);
            scsi_parse_sense_data(&read, bytes);
            assert_int_equal(read.error_type, form & 2 ? 0x72 : 0x70);
            assert_int_equal(read.key, conditions[i].key);
            assert_int_equal(read.ascq, conditions[i].theirs);
            if (form == 1) { /* up to 1.19 it finds no field in descriptor format */
                assert_int_equal(read.sense_specific, 1);
                assert_int_equal(read.ill_param_in_cdb, 1);
                assert_int_equal(read.bit_pointer_valid, 1);
                assert_int_equal(read.bit_pointer, 3);
                assert_int_equal(read.field_pointer, 0x0102);
            }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(commands_without_blocks_are_those_of_libiscsi),
        cmocka_unit_test(commands_with_blocks_are_those_of_libiscsi),
        cmocka_unit_test(reservations_are_those_of_libiscsi),
        cmocka_unit_test(reads_and_writes_of_libiscsi_are_understood),
        cmocka_unit_test(verifies_of_libiscsi_are_understood),
        cmocka_unit_test(other_block_commands_of_libiscsi_are_understood),
        cmocka_unit_test(capacities_are_read_by_libiscsi),
        cmocka_unit_test(block_limits_are_read_by_libiscsi),
        cmocka_unit_test(provisioning_is_read_by_libiscsi),
        cmocka_unit_test(names_and_lists_of_pages_are_read_by_libiscsi),
        cmocka_unit_test(inquiry_data_is_read_by_libiscsi),
        cmocka_unit_test(sense_data_is_read_by_libiscsi),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
