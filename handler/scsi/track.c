/* SPDX-License-Identifier: Apache-2.0 */

/* The change record over SCSI: READ BUFFER(16) in the vendor-specific mode. BUFFER ID is a function
 * and BUFFER OFFSET its argument (docs/change-record.md). */

#include "track.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "lun_internal.h"
#include "record_reply.h"
#include "volume_track.h"

#define MAX_RANGES ((LUN_MAX_CHANGES_BYTES - RECORD_HEADER_BYTES) / RECORD_RANGE_BYTES)

_Static_assert(RECORD_UUID_BYTES == VOLUME_POINT_ID_BYTES, "an id is an id");

size_t track_page_of(const struct volume *volume, uint8_t *to)
{
    struct record_page page = {.max_reply_bytes = LUN_MAX_CHANGES_BYTES,
                               .granule_bytes = volume_track_granule(volume),
                               .refused = volume_track_refused(volume)};

    memcpy(page.uuid, volume_get_meta(volume)->uuid, sizeof(page.uuid));
    return record_page_encode(to, &page);
}

/* CHECK CONDITION for what the volume says of its record. */
static uint8_t fail(struct exec *exec, int error, const struct volume_track_status *status)
{
    switch (error) {
    case -EPERM:
    case -EOPNOTSUPP:
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_RECORD_REFUSED);
    case -ESTALE:
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_RECORD_LOST);
    case -ENOENT:
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST,
                         status->tracked ? ASC_POINT_NOT_THERE : ASC_RECORD_NOT_THERE);
    default:
        return exec_result(exec, error, true);
    }
}

static void begin_reply(struct exec *exec, struct record_header *header,
                        const struct volume_track_status *status, size_t allocation_length)
{
    uint8_t bytes[RECORD_HEADER_BYTES];

    header->lun_bytes = volume_bytes(exec->volume);
    header->granule_bytes = volume_track_granule(exec->volume);
    header->refused = status->refused;
    memcpy(header->uuid, volume_get_meta(exec->volume)->uuid, sizeof(header->uuid));
    if (status->tracked) {
        header->state = status->lost ? RECORD_STATE_LOST : RECORD_STATE_KEPT;
        header->reason = (uint8_t)status->reason;
        if (!status->lost)
            memcpy(header->incarnation, status->incarnation, sizeof(header->incarnation));
    }
    record_header_encode(bytes, header);
    reply_start(exec, allocation_length);
    reply_add(exec, bytes, sizeof(bytes));
}

static void add_point(struct exec *exec, const struct volume_point *point)
{
    struct record_point_entry entry = {.consumer =
                                           get_be32(point->consumer + VOLUME_POINT_ID_BYTES - 4),
                                       .nonce = get_be32(point->nonce + VOLUME_POINT_ID_BYTES - 4),
                                       .time = point->time,
                                       .lun_bytes = point->bytes,
                                       .mapped_bytes = point->mapped_bytes};
    uint8_t bytes[RECORD_POINT_BYTES];

    memcpy(entry.id, point->id, sizeof(entry.id));
    record_point_encode(bytes, &entry);
    reply_add(exec, bytes, sizeof(bytes));
}

/* All points there are. */
static uint8_t report_points(struct exec *exec, enum record_function function,
                             size_t allocation_length)
{
    struct volume_track_status status;
    struct record_header header = {.function = function};

    volume_track_status(exec->volume, &status);
    header.count = (uint32_t)status.point_count;
    begin_reply(exec, &header, &status, allocation_length);
    for (size_t i = 0; i < status.point_count; i++)
        add_point(exec, &status.points[i]);
    return SCSI_STATUS_GOOD;
}

static uint8_t cut(struct exec *exec, const uint8_t *argument, size_t allocation_length)
{
    uint8_t consumer[VOLUME_POINT_ID_BYTES] = {0}, nonce[VOLUME_POINT_ID_BYTES] = {0};
    struct record_header header = {.function = RECORD_CUT, .count = 1};
    struct volume_track_status status;
    struct volume_point point;
    int error;

    if (get_be32(argument) == 0) /* that would be by hand */
        return exec_fail_field(exec);
    memcpy(consumer + VOLUME_POINT_ID_BYTES - 4, argument, 4);
    memcpy(nonce + VOLUME_POINT_ID_BYTES - 4, argument + 4, 4);
    error = volume_cut_for(exec->volume, consumer, nonce, &point, NULL);
    volume_track_status(exec->volume, &status);
    /* Of the points there is no room for more, whatever there is of the disk. */
    if (error == -ENOSPC && status.point_count == VOLUME_POINTS)
        return exec_fail(exec, SENSE_ILLEGAL_REQUEST, ASC_TOO_MANY_POINTS);
    if (error)
        return fail(exec, error, &status);
    begin_reply(exec, &header, &status, allocation_length);
    add_point(exec, &point);
    return SCSI_STATUS_GOOD;
}

/* The point whose id begins so, or NULL. */
static const struct volume_point *find_point(const struct volume_track_status *status,
                                             const uint8_t *id, size_t length)
{
    for (size_t i = 0; i < status->point_count; i++)
        if (memcmp(status->points[i].id, id, length) == 0)
            return &status->points[i];
    return NULL;
}

/* FORGET and RELEASE. To forget a point that is not there is no error, as FORGET may be repeated.
 */
static uint8_t forget(struct exec *exec, enum record_function function, const uint8_t *argument,
                      size_t allocation_length)
{
    struct volume_track_status status;
    const struct volume_point *point;
    int error = 0;

    volume_track_status(exec->volume, &status);
    point = find_point(&status, argument, 8);
    if (volume_read_only(exec->volume))
        error = -EROFS;
    else if (!status.tracked)
        error = -ENOENT;
    else if (status.lost)
        error = -ESTALE;
    else if (function == RECORD_RELEASE)
        error = point ? volume_release(exec->volume, point->id, NULL) : -ENOENT;
    else if (point)
        error = volume_forget(exec->volume, point->id, NULL);
    if (error == -ENOENT && status.tracked && function == RECORD_FORGET)
        error = 0;
    return error ? fail(exec, error, &status) : report_points(exec, function, allocation_length);
}

struct ranges {
    uint8_t *bytes;
    size_t count;
    size_t room;
    uint32_t block_size;
    uint64_t granule_bytes;
    uint64_t next; /* byte up to which all is told */
};

/* As many descriptors as it takes; what has no room ends the list. */
static int add_range(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct ranges *ranges = context;
    uint64_t most = align_down(UINT32_MAX * (uint64_t)ranges->block_size, ranges->granule_bytes);

    ranges->next = offset;
    while (length > 0) {
        uint64_t piece = min_u64(length, most);

        if (ranges->count == ranges->room)
            return 1;
        record_range_encode(ranges->bytes + ranges->count++ * RECORD_RANGE_BYTES,
                            offset / ranges->block_size, (uint32_t)(piece / ranges->block_size),
                            suspect);
        offset += piece;
        length -= piece;
        ranges->next = offset;
    }
    return 0;
}

static size_t room_for_ranges(const struct exec *exec, size_t allocation_length)
{
    size_t buffers = iov_total(exec->command->data_in, exec->command->data_in_count);
    size_t room = (size_t)min_u64(allocation_length, buffers);

    if (room < RECORD_HEADER_BYTES)
        return 0;
    return (size_t)min_u64((room - RECORD_HEADER_BYTES) / RECORD_RANGE_BYTES, MAX_RANGES);
}

static uint8_t report_changes(struct exec *exec, const uint8_t *argument, size_t allocation_length)
{
    struct record_header header = {.function = RECORD_CHANGED, .first = get_be32(argument + 4)};
    uint64_t granule = volume_track_granule(exec->volume), bytes = volume_bytes(exec->volume);
    uint64_t granules = (bytes - 1) / granule + 1;
    struct ranges ranges = {.block_size = volume_block_size(exec->volume),
                            .granule_bytes = granule,
                            .room = room_for_ranges(exec, allocation_length)};
    struct volume_track_status status;
    const struct volume_point *point;
    int result;

    if (header.first >= granules)
        return exec_fail_field(exec);
    volume_track_status(exec->volume, &status);
    if (status.lost)
        return fail(exec, -ESTALE, &status);
    point = find_point(&status, argument, 4);
    if (!point)
        return fail(exec, -ENOENT, &status);
    CLEANUP_FREE uint8_t *list = malloc(ranges.room * RECORD_RANGE_BYTES + 1);
    if (!list)
        return exec_result(exec, -ENOMEM, false);
    ranges.bytes = list;
    result = volume_changed_from(exec->volume, point->id, header.first * granule, add_range,
                                 &ranges, NULL);
    if (result < 0)
        return fail(exec, result, &status);
    header.count = (uint32_t)ranges.count;
    header.next = result > 0 ? ranges.next / granule : granules;
    memcpy(header.point, point->id, sizeof(header.point));
    begin_reply(exec, &header, &status, allocation_length);
    reply_add(exec, list, ranges.count * RECORD_RANGE_BYTES);
    return SCSI_STATUS_GOOD;
}

uint8_t track_report(struct exec *exec, uint8_t function, const uint8_t *argument,
                     size_t allocation_length)
{
    switch (function) {
    case RECORD_STATUS:
        if (get_be64(argument) != 0)
            return exec_fail_field(exec);
        return report_points(exec, RECORD_STATUS, allocation_length);
    case RECORD_CUT:
        return cut(exec, argument, allocation_length);
    case RECORD_CHANGED:
        return report_changes(exec, argument, allocation_length);
    case RECORD_FORGET:
    case RECORD_RELEASE:
        return forget(exec, (enum record_function)function, argument, allocation_length);
    default:
        return exec_fail_field(exec);
    }
}
