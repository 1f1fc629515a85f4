/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MAP_AHEAD_H
#define THINMIRROR_MAP_AHEAD_H

/* Many questions about an endpoint's map in flight at once, for one that answers with a single
 * extent each time: asked one by one, its map would come at one extent a round trip.
 *
 * What lies ahead is cut into regions, each asked about from its beginning to its end by one asker.
 * They are handed out in LBA order and what they found is taken in that order, so the answers of
 * all but the first wait. How large the next region is follows from how many questions the last one
 * took: few mean long extents, and a region inside of one extent tells nothing new. */

#include <stdbool.h>
#include <stdint.h>

#include "endpoint.h"
#include "extents.h"

/* Regions asked about at once. */
#define MAP_AHEAD_ASKERS 32
/* Extents that an asker finds before it waits for its turn; one reply more may be held. */
#define MAP_AHEAD_FOUND 256

struct map_ahead;

struct map_asker {
    struct map_ahead *ahead;
    struct endpoint_request request;
    struct extent_list found; /* from what was taken up to covered */
    struct extent_list reply; /* the endpoint's while busy */
    uint64_t covered;
    uint64_t end;
    unsigned questions;
    bool busy;
    int result;            /* -errno: it goes no further than covered */
    struct errmsg message; /* with result */
    struct errmsg doubt;   /* the first answer that was not sound; empty: none */
};

struct map_ahead {
    struct endpoint *endpoint;
    struct map_asker askers[MAP_AHEAD_ASKERS]; /* a ring in LBA order */
    unsigned first, count;
    unsigned in_flight;
    uint64_t next; /* where the next region begins */
    uint64_t end;
    uint64_t region_blocks;
};

/* ahead stays at its address until map_ahead_free. Begins at lba with regions of region_blocks. */
void map_ahead_init(struct map_ahead *ahead, struct endpoint *endpoint, uint64_t lba, uint64_t end,
                    uint64_t region_blocks);
/* Not with anything in flight. A zeroed one may be freed. */
void map_ahead_free(struct map_ahead *ahead);

/* Sends the questions there is room for. */
void map_ahead_pump(struct map_ahead *ahead);

/* The asker whose turn it is: its found may be taken away. NULL when everything was told. */
struct map_asker *map_ahead_turn(struct map_ahead *ahead);

#endif
