/* SPDX-License-Identifier: Apache-2.0 */

/* volume_copy for ranges that begin or end within a block: by reading and writing, in the steps
 * that volume.h offers to everyone. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "volume.h"
#include "zeros.h"

/* What is read before it is written. */
#define PIECE_BYTES (256 * 1024)

struct byte_copy {
    struct volume *to;
    uint64_t to_offset;
    struct volume *from;
    uint64_t from_offset;
    uint8_t *piece; /* PIECE_BYTES, and a block of the source on each side */
    uint8_t *block; /* of the destination */
    bool source_failed;
};

/* The blocks that hold the bytes; *ret_bytes is where the first of these is. */
static int read_piece(struct byte_copy *copy, uint64_t at, uint64_t length,
                      const uint8_t **ret_bytes)
{
    uint32_t block_size = volume_block_size(copy->from);
    uint64_t start = copy->from_offset + at;
    uint64_t first = align_down(start, block_size);
    struct iovec iov = {.iov_base = copy->piece,
                        .iov_len = (size_t)(align_up(start + length, block_size) - first)};
    int error = volume_read(copy->from, &iov, 1, first);

    copy->source_failed = error != 0;
    *ret_bytes = copy->piece + (start - first);
    return error;
}

/* Bytes that replace a part of a block. */
struct part {
    const uint8_t *bytes;
    size_t start, length;
};

static int replace_part(uint8_t *block, size_t length, void *context)
{
    const struct part *part = context;

    (void)length;
    memcpy(block + part->start, part->bytes, part->length);
    return 0;
}

/* Zeros take no storage. */
static int write_blocks(struct byte_copy *copy, uint64_t offset, const uint8_t *bytes,
                        uint64_t length)
{
    struct iovec iov = {.iov_base = (void *)(uintptr_t)bytes, .iov_len = (size_t)length};

    if (bytes_are_zero(bytes, (size_t)length))
        return volume_unmap(copy->to, offset, length);
    return volume_write(copy->to, &iov, 1, offset, false);
}

/* The rest of a block that is not wholly written stays as it is, whoever else changes it. */
static int write_piece(struct byte_copy *copy, uint64_t at, const uint8_t *bytes, uint64_t length)
{
    uint32_t block_size = volume_block_size(copy->to);
    uint64_t offset = copy->to_offset + at;
    int error = 0;

    while (!error && length > 0) {
        uint64_t start = offset % block_size;
        uint64_t done = align_down(length, block_size);

        if (start == 0 && done > 0) {
            error = write_blocks(copy, offset, bytes, done);
        } else {
            struct part part = {bytes, (size_t)start, (size_t)min_u64(block_size - start, length)};

            done = part.length;
            error = volume_update(copy->to, offset - start, copy->block, block_size, replace_part,
                                  &part, false);
        }
        offset += done;
        bytes += done;
        length -= done;
    }
    return error;
}

/* Of ranges that overlap, from the end that the destination does not overwrite before it was read.
 */
static int copy_pieces(struct byte_copy *copy, uint64_t length)
{
    bool backwards = copy->to == copy->from && copy->to_offset > copy->from_offset;
    int error = 0;

    for (uint64_t done = 0; !error && done < length;) {
        uint64_t piece = min_u64(PIECE_BYTES, length - done);
        uint64_t at = backwards ? length - done - piece : done;
        const uint8_t *bytes;

        error = read_piece(copy, at, piece, &bytes);
        if (!error)
            error = write_piece(copy, at, bytes, piece);
        done += piece;
    }
    return error;
}

static int check_ranges(struct byte_copy *copy, uint64_t length)
{
    copy->source_failed = !range_within(copy->from_offset, length, volume_bytes(copy->from));
    if (copy->source_failed)
        return -ERANGE;
    if (volume_read_only(copy->to))
        return -EROFS;
    return range_within(copy->to_offset, length, volume_bytes(copy->to)) ? 0 : -ERANGE;
}

int volume_copy_bytes(struct volume *to, uint64_t to_offset, struct volume *from,
                      uint64_t from_offset, uint64_t length, bool *ret_source_failed)
{
    CLEANUP_FREE uint8_t *piece = malloc(PIECE_BYTES + 2 * (size_t)volume_block_size(from));
    CLEANUP_FREE uint8_t *block = malloc(volume_block_size(to));
    struct byte_copy copy = {.to = to,
                             .to_offset = to_offset,
                             .from = from,
                             .from_offset = from_offset,
                             .piece = piece,
                             .block = block};
    int error = piece && block ? check_ranges(&copy, length) : -ENOMEM;

    if (!error)
        error = copy_pieces(&copy, length);
    *ret_source_failed = error && copy.source_failed;
    return error;
}
