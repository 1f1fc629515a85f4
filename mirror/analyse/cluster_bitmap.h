/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_CLUSTER_BITMAP_H
#define THINMIRROR_CLUSTER_BITMAP_H

/* The one allocation bitmap of a whole file system, as NTFS and exFAT have it: a file, one bit a
 * cluster, set when the cluster is used. It is read in pieces, so that its size is no matter. */

#include <stdint.h>

#include "region.h"

struct cluster_bitmap {
    struct region *region;
    const struct byte_ranges *places; /* of the file's bytes in the region, in the file's order */
    uint64_t clusters;                /* how many bits count; the places have bytes for them */
    uint64_t origin;                  /* where the first bit's cluster begins in the region */
    uint64_t cluster_bytes;
    /* What certainly is used, in the region; normalised in place. It is kept, and a bitmap that
     * says otherwise is not believed. */
    struct byte_ranges *used;
};

/* Adds count clusters to ranges, of which the first begins at start, as one with the last range
 * when they follow it. -ENOMEM. */
int cluster_bitmap_add(struct byte_ranges *ranges, uint64_t start, uint64_t length);

/* Claims the clusters that the bitmap calls free. Refuses when it contradicts what is used; else
 * as region_read and region_claim_free do. */
int cluster_bitmap_claim(const struct cluster_bitmap *bitmap);

#endif
