/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_H
#define THINMIRROR_RECORD_H

/* The change record of a volume: which granules changed since when, also across crashes
 * (docs/change-record-design.md). Time is cut into intervals by consistency points; a change is
 * marked in the interval's bitmap before it happens. What the record says is never less than the
 * truth: when it is not sure it says that it is lost, and everything counts as changed.
 *
 * Every function may be called from any thread, unless it says otherwise. Results are 0 or -errno.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errmsg.h"
#include "store.h"

struct record;
struct record_medium;

#define RECORD_ID_BYTES 16
#define RECORD_POINTS   32

/* Why a record says nothing of what was before it. */
enum record_loss {
    RECORD_KEPT = 0,
    RECORD_BEGUN,          /* it was switched on */
    RECORD_OF_OTHER,       /* of another volume, or another file */
    RECORD_VOLUME_CHANGED, /* the file was changed while no one kept the record */
    RECORD_DAMAGED,
    RECORD_RESIZED,
    RECORD_SANITIZED,
    RECORD_NO_SPACE,
    RECORD_IO_ERROR,
    RECORD_LOSS_COUNT,
};

/* "its file was damaged": continues "the change record is lost: ". */
const char *record_loss_text(enum record_loss loss);

/* A consistency point: the end of an interval. */
struct record_point {
    /* Random, for ever unique; no other point of the record has the same first 4 bytes. */
    uint8_t id[RECORD_ID_BYTES];
    uint8_t consumer[RECORD_ID_BYTES];
    uint8_t nonce[RECORD_ID_BYTES];
    uint64_t interval;
    uint64_t bytes;        /* of the volume, then */
    uint64_t mapped_bytes; /* of those, about */
    uint64_t time;         /* seconds of the epoch */
};

/* What a record is about. */
struct record_subject {
    uint8_t volume[RECORD_ID_BYTES]; /* its UUID */
    uint64_t bytes;
    struct store_identity identity; /* of the volume's file, before this process changed it */
    const char *name;               /* for messages; outlives the record */
    bool in_use; /* for a look: another process of this machine keeps the record now */
};

/* Opens the record on the medium, which it takes over, also on failure. One that is not there, or
 * whose word cannot be taken, is begun anew, and says so in the log. -ENOMEM, or what the medium
 * gave when that could not be written. */
int record_open(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret);
/* Begins one on an empty medium. */
int record_create(struct record_medium *medium, const struct record_subject *subject,
                  struct record **ret);
/* For asking only, beside a process that keeps the record, and without changing it. -ENODATA: the
 * record is not one that could be asked. */
int record_look(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret);
/* Ends it: nothing changes any more. identity: of the volume's file, all of which is durable; NULL
 * when that is not so, or the record is to be as if the process had been killed. Takes NULL. */
void record_close(struct record *record, const struct store_identity *identity);

/* A change under way. */
struct record_change {
    struct record *record; /* NULL: nothing to end */
    unsigned slot;
};

/* To be called before bytes of the range change, and ended when they have: whatever came of it. A
 * thread has no other change of the record under way. may_wait: otherwise -EAGAIN, with nothing
 * begun, when that would take a while. Never fails: what cannot be marked makes the record lost. */
int record_begin(struct record *record, uint64_t offset, uint64_t length, bool may_wait,
                 struct record_change *ret);
void record_end(struct record_change *change);

/* Around a flush of the volume: what the first gave is handed to the second when the flush has
 * succeeded. */
uint64_t record_flush_begins(struct record *record);
void record_flushed(struct record *record, uint64_t graced);

/* No change is under way during any of these three. The volume has another size now: what is new
 * has changed. */
void record_resized(struct record *record, uint64_t bytes);
/* Forgets everything, points and bitmaps, and says nothing until record_restart: the volume is
 * being sanitized. */
void record_sanitize(struct record *record);
/* Begins anew after it was lost: everything before counts as changed. When that fails the medium's
 * file is removed. */
int record_restart(struct record *record, enum record_loss why);

/* Cuts a consistency point: it has all changes that ended before the call, whole, and none that
 * begins after it returned. Durable when it returns. The same consumer and nonce give the same
 * point. Waits for changes under way, holding up none. mapped_bytes is kept with it. -ESTALE: the
 * record is lost. -ENOSPC: there are RECORD_POINTS already. */
int record_cut(struct record *record, const uint8_t consumer[RECORD_ID_BYTES],
               const uint8_t nonce[RECORD_ID_BYTES], uint64_t mapped_bytes,
               struct record_point *ret);
/* The point is not asked for any more. -ENOENT, -ESTALE. */
int record_forget(struct record *record, const uint8_t id[RECORD_ID_BYTES]);
/* Forgets all points of this one's consumer that are older than it. -ENOENT, -ESTALE. */
int record_release(struct record *record, const uint8_t id[RECORD_ID_BYTES]);

struct record_status {
    enum record_loss lost;  /* RECORD_KEPT: it is not */
    enum record_loss begun; /* why the incarnation began */
    bool crashed;           /* a look at one whose machine crashed: some is suspect */
    uint8_t incarnation[RECORD_ID_BYTES];
    uint64_t since;
    uint64_t granule_bytes;
    uint64_t interval;
    uint64_t hot_bytes;    /* of the volume: suspect if the machine crashed now */
    uint64_t bitmap_bytes; /* of memory, and of storage */
    struct record_point points[RECORD_POINTS];
    size_t point_count; /* in the order in which they were cut */
};

void record_get_status(struct record *record, struct record_status *ret);

/* Called with ranges of the volume in order, in bytes. suspect: it may have changed, as a machine
 * crashed; compare. Non-zero ends it. */
typedef int record_range(uint64_t offset, uint64_t length, bool suspect, void *context);
/* What may have changed after the point, up to now, from that byte of the volume on. -ENOENT: there
 * is no such point; -ESTALE: the record is lost, or for a look, it has changed meanwhile, and has
 * to be opened again. Either way everything counts as changed. -ENOMEM. */
int record_changed_from(struct record *record, const uint8_t since[RECORD_ID_BYTES], uint64_t from,
                        record_range *each, void *context);
/* From its begin. */
int record_changed(struct record *record, const uint8_t since[RECORD_ID_BYTES], record_range *each,
                   void *context);

/* Makes regions cool that were not written to since the last call, so that they are not suspect
 * after a crash. The record calls it now and then by itself. */
void record_cool(struct record *record);

#endif
