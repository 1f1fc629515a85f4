/* SPDX-License-Identifier: Apache-2.0 */

/* READ, WRITE, PRE-FETCH and SYNCHRONIZE CACHE, SBC-4. */

#include <errno.h>

#include "cdb.h"
#include "checked.h"
#include "lun_internal.h"

/* Elements of a scatter list handled at once where it cannot be passed on as it is. */
#define BATCH 64

uint8_t exec_check_capacity(struct exec *exec, const struct cdb_block_fields *fields)
{
    if (range_within(fields->lba, fields->blocks, volume_blocks(exec->volume)))
        return SCSI_STATUS_GOOD;
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
}

uint8_t exec_decode_range(struct exec *exec, struct cdb_block_fields *fields, struct lun_range *ret)
{
    uint32_t block_size = volume_block_size(exec->volume);
    uint8_t status;

    if (cdb_decode_block_fields(exec->cdb, fields) < 0)
        return exec_fail_field(exec);
    if (fields->protect != 0) /* PROTECT is 0 in the INQUIRY data */
        return exec_fail_field(exec);
    status = exec_check_capacity(exec, fields);
    if (status != SCSI_STATUS_GOOD)
        return status;
    if (fields->blocks > LUN_MAX_TRANSFER_BYTES / block_size)
        return exec_fail_field(exec);
    ret->offset = fields->lba * block_size;
    ret->length = (uint64_t)fields->blocks * block_size;
    return SCSI_STATUS_GOOD;
}

bool exec_data_out_is(const struct exec *exec, uint64_t length)
{
    return iov_total(exec->command->data_out, exec->command->data_out_count) == length;
}

bool exec_data_out_has(const struct exec *exec, uint64_t length)
{
    return iov_total(exec->command->data_out, exec->command->data_out_count) >= length;
}

/* Reads length bytes into the first part of a longer scatter list. */
static int read_part(struct volume *volume, const struct iovec *iov, int count,
                     const struct lun_range *range)
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

/* Reads what the command asks for; -EAGAIN when it is not to wait for it. */
static int read_range(struct exec *exec, const struct lun_range *range, size_t room, bool fua)
{
    const struct lun_command *command = exec->command;
    bool whole = room == range->length;
    int error = -EOPNOTSUPP;

    if (command->patience != LUN_WAITS) {
        if (fua || !whole)
            return -EAGAIN;
        error = volume_read_cached(exec->volume, command->data_in, command->data_in_count,
                                   range->offset);
        if (error != -EOPNOTSUPP || command->patience == LUN_NEVER_WAITS)
            return error == -EOPNOTSUPP ? -EAGAIN : error;
    }
    if (fua) { /* what is read must be on the medium */
        error = volume_flush(exec->volume);
        if (error)
            return error;
    }
    if (whole)
        return volume_read(exec->volume, command->data_in, command->data_in_count, range->offset);
    return read_part(exec->volume, command->data_in, command->data_in_count, range);
}

uint8_t op_read(struct exec *exec)
{
    struct lun_command *command = exec->command;
    size_t room = iov_total(command->data_in, command->data_in_count);
    struct cdb_block_fields fields;
    struct lun_range range = {0};
    uint8_t status = exec_decode_range(exec, &fields, &range);
    int error;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (room < range.length)
        return exec_fail_length(exec);
    error = read_range(exec, &range, room, fields.fua);
    if (error == -EAGAIN)
        return LUN_WOULD_WAIT;
    if (!error)
        command->data_in_bytes = range.length;
    return exec_result(exec, error, false);
}

uint8_t op_write(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct cdb_block_fields fields;
    struct lun_range range = {0};
    uint8_t status = exec_decode_range(exec, &fields, &range);
    int error;

    if (status != SCSI_STATUS_GOOD)
        return status;
    if (!exec_data_out_is(exec, range.length))
        return exec_fail_length(exec);
    exec->durable = fields.fua || exec->lun->mode.write_through;
    /* Whether memory takes it at once is never known. */
    if (command->patience == LUN_NEVER_WAITS || (command->patience != LUN_WAITS && exec->durable))
        return LUN_WOULD_WAIT;
    if (command->patience == LUN_WAITS)
        error = volume_write(exec->volume, command->data_out, command->data_out_count, range.offset,
                             exec->durable);
    else
        error = volume_try_write(exec->volume, command->data_out, command->data_out_count,
                                 range.offset);
    if (error == -EAGAIN && command->patience != LUN_WAITS)
        return LUN_WOULD_WAIT;
    if (!error && atomic_load_explicit(&exec->lun->full_logged, memory_order_relaxed))
        atomic_store(&exec->lun->full_logged, false);
    return exec_result(exec, error, true);
}

/* SBC-4 5.33: a count of 0 means up to the end. Whatever the range, all is made durable, and before
 * the reply also with IMMED. */
uint8_t op_synchronize_cache(struct exec *exec)
{
    struct cdb_block_fields fields;
    uint8_t status;

    if (cdb_decode_block_fields(exec->cdb, &fields) < 0)
        return exec_fail_field(exec);
    status = exec_check_capacity(exec, &fields);
    if (status != SCSI_STATUS_GOOD)
        return status;
    return exec_result(exec, volume_flush(exec->volume), true);
}

/* No more is fetched for one command. */
#define FETCH_MAX_BYTES LUN_MAX_TRANSFER_BYTES
#define FETCH_AT_A_TIME (64 * 1024)

/* Reads the range for nothing but that it is in memory afterwards. */
static int fetch(struct volume *volume, const struct lun_range *range)
{
    uint8_t bytes[FETCH_AT_A_TIME];
    uint64_t done = 0;
    int error = 0;

    while (!error && done < range->length) {
        struct iovec iov = {.iov_base = bytes,
                            .iov_len = (size_t)min_u64(sizeof(bytes), range->length - done)};

        error = volume_read(volume, &iov, 1, range->offset + done);
        done += iov.iov_len;
    }
    return error;
}

/* SBC-4 5.10: a count of 0 means up to the end. CONDITION MET when all of it is in memory, or with
 * IMMED on its way there; GOOD when that is too much and only its beginning is. */
uint8_t op_pre_fetch(struct exec *exec)
{
    uint32_t block_size = volume_block_size(exec->volume);
    struct cdb_block_fields fields;
    struct lun_range range;
    uint64_t wanted;
    uint8_t status;
    int error;

    if (cdb_decode_block_fields(exec->cdb, &fields) < 0)
        return exec_fail_field(exec);
    status = exec_check_capacity(exec, &fields);
    if (status != SCSI_STATUS_GOOD)
        return status;
    wanted = fields.blocks ? fields.blocks : volume_blocks(exec->volume) - fields.lba;
    range.offset = fields.lba * block_size;
    range.length = min_u64(wanted, FETCH_MAX_BYTES / block_size) * block_size;
    if (fields.immed)
        error = volume_prefetch(exec->volume, range.offset, range.length);
    else
        error = fetch(exec->volume, &range);
    if (error)
        return exec_result(exec, error, false);
    return range.length / block_size == wanted ? SCSI_STATUS_CONDITION_MET : SCSI_STATUS_GOOD;
}
