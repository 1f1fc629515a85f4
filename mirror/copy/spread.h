/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SPREAD_H
#define THINMIRROR_SPREAD_H

/* Spots of equal length at equal distances in ranges that come one after the other: how long all of
 * them are together need not be known before. The distance doubles whenever there are more spots
 * than fit, so at least half as many are kept, unless the ranges have no more. Pure. */

#include <stddef.h>
#include <stdint.h>

#define SPREAD_SPOTS      1024
#define SPREAD_SPOT_BYTES 4096

struct spread_spot {
    uint64_t position; /* in spots, of all that the ranges could be cut into */
    uint64_t lba;
    uint64_t blocks; /* fewer than a spot has at the end of a range */
};

struct spread {
    uint64_t seed; /* another one gives other spots, where not all are kept */
    uint64_t spot_blocks;
    uint64_t distance; /* in positions; a power of two */
    uint64_t total;    /* positions so far */
    struct spread_spot spots[SPREAD_SPOTS];
    size_t count;
};

/* spot_blocks at least 1. */
void spread_init(struct spread *spread, uint64_t seed, uint64_t spot_blocks);

/* Adds the range from block start to end, in LBA order. */
void spread_add(struct spread *spread, uint64_t start, uint64_t end);

#endif
