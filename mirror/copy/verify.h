/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VERIFY_H
#define THINMIRROR_VERIFY_H

/* Proves, or disproves, that the secondary reads as the primary reads. Both sides are read, and
 * blocks that are unmapped on the primary must read as zeros on the secondary. Only what is a hole
 * of a file of this machine is not read: the kernel itself says that it is zeros. */

#include <stdbool.h>
#include <stdint.h>

#include "comparer.h"
#include "control.h"
#include "endpoint.h"

struct block_set;

struct verify_params {
    struct endpoint *primary;
    struct endpoint *secondary; /* of the same block size, at least as large */
    bool copy_all;              /* don't ask the primary for its map: everything is compared */
    /* What is not in this settled set of the primary's blocks counts as unmapped there, and what it
     * reads there as not defined. NULL: no such limit. */
    const struct block_set *allocated;
    bool only_used; /* what is not in allocated is not looked at */
    bool need_map;  /* as in struct sync_params */
    /* What both sides' maps call unmapped is not read where both promise zeros for that, but for
     * spots of it (spots.h). */
    bool trust_maps;
    uint64_t seed; /* of the spots: another one looks elsewhere. 0: there are none */
    struct copy_control control;
};

struct verify_result {
    bool interrupted;
    uint64_t lun_bytes;
    uint64_t compared_bytes; /* of the LUN, by reading; the spots are not counted */
    uint64_t spot_bytes;     /* read besides, of what is unmapped on both sides */
    uint64_t read_bytes;     /* of both sides together */
    struct differences differences;
    struct errmsg primary_doubt, secondary_doubt; /* as in struct sync_result */
    double seconds;
};

/* 0 also when they differ (result->differences.blocks) or when interrupted. -errno with a sentence
 * that names the LUN. */
int verify_run(const struct verify_params *params, struct verify_result *ret, struct errmsg *err);

/* Reads the endpoint from block first to end until the first one that is not zeros. *ret_found says
 * whether there is one, *ret_lba which. 0, -EINTR when stopped, -errno with a sentence. */
int verify_find_data(struct endpoint *endpoint, uint64_t first, uint64_t end,
                     const struct copy_control *control, bool *ret_found, uint64_t *ret_lba,
                     struct errmsg *err);

#endif
