/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_VIEW_INTERNAL_H
#define THINMIRROR_RECORD_VIEW_INTERNAL_H

/* What the files of the view share.
 *
 * V1: the view is known to changes before the interval of its point ends. So each change of a later
 *     interval finds it.
 * V2: which granules the view has is written down twice: before the interval ends, and again when
 *     all its changes have ended. Between, a later change also looks into the bitmap of that
 *     interval: an older change of the same granule has ended by then (R3), so it is marked there.
 * V3: a granule is saved, whole, before it is marked as saved, and that before it changes. So who
 *     has read a granule and then finds it not saved has read what was there at the point.
 * V4: a view that does not have all it needs is given up before the change goes on. */

#include <stdatomic.h>

#include "record_internal.h"
#include "record_view.h"

/* Saving of granules whose words have the same remainder is one after the other. */
#define RECORD_VIEW_LOCKS 64

struct record_view {
    struct record *record;
    struct store *live;
    struct store *saved;
    uint64_t limit;
    uint64_t bytes;
    uint64_t granules;
    uint64_t interval;     /* that its point ends */
    uint64_t since;        /* it has the changes of intervals after this one */
    unsigned last_slot;    /* the bitmap of its point's interval */
    bool everything;       /* has is NULL: all granules */
    _Atomic uint64_t *has; /* bits, by granule */
    _Atomic uint64_t *is_saved;
    _Atomic uint64_t acknowledged; /* granules */
    _Atomic uint64_t saved_bytes;
    _Atomic int lost;
    /* Each is held while granules are saved, which is what it orders. */
    struct record_lock locks[RECORD_VIEW_LOCKS];
};

/* record_view.c; cut_lock is held during these. */
/* A view that no one knows yet. Takes parts->saved over. */
int record_view_make(struct record *record, const struct record_view_parts *parts,
                     struct record_view **ret);
/* The interval that runs is about to end: V1, and V2 for the first time. -EMFILE. */
int record_view_arm(struct record_view *view);
/* It has ended, and all its changes: V2 for the second time. */
void record_view_settle(struct record_view *view);
/* Changes do not find it any more, and those that have found it have ended. */
void record_view_withdraw(struct record_view *view);
/* Of one that no change can find. */
void record_view_free(struct record_view *view);

/* Gives up all views of the record. */
void record_lose_views(struct record *record, int why);
/* Frees what is left; no change is under way, and no one reads. */
void record_free_views(struct record *record);
/* Saves what a change of the interval is about to overwrite. -EAGAIN unless may_wait, when there is
 * something to save. */
int record_save_for_views(struct record *record, uint64_t interval, uint64_t first, uint64_t last,
                          bool may_wait);

/* Bits of one word of 64 granules that the view has. */
uint64_t record_view_word(const struct record_view *view, uint64_t word);

#endif
