/* SPDX-License-Identifier: Apache-2.0 */

/* FORMAT UNIT, SBC-4 5.4. All blocks are deallocated, and read as zeros: that takes no longer than
 * an UNMAP, so it is done when the status comes, with IMMED as without. There are no defects to
 * list and no protection information to prepare. */

#include "byteorder.h"
#include "lun_internal.h"
#include "zeros.h"

/* CDB */
#define FMTPINFO   0xC0
#define LONGLIST   0x20
#define FMTDATA    0x10
#define FFMT       0x03
#define FAST       1

#define SHORT_LIST 4
#define LONG_LIST  8

/* Byte 0, 1 and (of the long list) 3 of the parameter list */
#define PROTECTION_FIELD_USAGE 0x07
#define FOV                    0x80
#define WITH_FOV               0x7C /* DPRY, DCRT, STPF, IP, DSP: mean nothing without */
#define IP                     0x08
#define PROTECTION_EXPONENT    0xFF

#define PATTERN_HEADER         4
#define SECURITY_INITIALIZE    0x20
#define PATTERN_TYPE_DEFAULT   0x00
#define PATTERN_TYPE_REPEATED  0x01
#define PATTERN_MAX_BYTES      4096

static uint8_t fail_list(struct exec *exec)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
}

static uint8_t fail_length(struct exec *exec)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
}

/* The initialization pattern descriptor: zeros are what a deallocated block reads as, and no other
 * pattern is written. */
static uint8_t check_pattern(struct exec *exec, struct iov_cursor *data)
{
    uint8_t header[PATTERN_HEADER], pattern[PATTERN_MAX_BYTES];
    size_t length;

    if (iov_cursor_read(data, header, sizeof(header)) < sizeof(header))
        return fail_length(exec);
    length = get_be16(header + 2);
    if (header[0] & SECURITY_INITIALIZE)
        return fail_list(exec);
    if (header[1] == PATTERN_TYPE_DEFAULT)
        return length == 0 ? SCSI_STATUS_GOOD : fail_list(exec);
    if (header[1] != PATTERN_TYPE_REPEATED || length == 0 ||
        length > volume_block_size(exec->volume))
        return fail_list(exec);
    if (iov_cursor_read(data, pattern, length) < length)
        return fail_length(exec);
    return bytes_are_zero(pattern, length) ? SCSI_STATUS_GOOD : fail_list(exec);
}

static uint8_t check_list(struct exec *exec)
{
    const struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    bool long_list = exec->cdb[1] & LONGLIST;
    size_t length = long_list ? LONG_LIST : SHORT_LIST;
    uint8_t list[LONG_LIST];
    uint32_t defect_bytes;

    if (iov_cursor_read(&data, list, length) < length)
        return fail_length(exec);
    defect_bytes = long_list ? get_be32(list + 4) : get_be16(list + 2);
    if ((list[0] & PROTECTION_FIELD_USAGE) || (long_list && (list[3] & PROTECTION_EXPONENT)))
        return fail_list(exec);
    if (!(list[1] & FOV) && (list[1] & WITH_FOV))
        return fail_list(exec);
    if (defect_bytes != 0) /* a file has no defects that could be set aside */
        return fail_list(exec);
    return list[1] & IP ? check_pattern(exec, &data) : SCSI_STATUS_GOOD;
}

uint8_t op_format_unit(struct exec *exec)
{
    const uint8_t *cdb = exec->cdb;
    uint8_t status;
    int error;

    if ((cdb[1] & FMTPINFO) || (cdb[4] & FFMT) > FAST)
        return exec_fail_field(exec);
    if (cdb[1] & FMTDATA) {
        status = check_list(exec);
        if (status != SCSI_STATUS_GOOD)
            return status;
    } else if (cdb[1] != 0) { /* CMPLST and DEFECT LIST FORMAT speak of a list */
        return exec_fail_field(exec);
    }
    exec->durable = true;
    error = volume_unmap_all(exec->volume);
    if (!error)
        error = volume_flush(exec->volume);
    return exec_result(exec, error, true);
}
