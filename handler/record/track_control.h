/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TRACK_CONTROL_H
#define THINMIRROR_TRACK_CONTROL_H

/* The control record of PATH.track: what the bitmaps mean. Two of them are written in turn; the
 * bytes are in docs/change-record.md. Pure. Fuzzed. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"
#include "record_layout.h"

enum track_state {
    TRACK_CLEAN = 0, /* closed; the fingerprint is that of the volume's file */
    TRACK_OPEN = 1,
    TRACK_LOST = 2, /* says nothing */
};

#define TRACK_SUSPECT 1 /* its granules may differ, since a machine crashed */

/* What a bitmap stands for: the changes of the intervals from to to. from 0: it is free. */
struct track_slot {
    uint64_t from;
    uint64_t to;
    uint32_t flags;
    uint64_t digest; /* of the checksums of its cool regions */
};

struct track_control {
    uint64_t sequence;
    enum track_state state;
    uint8_t volume[RECORD_ID_BYTES];
    uint8_t incarnation[RECORD_ID_BYTES];
    uint64_t volume_bytes;
    uint32_t granule_bytes;
    uint32_t regions;  /* the most there were: bitmaps and tables reach no further */
    uint64_t interval; /* the last one that is known to have begun */
    uint64_t flushed;  /* all writes of the intervals up to this one are durable */
    struct store_identity identity;
    uint64_t since; /* when the incarnation began, seconds of the epoch */
    enum record_loss loss;
    struct track_slot slots[RECORD_SLOTS];
    struct record_point points[RECORD_POINTS]; /* interval 0: none */
    uint64_t hot[RECORD_MAX_REGIONS / 64];
};

/* All that a torn write can leave of two. */
enum track_found {
    TRACK_VALID,
    TRACK_TORN,    /* parts of more than one write: the last one was never relied on */
    TRACK_ROTTEN,  /* what was once durable has changed */
    TRACK_NOTHING, /* was never written, or not to its end */
};

/* mark: any number that differs from that of the last write, 24 bits of it count. */
void track_control_encode(const struct track_control *control, uint32_t mark,
                          uint8_t bytes[RECORD_CONTROL_BYTES]);
/* *ret is valid with TRACK_VALID only. */
enum track_found track_control_decode(const uint8_t bytes[RECORD_CONTROL_BYTES],
                                      struct track_control *ret);

/* Which of the two copies counts: the index, or -ENODATA (there is no record), or -EBADMSG. */
int track_control_choose(const uint8_t bytes[2 * RECORD_CONTROL_BYTES], struct track_control *ret);

/* CRC32C of the bytes; 0 for any number of zero bytes of RECORD_REGION_BYTES. */
uint32_t track_region_checksum(const uint8_t bytes[RECORD_REGION_BYTES]);
/* What a region's checksum adds to its slot's digest. */
uint64_t track_digest_part(uint64_t region, uint32_t checksum);

#endif
