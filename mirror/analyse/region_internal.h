/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_REGION_INTERNAL_H
#define THINMIRROR_REGION_INTERNAL_H

/* What a region is made of; for analyse.c and region.c. */

#include "analyse.h"
#include "disk_reader.h"
#include "region.h"

#define REGION_DEPTH_MAX 8
#define REGION_COUNT_MAX 1024
#define REGION_PATH_MAX  192

struct analyser {
    const struct analyse_params *params;
    struct disk_reader *reader;
    struct claims claims;
    struct analysis *result;
    unsigned regions; /* looked at so far */
};

struct region {
    struct analyser *analyser;
    struct region *below;                  /* NULL: the LUN itself */
    const struct region_segment *segments; /* in the region below */
    size_t segment_count;
    uint64_t bytes;
    unsigned depth;
    const struct format *format; /* NULL while it is not known */
    bool refused;                /* a note has said why */
    char path[REGION_PATH_MAX];  /* "partition 1, LV root"; empty: the LUN */
};

/* Finds the format of a region that has its path, and lets it analyse. 0 also when it did not work
 * out; -errno when nothing more can be done: the target is gone or memory is out. */
int analyse_region(struct region *region);

/* Whether any format's probe says that it is its own. */
bool analyse_knows(struct region *region);

/* Where the region begins on the LUN; false when it does not lie there in one piece. */
bool region_place(const struct region *region, uint64_t *ret_start);

/* Adds a sentence to the result's notes. */
void analyser_note(struct analyser *analyser, const char *sentence);

#endif
