/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SAMPLE_H
#define THINMIRROR_SAMPLE_H

/* A part of what is to be copied, read to see how fast that goes.
 *
 * It is made of stretches that lie at equal distances in what is to be copied, however many extents
 * each of them goes through: so small extents count for as much time as they take of the copy. The
 * distance doubles whenever there is more than fits. */

#include <stddef.h>
#include <stdint.h>

#include "control.h"
#include "endpoint.h"

#define SAMPLE_STRETCH_BYTES (256 * 1024)
#define SAMPLE_MOST_BYTES    (64 * 1024 * 1024)
#define SAMPLE_RANGES        2048
#define SAMPLE_SECONDS       1.0

struct sample_range {
    uint64_t position; /* among the blocks that are to be copied */
    uint64_t lba;
    uint64_t blocks;
};

/* Zero-initialise, but for block_size. */
struct sample {
    uint32_t block_size;
    uint64_t distance_blocks; /* from the beginning of a stretch to that of the next */
    uint64_t total_blocks;    /* that were added */
    uint64_t blocks;          /* in ranges */
    size_t count;
    struct sample_range ranges[SAMPLE_RANGES];
};

/* These blocks are to be copied, after those that were added before. */
void sample_add(struct sample *sample, uint64_t lba, uint64_t blocks);

struct sample_result {
    uint64_t bytes; /* read */
    double seconds;
};

/* Reads the sample, for SAMPLE_SECONDS at most, with as many requests in flight as the control
 * says and no limit of the rate. 0 also when it was stopped; -errno with a sentence. */
int sample_read(const struct sample *sample, struct endpoint *endpoint,
                const struct copy_control *control, struct sample_result *ret, struct errmsg *err);

#endif
