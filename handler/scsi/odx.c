/* SPDX-License-Identifier: Apache-2.0 */

/* POPULATE TOKEN, WRITE USING TOKEN and RECEIVE ROD TOKEN INFORMATION, SBC-4 5.15, 5.49 and SPC-4
 * 6.26. What a command does is done when its status comes, with IMMED as without, so that a failure
 * is told by that status. */

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "copy_limits.h"
#include "lun_internal.h"
#include "rod_token.h"
#include "sense.h"
#include "token_list.h"

#define LIST_MAX_BYTES (TOKEN_LIST_WRITE_BYTES + ROD_TOKEN_MAX_RANGES * TOKEN_LIST_RANGE_BYTES)
/* Copied before the token is looked at again. */
#define PIECE_BYTES COPY_MAX_SEGMENT_BYTES

/* COPY OPERATION STATUS: completed without errors; and with residual data. */
#define OPERATION_DONE          0x01
#define OPERATION_DONE_RESIDUAL 0x04

#define TRANSFER_UNITS_BLOCKS   0xF1

#define INFORMATION_BYTES       32
#define INFORMATION_SENSE_END   INFORMATION_BYTES /* LENGTH OF THE SENSE DATA FIELD is 0 */

static uint8_t fail_list(struct exec *exec, uint16_t field)
{
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST,
                          .asc_ascq = ASC_INVALID_FIELD_IN_PARAMETER_LIST};

    sense_set_list_field(&sense, field);
    return exec_fail_sense(exec, &sense);
}

static uint8_t fail_request(struct exec *exec, uint16_t asc_ascq)
{
    return exec_fail(exec, SENSE_ILLEGAL_REQUEST, (enum scsi_asc_ascq)asc_ascq);
}

/* The parameter list in bytes. *ret_list is without ranges when there is nothing to do. */
static uint8_t read_list(struct exec *exec, bool writes, uint8_t bytes[static LIST_MAX_BYTES],
                         struct token_list *ret_list)
{
    const struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    uint32_t length = get_be32(exec->cdb + 10);
    uint16_t field;
    int error;

    *ret_list = (struct token_list){0};
    if (length == 0)
        return SCSI_STATUS_GOOD;
    if (!exec_data_out_has(exec, length))
        return exec_fail_length(exec);
    if (length > LIST_MAX_BYTES)
        return fail_request(exec, ASC_TOO_MANY_SEGMENTS);
    length = (uint32_t)iov_cursor_read(&data, bytes, length);
    error = token_list_decode(bytes, length, writes, ret_list, &field);
    if (error == -EMSGSIZE)
        return fail_request(exec, ASC_PARAMETER_LIST_LENGTH_ERROR);
    if (error)
        return fail_list(exec, field);
    return ret_list->range_count > ROD_TOKEN_MAX_RANGES ? fail_request(exec, ASC_TOO_MANY_SEGMENTS)
                                                        : SCSI_STATUS_GOOD;
}

/* The ranges of the list in bytes, without those of no blocks, each within the capacity. */
static uint8_t check_ranges(struct exec *exec, const struct token_list *list, uint16_t field,
                            struct volume_range *ret, size_t *ret_count, uint64_t *ret_bytes)
{
    uint64_t block_size = volume_block_size(exec->volume);

    *ret_count = 0;
    *ret_bytes = 0;
    for (size_t i = 0; i < list->range_count; i++) {
        struct token_list_range range = token_list_get(list, i);
        struct volume_range *place = &ret[*ret_count];

        if (!range_within(range.lba, range.blocks, volume_blocks(exec->volume)))
            return fail_request(exec, ASC_LBA_OUT_OF_RANGE);
        if (range.blocks == 0)
            continue;
        *place = (struct volume_range){range.lba * block_size, range.blocks * block_size};
        for (size_t j = 0; j < *ret_count; j++)
            if (place->offset < ret[j].offset + ret[j].length &&
                ret[j].offset < place->offset + place->length)
                return fail_list(exec, field); /* SBC-4: they shall not overlap */
        ++*ret_count;
        *ret_bytes += place->length;
    }
    return *ret_bytes > ROD_TOKEN_MAX_BYTES ? fail_list(exec, field) : SCSI_STATUS_GOOD;
}

static uint8_t keep_record(struct exec *exec, const struct token_record *record)
{
    if (token_record_keep(&exec->lun->token_records, record))
        return SCSI_STATUS_GOOD;
    return fail_request(exec, ASC_OPERATION_IN_PROGRESS);
}

static uint8_t make_token(struct exec *exec, const struct token_list *list,
                          const struct volume_range *ranges, size_t count,
                          struct token_record *record)
{
    uint32_t seconds =
        list->inactivity_seconds ? list->inactivity_seconds : ROD_TOKEN_DEFAULT_INACTIVE_SECONDS;
    int error = rod_token_create(exec->lun, ranges, count, seconds, record->token);

    if (error == -EAGAIN)
        return fail_request(exec, ASC_NO_RESOURCES_FOR_ROD_TOKEN);
    if (error)
        return exec_result(exec, error, false);
    record->has_token = true;
    return keep_record(exec, record);
}

uint8_t op_populate_token(struct exec *exec)
{
    struct volume_range ranges[ROD_TOKEN_MAX_RANGES];
    struct token_record record = {.list_id = get_be32(exec->cdb + 6),
                                  .service_action = SCSI_SA_POPULATE_TOKEN};
    uint8_t bytes[LIST_MAX_BYTES];
    struct token_list list;
    uint64_t total;
    size_t count;
    uint8_t status = read_list(exec, false, bytes, &list);

    if (status != SCSI_STATUS_GOOD || list.range_count == 0)
        return status;
    if (list.inactivity_seconds > ROD_TOKEN_MAX_INACTIVE_SECONDS)
        return fail_list(exec, TOKEN_FIELD_INACTIVITY);
    if (list.rod_type_valid && list.rod_type != ROD_TYPE_POINT_IN_TIME_CHANGE_VULNERABLE)
        return fail_list(exec, TOKEN_FIELD_ROD_TYPE);
    status = check_ranges(exec, &list, TOKEN_FIELD_POPULATE_RANGES, ranges, &count, &total);
    if (status != SCSI_STATUS_GOOD)
        return status;
    if (total == 0)
        return fail_list(exec, TOKEN_FIELD_POPULATE_RANGES);
    if (!token_record_is_free(&exec->lun->token_records, record.list_id))
        return fail_request(exec, ASC_OPERATION_IN_PROGRESS);
    record.blocks = total / volume_block_size(exec->volume);
    return make_token(exec, &list, ranges, count, &record);
}

/* The error of the source, in a copy that this logical unit makes. */
static uint8_t fail_source(struct exec *exec, struct lun *source, int error)
{
    struct sense sense = {.key = SENSE_COPY_ABORTED, .asc_ascq = ASC_THIRD_PARTY_DEVICE_FAILURE};

    (void)lun_error_sense(source, error, false); /* which logs what it was */
    return exec_fail_sense(exec, &sense);
}

/* How far a WRITE USING TOKEN is. */
struct use {
    struct rod_token *token;
    uint64_t offset; /* in the token's data, of the next byte */
    uint64_t done_bytes;
    uint64_t begun_ms;
};

/* It stops here, and the initiator asks for the rest with another. */
static bool is_late(const struct exec *exec, const struct use *use)
{
    return use->done_bytes > 0 && lun_now_ms(exec->lun) - use->begun_ms > COPY_MAX_MS;
}

/* Fills one range, until it is late, with the token's data, which it has. Whether the data still
 * were what the token stands for is known after they have been read, and said by each piece. */
static uint8_t write_from_token(struct exec *exec, struct use *use, const struct volume_range *to)
{
    struct rod_token *token = use->token;
    struct lun *source = rod_token_source(token);

    for (uint64_t done = 0; done < to->length && !is_late(exec, use);) {
        struct volume_range from = rod_token_place(token, use->offset);
        uint64_t piece = min_u64(min_u64(from.length, to->length - done), PIECE_BYTES);
        bool source_failed;
        int error = volume_copy(exec->volume, to->offset + done, lun_volume(source), from.offset,
                                piece, &source_failed);

        if (rod_token_is_revoked(token))
            return fail_request(exec, ASC_TOKEN_REVOKED);
        if (error)
            return source_failed ? fail_source(exec, source, error)
                                 : exec_result(exec, error, true);
        /* Without a write cache the time that this takes counts too. */
        error = lun_end_write(exec->lun, 0, false, piece);
        if (error)
            return exec_result(exec, error, true);
        done += piece;
        use->offset += piece;
        use->done_bytes += piece;
    }
    return SCSI_STATUS_GOOD;
}

static void release_token(struct rod_token **token)
{
    if (*token)
        rod_token_release(*token);
}

/* *ret_bytes: what has been written, from the first range on. */
static uint8_t use_token(struct exec *exec, const struct token_list *list,
                         const struct volume_range *ranges, size_t count, uint64_t total,
                         uint64_t *ret_bytes)
{
    uint32_t block_size = volume_block_size(exec->volume);
    uint16_t asc_ascq = ASC_NONE;
    CLEANUP(release_token) struct rod_token *token = rod_token_use(list->token, &asc_ascq);
    struct use use = {.token = token, .begun_ms = lun_now_ms(exec->lun)};
    uint8_t status = SCSI_STATUS_GOOD;

    if (!token)
        return fail_request(exec, asc_ascq);
    if (volume_block_size(lun_volume(rod_token_source(token))) != block_size)
        return fail_request(exec, ASC_UNSUPPORTED_TOKEN_TYPE);
    if (mul_overflows(list->offset_blocks, block_size, &use.offset) ||
        !range_within(use.offset, total, rod_token_data_bytes(token)))
        return fail_list(exec, TOKEN_FIELD_OFFSET);
    for (size_t i = 0; status == SCSI_STATUS_GOOD && i < count; i++)
        status = write_from_token(exec, &use, &ranges[i]);
    *ret_bytes = use.done_bytes;
    if (status == SCSI_STATUS_GOOD && use.done_bytes == total && list->delete_token)
        rod_token_delete(token);
    return status;
}

/* The block device zero ROD token stands for zeros without end. */
static uint8_t write_zeros(struct exec *exec, const struct volume_range *ranges, size_t count)
{
    int error = 0;

    for (size_t i = 0; !error && i < count; i++)
        error = volume_unmap(exec->volume, ranges[i].offset, ranges[i].length);
    return exec_result(exec, lun_end_write(exec->lun, error, false, 0), true);
}

uint8_t op_write_using_token(struct exec *exec)
{
    struct volume_range ranges[ROD_TOKEN_MAX_RANGES];
    struct token_record record = {.list_id = get_be32(exec->cdb + 6),
                                  .service_action = SCSI_SA_WRITE_USING_TOKEN};
    uint8_t bytes[LIST_MAX_BYTES];
    struct token_list list;
    uint64_t total, written;
    size_t count;
    uint8_t status = read_list(exec, true, bytes, &list);

    if (status != SCSI_STATUS_GOOD || list.range_count == 0)
        return status;
    status = check_ranges(exec, &list, TOKEN_FIELD_WRITE_RANGES, ranges, &count, &total);
    if (status != SCSI_STATUS_GOOD)
        return status;
    if (!token_record_is_free(&exec->lun->token_records, record.list_id))
        return fail_request(exec, ASC_OPERATION_IN_PROGRESS);
    written = total;
    if (get_be32(list.token) == (uint32_t)ROD_TYPE_BLOCK_ZERO)
        status = write_zeros(exec, ranges, count);
    else
        status = use_token(exec, &list, ranges, count, total, &written);
    if (status != SCSI_STATUS_GOOD)
        return status;
    record.blocks = written / volume_block_size(exec->volume);
    record.residual = written < total;
    return keep_record(exec, &record);
}

uint8_t op_receive_rod_token_information(struct exec *exec)
{
    uint8_t bytes[INFORMATION_BYTES + 4 + 2 + ROD_TOKEN_BYTES] = {0};
    struct token_record record;
    size_t length = INFORMATION_SENSE_END + 4;

    if (!token_record_take(&exec->lun->token_records, get_be32(exec->cdb + 2), &record))
        return exec_fail_field(exec);
    bytes[4] = record.service_action;
    bytes[5] = record.residual ? OPERATION_DONE_RESIDUAL : OPERATION_DONE;
    put_be16(bytes + 6, 1);              /* OPERATION COUNTER */
    put_be32(bytes + 8, UINT32_MAX - 1); /* ESTIMATED STATUS UPDATE DELAY: it is done */
    bytes[12] = SCSI_STATUS_GOOD;
    bytes[15] = TRANSFER_UNITS_BLOCKS;
    put_be64(bytes + 16, record.blocks);
    if (record.has_token) {
        put_be32(bytes + INFORMATION_SENSE_END, 2 + ROD_TOKEN_BYTES);
        memcpy(bytes + INFORMATION_SENSE_END + 4 + 2, record.token, ROD_TOKEN_BYTES);
        length = sizeof(bytes);
    }
    put_be32(bytes, (uint32_t)(length - 4));
    return reply_whole(exec, bytes, length, get_be32(exec->cdb + 10));
}
