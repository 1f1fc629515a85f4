/* SPDX-License-Identifier: Apache-2.0 */

/* GET LBA STATUS, SBC-4 5.9 and 5.10: the map, straight from the volume into the initiator's
 * buffers, so that its size costs no memory. */

#include <errno.h>

#include "byteorder.h"
#include "checked.h"
#include "lba_status.h"
#include "lun_internal.h"

/* Descriptors in one reply, whatever the initiator has room for: an answer must not take long. */
#define MAX_DESCRIPTORS                    65536

#define GET_LBA_STATUS_32_ADDITIONAL_BYTES 0x18

/* Extents joined to one descriptor at most. */
#define MAX_JOINED 256

/* Extents asked of the volume at once. */
#define EXTENTS_AT_ONCE 256

/* What is asked. Not limited: as far as the LUN goes, which is told apart from a limit at its end.
 */
struct query {
    uint64_t lba;
    uint64_t scan_blocks; /* 0: not limited */
    uint32_t allocation_length;
    enum lba_status_type type;
};

/* The map of [at, end) in bytes, run by run. */
struct walk {
    struct volume *volume;
    uint64_t at;
    uint64_t end;
    size_t wanted; /* extents worth asking for at once */
    struct extent extents[EXTENTS_AT_ONCE];
    size_t next; /* of the extents, the first not handed out yet */
    size_t count;
};

/* The next extent of the volume, left in its place. NULL with an error, or at the end. */
static struct extent *peek(struct walk *walk, int *ret_error)
{
    *ret_error = 0;
    if (walk->next == walk->count) {
        if (walk->at >= walk->end)
            return NULL;
        walk->next = walk->count = 0;
        *ret_error = volume_extents(walk->volume, walk->at, walk->end, walk->extents, walk->wanted,
                                    &walk->count);
        if (*ret_error)
            return NULL;
        /* Storage that is reserved, with no promise of what that is worth: ANC_SUP is 0. */
        for (size_t i = 0; i < walk->count && !volume_can_anchor(walk->volume); i++) {
            if (walk->extents[i].status == EXTENT_ANCHORED)
                walk->extents[i].status = EXTENT_MAPPED;
        }
    }
    return &walk->extents[walk->next];
}

/* The next run, as long as it can be told. */
static int walk_next(struct walk *walk, struct extent *ret)
{
    int error;
    struct extent *extent = peek(walk, &error);

    if (!extent)
        return error ? error : -ERANGE;
    *ret = (struct extent){.start = extent->start, .status = extent->status};
    for (int i = 0; i < MAX_JOINED && extent && extent->status == ret->status; i++) {
        ret->length += extent->length;
        walk->at = ret->start + ret->length;
        walk->next++;
        extent = peek(walk, &error); /* an error the next call will meet again */
    }
    return 0;
}

static bool is_wanted(enum lba_status_type type, enum extent_status status)
{
    switch (type) {
    case LBA_STATUS_TYPE_MAPPED:
        return status == EXTENT_MAPPED;
    case LBA_STATUS_TYPE_DEALLOCATED:
        return status == EXTENT_DEALLOCATED;
    case LBA_STATUS_TYPE_ANCHORED:
        return status == EXTENT_ANCHORED;
    case LBA_STATUS_TYPE_UNREADABLE: /* of no block it is known before it is read */
        return false;
    default:
        return true;
    }
}

/* Adds the run's descriptors, several when its length takes more than 32 bits, until there are
 * limit. Returns the LBA after the last. */
static uint64_t add_descriptors(struct exec *exec, const struct extent *run,
                                enum lba_status_type type, uint32_t limit, uint32_t *count)
{
    uint32_t block_size = volume_block_size(exec->volume);
    uint64_t lba = run->start / block_size;
    uint64_t end = (run->start + run->length) / block_size;
    unsigned status = run->status;

    if (!is_wanted(type, run->status))
        return end;
    if (status == EXTENT_MAPPED && type != LBA_STATUS_TYPE_ALL)
        status = LBA_STATUS_SURELY_MAPPED;
    while (lba < end && *count < limit) {
        uint32_t blocks = (uint32_t)min_u64(end - lba, LBA_STATUS_DESCRIPTOR_BLOCKS);
        uint8_t bytes[LBA_STATUS_DESCRIPTOR_BYTES];

        lba_status_encode_descriptor(bytes, lba, blocks, status);
        reply_add(exec, bytes, sizeof(bytes));
        lba += blocks;
        ++*count;
    }
    return lba;
}

static void write_header(struct exec *exec, uint32_t count, enum lba_status_completion completion,
                         size_t allocation_length)
{
    struct iov_cursor start =
        iov_cursor_at_start(exec->command->data_in, exec->command->data_in_count);
    uint8_t bytes[LBA_STATUS_HEADER_BYTES];

    lba_status_encode_header(bytes, count, completion, true);
    iov_cursor_write(&start, bytes, (size_t)min_u64(sizeof(bytes), allocation_length));
}

/* How many descriptors the answer may have, and how many there is room for. */
struct room {
    uint32_t limit;
    size_t descriptors;
};

static struct room room_of(const struct exec *exec, const struct query *query)
{
    size_t buffers = iov_total(exec->command->data_in, exec->command->data_in_count);
    size_t room = lba_status_capacity((uint32_t)min_u64(query->allocation_length, buffers));

    /* PARAMETER DATA LENGTH tells of a descriptor even where there is no room for one. */
    return (struct room){(uint32_t)min_u64(max_u64(room, 1), MAX_DESCRIPTORS), room};
}

/* Adds descriptors from query->lba on. *ret_lba: up to where that answers the query; *ret_end:
 * where the scan ends, which is nearer than at first when the LUN has shrunk under our hands. */
static int scan(struct exec *exec, const struct query *query, uint32_t limit, uint32_t *ret_count,
                uint64_t *ret_lba, uint64_t *ret_end)
{
    uint64_t block_size = volume_block_size(exec->volume);
    struct walk walk = {.volume = exec->volume,
                        .at = query->lba * block_size,
                        .end = *ret_end * block_size,
                        .wanted = query->type == LBA_STATUS_TYPE_ALL
                                      ? min_u64(limit + 1, EXTENTS_AT_ONCE)
                                      : EXTENTS_AT_ONCE};

    *ret_count = 0;
    *ret_lba = query->lba;
    while (*ret_lba < *ret_end && *ret_count < limit) {
        struct extent run;
        int error = walk_next(&walk, &run);

        if (error == -ERANGE && *ret_lba > query->lba) {
            *ret_end = *ret_lba;
            return 0;
        }
        if (error)
            return error;
        *ret_lba = add_descriptors(exec, &run, query->type, limit, ret_count);
    }
    return 0;
}

/* -ERANGE when there is no block of that LBA. */
static int report(struct exec *exec, const struct query *query)
{
    static const uint8_t no_header_yet[LBA_STATUS_HEADER_BYTES];
    uint64_t capacity = volume_blocks(exec->volume);
    uint64_t end = capacity, scan_end, lba;
    struct room room = room_of(exec, query);
    enum lba_status_completion completion = LBA_STATUS_ALLOCATION_LENGTH;
    uint32_t count;
    int error;

    if (query->lba >= capacity)
        return -ERANGE;
    if (query->scan_blocks > 0)
        end = query->lba + min_u64(query->scan_blocks, capacity - query->lba);
    scan_end = end;
    reply_start(exec, query->allocation_length);
    reply_add(exec, no_header_yet, sizeof(no_header_yet));
    error = scan(exec, query, room.limit, &count, &lba, &scan_end);
    if (error)
        return error;
    if (lba == scan_end)
        completion =
            scan_end == end && end < capacity ? LBA_STATUS_SCAN_LENGTH : LBA_STATUS_END_OF_CAPACITY;
    else if (room.limit < room.descriptors)
        completion = LBA_STATUS_NO_INDICATION;
    write_header(exec, count, completion, query->allocation_length);
    return 0;
}

static uint8_t answer(struct exec *exec, const struct query *query)
{
    switch (query->type) {
    case LBA_STATUS_TYPE_ALL:
    case LBA_STATUS_TYPE_NON_ZERO:
    case LBA_STATUS_TYPE_MAPPED:
    case LBA_STATUS_TYPE_DEALLOCATED:
    case LBA_STATUS_TYPE_ANCHORED:
    case LBA_STATUS_TYPE_UNREADABLE:
        return exec_result(exec, report(exec, query), false);
    default:
        return exec_fail_field(exec);
    }
}

uint8_t op_get_lba_status_16(struct exec *exec)
{
    struct query query = {.lba = get_be64(exec->cdb + 2),
                          .allocation_length = get_be32(exec->cdb + 10),
                          .type = exec->cdb[14]};

    return answer(exec, &query);
}

uint8_t op_get_lba_status_32(struct exec *exec)
{
    struct query query = {.lba = get_be64(exec->cdb + 12),
                          .scan_blocks = get_be32(exec->cdb + 20),
                          .allocation_length = get_be32(exec->cdb + 28),
                          .type = exec->cdb[10]};

    if (exec->cdb[7] != GET_LBA_STATUS_32_ADDITIONAL_BYTES)
        return exec_fail_field(exec);
    if (get_be32(exec->cdb + 24) != 0) /* ELEMENT IDENTIFIER: this unit has no physical elements */
        return exec_fail_field(exec);
    return answer(exec, &query);
}
