/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_TRACK_H
#define THINMIRROR_VOLUME_TRACK_H

/* The change record of a volume (docs/change-record.md): what changed since when. A volume has one
 * while PATH.track lies beside it; whoever opens the volume for writing keeps it. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errmsg.h"
#include "volume.h"

struct record;

#define VOLUME_POINT_ID_BYTES 16
#define VOLUME_POINTS         32

/* Begins a record, from which on all changes are known; anew where it was lost; 0 when there is
 * one. Others wait while it is being begun. -ESTALE: it was lost with its file. -EPERM, -EROFS,
 * -EOPNOTSUPP (the store is no file), -ESHUTDOWN, or what the file system gave, each with a
 * sentence. */
int volume_track(struct volume *volume, struct errmsg *err);
/* From now on volume_track is refused with -EPERM. Before anything else uses the volume. */
void volume_refuse_track(struct volume *volume);
/* Whether volume_track is refused, whatever there is. Never waits. */
bool volume_track_refused(const struct volume *volume);
/* Ends and removes it; 0 when there is none. */
int volume_untrack(struct volume *volume, struct errmsg *err);

struct volume_point {
    /* Random, for ever unique; no other point of the volume has the same first 4 bytes. */
    uint8_t id[VOLUME_POINT_ID_BYTES];
    uint8_t consumer[VOLUME_POINT_ID_BYTES]; /* all 0: it was cut by hand */
    uint8_t nonce[VOLUME_POINT_ID_BYTES];
    uint64_t bytes;        /* the volume's size then */
    uint64_t mapped_bytes; /* UINT64_MAX: not known */
    uint64_t time;         /* seconds of the epoch */
};

struct volume_track_status {
    bool refused; /* volume_track_refused */
    bool tracked;
    uint8_t incarnation[VOLUME_POINT_ID_BYTES];
    /* Not NULL: nothing can be said of what changed; why, as in "the change record is lost: WHY".
     */
    const char *lost;
    const char *begun; /* why it began, as in "it was switched on" */
    unsigned reason;   /* the number of the one or the other, as in docs/change-record.md */
    uint64_t since;    /* when, seconds of the epoch */
    bool crashed;      /* the machine crashed, and no one has opened the volume since */
    uint64_t granule_bytes;
    uint64_t hot_bytes;    /* of the volume: would be suspect if the machine crashed now */
    uint64_t record_bytes; /* of storage, and of memory while the volume is open */
    struct volume_point points[VOLUME_POINTS]; /* the oldest one first */
    size_t point_count;
};

/* The unit of a record of this volume, in bytes; a multiple of its block. */
uint32_t volume_track_granule(const struct volume *volume);
void volume_track_status(struct volume *volume, struct volume_track_status *ret);

/* A consistency point: all changes that ended before the call are before it, and those that begin
 * after it returned are after it. Holds up no change. Durable. Each nonce gives one point: asked
 * again with the same one, the same. -ENOENT: no record is kept; -ESTALE: it is lost; -ENOSPC:
 * there are VOLUME_POINTS; -EROFS. */
int volume_cut(struct volume *volume, const uint8_t nonce[VOLUME_POINT_ID_BYTES],
               struct volume_point *ret, struct errmsg *err);
/* The same for a consumer, each of which has nonces of its own; where there is no record, or it
 * is lost, it is begun, and the point is its only one. Errors as volume_track, too. */
int volume_cut_for(struct volume *volume, const uint8_t consumer[VOLUME_POINT_ID_BYTES],
                   const uint8_t nonce[VOLUME_POINT_ID_BYTES], struct volume_point *ret,
                   struct errmsg *err);
/* Forgets all points of this one's consumer that are older than it. Errors as volume_forget. */
int volume_release(struct volume *volume, const uint8_t id[VOLUME_POINT_ID_BYTES],
                   struct errmsg *err);
/* Nothing is asked since this one any more. -ENOENT: there is no such point, or no record. */
int volume_forget(struct volume *volume, const uint8_t id[VOLUME_POINT_ID_BYTES],
                  struct errmsg *err);

/* Called for ranges in order, in bytes: whole granules, as far as the volume goes. suspect: they
 * may have changed, since the machine crashed. Not 0 ends it. */
typedef int volume_changed_range(uint64_t offset, uint64_t length, bool suspect, void *context);
/* What may have changed since the point, up to now. Whatever the error, everything that is mapped,
 * and everything that was then, counts as changed. -ENOENT: there is no such point, or no record;
 * -ESTALE: it is lost, or it changed beside a look at it so that what was called is incomplete. */
int volume_changed(struct volume *volume, const uint8_t since[VOLUME_POINT_ID_BYTES],
                   volume_changed_range *each, void *context, struct errmsg *err);

/* The same from that byte of the volume on. */
int volume_changed_from(struct volume *volume, const uint8_t since[VOLUME_POINT_ID_BYTES],
                        uint64_t from, volume_changed_range *each, void *context,
                        struct errmsg *err);

/* For tests: keeps this record, of which the volume is the owner from now on. */
void volume_keep_record(struct volume *volume, struct record *record);

#endif
