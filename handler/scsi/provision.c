/* SPDX-License-Identifier: Apache-2.0 */

/* Logical block provisioning: UNMAP and WRITE SAME, SBC-4 5.35, 5.52 and 5.53. */

#include "byteorder.h"
#include "cdb.h"
#include "checked.h"
#include "lun_internal.h"
#include "unmap_list.h"
#include "zeros.h"

#define UNMAP_ANCHOR 0x01

/* One descriptor more than are served, to see that there are too many. */
#define UNMAP_LIST_BYTES \
    (UNMAP_HEADER_BYTES + (LUN_MAX_UNMAP_DESCRIPTORS + 1) * UNMAP_DESCRIPTOR_BYTES)

/* Checks the whole list before any of it is done. */
static uint8_t check_list(struct exec *exec, const struct unmap_list *list)
{
    uint64_t capacity = volume_blocks(exec->volume);
    uint64_t total = 0;

    if (list->count > LUN_MAX_UNMAP_DESCRIPTORS)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    for (size_t i = 0; i < list->count; i++) {
        struct unmap_descriptor range = unmap_list_get(list, i);

        if (!range_within(range.lba, range.blocks, capacity))
            return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
        total += range.blocks;
    }
    if (total > LUN_MAX_UNMAP_BLOCKS)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_INVALID_FIELD_IN_PARAMETER_LIST);
    return SCSI_STATUS_GOOD;
}

static int unmap_all(struct volume *volume, const struct unmap_list *list, bool anchor)
{
    uint64_t block_size = volume_block_size(volume);

    for (size_t i = 0; i < list->count; i++) {
        struct unmap_descriptor range = unmap_list_get(list, i);
        uint64_t offset = range.lba * block_size, length = range.blocks * block_size;
        int error =
            anchor ? volume_anchor(volume, offset, length) : volume_unmap(volume, offset, length);

        if (error)
            return error;
    }
    return 0;
}

uint8_t op_unmap(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    size_t length = get_be16(exec->cdb + 7);
    uint8_t bytes[UNMAP_LIST_BYTES];
    bool anchor = exec->cdb[1] & UNMAP_ANCHOR;
    struct unmap_list list;
    uint8_t status;

    if (anchor && !volume_can_anchor(exec->volume)) /* ANC_SUP is 0 */
        return exec_fail_field(exec);
    if (length > 0 && length < UNMAP_HEADER_BYTES)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
    if (!exec_data_out_has(exec, length))
        return exec_fail_length(exec);
    length = iov_cursor_read(&data, bytes, (size_t)min_u64(length, sizeof(bytes)));
    if (unmap_list_decode(bytes, length, &list) < 0)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_PARAMETER_LIST_LENGTH_ERROR);
    status = check_list(exec, &list);
    if (status != SCSI_STATUS_GOOD)
        return status;
    return exec_result(exec, unmap_all(exec->volume, &list, anchor), true);
}

#define BLOCK_MAX_BYTES 4096
#define REPEATS         256

/* Writes the block over and over. */
static int write_pattern(struct volume *volume, uint8_t *block, uint64_t offset, uint64_t blocks)
{
    uint32_t block_size = volume_block_size(volume);
    struct iovec iov[REPEATS];

    for (int i = 0; i < REPEATS; i++)
        iov[i] = (struct iovec){.iov_base = block, .iov_len = block_size};
    while (blocks > 0) {
        int count = (int)min_u64(REPEATS, blocks);
        int error = volume_write(volume, iov, count, offset, false);

        if (error)
            return error;
        offset += (uint64_t)count * block_size;
        blocks -= (uint64_t)count;
    }
    return 0;
}

static uint8_t check_write_same(struct exec *exec, const struct cdb_block_fields *fields)
{
    uint32_t block_size = volume_block_size(exec->volume);

    if (fields->protect != 0 || fields->obsolete)
        return exec_fail_field(exec);
    if (fields->anchor && !(fields->unmap && volume_can_anchor(exec->volume)))
        return exec_fail_field(exec);
    if (!range_within(fields->lba, fields->blocks, volume_blocks(exec->volume)))
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_LBA_OUT_OF_RANGE);
    if (fields->blocks == 0) /* WSNZ: it does not mean up to the end */
        return exec_fail_field(exec);
    if (fields->blocks > LUN_MAX_WRITE_SAME_BYTES / block_size)
        return exec_fail_field(exec);
    return SCSI_STATUS_GOOD;
}

uint8_t op_write_same(struct exec *exec)
{
    struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    uint32_t block_size = volume_block_size(exec->volume);
    uint8_t block[BLOCK_MAX_BYTES] = {0};
    struct cdb_block_fields fields;
    uint64_t offset, length;
    uint8_t status;
    int error;

    if (cdb_decode_block_fields(exec->cdb, &fields) < 0)
        return exec_fail_field(exec);
    status = check_write_same(exec, &fields);
    if (status != SCSI_STATUS_GOOD)
        return status;
    if (!exec_data_out_is(exec, fields.ndob ? 0 : block_size))
        return exec_fail_length(exec);
    iov_cursor_read(&data, block, block_size);
    offset = fields.lba * block_size;
    length = (uint64_t)fields.blocks * block_size;
    if (!bytes_are_zero(block, block_size))
        error = write_pattern(exec->volume, block, offset, fields.blocks);
    else if (fields.anchor)
        error = volume_anchor(exec->volume, offset, length);
    else if (fields.unmap)
        error = volume_unmap(exec->volume, offset, length);
    else
        error = volume_zero(exec->volume, offset, length);
    return exec_result(exec, error, true);
}
