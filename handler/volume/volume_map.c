/* SPDX-License-Identifier: Apache-2.0 */

/* A volume's map: the store's, in whole blocks. */

#include <errno.h>

#include "checked.h"
#include "store.h"
#include "volume_internal.h"

/* Pieces of a store's map that are joined to one extent of a volume at most. */
#define MAX_PIECES 256

/* Pieces asked for in one call at most. */
#define PIECES_AT_ONCE 512

/* The start and the status of the one block at offset, in which more than one piece of the store
 * lies: theirs when they agree, and mapped when not. */
static int mixed_block(struct volume *volume, uint64_t offset, struct extent *ret)
{
    uint64_t end = offset + volume->meta.block_size;
    struct extent piece = {0};

    *ret = (struct extent){.start = offset};
    for (uint64_t at = offset; at < end; at += piece.length) {
        int error = store_extent(volume->store, at, end, &piece);

        if (error)
            return error;
        if (at > offset && piece.status != ret->status)
            piece.status = EXTENT_MAPPED;
        ret->status = piece.status;
        if (ret->status == EXTENT_MAPPED)
            break;
    }
    return 0;
}

/* Extents in whole blocks, built from the store's pieces. */
struct joiner {
    struct extent *ret;
    size_t room;
    size_t count;
    uint64_t at; /* where the next piece begins */
    size_t pieces;
    bool full; /* a piece found no room, or the last extent is as long as it may get */
};

/* Joins the piece to the last extent or begins a new one. An extent is not made of any number of
 * pieces, so that the time one takes has a bound. */
static void join(struct joiner *joiner, const struct extent *piece)
{
    struct extent *last = joiner->count > 0 ? &joiner->ret[joiner->count - 1] : NULL;

    if (last && last->status == piece->status && joiner->pieces < MAX_PIECES) {
        last->length += piece->length;
        joiner->pieces++;
    } else if (joiner->count < joiner->room) {
        joiner->ret[joiner->count++] = *piece;
        joiner->pieces = 1;
    } else {
        joiner->full = true;
        return;
    }
    joiner->at = piece->start + piece->length;
}

/* One batch of the store's pieces. Stops at a piece that ends within a block: what follows is asked
 * for anew from the last edge of a block. */
static int join_batch(struct volume *volume, uint64_t limit, struct joiner *joiner)
{
    uint32_t block_size = volume->meta.block_size;
    struct extent pieces[PIECES_AT_ONCE];
    size_t wanted = min_u64(joiner->room - joiner->count + 2, PIECES_AT_ONCE);
    size_t count;
    int error = store_extents(volume->store, joiner->at, limit, pieces, wanted, &count);

    for (size_t i = 0; i < count && !error && !joiner->full; i++) {
        uint64_t end = pieces[i].start + pieces[i].length;
        uint64_t whole_end = align_down(end, block_size);

        if (whole_end == pieces[i].start) {
            error = mixed_block(volume, pieces[i].start, &pieces[i]);
            whole_end = pieces[i].start + block_size;
        }
        pieces[i].length = whole_end - pieces[i].start;
        if (!error)
            join(joiner, &pieces[i]);
        if (whole_end != end)
            break;
    }
    return error;
}

/* Until there is no more room, and the last extent is known to end there. The size stays meanwhile.
 */
static int extents_at(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret,
                      size_t room, size_t *ret_count)
{
    struct joiner joiner = {.ret = ret, .room = room, .at = offset};
    int error = 0;

    if (offset >= limit)
        return -ERANGE;
    while (!error && !joiner.full && joiner.at < limit)
        error = join_batch(volume, limit, &joiner);
    *ret_count = joiner.count;
    return joiner.count > 0 ? 0 : error;
}

int volume_extents(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret,
                   size_t room, size_t *ret_count)
{
    SIZE_STAYS(volume);

    return extents_at(volume, offset, min_u64(limit, volume_bytes(volume)), ret, room, ret_count);
}

int volume_extent_held(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret)
{
    size_t count;

    return extents_at(volume, offset, limit, ret, 1, &count);
}

int volume_extent(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret)
{
    size_t count;

    return volume_extents(volume, offset, limit, ret, 1, &count);
}
