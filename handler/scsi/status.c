/* SPDX-License-Identifier: Apache-2.0 */

/* GET LBA STATUS(16), SBC-4 5.9, REPORT TYPE 00h: the map, straight from the volume into the
 * initiator's buffers, so that its size costs no memory. */

#include <errno.h>

#include "byteorder.h"
#include "checked.h"
#include "lba_status.h"
#include "lun_internal.h"

/* Descriptors in one reply, whatever the initiator has room for: an answer must not take long. */
#define MAX_DESCRIPTORS 65536

/* Extents joined to one descriptor at most. */
#define MAX_JOINED 256

/* The map of [at, end) in bytes, run by run. */
struct walk {
    struct volume *volume;
    uint64_t at;
    uint64_t end;
    struct extent ahead; /* found and not handed out yet; length 0: none */
};

/* Anchored is not a state this logical unit has (ANC_SUP is 0): storage that is reserved in the
 * file counts as mapped. */
static int next_extent(struct walk *walk, uint64_t from, struct extent *ret)
{
    int error = volume_extent(walk->volume, from, walk->end, ret);

    if (!error && ret->status == EXTENT_ANCHORED)
        ret->status = EXTENT_MAPPED;
    return error;
}

/* The next run, as long as it can be told. */
static int walk_next(struct walk *walk, struct extent *ret)
{
    int error = 0;

    *ret = walk->ahead;
    walk->ahead.length = 0;
    if (ret->length == 0)
        error = next_extent(walk, walk->at, ret);
    if (error)
        return error;
    walk->at = ret->start + ret->length;
    for (int i = 0; i < MAX_JOINED && walk->at < walk->end; i++) {
        error = next_extent(walk, walk->at, &walk->ahead);
        if (error) {
            walk->ahead.length = 0;
            return error == -ERANGE ? 0 : error; /* which the next call will meet again */
        }
        if (walk->ahead.status != ret->status)
            break;
        ret->length += walk->ahead.length;
        walk->at += walk->ahead.length;
        walk->ahead.length = 0;
    }
    return 0;
}

/* Adds the run's descriptors, several when its length takes more than 32 bits, until there are
 * limit. Returns the LBA after the last. */
static uint64_t add_descriptors(struct exec *exec, const struct extent *run, uint32_t limit,
                                uint32_t *count)
{
    uint32_t block_size = volume_block_size(exec->volume);
    uint64_t lba = run->start / block_size;
    uint64_t end = (run->start + run->length) / block_size;

    while (lba < end && *count < limit) {
        uint32_t blocks = (uint32_t)min_u64(end - lba, LBA_STATUS_DESCRIPTOR_BLOCKS);
        uint8_t bytes[LBA_STATUS_DESCRIPTOR_BYTES];

        lba_status_encode_descriptor(bytes, lba, blocks, run->status);
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

    lba_status_encode_header(bytes, count, completion, false);
    iov_cursor_write(&start, bytes, (size_t)min_u64(sizeof(bytes), allocation_length));
}

/* Answers from lba on. -ERANGE when there is no such block. */
static int report(struct exec *exec, uint64_t lba)
{
    static const uint8_t no_header_yet[LBA_STATUS_HEADER_BYTES];
    uint64_t block_size = volume_block_size(exec->volume);
    uint64_t capacity = volume_blocks(exec->volume);
    uint32_t allocation_length = get_be32(exec->cdb + 10);
    size_t buffers = iov_total(exec->command->data_in, exec->command->data_in_count);
    size_t room = lba_status_capacity((uint32_t)min_u64(allocation_length, buffers));
    /* PARAMETER DATA LENGTH tells of a descriptor even where there is no room for one. */
    uint32_t limit = (uint32_t)min_u64(max_u64(room, 1), MAX_DESCRIPTORS);
    enum lba_status_completion completion = LBA_STATUS_ALLOCATION_LENGTH;
    struct walk walk = {.volume = exec->volume, .end = capacity * block_size};
    uint32_t count = 0;

    if (lba >= capacity)
        return -ERANGE;
    walk.at = lba * block_size;
    reply_start(exec, allocation_length);
    reply_add(exec, no_header_yet, sizeof(no_header_yet));
    while (lba < capacity && count < limit) {
        struct extent run;
        int error = walk_next(&walk, &run);

        if (error == -ERANGE && count > 0) { /* the LUN has shrunk under our hands */
            capacity = lba;
            break;
        }
        if (error)
            return error;
        lba = add_descriptors(exec, &run, limit, &count);
    }
    if (lba == capacity)
        completion = LBA_STATUS_END_OF_CAPACITY;
    else if (limit < room)
        completion = LBA_STATUS_NO_INDICATION;
    write_header(exec, count, completion, allocation_length);
    return 0;
}

uint8_t op_get_lba_status_16(struct exec *exec)
{
    uint64_t lba = get_be64(exec->cdb + 2);

    if (exec->cdb[14] != 0) /* REPORT TYPE */
        return exec_fail_field(exec);
    return exec_result(exec, report(exec, lba), false);
}
