/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_REGION_H
#define THINMIRROR_REGION_H

/* A part of the LUN that may hold a table of contents of its own: the LUN itself, a partition, a
 * logical volume. What a format sees: offsets are bytes from the region's begin, and every range
 * is checked against its end, so a format can neither read nor claim what is not its own.
 *
 * Functions that return int: 0 or -errno. A format passes any failure on; the frame then forgets
 * all that was claimed in the region, so that it counts as allocated, and notes why. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "claims.h"

struct region;

/* One kind of table of contents. */
struct format {
    const char *name; /* as people know it: "XFS" */
    /* It holds, or is held in, other formats' data, so their marks may be seen in the same region;
     * this one decides. */
    bool wraps;
    /* 1: mine, also when it is damaged or too new. 0: not mine. -errno: could not be read. Looks
     * at as little as it can. */
    int (*probe)(struct region *region);
    /* Claims what is free. Called after probe said 1. */
    int (*analyse)(struct region *region);
};

/* One piece of a region that is not one piece below it. */
#define REGION_STRIPES_MAX 16

struct region_segment {
    uint64_t start; /* in the region; segments are in order and leave no gaps */
    uint64_t length;
    unsigned stripes;      /* at least 1; length is a multiple of stripes * stripe_bytes if > 1 */
    uint64_t stripe_bytes; /* how many follow each other in one stripe */
    uint64_t origins[REGION_STRIPES_MAX]; /* where each stripe begins in the region below */
};

uint64_t region_bytes(const struct region *region);
/* Of a logical block of the LUN: 512 or 4096 as a rule. */
uint32_t region_block_bytes(const struct region *region);

/* -ERANGE beyond the end. */
int region_read(struct region *region, uint64_t offset, void *to, size_t length);
/* True when the bytes could be read and are these; what can't be read matches nothing. */
bool region_has(struct region *region, uint64_t offset, const void *bytes, size_t length);
/* What will be read next, in this order: many ranges are fetched at once. */
int region_plan(struct region *region, const struct byte_range *ranges, size_t count);

/* Nothing in this range is needed. -ERANGE beyond the end. */
int region_claim_free(struct region *region, uint64_t start, uint64_t length);
/* count tracks of a DASD are free, from start on: of each the first CLAIMS_HEAD_BYTES are copied,
 * as the begin of an empty track. Refuses where the region does not lie in one piece.
 * -ERANGE beyond the end. */
int region_claim_tracks(struct region *region, uint64_t start, uint64_t track_bytes,
                        uint64_t count);
/* Needed, whatever else is claimed, before or after. What is beyond the end is left out. */
int region_keep(struct region *region, uint64_t start, uint64_t length);
/* Why this range is what it is: "backup table". Beyond the end: left out. */
int region_name(struct region *region, uint64_t start, uint64_t length, const char *what);
/* Whether free gaps between partitions were asked for. */
bool region_skips_gaps(const struct region *region);
/* Whether data sets shall end at the last track that was written. */
bool region_ends_at_lstar(const struct region *region);

/* Whether any format sees its mark in a part of it, sound or not. False beyond the end. */
bool region_knows(struct region *region, uint64_t start, uint64_t length);

/* Looks for tables of contents in a part of it: label is "partition 1". Whatever is found there,
 * or is wrong there, is no failure of the caller's. -ERANGE beyond the end. */
int region_descend(struct region *region, uint64_t start, uint64_t length, const char *label);
/* The same for pieces that are put together; count of them. */
int region_descend_mapped(struct region *region, const struct region_segment *segments,
                          size_t count, const char *label);

/* "this format's region counts as allocated, because SENTENCE": returns -EUCLEAN, for the format
 * to return. The sentence begins in lower case and has no full stop: "its log is not empty". */
int region_refuse(struct region *region, const char *sentence, ...)
    __attribute__((format(printf, 2, 3)));
/* Says something that changes nothing else. */
void region_note(struct region *region, const char *sentence, ...)
    __attribute__((format(printf, 2, 3)));

#endif
