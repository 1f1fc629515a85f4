/* SPDX-License-Identifier: Apache-2.0 */

/* Copying between volumes, or within one, without the data passing through an initiator. What the
 * source has no data for is unmapped in the destination; the rest the stores copy, where they can,
 * and is read and written where not. */

#include <errno.h>
#include <stdlib.h>

#include "checked.h"
#include "store.h"
#include "volume_internal.h"
#include "zeros.h"

/* The bytes of both sides that are held at a time. */
#define HELD_BYTES (UINT64_C(4) << 20)
/* What is read before it is written. */
#define BUFFER_BYTES (256 * 1024)

struct copy {
    struct volume *to;
    uint64_t to_offset;
    struct volume *from;
    uint64_t from_offset;
    uint8_t *buffer; /* BUFFER_BYTES */
    bool source_failed;
};

/* Both ranges shared, as any read and any write share theirs. Of two volumes the one at the lower
 * address first (range_lock.h); of one volume, which must be locked once only, all at once. */
struct held_pair {
    struct hold first;
    struct hold second; /* its lock is NULL where there is one volume */
};

static struct held_pair hold_pair(const struct copy *copy, uint64_t at, uint64_t length)
{
    uint64_t to = range_lock_stripes(copy->to_offset + at, length);
    uint64_t from = range_lock_stripes(copy->from_offset + at, length);
    bool to_first = (uintptr_t)copy->to < (uintptr_t)copy->from;
    struct held_pair pair = {0};

    if (copy->to == copy->from) {
        pair.first = share(copy->to, to | from);
        return pair;
    }
    pair.first = to_first ? share(copy->to, to) : share(copy->from, from);
    pair.second = to_first ? share(copy->from, from) : share(copy->to, to);
    return pair;
}

static void release_pair(struct held_pair *pair)
{
    if (pair->second.lock)
        release_shared(&pair->second);
    release_shared(&pair->first);
}

/* Whether the bytes held may be used; then those of the destination change from now on. */
static int begin_piece(struct copy *copy, uint64_t at, uint64_t length, struct record_change *ret)
{
    int error = may_read(copy->from);

    copy->source_failed = error != 0;
    return error ? error : begin_change(copy->to, copy->to_offset + at, length, true, ret);
}

static int read_source(struct copy *copy, uint64_t at, size_t length)
{
    struct iovec iov = {.iov_base = copy->buffer, .iov_len = length};
    int error = store_read(copy->from->store, &iov, 1, copy->from_offset + at);

    copy->source_failed = error != 0;
    return error;
}

/* Zeros take no storage in the destination. */
static int write_buffer(struct copy *copy, uint64_t at, size_t length)
{
    struct iovec iov = {.iov_base = copy->buffer, .iov_len = length};

    if (bytes_are_zero(copy->buffer, length))
        return store_punch(copy->to->store, copy->to_offset + at, length);
    return store_write(copy->to->store, &iov, 1, copy->to_offset + at, false);
}

static int read_and_write(struct copy *copy, uint64_t at, uint64_t length)
{
    struct iovec iov = {.iov_base = copy->buffer};
    int error = 0;

    while (!error && length > 0) {
        iov.iov_len = (size_t)min_u64(length, BUFFER_BYTES);
        error = read_source(copy, at, iov.iov_len);
        if (!error)
            error = store_write(copy->to->store, &iov, 1, copy->to_offset + at, false);
        at += iov.iov_len;
        length -= iov.iov_len;
    }
    return error;
}

/* Whatever the stores' own way failed with, reading and writing tells whose failure it is. */
static int copy_mapped(struct copy *copy, uint64_t at, uint64_t length)
{
    if (store_copy(copy->to->store, copy->to_offset + at, copy->from->store, copy->from_offset + at,
                   length) == 0)
        return 0;
    return read_and_write(copy, at, length);
}

static int copy_piece(struct copy *copy, uint64_t at, uint64_t length)
{
    CLEANUP(release_pair) struct held_pair pair = hold_pair(copy, at, length);
    CLEANUP(end_change) struct record_change change = {0};
    uint64_t end = at + length;
    int error = begin_piece(copy, at, length, &change);

    if (error)
        return error;
    while (at < end) {
        struct extent extent;

        error = volume_extent_held(copy->from, copy->from_offset + at, copy->from_offset + end,
                                   &extent);

        copy->source_failed = error != 0;
        if (!error && extent.status == EXTENT_MAPPED)
            error = copy_mapped(copy, at, extent.length);
        else if (!error)
            error = store_punch(copy->to->store, copy->to_offset + at, extent.length);
        if (error)
            return error;
        at += extent.length;
    }
    return 0;
}

/* A piece of ranges that overlap: all of it is read before the first byte is written. */
static int copy_through_buffer(struct copy *copy, uint64_t at, uint64_t length)
{
    CLEANUP(release_pair) struct held_pair pair = hold_pair(copy, at, length);
    CLEANUP(end_change) struct record_change change = {0};
    uint32_t granularity = volume_granularity(copy->to);
    int error = begin_piece(copy, at, length, &change);
    uint8_t *bytes = copy->buffer;

    if (!error)
        error = read_source(copy, at, (size_t)length);
    for (uint64_t done = 0; !error && done < length;) {
        uint64_t in_granule = (copy->to_offset + at + done) % granularity;
        size_t part = (size_t)min_u64(granularity - in_granule, length - done);
        struct copy rest = *copy;

        rest.buffer = bytes + done;
        error = write_buffer(&rest, at + done, part);
        done += part;
    }
    return error;
}

/* From the end that the destination does not overwrite before it was read. */
static int copy_overlapping(struct copy *copy, uint64_t length)
{
    bool backwards = copy->to_offset > copy->from_offset;
    int error = 0;

    for (uint64_t done = 0; !error && done < length;) {
        uint64_t piece = min_u64(BUFFER_BYTES, length - done);

        error = copy_through_buffer(copy, backwards ? length - done - piece : done, piece);
        done += piece;
    }
    return error;
}

static bool overlaps(const struct copy *copy, uint64_t length)
{
    return copy->to == copy->from && copy->to_offset < copy->from_offset + length &&
           copy->from_offset < copy->to_offset + length;
}

static int copy_all(struct copy *copy, uint64_t length)
{
    int error = 0;

    for (uint64_t done = 0; !error && done < length;) {
        uint64_t piece = min_u64(HELD_BYTES, length - done);

        error = copy_piece(copy, done, piece);
        done += piece;
    }
    return error;
}

/* So that a range that does not fit is refused before the first byte is copied. */
static int check_ranges(struct copy *copy, uint64_t length)
{
    copy->source_failed = !range_within(copy->from_offset, length, volume_bytes(copy->from));
    if (copy->source_failed)
        return -ERANGE;
    if (copy->to->read_only)
        return -EROFS;
    return range_within(copy->to_offset, length, volume_bytes(copy->to)) ? 0 : -ERANGE;
}

int volume_copy(struct volume *to, uint64_t to_offset, struct volume *from, uint64_t from_offset,
                uint64_t length, bool *ret_source_failed)
{
    CLEANUP_FREE uint8_t *buffer = malloc(BUFFER_BYTES);
    struct copy copy = {.to = to,
                        .to_offset = to_offset,
                        .from = from,
                        .from_offset = from_offset,
                        .buffer = buffer};
    int error = buffer ? check_ranges(&copy, length) : -ENOMEM;

    if (!error && overlaps(&copy, length))
        error = to_offset == from_offset ? 0 : copy_overlapping(&copy, length);
    else if (!error)
        error = copy_all(&copy, length);
    *ret_source_failed = error && copy.source_failed;
    return error;
}
