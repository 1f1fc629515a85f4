/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CLAIMS_H
#define THINMIRROR_CLAIMS_H

/* What the formats have said so far, in bytes of the LUN, in any order.
 *
 * Everything is allocated until a format claims it free, and what any format keeps is allocated
 * whatever another one claims: missing knowledge is safe by construction. Areas only say why a
 * place is what it is; a later one is drawn over an earlier one. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocation.h"
#include "block_set.h"

struct byte_range {
    uint64_t start;
    uint64_t length;
};

struct byte_ranges {
    struct byte_range *items;
    size_t count;
    size_t capacity;
};

/* Appends; -ENOMEM. */
int byte_ranges_add(struct byte_ranges *ranges, uint64_t start, uint64_t length);
void byte_ranges_free(struct byte_ranges *ranges);
/* Sorts, and joins what touches or overlaps. */
void byte_ranges_normalise(struct byte_ranges *ranges);

/* How deep claims_begin may nest, and how much is remembered. What is free is exact as long as it
 * and what is kept take no more than CLAIMS_BYTES; beyond that the places that are cut the most
 * finely are remembered in larger grains, and what does not fill one is allocated. */
#define CLAIMS_DEPTH_MAX 16
#define CLAIMS_BYTES     ((size_t)40 << 20)
#define CLAIMS_KEEP_MAX  (1024 * 1024)
#define CLAIMS_AREA_MAX  4096
#define CLAIMS_TRACK_MAX (256 * 1024)

struct claims_area {
    struct byte_range range;
    char *why;
};

/* Free tracks of a DASD, one after another. Of each but the first CLAIMS_HEAD_BYTES are free; those
 * are copied, as the begin of an empty track (track_view.h). */
#define CLAIMS_HEAD_BYTES 512

struct claims_tracks {
    uint64_t start; /* this and track_bytes are multiples of CLAIMS_HEAD_BYTES */
    uint64_t track_bytes;
    uint64_t count;
};

struct claims_mark {
    size_t keep, areas, tracks;
};

/* claims_init first. */
struct claims {
    uint64_t blocks;
    uint32_t block_size;
    bool forgets_free; /* the sum is not needed */
    size_t bytes_max;  /* CLAIMS_BYTES, unless somebody sets another */
    /* Whole blocks that are free: of what is committed, and of each level of claims_begin. */
    struct block_set free[CLAIMS_DEPTH_MAX + 1];
    struct byte_range last_free; /* of the innermost level: not in its set yet, it may go on */
    struct byte_ranges keep;
    struct claims_area *areas;
    size_t area_count;
    size_t area_capacity;
    struct claims_tracks *tracks;
    size_t track_count; /* of items */
    size_t track_capacity;
    struct claims_mark marks[CLAIMS_DEPTH_MAX];
    unsigned depth;
};

/* Of a LUN of blocks blocks. */
void claims_init(struct claims *claims, uint64_t blocks, uint32_t block_size);
void claims_free(struct claims *claims);

/* All 0, -ENOMEM, or -E2BIG when there is no more room. What is claimed free joins with what was
 * claimed right before it, to the byte, and is otherwise rounded to whole blocks. */
int claims_add_free(struct claims *claims, uint64_t start, uint64_t length);
/* Makes it part of its set; for claims_build. */
int claims_settle_free(struct claims *claims);
/* The bytes are in use, whatever else calls them free. */
int claims_add_keep(struct claims *claims, uint64_t start, uint64_t length);
/* The bytes are all copied, as their contents could not be read; why is copied. */
int claims_add_area(struct claims *claims, uint64_t start, uint64_t length, const char *why);

/* When there is no more room they are not remembered, which makes them allocated. */
int claims_add_tracks(struct claims *claims, const struct claims_tracks *tracks);

/* What is said between begin and its commit or rollback counts, or does not, as a whole. -E2BIG
 * when nested too deep; -ENOMEM. */
int claims_begin(struct claims *claims);
int claims_commit(struct claims *claims);
void claims_rollback(struct claims *claims);

/* The sum: whole blocks within free claims that no keep touches are free. Nothing can be claimed
 * after it. ret is zero-initialised and the caller's to free. -ENOMEM. */
int claims_build(struct claims *claims, struct allocation *ret);

/* After claims_build: the LUN in pieces of CLAIMS_HEAD_BYTES, of which EXTENT_MAPPED are the begins
 * of free tracks. Empty when there are none. As above. */
int claims_build_heads(const struct claims *claims, struct extent_runs *ret);

#endif
