/* SPDX-License-Identifier: Apache-2.0 */

/* READ, WRITE, VERIFY and SYNCHRONIZE CACHE, SBC-4. */

#include <string.h>

#include "cdb.h"
#include "checked.h"
#include "lun_internal.h"

/* Elements of a scatter list handled at once where it cannot be passed on as it is. */
#define BATCH 64

/* The bytes VERIFY holds at a time, of the medium and of what to compare with: a multiple of every
 * block size. */
#define VERIFY_BYTES 16384

/* Where the command's blocks lie, in bytes. */
struct range {
    uint64_t offset;
    uint64_t length;
};

static bool in_capacity(const struct exec *exec, const struct cdb_block_fields *fields)
{
    return range_within(fields->lba, fields->blocks, volume_blocks(exec->volume));
}

/* GOOD with the fields and their range, or the status to give up with. */
static uint8_t decode_transfer(struct exec *exec, struct cdb_block_fields *fields,
                               struct range *ret)
{
    uint32_t block_size = volume_block_size(exec->volume);

    if (cdb_decode_block_fields(exec->cdb, fields) < 0)
        return exec_fail_field(exec);
    if (fields->protect != 0) /* PROTECT is 0 in the INQUIRY data */
        return exec_fail_field(exec);
    if (!in_capacity(exec, fields))
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    if (fields->blocks > LUN_MAX_TRANSFER_BYTES / block_size)
        return exec_fail_field(exec);
    ret->offset = fields->lba * block_size;
    ret->length = (uint64_t)fields->blocks * block_size;
    return SCSI_STATUS_GOOD;
}

/* Reads length bytes into the first part of a longer scatter list. */
static int read_part(struct volume *volume, const struct iovec *iov, int count,
                     const struct range *range)
{
    struct iov_cursor cursor = iov_cursor_at_start(iov, count);
    struct iovec batch[BATCH];
    uint64_t done = 0;

    while (done < range->length) {
        size_t length;
        int elements = iov_cursor_batch(&cursor, range->length - done, batch, BATCH, &length);
        int error = volume_read(volume, batch, elements, range->offset + done);

        if (error)
            return error;
        iov_cursor_skip(&cursor, length);
        done += length;
    }
    return 0;
}

uint8_t op_read(struct exec *exec)
{
    struct lun_command *command = exec->command;
    size_t room = iov_total(command->data_in, command->data_in_count);
    struct cdb_block_fields fields;
    struct range range = {0};
    uint8_t status = decode_transfer(exec, &fields, &range);
    int error = 0;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (room < range.length)
        return exec_fail_field(exec);
    if (fields.fua) /* what is read must be on the medium */
        error = volume_flush(exec->volume);
    if (!error && room == range.length)
        error = volume_read(exec->volume, command->data_in, command->data_in_count, range.offset);
    else if (!error)
        error = read_part(exec->volume, command->data_in, command->data_in_count, &range);
    if (!error)
        command->data_in_bytes = range.length;
    return exec_result(exec, error, false);
}

uint8_t op_write(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct cdb_block_fields fields;
    struct range range = {0};
    uint8_t status = decode_transfer(exec, &fields, &range);
    int error;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (iov_total(command->data_out, command->data_out_count) != range.length)
        return exec_fail_field(exec);
    error = volume_write(exec->volume, command->data_out, command->data_out_count, range.offset,
                         fields.fua);
    if (!error && atomic_load_explicit(&exec->lun->full_logged, memory_order_relaxed))
        atomic_store(&exec->lun->full_logged, false);
    return exec_result(exec, error, true);
}

/* VERIFY's BYTCHK (SBC-4 5.36). */
enum { BYTCHK_READABLE = 0, BYTCHK_COMPARE = 1, BYTCHK_COMPARE_ONE_BLOCK = 3 };

/* The bytes of Data-Out that belong to VERIFY, or -1 for a BYTCHK that means nothing. */
static int64_t verify_data_bytes(const struct exec *exec, const struct cdb_block_fields *fields,
                                 const struct range *range)
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

static uint8_t verify_range(struct exec *exec, uint8_t bytchk, const struct range *range)
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

uint8_t op_verify(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct cdb_block_fields fields;
    struct range range = {0};
    uint8_t status = decode_transfer(exec, &fields, &range);
    int64_t data_bytes;

    if (status != SCSI_STATUS_GOOD)
        return status;
    data_bytes = verify_data_bytes(exec, &fields, &range);
    if (data_bytes < 0)
        return exec_fail_field(exec);
    if (data_bytes > 0 &&
        iov_total(command->data_out, command->data_out_count) != (size_t)data_bytes)
        return exec_fail_field(exec);
    return verify_range(exec, fields.bytchk, &range);
}

/* SBC-4 5.33: a count of 0 means up to the end. Whatever the range, all is made durable, and before
 * the reply also with IMMED. */
uint8_t op_synchronize_cache(struct exec *exec)
{
    struct cdb_block_fields fields;

    if (cdb_decode_block_fields(exec->cdb, &fields) < 0)
        return exec_fail_field(exec);
    if (!in_capacity(exec, &fields))
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    return exec_result(exec, volume_flush(exec->volume), true);
}
