/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VTOC_H
#define THINMIRROR_VTOC_H

/* What the parts of the analyser of IBM DASD volumes share: tracks with their records, and the
 * labels (DSCBs) of the volume's table of contents (VTOC). Numbers on a track are big-endian. */

#include <stdint.h>

#include "region.h"

#define DSCB_BYTES 140 /* a key of 44 and data of 96 */
#define DSCB_KEY   44

/* Where a record stands: cylinder and head as the number of the track from the volume's begin. */
struct dasd {
    struct region *region;
    uint32_t heads, track_bytes;
    uint32_t block_bytes; /* 0: an image of tracks, otherwise numbered blocks as Linux shows them */
    uint32_t per_track;   /* blocks */
    uint64_t tracks;      /* as many as the image holds */
    uint8_t *track;       /* of track_bytes: the one that was read last */
    uint64_t current;     /* its number */
};

struct dasd_record {
    unsigned number, key_bytes, data_bytes;
    const uint8_t *bytes; /* key, then data; valid until another track is read */
};

/* Where a track begins in the region, bytes. */
uint64_t dasd_track_start(const struct dasd *dasd, uint64_t track);
/* The track of a cylinder and head as 4 bytes tell it; on volumes with up to 15 heads the upper 12
 * bits of the head are the cylinder's upper bits. 0, or -ERANGE beyond the image. */
int dasd_track_number(const struct dasd *dasd, const uint8_t *cchh, uint64_t *ret);
/* Reads a track and checks its home address. Refuses (region_refuse) one that is damaged. */
int dasd_read_track(struct dasd *dasd, uint64_t track);
/* The record after the one at *at, which begins with 0, of the track that was read; of blocks, each
 * is taken for a label. 1: there is one; 0: the track ends there. Refuses a track that is damaged.
 */
int dasd_next_record(struct dasd *dasd, uint32_t *at, struct dasd_record *ret);

/* Claims the tracks that no label has an extent on; of blocks, those that the labels of free space
 * have, too, and each data set in one piece is analysed in turn. pointer is the address (5 bytes:
 * CCHHR) of the Format 4 label, as the volume label tells it. */
int vtoc_take(struct dasd *dasd, const uint8_t *pointer);

#endif
