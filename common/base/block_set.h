/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_BLOCK_SET_H
#define THINMIRROR_BASE_BLOCK_SET_H

/* A set of blocks of a LUN, however large that is and however finely it is cut: a piece of it takes
 * nothing where none or all of its blocks are members, and never more than a bitmap takes of which
 * a bit is as many blocks as all begins and ends there allow. Blocks of 4 KiB at random on 1 TiB
 * are 33 MiB.
 *
 * Adding and removing go by way of a few pieces that are open: in any order, fastest where it goes
 * upwards in no more than BLOCK_SET_WINDOWS places at once. Functions that read want a set that is
 * settled. Not for several threads at once. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "block_chunk.h"

#define BLOCK_SET_WINDOWS 32

struct block_set_window {
    size_t chunk; /* the piece that it is of */
    uint64_t words[BLOCK_CHUNK_WORDS];
};

/* Zero-initialise, then block_set_init. */
struct block_set {
    uint64_t blocks;
    uint64_t units;       /* of 1 << unit_shift blocks, the last one may reach beyond the blocks */
    unsigned unit_shift;  /* more than 0 only where the LUN has more than 2^35 blocks */
    size_t bytes;         /* of memory, that all pieces and their table take */
    size_t budget_bytes;  /* more than that, and members are dropped; 0: there is no limit */
    unsigned grain_shift; /* dropped in grains of 1 << grain_shift units; 0: nothing was */
    struct block_chunk **chunks; /* NULL: the set is empty */
    size_t chunk_count;
    struct block_set_window *windows[BLOCK_SET_WINDOWS];
    unsigned window_count;
    unsigned window_last; /* the one that was used last */
    unsigned window_next; /* the one that is closed next */
    uint16_t *scratch;
};

/* An empty set of [0, blocks). Takes no memory yet. */
void block_set_init(struct block_set *set, uint64_t blocks);
/* For CLEANUP(block_set_free) too. Empty then, of the same blocks. */
void block_set_free(struct block_set *set);

/* The blocks lie within the set. Where a unit is more than one block: add only adds whole units,
 * add_touched and remove take every unit they touch. All -ENOMEM; what is in the set then is of no
 * use. With a budget what is added may be dropped, in ever larger grains: first where a piece is
 * cut the most finely. */
int block_set_add(struct block_set *set, uint64_t start, uint64_t length);
int block_set_add_touched(struct block_set *set, uint64_t start, uint64_t length);
int block_set_remove(struct block_set *set, uint64_t start, uint64_t length);
/* Closes all pieces, and gives their memory back. -ENOMEM. */
int block_set_settle(struct block_set *set);

/* These want settled sets of the same number of blocks. -ENOMEM. */

/* Adds what is in other, which is empty then: no piece is there twice meanwhile. */
int block_set_take(struct block_set *set, struct block_set *other);

enum block_set_op {
    BLOCK_SET_COMMON,  /* what is in both */
    BLOCK_SET_WITHOUT, /* what is in the first one alone */
};

/* ret is empty, and the caller's to free. */
int block_set_combine(const struct block_set *set, enum block_set_op op,
                      const struct block_set *other, struct block_set *ret);
/* What was no member becomes one, and the other way round. */
int block_set_invert(struct block_set *set);

/* Where the run of members, or of others, ends in which block lies; until at most. Settled;
 * block < until <= blocks. */
uint64_t block_set_find(const struct block_set *set, uint64_t block, uint64_t until,
                        bool *ret_member);
/* How many members a settled set has. */
uint64_t block_set_total(const struct block_set *set);
/* The same for the same members (CRC-64 that goes on from seed). Settled. */
uint64_t block_set_digest(const struct block_set *set, uint64_t seed);

#endif
