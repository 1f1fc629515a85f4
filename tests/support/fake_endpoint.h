/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FAKE_ENDPOINT_H
#define THINMIRROR_FAKE_ENDPOINT_H

/* An endpoint in memory that writes down every request and fails on demand. Requests are answered
 * from endpoint_wait, in random order when asked for. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "endpoint.h"

struct fake_io {
    enum endpoint_op op;
    uint64_t lba;
    uint64_t blocks;
};

enum fake_map_defect {
    FAKE_MAP_SOUND,
    FAKE_MAP_GAP,     /* the reply begins one block late */
    FAKE_MAP_EMPTY,   /* success, and no extent */
    FAKE_MAP_UNSOUND, /* success, and a sentence about what was not told soundly */
};

struct fake_fault {
    enum endpoint_op op;
    unsigned skip; /* how many requests of this kind go well first */
    int error;     /* -errno; 0: no fault */
};

struct fake_endpoint {
    struct endpoint base; /* info may be changed before use */
    uint8_t *data;        /* NULL for a LUN that only has a map */
    uint8_t *status;      /* enum extent_status, one a block; NULL with map_extent */
    /* Tells the extent at lba of a LUN too large for memory. */
    void (*map_extent)(uint64_t lba, struct extent *ret);

    /* Not 0: a thin LUN that allocates units of this number of blocks, promises no zeros and has
     * been used before: what is not allocated reads as zeros, as it happens, but the first write to
     * a unit brings up old data in the rest of it. */
    unsigned unit_blocks;
    bool *allocated; /* one a unit; see fake_forget_storage */

    unsigned extents_per_map; /* at most; 0: no limit */
    enum fake_map_defect defect;
    uint64_t defect_lba; /* in questions about this LBA or later */
    struct fake_fault fault;
    const uint64_t *bad; /* blocks that cannot be read (-EIO); the last is UINT64_MAX; or NULL */
    int gone_after;      /* requests answered before the target is gone; -1: it stays */
    bool shuffle;
    unsigned answers_per_wait; /* 0: all that there are */
    /* Called as each request is taken, and as each is answered. */
    void (*on_submit)(struct fake_endpoint *fake, const struct endpoint_request *request);
    void (*on_answer)(struct fake_endpoint *fake, const struct endpoint_request *request);
    void *opaque;

    struct fake_io *log;
    size_t log_count;
    size_t log_capacity;
    unsigned in_flight[5];  /* by enum endpoint_op */
    unsigned high_water[5]; /* the most there ever were */

    struct endpoint_request **pending;
    size_t pending_count;
    size_t pending_capacity;
    int event_fd;
};

/* Deallocated blocks that read as zeros, thin, 512-byte blocks, transfers of up to 64 blocks.
 * Aborts when memory is out. fake_free is endpoint_close. */
struct fake_endpoint *fake_create(const char *name, uint64_t blocks);
struct fake_endpoint *fake_create_huge(const char *name, uint64_t blocks,
                                       void (*map_extent)(uint64_t lba, struct extent *ret));

/* Maps the blocks and fills each with bytes that depend on its LBA and on seed. */
void fake_fill(struct fake_endpoint *fake, uint64_t lba, uint64_t blocks, uint8_t seed);
void fake_set_status(struct fake_endpoint *fake, uint64_t lba, uint64_t blocks,
                     enum extent_status status);

/* It is such a thin LUN from now on, empty. */
void fake_forget_storage(struct fake_endpoint *fake, unsigned unit_blocks);

/* True when the first blocks of both read alike. */
bool fake_same_data(const struct fake_endpoint *a, const struct fake_endpoint *b, uint64_t blocks);

/* The requests of one kind, in LBA order and joined where they touch, as "0+8 16+4"; aborts when
 * two overlap. Owned by the fake until the next call. */
const char *fake_ranges(struct fake_endpoint *fake, enum endpoint_op op);
size_t fake_count(const struct fake_endpoint *fake, enum endpoint_op op);

#endif
