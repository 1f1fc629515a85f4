/* SPDX-License-Identifier: Apache-2.0 */
#include "cdb.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "byteorder.h"

size_t cdb_length(uint8_t opcode)
{
    static const uint8_t group_length[8] = {6, 10, 10, 0, 16, 12, 0, 0};

    return opcode == SCSI_VARIABLE_LENGTH ? 32 : group_length[opcode >> 5];
}

/* What byte 1 means, by command; the fields that are no flags stand where the length says. */
enum flags_layout { FLAGS_NONE, FLAGS_READ_WRITE, FLAGS_VERIFY, FLAGS_WRITE_SAME, FLAGS_SYNC };

static int flags_layout_of(uint8_t opcode, enum flags_layout *ret)
{
    switch (opcode) {
    case SCSI_READ_6:
    case SCSI_WRITE_6:
        *ret = FLAGS_NONE;
        return 0;
    case SCSI_READ_10:
    case SCSI_READ_12:
    case SCSI_READ_16:
    case SCSI_WRITE_10:
    case SCSI_WRITE_12:
    case SCSI_WRITE_16:
    case SCSI_COMPARE_AND_WRITE:
    case SCSI_ORWRITE_16:
        *ret = FLAGS_READ_WRITE;
        return 0;
    case SCSI_VERIFY_10:
    case SCSI_VERIFY_12:
    case SCSI_VERIFY_16:
    case SCSI_WRITE_AND_VERIFY_10:
    case SCSI_WRITE_AND_VERIFY_12:
    case SCSI_WRITE_AND_VERIFY_16:
        *ret = FLAGS_VERIFY;
        return 0;
    case SCSI_WRITE_SAME_10:
    case SCSI_WRITE_SAME_16:
        *ret = FLAGS_WRITE_SAME;
        return 0;
    case SCSI_SYNCHRONIZE_CACHE_10:
    case SCSI_SYNCHRONIZE_CACHE_16:
    case SCSI_PRE_FETCH_10:
    case SCSI_PRE_FETCH_16:
        *ret = FLAGS_SYNC;
        return 0;
    default:
        return -EINVAL;
    }
}

static void decode_flags(const uint8_t *cdb, enum flags_layout layout,
                         struct cdb_block_fields *fields)
{
    uint8_t flags = cdb[1];

    if (layout == FLAGS_NONE)
        return;
    if (layout == FLAGS_SYNC) {
        fields->immed = flags & 0x02;
        return;
    }
    fields->protect = flags >> 5;
    if (layout == FLAGS_WRITE_SAME) {
        fields->anchor = flags & 0x10;
        fields->unmap = flags & 0x08;
        fields->obsolete = flags & 0x06;
        fields->ndob = cdb[0] == SCSI_WRITE_SAME_16 && (flags & 0x01);
        return;
    }
    fields->dpo = flags & 0x10;
    if (layout == FLAGS_VERIFY)
        fields->bytchk = (flags >> 1) & 0x03;
    else
        fields->fua = flags & 0x08;
}

int cdb_decode_block_fields(const uint8_t *cdb, struct cdb_block_fields *ret)
{
    enum flags_layout layout;

    if (flags_layout_of(cdb[0], &layout))
        return -EINVAL;
    *ret = (struct cdb_block_fields){0};
    decode_flags(cdb, layout, ret);
    switch (cdb_length(cdb[0])) {
    case 6:
        ret->lba = get_be24(cdb + 1) & 0x1FFFFF;
        ret->blocks = cdb[4] ? cdb[4] : 256;
        break;
    case 10:
        ret->lba = get_be32(cdb + 2);
        ret->blocks = get_be16(cdb + 7);
        break;
    case 12:
        ret->lba = get_be32(cdb + 2);
        ret->blocks = get_be32(cdb + 6);
        break;
    default:
        ret->lba = get_be64(cdb + 2);
        ret->blocks = cdb[0] == SCSI_COMPARE_AND_WRITE ? cdb[13] : get_be32(cdb + 10);
        break;
    }
    return 0;
}

static size_t start_cdb(uint8_t *cdb, uint8_t opcode)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = opcode;
    return cdb_length(opcode);
}

static size_t long_block_cdb(uint8_t *cdb, uint8_t opcode, uint8_t flags, uint64_t lba,
                             uint32_t blocks)
{
    size_t length = start_cdb(cdb, opcode);

    cdb[1] = flags;
    put_be64(cdb + 2, lba);
    put_be32(cdb + 10, blocks);
    return length;
}

size_t cdb_test_unit_ready(uint8_t cdb[static SCSI_CDB_MAX_BYTES])
{
    return start_cdb(cdb, SCSI_TEST_UNIT_READY);
}

size_t cdb_inquiry(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint16_t allocation_length)
{
    size_t length = start_cdb(cdb, SCSI_INQUIRY);

    put_be16(cdb + 3, allocation_length);
    return length;
}

size_t cdb_inquiry_vpd(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint8_t page,
                       uint16_t allocation_length)
{
    size_t length = cdb_inquiry(cdb, allocation_length);

    cdb[1] = 0x01; /* EVPD */
    cdb[2] = page;
    return length;
}

size_t cdb_mode_sense_6(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint8_t page,
                        uint8_t allocation_length)
{
    size_t length = start_cdb(cdb, SCSI_MODE_SENSE_6);

    cdb[2] = page & 0x3F; /* PAGE CONTROL 00b: current values */
    cdb[4] = allocation_length;
    return length;
}

size_t cdb_read_capacity_10(uint8_t cdb[static SCSI_CDB_MAX_BYTES])
{
    return start_cdb(cdb, SCSI_READ_CAPACITY_10);
}

size_t cdb_read_capacity_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint32_t allocation_length)
{
    return long_block_cdb(cdb, SCSI_SERVICE_ACTION_IN_16, SCSI_SA_READ_CAPACITY_16, 0,
                          allocation_length);
}

size_t cdb_get_lba_status_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba,
                             uint32_t allocation_length)
{
    return long_block_cdb(cdb, SCSI_SERVICE_ACTION_IN_16, SCSI_SA_GET_LBA_STATUS_16, lba,
                          allocation_length);
}

size_t cdb_get_lba_status_32(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba,
                             uint32_t scan_blocks, uint8_t report_type, uint32_t allocation_length)
{
    size_t length = start_cdb(cdb, SCSI_VARIABLE_LENGTH);

    cdb[7] = (uint8_t)(length - 8); /* ADDITIONAL CDB LENGTH */
    put_be16(cdb + 8, SCSI_SA_GET_LBA_STATUS_32);
    cdb[10] = report_type;
    put_be64(cdb + 12, lba);
    put_be32(cdb + 20, scan_blocks);
    put_be32(cdb + 28, allocation_length);
    return length;
}

size_t cdb_read_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks)
{
    return long_block_cdb(cdb, SCSI_READ_16, 0, lba, blocks);
}

size_t cdb_write_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks, bool fua)
{
    return long_block_cdb(cdb, SCSI_WRITE_16, fua ? 0x08 : 0, lba, blocks);
}

size_t cdb_write_same_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks,
                         bool unmap)
{
    return long_block_cdb(cdb, SCSI_WRITE_SAME_16, unmap ? 0x08 : 0, lba, blocks);
}

size_t cdb_synchronize_cache_10(uint8_t cdb[static SCSI_CDB_MAX_BYTES])
{
    return start_cdb(cdb, SCSI_SYNCHRONIZE_CACHE_10);
}

size_t cdb_synchronize_cache_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES])
{
    return start_cdb(cdb, SCSI_SYNCHRONIZE_CACHE_16);
}

size_t cdb_unmap(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint16_t parameter_list_length)
{
    size_t length = start_cdb(cdb, SCSI_UNMAP);

    put_be16(cdb + 7, parameter_list_length);
    return length;
}

struct opcode_name {
    uint8_t opcode;
    uint16_t service_action; /* 0: the operation code alone says it */
    const char *name;
};

static const struct opcode_name names[] = {
    {SCSI_TEST_UNIT_READY, 0, "TEST UNIT READY"},
    {SCSI_REQUEST_SENSE, 0, "REQUEST SENSE"},
    {SCSI_FORMAT_UNIT, 0, "FORMAT UNIT"},
    {SCSI_READ_6, 0, "READ(6)"},
    {SCSI_WRITE_6, 0, "WRITE(6)"},
    {SCSI_INQUIRY, 0, "INQUIRY"},
    {SCSI_MODE_SENSE_6, 0, "MODE SENSE(6)"},
    {SCSI_START_STOP_UNIT, 0, "START STOP UNIT"},
    {SCSI_READ_CAPACITY_10, 0, "READ CAPACITY(10)"},
    {SCSI_READ_10, 0, "READ(10)"},
    {SCSI_WRITE_10, 0, "WRITE(10)"},
    {SCSI_WRITE_AND_VERIFY_10, 0, "WRITE AND VERIFY(10)"},
    {SCSI_VERIFY_10, 0, "VERIFY(10)"},
    {SCSI_PRE_FETCH_10, 0, "PRE-FETCH(10)"},
    {SCSI_SYNCHRONIZE_CACHE_10, 0, "SYNCHRONIZE CACHE(10)"},
    {SCSI_READ_BUFFER_10, 0, "READ BUFFER(10)"},
    {SCSI_WRITE_SAME_10, 0, "WRITE SAME(10)"},
    {SCSI_UNMAP, 0, "UNMAP"},
    {SCSI_SANITIZE, SCSI_SA_SANITIZE_OVERWRITE, "SANITIZE OVERWRITE"},
    {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE, "SANITIZE BLOCK ERASE"},
    {SCSI_SANITIZE, SCSI_SA_SANITIZE_EXIT_FAILURE_MODE, "SANITIZE EXIT FAILURE MODE"},
    {SCSI_MODE_SENSE_10, 0, "MODE SENSE(10)"},
    {SCSI_PERSISTENT_RESERVE_IN, 0, "PERSISTENT RESERVE IN"},
    {SCSI_PERSISTENT_RESERVE_OUT, 0, "PERSISTENT RESERVE OUT"},
    {SCSI_VARIABLE_LENGTH, SCSI_SA_GET_LBA_STATUS_32, "GET LBA STATUS(32)"},
    {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_EXTENDED_COPY_LID1, "EXTENDED COPY"},
    {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_POPULATE_TOKEN, "POPULATE TOKEN"},
    {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_WRITE_USING_TOKEN, "WRITE USING TOKEN"},
    {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_STATUS_LID1, "RECEIVE COPY STATUS"},
    {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_DATA_LID1, "RECEIVE COPY DATA"},
    {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_OPERATING_PARAMETERS,
     "RECEIVE COPY OPERATING PARAMETERS"},
    {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_COPY_FAILURE_DETAILS_LID1,
     "RECEIVE COPY FAILURE DETAILS"},
    {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_ROD_TOKEN_INFORMATION,
     "RECEIVE ROD TOKEN INFORMATION"},
    {SCSI_READ_16, 0, "READ(16)"},
    {SCSI_COMPARE_AND_WRITE, 0, "COMPARE AND WRITE"},
    {SCSI_WRITE_16, 0, "WRITE(16)"},
    {SCSI_ORWRITE_16, 0, "ORWRITE(16)"},
    {SCSI_WRITE_AND_VERIFY_16, 0, "WRITE AND VERIFY(16)"},
    {SCSI_VERIFY_16, 0, "VERIFY(16)"},
    {SCSI_PRE_FETCH_16, 0, "PRE-FETCH(16)"},
    {SCSI_SYNCHRONIZE_CACHE_16, 0, "SYNCHRONIZE CACHE(16)"},
    {SCSI_WRITE_SAME_16, 0, "WRITE SAME(16)"},
    {SCSI_READ_BUFFER_16, 0, "READ BUFFER(16)"},
    {SCSI_SERVICE_ACTION_IN_16, SCSI_SA_READ_CAPACITY_16, "READ CAPACITY(16)"},
    {SCSI_SERVICE_ACTION_IN_16, SCSI_SA_GET_LBA_STATUS_16, "GET LBA STATUS(16)"},
    {SCSI_MAINTENANCE_IN, SCSI_SA_REPORT_SUPPORTED_OPERATION_CODES,
     "REPORT SUPPORTED OPERATION CODES"},
    {SCSI_READ_12, 0, "READ(12)"},
    {SCSI_WRITE_12, 0, "WRITE(12)"},
    {SCSI_WRITE_AND_VERIFY_12, 0, "WRITE AND VERIFY(12)"},
    {SCSI_VERIFY_12, 0, "VERIFY(12)"},
};

const char *cdb_name(const uint8_t *cdb, char *buffer, size_t size)
{
    static const uint8_t with_service_action[] = {
        SCSI_SANITIZE,        SCSI_THIRD_PARTY_COPY_OUT, SCSI_THIRD_PARTY_COPY_IN,
        SCSI_VARIABLE_LENGTH, SCSI_SERVICE_ACTION_IN_16, SCSI_MAINTENANCE_IN};
    bool has_service_action = memchr(with_service_action, cdb[0], sizeof(with_service_action));
    uint16_t service_action = has_service_action ? cdb[1] & 0x1F : 0;

    if (cdb[0] == SCSI_VARIABLE_LENGTH)
        service_action = get_be16(cdb + 8);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (names[i].opcode == cdb[0] && names[i].service_action == service_action)
            return names[i].name;
    if (has_service_action)
        snprintf(buffer, size, "opcode %02Xh service action %02Xh", cdb[0], service_action);
    else
        snprintf(buffer, size, "opcode %02Xh", cdb[0]);
    return buffer;
}
