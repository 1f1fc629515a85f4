/* SPDX-License-Identifier: Apache-2.0 */

/* VERIFY and WRITE AND VERIFY, SBC-4 5.36 and 5.48. What is verified is the medium, as far as it
 * can be reached from here: the range is made durable and dropped from the page cache first, so
 * that reading it asks the file system's device (whose own cache may answer). */

#include <string.h>

#include "cdb.h"
#include "checked.h"
#include "lun_internal.h"

/* The bytes held at a time, of the medium and of what to compare with: a multiple of every block
 * size. */
#define VERIFY_BYTES 16384

/* VERIFY's BYTCHK (SBC-4 5.36). */
enum { BYTCHK_READABLE = 0, BYTCHK_COMPARE = 1, BYTCHK_COMPARE_ONE_BLOCK = 3 };

/* The bytes of Data-Out that belong to VERIFY, or -1 for a BYTCHK that means nothing. */
static int64_t verify_data_bytes(const struct exec *exec, const struct cdb_block_fields *fields,
                                 const struct lun_range *range)
{
    switch (fields->bytchk) {
    case BYTCHK_READABLE:
        return 0;
    case BYTCHK_COMPARE:
        return (int64_t)range->length;
    case BYTCHK_COMPARE_ONE_BLOCK:
        return range->length == 0 ? 0 : volume_block_size(exec->volume);
    default:
        return -1;
    }
}

/* What the next length bytes of the medium should be. */
static void next_expected(const struct exec *exec, uint8_t bytchk, struct iov_cursor *data,
                          uint8_t *to, size_t length)
{
    uint32_t block_size = volume_block_size(exec->volume);

    if (bytchk == BYTCHK_COMPARE) {
        iov_cursor_read(data, to, length);
        return;
    }
    for (size_t at = 0; at < length; at += block_size) {
        struct iov_cursor block = *data;

        iov_cursor_read(&block, to + at, block_size);
    }
}

/* With BYTCHK 00b every block is read and found readable. */
static uint8_t compare_range(struct exec *exec, uint8_t bytchk, const struct lun_range *range)
{
    struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    uint8_t found[VERIFY_BYTES], expected[VERIFY_BYTES];

    for (uint64_t done = 0; done < range->length;) {
        size_t length = (size_t)min_u64(VERIFY_BYTES, range->length - done);
        struct iovec iov = {.iov_base = found, .iov_len = length};
        int error = volume_read(exec->volume, &iov, 1, range->offset + done);

        if (error)
            return exec_result(exec, error, false);
        if (bytchk != BYTCHK_READABLE) {
            next_expected(exec, bytchk, &data, expected, length);
            if (memcmp(found, expected, length) != 0)
                return exec_fail(exec, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
        }
        done += length;
    }
    return SCSI_STATUS_GOOD;
}

static uint8_t verify_medium(struct exec *exec, uint8_t bytchk, const struct lun_range *range)
{
    int error = range->length > 0 ? volume_flush(exec->volume) : 0;

    if (error)
        return exec_result(exec, error, true);
    exec->durable = true;
    error = volume_drop_cached(exec->volume, range->offset, range->length);
    if (error)
        return exec_result(exec, error, false);
    return compare_range(exec, bytchk, range);
}

uint8_t op_verify(struct exec *exec)
{
    struct cdb_block_fields fields;
    struct lun_range range = {0};
    uint8_t status = exec_decode_range(exec, &fields, &range);
    int64_t data_bytes;

    if (status != SCSI_STATUS_GOOD)
        return status;
    data_bytes = verify_data_bytes(exec, &fields, &range);
    if (data_bytes < 0)
        return exec_fail_field(exec);
    if (data_bytes > 0 && !exec_data_out_is(exec, (uint64_t)data_bytes))
        return exec_fail_length(exec);
    return verify_medium(exec, fields.bytchk, &range);
}

/* A write of someone else between the write and its verification may be what is compared, as it may
 * come between any two commands. */
uint8_t op_write_and_verify(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct cdb_block_fields fields;
    struct lun_range range = {0};
    uint8_t status = exec_decode_range(exec, &fields, &range);
    int error;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (fields.bytchk != BYTCHK_READABLE && fields.bytchk != BYTCHK_COMPARE)
        return exec_fail_field(exec);
    if (!exec_data_out_is(exec, range.length))
        return exec_fail_length(exec);
    error =
        volume_write(exec->volume, command->data_out, command->data_out_count, range.offset, false);
    if (error)
        return exec_result(exec, error, true);
    return verify_medium(exec, fields.bytchk, &range);
}
