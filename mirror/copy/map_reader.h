/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MAP_READER_H
#define THINMIRROR_MAP_READER_H

/* Reads a side's map page by page, ahead of its user, in bounded memory.
 *
 * What is known is list, which covers [.., covered). What the endpoint has told beyond that waits
 * in told, up to told_end: an extent of it may become very many where a limit cuts it.
 *
 * One question is in flight at most, until the endpoint turns out to answer with one extent each
 * time: then many are (map_ahead.h). A reply that breaks the rules (a gap, a step back, an empty
 * one), or an error that the target itself reports, ends the asking: from there on every block
 * counts as mapped (gave_up). A lost connection is an error instead. */

#include <stdbool.h>
#include <stdint.h>

#include "block_set.h"
#include "endpoint.h"
#include "extents.h"
#include "map_ahead.h"

enum map_source {
    MAP_ASK,        /* what the endpoint says */
    MAP_ALL_MAPPED, /* nothing is known */
    MAP_ALL_ZEROS,  /* known to read as zeros by other means: deallocated */
};

/* How many extents are kept known ahead; as many as one reply has may wait in told. */
#define MAP_READER_EXTENTS 8192

struct map_reader {
    struct endpoint *endpoint;
    const struct block_set *limit; /* see map_reader_limit; NULL: none */
    uint64_t end;                  /* the first LBA that is of no interest */
    uint64_t covered;              /* list reaches up to here */
    struct extent_list list;
    uint64_t told_end; /* told, behind list, reaches up to here */
    struct extent_list told;
    size_t told_first;        /* the first of told that is not in list as a whole */
    struct extent_list reply; /* the endpoint's while busy */
    struct endpoint_request request;
    bool busy;               /* request is in flight */
    unsigned narrow;         /* how many replies in a row had one extent, and not the last */
    struct map_ahead *ahead; /* asks from then on; otherwise NULL */
    bool gave_up;
    uint64_t gave_up_lba;
    /* What counts as mapped without having been told soundly: why it gave up, or else the first
     * such answer. Empty: there was none. */
    struct errmsg doubt;
    int error;             /* -errno: the target is gone */
    struct errmsg message; /* with error */
};

/* reader stays at its address until map_reader_free. */
int map_reader_init(struct map_reader *reader, struct endpoint *endpoint, uint64_t end,
                    enum map_source source);
/* Right after map_reader_init, with MAP_ASK or MAP_ALL_MAPPED: what is not in the
 * set is deallocated, whatever the endpoint says. The set is of all blocks up to end, settled, and
 * stays the caller's until map_reader_free. NULL: no limit. */
void map_reader_limit(struct map_reader *reader, const struct block_set *limit);
/* Not while busy. */
void map_reader_free(struct map_reader *reader);

/* Whether anything is in flight. */
static inline bool map_reader_busy(const struct map_reader *reader)
{
    return reader->ahead ? reader->ahead->in_flight > 0 : reader->busy;
}

/* Asks the next question when none is in flight, there is room, and something is left to ask. */
void map_reader_pump(struct map_reader *reader);

/* Forgets the extents that end at lba or before. */
void map_reader_consume(struct map_reader *reader, uint64_t lba);

/* The maps of both sides over the same blocks, handed out window by window in LBA order. */
struct map_pair {
    struct map_reader primary;
    struct map_reader secondary;
    uint64_t end;           /* blocks */
    uint64_t planned;       /* windows up to here were taken */
    uint64_t mapped_blocks; /* of the primary, up to planned */
    uint64_t extents;       /* mapped ones of the primary, up to planned */
    uint64_t mapped_end;    /* where the last of them ended */
};

/* The sides must have blocks of one size. The window ends with the smaller side. pair stays at its
 * address until map_pair_free. -ENOMEM. */
int map_pair_init(struct map_pair *pair, struct endpoint *primary, enum map_source primary_source,
                  struct endpoint *secondary, enum map_source secondary_source);
/* Not while map_pair_busy. */
void map_pair_free(struct map_pair *pair);
/* map_reader_pump of both sides. */
void map_pair_pump(struct map_pair *pair);
/* False: both sides have not told more yet. The window is [pair->planned, *ret_end). */
bool map_pair_window(const struct map_pair *pair, uint64_t *ret_end);
/* The window up to end is dealt with. */
void map_pair_take(struct map_pair *pair, uint64_t end);

/* Every block has been in a window that was taken. */
static inline bool map_pair_finished(const struct map_pair *pair)
{
    return pair->planned == pair->end;
}

/* Whether a question to either side is in flight. */
static inline bool map_pair_busy(const struct map_pair *pair)
{
    return map_reader_busy(&pair->primary) || map_reader_busy(&pair->secondary);
}

#endif
