/* SPDX-License-Identifier: Apache-2.0 */

/* EXTENDED COPY(LID1), SPC-4 6.4: segments from blocks to blocks, with and without byte offsets,
 * within this logical unit and between it and others of its copy group. */

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "copy_limits.h"
#include "guard.h"
#include "lun_internal.h"
#include "registry.h"
#include "sense.h"

static const struct copy_list_limits limits = {
    .max_cscds = COPY_MAX_CSCDS,
    .max_segments = COPY_MAX_SEGMENTS,
    .max_descriptor_bytes = COPY_MAX_DESCRIPTOR_BYTES,
};

/* Why a segment could not be copied. */
struct failure {
    uint16_t asc_ascq;
    uint16_t field; /* of the segment descriptor; 0: none of its bytes is at fault */
    bool forwarded; /* what the source, or the destination, has to say */
    uint8_t status; /* of that side; sense is for CHECK CONDITION only */
    bool by_source;
    struct sense sense;
};

struct segment_job {
    struct lun *source, *destination; /* NULL: not found yet */
    uint64_t source_offset, destination_offset, bytes;
    bool in_blocks; /* all three are whole blocks of both */
};

/* The status and sense data of the logical unit at fault (SPC-4 6.4.3), behind the sense data of
 * the copy. */
#define FORWARDED_DESCRIPTOR       0x0C
#define FORWARDED_FROM_SOURCE      0x01
#define FORWARDED_FROM_DESTINATION 0x02

static void forward_sense(uint8_t *to, const struct failure *failure)
{
    bool has_sense = failure->status == SCSI_STATUS_CHECK_CONDITION;
    size_t at = 8u + to[7]; /* where the sense data end */
    uint8_t length = has_sense ? SENSE_FIXED_BYTES : 0;

    if ((to[0] & 0x7F) == 0x70) {
        to[failure->by_source ? 8 : 9] = (uint8_t)at;
        to[at] = failure->status;
        at += 1;
    } else {
        to[at] = FORWARDED_DESCRIPTOR;
        to[at + 1] = (uint8_t)(2 + length);
        to[at + 2] = failure->by_source ? FORWARDED_FROM_SOURCE : FORWARDED_FROM_DESTINATION;
        to[at + 3] = failure->status;
        at += 4;
    }
    if (has_sense)
        sense_encode_fixed(&failure->sense, to + at);
    to[7] = (uint8_t)(at + length - 8);
}

_Static_assert(SENSE_DESCRIPTOR_MAX_BYTES + 4 + SENSE_FIXED_BYTES <= LUN_SENSE_BYTES,
               "forwarded sense data have room");

/* The command ends with COPY ABORTED, and the number of the segment at fault. */
static uint8_t abort_copy(struct exec *exec, size_t segment, const struct failure *failure)
{
    struct sense sense = {
        .key = SENSE_COPY_ABORTED,
        .asc_ascq = failure->asc_ascq,
        .command_specific_valid = true,
        .command_specific = (uint32_t)segment,
    };
    uint8_t status;

    if (failure->field)
        sense_set_segment_field(&sense, failure->field);
    status = exec_fail_sense(exec, &sense);
    if (failure->forwarded)
        forward_sense(exec->command->sense, failure);
    return status;
}

static int fail_at(struct failure *failure, enum scsi_asc_ascq asc_ascq, uint16_t field)
{
    *failure = (struct failure){.asc_ascq = (uint16_t)asc_ascq, .field = field};
    return -EINVAL;
}

/* The error of one side, in its own words too. */
static int fail_side(struct failure *failure, struct lun *lun, bool by_source, int error)
{
    *failure = (struct failure){
        .asc_ascq = ASC_THIRD_PARTY_DEVICE_FAILURE,
        .forwarded = true,
        .status = SCSI_STATUS_CHECK_CONDITION,
        .by_source = by_source,
        .sense = lun_error_sense(lun, error, !by_source),
    };
    return error;
}

/* The other logical unit is reserved (guard.h), or read-only to some initiator. */
static int check_access(struct exec *exec, const struct segment_job *job, struct failure *failure)
{
    int error = job->source == exec->lun ? 0 : guard_copy(job->source, false);
    bool by_source = error != 0;

    if (!error && job->destination != exec->lun)
        error = guard_copy(job->destination, true);
    if (error == -EBUSY)
        *failure = (struct failure){.asc_ascq = ASC_THIRD_PARTY_DEVICE_FAILURE,
                                    .forwarded = true,
                                    .status = SCSI_STATUS_RESERVATION_CONFLICT,
                                    .by_source = by_source};
    else if (error)
        fail_side(failure, job->destination, false, error);
    return error;
}

/* What this logical unit finds out itself, before it asks the others. */
static int fail_range(struct failure *failure, struct lun *lun, bool by_source, uint16_t field)
{
    fail_side(failure, lun, by_source, -ERANGE);
    failure->asc_ascq = ASC_NONE;
    failure->field = field;
    return -ERANGE;
}

/* The logical unit that a CSCD DESCRIPTOR ID means; field is where the ID stands. */
static int find_lun(struct exec *exec, const struct copy_list *list, uint16_t id, uint16_t field,
                    struct lun **ret, struct failure *failure)
{
    struct copy_cscd cscd;

    if (id == COPY_CSCD_ID_SELF) {
        *ret = registry_find(exec->lun, exec->lun->naa);
        return 0;
    }
    if (id >= list->cscd_count)
        return fail_at(failure, ASC_UNREACHABLE_COPY_TARGET, field);
    cscd = copy_list_cscd(list, id);
    if (cscd.unused)
        return fail_at(failure, ASC_UNREACHABLE_COPY_TARGET, field);
    if (cscd.peripheral_type != 0)
        return fail_at(failure, ASC_INCORRECT_COPY_TARGET_TYPE, field);
    *ret = cscd.naa ? registry_find(exec->lun, cscd.naa) : NULL;
    if (!*ret)
        return fail_at(failure, ASC_COPY_TARGET_NOT_REACHABLE, field);
    /* Counts in blocks of another size would mean other bytes. */
    if (cscd.block_size != volume_block_size(lun_volume(*ret)))
        return fail_at(failure, ASC_INCORRECT_COPY_TARGET_TYPE, field);
    return 0;
}

static void release_job(struct segment_job *job)
{
    if (job->source)
        registry_release(job->source);
    if (job->destination)
        registry_release(job->destination);
}

/* bytes that begin offset bytes into the block at lba; *ret: where in the volume. */
static bool find_place(struct lun *lun, uint64_t lba, uint32_t offset, uint64_t bytes,
                       uint64_t *ret)
{
    const struct volume *volume = lun_volume(lun);

    if (!range_within(lba, 0, volume_blocks(volume)))
        return false;
    *ret = lba * volume_block_size(volume) + offset;
    return range_within(*ret, bytes, volume_bytes(volume));
}

/* The bytes of the segment. What is left of a block is neither kept for the next segment (CAT) nor
 * filled up (PAD). */
static int count_bytes(const struct copy_segment *segment, struct segment_job *job,
                       struct failure *failure)
{
    uint32_t source_block = volume_block_size(lun_volume(job->source));
    uint32_t destination_block = volume_block_size(lun_volume(job->destination));
    uint32_t counted = segment->counts_destination_blocks ? destination_block : source_block;
    uint16_t field = COPY_SEGMENT_FIELD_BLOCKS;

    job->bytes = (uint64_t)segment->blocks * counted;
    if (segment->has_offsets) {
        job->bytes = segment->bytes;
        field = COPY_SEGMENT_FIELD_BYTES;
    }
    if (job->bytes > COPY_MAX_SEGMENT_BYTES)
        return fail_at(failure, ASC_INVALID_FIELD_IN_PARAMETER_LIST, field);
    if (segment->source_offset >= source_block)
        return fail_at(failure, ASC_INVALID_FIELD_IN_PARAMETER_LIST,
                       COPY_SEGMENT_FIELD_SOURCE_OFFSET);
    if (segment->destination_offset >= destination_block)
        return fail_at(failure, ASC_INVALID_FIELD_IN_PARAMETER_LIST,
                       COPY_SEGMENT_FIELD_DESTINATION_OFFSET);
    job->in_blocks = segment->source_offset == 0 && segment->destination_offset == 0 &&
                     job->bytes % source_block == 0 && job->bytes % destination_block == 0;
    return 0;
}

/* The bytes of the segment on both sides. */
static int place_segment(const struct copy_segment *segment, struct segment_job *job,
                         struct failure *failure)
{
    int error = count_bytes(segment, job, failure);

    if (error)
        return error;
    if (!find_place(job->source, segment->source_lba, segment->source_offset, job->bytes,
                    &job->source_offset))
        return fail_range(failure, job->source, true, COPY_SEGMENT_FIELD_SOURCE_LBA);
    if (!find_place(job->destination, segment->destination_lba, segment->destination_offset,
                    job->bytes, &job->destination_offset))
        return fail_range(failure, job->destination, false, COPY_SEGMENT_FIELD_DESTINATION_LBA);
    if (!job->in_blocks && !segment->has_offsets)
        return fail_at(failure, ASC_UNEXPECTED_INEXACT_SEGMENT, COPY_SEGMENT_FIELD_BLOCKS);
    return 0;
}

/* The destination keeps to its mode pages, as for a command of its own that writes. */
static int run_segment(const struct segment_job *job, bool *ret_source_failed)
{
    int (*copy)(struct volume *, uint64_t, struct volume *, uint64_t, uint64_t, bool *) =
        job->in_blocks ? volume_copy : volume_copy_bytes;
    int error;

    *ret_source_failed = false;
    if (lun_write_protection(job->destination) != ASC_NONE)
        return -EROFS;
    error = copy(lun_volume(job->destination), job->destination_offset, lun_volume(job->source),
                 job->source_offset, job->bytes, ret_source_failed);
    return lun_end_write(job->destination, error, false, job->bytes);
}

static int copy_segment(struct exec *exec, const struct copy_list *list, size_t index,
                        uint64_t *ret_bytes, struct failure *failure)
{
    struct copy_segment segment = copy_list_segment(list, index);
    CLEANUP(release_job) struct segment_job job = {0};
    bool source_failed;
    int error =
        find_lun(exec, list, segment.source, COPY_SEGMENT_FIELD_SOURCE, &job.source, failure);

    if (!error)
        error = find_lun(exec, list, segment.destination, COPY_SEGMENT_FIELD_DESTINATION,
                         &job.destination, failure);
    if (!error)
        error = place_segment(&segment, &job, failure);
    if (!error)
        error = check_access(exec, &job, failure);
    if (error)
        return error;
    error = run_segment(&job, &source_failed);
    *ret_bytes = job.bytes;
    return error ? fail_side(failure, source_failed ? job.source : job.destination, source_failed,
                             error)
                 : 0;
}

/* Only the first segment is begun however late it is. */
static int check_time(struct exec *exec, size_t index, uint64_t begun_ms, struct failure *failure)
{
    if (index == 0 || lun_now_ms(exec->lun) - begun_ms <= COPY_MAX_MS)
        return 0;
    return fail_at(failure, ASC_COMMAND_TIMEOUT_DURING_PROCESSING, 0);
}

/* One segment after the other; the first that fails ends the command. */
static uint8_t copy_segments(struct exec *exec, const struct copy_list *list,
                             struct copy_record *record)
{
    struct copy_records *records = &exec->lun->copy_records;
    uint64_t begun_ms = lun_now_ms(exec->lun);
    uint8_t status = SCSI_STATUS_GOOD;

    for (size_t i = 0; i < list->segment_count; i++) {
        struct failure failure;
        uint64_t bytes = 0;

        if (check_time(exec, i, begun_ms, &failure) ||
            copy_segment(exec, list, i, &bytes, &failure)) {
            status = abort_copy(exec, i, &failure);
            break;
        }
        if (record)
            copy_record_advance(records, record, bytes);
    }
    if (record)
        copy_record_finish(records, record, status, exec->command->sense);
    return status;
}

static uint8_t refuse_list(struct exec *exec, const struct copy_list_refusal *refusal)
{
    struct sense sense = {.key = SENSE_ILLEGAL_REQUEST, .asc_ascq = refusal->asc_ascq};

    if (refusal->has_field)
        sense_set_list_field(&sense, refusal->field);
    return exec_fail_sense(exec, &sense);
}

uint8_t op_extended_copy(struct exec *exec)
{
    const struct lun_command *command = exec->command;
    struct iov_cursor data = iov_cursor_at_start(command->data_out, command->data_out_count);
    uint32_t length = get_be32(exec->cdb + 10);
    uint8_t bytes[COPY_MAX_LIST_BYTES];
    struct copy_list list;
    struct copy_list_refusal refusal;
    struct copy_record *record = NULL;

    if (length == 0)
        return SCSI_STATUS_GOOD;
    if (!exec_data_out_has(exec, length))
        return exec_fail_length(exec);
    length = (uint32_t)iov_cursor_read(&data, bytes, (size_t)min_u64(length, sizeof(bytes)));
    if (copy_list_decode(bytes, length, &limits, &list, &refusal))
        return refuse_list(exec, &refusal);
    if (list.id_usage != COPY_LIST_ID_NONE) {
        record = copy_record_start(&exec->lun->copy_records, list.id);
        if (!record)
            return SCSI_STATUS_TASK_SET_FULL;
    }
    return copy_segments(exec, &list, record);
}
