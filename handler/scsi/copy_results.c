/* SPDX-License-Identifier: Apache-2.0 */

/* What THIRD-PARTY COPY IN tells of EXTENDED COPY(LID1): RECEIVE COPY STATUS, DATA, OPERATING
 * PARAMETERS and FAILURE DETAILS, SPC-4 6.23, 6.19, 6.22 and 6.20. */

#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "copy_limits.h"
#include "lun_internal.h"

/* COPY MANAGER STATUS */
enum { COPY_IN_PROGRESS = 0x00, COPY_DONE = 0x01, COPY_FAILED = 0x02 };

#define STATUS_BYTES         12
#define UNITS_ARE_BYTES      0x00
#define UNITS_ARE_KIB        0x01
#define FAILURE_HEADER_BYTES 60

#define PARAMETERS_BYTES     44
#define PARAMETERS_SNLID     0x01

/* The record the command asks for, or the status to give up with. */
static uint8_t find_record(struct exec *exec, struct copy_record *ret)
{
    if (copy_record_get(&exec->lun->copy_records, exec->cdb[2], ret))
        return SCSI_STATUS_GOOD;
    return exec_fail_field(exec);
}

static uint8_t status_of(const struct copy_record *record)
{
    if (record->running)
        return COPY_IN_PROGRESS;
    return record->status == SCSI_STATUS_GOOD ? COPY_DONE : COPY_FAILED;
}

uint8_t op_receive_copy_status(struct exec *exec)
{
    uint8_t bytes[STATUS_BYTES] = {0};
    struct copy_record record;
    uint8_t status = find_record(exec, &record);
    bool fits;

    if (status != SCSI_STATUS_GOOD)
        return status;
    fits = record.bytes_done <= UINT32_MAX;
    put_be32(bytes, STATUS_BYTES - 4);
    bytes[4] = status_of(&record); /* HDD 0: no data are held */
    put_be16(bytes + 5, record.segments_done);
    bytes[7] = fits ? UNITS_ARE_BYTES : UNITS_ARE_KIB;
    put_be32(bytes + 8, (uint32_t)(fits ? record.bytes_done : record.bytes_done >> 10));
    return reply_whole(exec, bytes, sizeof(bytes), get_be32(exec->cdb + 10));
}

/* HELD DATA LIMIT is 0: there never are any. */
uint8_t op_receive_copy_data(struct exec *exec)
{
    static const uint8_t none[4];
    struct copy_record record;
    uint8_t status = find_record(exec, &record);

    if (status != SCSI_STATUS_GOOD)
        return status;
    return reply_whole(exec, none, sizeof(none), get_be32(exec->cdb + 10));
}

uint8_t op_receive_copy_failure(struct exec *exec)
{
    uint8_t bytes[FAILURE_HEADER_BYTES + LUN_SENSE_BYTES] = {0};
    struct copy_record record;
    uint8_t status = find_record(exec, &record);
    size_t sense_bytes;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (record.running || record.status == SCSI_STATUS_GOOD) /* no details to tell */
        return reply_whole(exec, bytes, 4, get_be32(exec->cdb + 10));
    sense_bytes = (size_t)min_u64(8u + record.sense[7], LUN_SENSE_BYTES);
    put_be32(bytes, (uint32_t)(FAILURE_HEADER_BYTES - 4 + sense_bytes));
    bytes[56] = record.status;
    put_be16(bytes + 58, (uint16_t)sense_bytes);
    memcpy(bytes + FAILURE_HEADER_BYTES, record.sense, sense_bytes);
    return reply_whole(exec, bytes, FAILURE_HEADER_BYTES + sense_bytes, get_be32(exec->cdb + 10));
}

uint8_t op_receive_copy_parameters(struct exec *exec)
{
    uint8_t bytes[PARAMETERS_BYTES + COPY_DESCRIPTOR_CODES] = {0};

    put_be32(bytes, sizeof(bytes) - 4);
    bytes[4] = PARAMETERS_SNLID;
    put_be16(bytes + 8, COPY_MAX_CSCDS);
    put_be16(bytes + 10, COPY_MAX_SEGMENTS);
    put_be32(bytes + 12, COPY_MAX_DESCRIPTOR_BYTES);
    put_be32(bytes + 16, COPY_MAX_SEGMENT_BYTES);
    /* No inline data, no held data, no stream devices. */
    put_be16(bytes + 34, COPY_MAX_CONCURRENT); /* TOTAL CONCURRENT COPIES */
    bytes[36] = COPY_MAX_CONCURRENT;
    bytes[37] = COPY_SEGMENT_GRANULARITY_EXPONENT;
    bytes[43] = COPY_DESCRIPTOR_CODES;
    memcpy(bytes + PARAMETERS_BYTES, copy_descriptor_codes, COPY_DESCRIPTOR_CODES);
    return reply_whole(exec, bytes, sizeof(bytes), get_be32(exec->cdb + 10));
}
