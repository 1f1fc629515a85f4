/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_INTERNAL_H
#define THINMIRROR_RECORD_INTERNAL_H

/* What the files of the record share.
 *
 * R1: a region is hot on the medium before it is hot in memory, and that before any change in it.
 * R2: a region becomes cool so: it is not warm any more, so that changes announce it again; those
 *     under way end; its bits are durable; then it is cool on the medium.
 * R3: an interval ends by one number; a change belongs to the interval it has read, and does not
 *     begin while an older one of the same granule is under way.
 * R4: bitmaps are kept of every interval that a point may be asked for, and of those that are not
 *     known to be durable in the volume.
 * The bitmap of an interval is its own on the medium before the interval begins, so that a process
 * that is killed leaves no mark behind that means nothing. */

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "record.h"
#include "record_layout.h"
#include "record_medium.h"
#include "record_steps.h"
#include "record_view.h"
#include "track_control.h"

/* Changes under way at most; more wait. */
#define RECORD_CHANGES 64

/* Slot of a change under way. interval: 0 free, RECORD_CLAIMED between, else what it belongs to. */
#define RECORD_CLAIMED UINT64_MAX
struct record_running {
    _Alignas(128) _Atomic uint64_t interval;
    _Atomic uint64_t first; /* granules */
    _Atomic uint64_t last;
    _Atomic uint64_t turns; /* how many changes have used the slot */
};

/* Interval to bitmap, for those that may be marked: the running one, the one before, the next. */
#define RECORD_RECENT 4

struct record {
    struct record_medium *medium;
    const char *name;
    uint64_t volume_bytes; /* with no change under way, or turn */
    uint64_t granule_bytes;
    unsigned granule_shift;
    uint64_t granules;
    uint64_t regions;
    bool looks;   /* changes nothing */
    bool crashed; /* a look: bits of the intervals that were not flushed count, and hot regions */

    _Atomic bool lost;
    _Atomic uint64_t interval; /* the one that runs */
    _Atomic uint64_t graced;   /* all changes of the intervals up to this one have ended */
    _Atomic bool ending;       /* an interval has ended, changes of it may be under way */
    _Atomic uint64_t flushed;
    _Atomic uint32_t slot_of[RECORD_RECENT]; /* by interval */
    struct record_running running[RECORD_CHANGES];
    _Atomic uint64_t warm[RECORD_MAX_REGIONS / 64]; /* may be changed without announcing */
    _Atomic uint8_t touched[RECORD_MAX_REGIONS];    /* changed since the last cooling */
    _Atomic uint64_t held[RECORD_SLOTS][RECORD_MAX_PAGES / 64]; /* pages that can be stored to */
    _Atomic(struct record_view *) views[RECORD_VIEWS];

    /* Order: cut_lock, turn, pages_lock. None is held while changes under way are waited for but
     * cut_lock, which no change takes. */
    struct record_lock cut_lock;   /* one point, or one cooling, at a time */
    struct record_lock turn;       /* guards what follows, over the writing of the control record */
    struct record_lock pages_lock; /* guards the holding of a page */
    struct track_control control;  /* as on the medium; hot: with the regions that cool */
    int copy;                      /* the one that was written last */
    uint64_t announced;            /* regions announced at a time: doubles */
    uint64_t cooling[RECORD_MAX_REGIONS / 64];
    uint32_t *checksums[RECORD_SLOTS]; /* by region, as in the tables; NULL: all 0 */

    bool has_cooler;
    pthread_t cooler;
    pthread_mutex_t cooler_lock;
    pthread_cond_t cooler_wakes;
    bool stopping; /* cooler_lock */
};

static inline bool bit_is_set(const uint64_t *words, uint64_t bit)
{
    return words[bit / 64] >> bit % 64 & 1;
}

/* record.c */
/* Without changes, pages or a word on the medium yet. Takes the medium over. */
int record_make(struct record_medium *medium, const struct record_subject *subject,
                struct record **ret);
void record_free(struct record *record);
/* record_close but for giving back what it takes. */
void record_finish(struct record *record, const struct store_identity *identity);
/* Writes the control record durably. turn is held. When it fails the record is lost. */
int record_write_control(struct record *record);
/* The record says nothing from now on, durably. turn is held. */
void record_lose(struct record *record, enum record_loss why);
/* A free bitmap for the intervals; turn is held. RECORD_SLOTS when there is none. */
unsigned record_take_slot(struct record *record, uint64_t from, uint64_t to, uint32_t flags);
/* Forgets all there is and begins a new incarnation. No change is under way; turn is held, or no
 * one else knows the record. */
int record_begin_anew(struct record *record, enum record_loss why);

/* record_bits.c */
/* Makes a page of a bitmap one that can be stored to. */
int record_hold_page(struct record *record, unsigned slot, uint64_t page);
/* Marks the granules first to last, both included. -errno when pages cannot be had. */
int record_mark(struct record *record, unsigned slot, uint64_t first, uint64_t last);
/* 64 bits of the bitmap. */
uint64_t record_word(const struct record *record, unsigned slot, uint64_t word);
bool record_page_held(const struct record *record, unsigned slot, uint64_t page);
/* Reads which pages the medium has, and the checksums of the slots that are in use, and compares
 * those of cool regions. -EBADMSG when they differ; -ENOMEM, -EIO. */
int record_load_bits(struct record *record);
/* Writes the checksums of these regions for every slot in use, and adds them to the digests. turn
 * is held. Not durable yet. */
int record_sum_regions(struct record *record, const uint64_t *regions);
/* The same for one slot. */
int record_sum_slot(struct record *record, unsigned slot, const uint64_t *regions);
/* Takes the regions out of the digests: they become hot. turn is held. */
void record_unsum_regions(struct record *record, const uint64_t *regions);
/* Makes the bitmap, which is in use no more, one of zeros. */
int record_clear_slot(struct record *record, unsigned slot);
/* Sets the bits of from in to. */
int record_merge_bits(struct record *record, unsigned to, unsigned from);

/* record_hot.c */
/* Makes the regions warm, if need be by announcing them. */
int record_announce(struct record *record, uint64_t first_region, uint64_t last_region);
bool record_is_warm(struct record *record, uint64_t first_region, uint64_t last_region);
/* Until all changes that are under way have ended. */
void record_wait_for_changes(struct record *record);
void record_stop_cooler(struct record *record);

/* record_points.c */
/* Gives up bitmaps that no point needs, and when there are few left joins some. turn is held.
 * Writes the control record. */
int record_tidy(struct record *record);
unsigned record_free_slots(const struct record *record);

/* record_open.c */
void record_set_size(struct record *record, uint64_t bytes);
/* What the control record on the medium is worth: 0, exact; 1, the machine crashed since; else
 * -ENODATA, with *ret_why. Loads it. */
int record_load(struct record *record, const struct record_subject *subject,
                enum record_loss *ret_why);

#endif
