/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_VIEW_H
#define THINMIRROR_RECORD_VIEW_H

/* A view of the volume as it is at a consistency point, while it goes on being changed: what a
 * change would overwrite is saved before, once, and only what the view has and has not been
 * acknowledged. A view never fails or holds up a change for want of room: it is given up then, and
 * says so to who reads it.
 *
 * Every function may be called from any thread, unless it says otherwise. Results are 0 or -errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "store.h"

struct record_view;

/* Views of one record at a time. */
#define RECORD_VIEWS 4

/* What a view is made of. */
struct record_view_parts {
    struct store *live; /* the volume's own; outlives the view */
    /* Where bytes are saved, at their own offsets: as large as the volume, with nothing in it. The
     * view's from then on, also on failure. */
    struct store *saved;
    uint64_t limit; /* bytes that are saved at most */
    /* The view has what changed after this point; NULL: it has everything. */
    const uint8_t *since;
};

/* record_cut, with a view of the volume as it is at that point. *ret_view is NULL when the point
 * was there already: it is too late for a view of it. Besides the errors of record_cut: -ENOENT,
 * there is no point since; -EMFILE, there are RECORD_VIEWS already; -ENOMEM. */
int record_cut_view(struct record *record, const uint8_t consumer[RECORD_ID_BYTES],
                    const uint8_t nonce[RECORD_ID_BYTES], uint64_t mapped_bytes,
                    const struct record_view_parts *parts, struct record_point *ret,
                    struct record_view **ret_view);
/* Ends it; no other function is called for it any more. Takes NULL. Waits for changes under way. */
void record_view_close(struct record_view *view);

/* What the view has in a range. */
enum record_view_kind {
    RECORD_VIEW_SAME,     /* it has not changed since the point that the view begins with */
    RECORD_VIEW_DATA,     /* bytes, to be read */
    RECORD_VIEW_UNMAPPED, /* it has no storage, and reads as zeros */
};

struct record_view_extent {
    uint64_t offset; /* bytes */
    uint64_t length;
    enum record_view_kind kind;
};

/* The volume's size at the point. */
uint64_t record_view_bytes(const struct record_view *view);
/* An extent that begins at offset and ends at limit at the latest; two in a row may have one kind.
 * -ERANGE: it lies past the end, or was acknowledged. -ESTALE: the view was given up. */
int record_view_extent(struct record_view *view, uint64_t offset, uint64_t limit,
                       struct record_view_extent *ret);
/* Reads bytes that the view has, of any kind but RECORD_VIEW_SAME. -ERANGE, -ESTALE, or the error
 * of a store. */
int record_view_read(struct record_view *view, void *to, size_t length, uint64_t offset);
/* All before this byte has arrived and is not asked for again: it is saved no more. Rounded down to
 * granules; never goes back. */
void record_view_acknowledge(struct record_view *view, uint64_t offset);

struct record_view_status {
    int lost; /* 0; -ENOSPC: the limit, or no room; -EFBIG: a change of too much at once; -EIO;
                 -ESTALE: the volume was made smaller, or sanitized, or its record is lost */
    uint64_t saved_bytes;
    uint64_t limit;
    uint64_t acknowledged; /* bytes from the begin */
};

void record_view_get_status(const struct record_view *view, struct record_view_status *ret);

#endif
