/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LEDGER_KEEPER_H
#define THINMIRROR_LEDGER_KEEPER_H

/* Keeps the ledger of a secondary up to date, from before the first write of a sync to its end.
 *
 * The default place has the last word on each secondary: the ledger itself, or a pointer to the
 * file that the user has named. What is out of date never counts again: a ledger that cannot be
 * brought up to date is removed, and where that cannot be done either, it is an error. */

#include <limits.h>
#include <stdbool.h>

#include "errmsg.h"
#include "ledger.h"

struct ledger_params {
    struct ledger_side primary, secondary; /* as they are now */
    const char *pair;                      /* the pair's name, or NULL */
    const char *chosen;                    /* the file that the user has named, or NULL */
    bool resume;                           /* the user wants to go on with an interrupted copy */
    bool overwrite;                        /* what is there may be lost */
    void (*note)(void *opaque, const char *sentence);
    void *opaque;
};

/* Zero-initialise; ledger_keeper_free. */
struct ledger_keeper {
    struct ledger_params params;
    bool keep;            /* a ledger can be kept */
    bool found;           /* there was one that counts: ledger, until ledger_keeper_begin */
    bool resumed;         /* this run goes on where that one was interrupted */
    bool resumable;       /* the ledger on disk is one that a later run can go on with */
    bool stale;           /* what was found says whose the data is, but not what is done */
    bool noted;           /* that it cannot be written */
    char path[PATH_MAX];  /* of the ledger that is written */
    char place[PATH_MAX]; /* the default one; empty: there is none */
    bool placed;          /* there is a file */
    char placed_copy[LEDGER_COPY_BYTES]; /* its number */
    struct ledger ledger;
    struct range_set done; /* as of the last checkpoint */
};

/* Reads what is known about the secondary. With resume: what makes the interrupted copy another one
 * than this is -EBADE. -EBADE, too, where the file that was named is something else;
 * -ENAMETOOLONG; other -errno when it cannot be read. All with a sentence. */
int ledger_keeper_open(struct ledger_keeper *keeper, const struct ledger_params *params,
                       struct errmsg *err);

/* Whether the data on the secondary were copied there from this primary, or from one of this pair,
 * by what is known; each side may have grown since. why is filled when it is these two, but one of
 * them has become smaller. */
bool ledger_keeper_is_own(const struct ledger_keeper *keeper, struct errmsg *why);

/* What the interrupted copy has done does not count, because of why. */
void ledger_keeper_distrust(struct ledger_keeper *keeper, const char *why);

/* Whether this copy can go on where the one that was interrupted stopped: source names what tells
 * which blocks are used, and how, tables is a digest of the tables of contents that do, or empty.
 * -EBADE with a sentence when the copy was begun with another source. Where the tables have changed
 * since, what was done may be out of date: the copy begins anew, with a note. */
int ledger_keeper_check_source(struct ledger_keeper *keeper, const char *source, const char *tables,
                               struct errmsg *err);

/* Notes that the secondary is about to be written to; after ledger_keeper_check_source. A ledger
 * that cannot be written is an error only where the user has named the file, or an old one stays:
 * without one a later sync has to be told --overwrite, nothing worse. */
int ledger_keeper_begin(struct ledger_keeper *keeper, const char *source, const char *tables,
                        struct errmsg *err);

/* For sync_params.checkpoint; opaque is the keeper. */
int ledger_keeper_checkpoint(void *opaque, const struct range_set *done, struct errmsg *err);

/* Notes how the secondary was left by a copy that was interrupted after its last checkpoint. */
void ledger_keeper_interrupted(struct ledger_keeper *keeper, const struct ledger_left *left);

/* Notes that the copy is complete, and how the secondary was left. -errno with a sentence when the
 * file that the user has named cannot be written, or an old ledger stays. */
int ledger_keeper_complete(struct ledger_keeper *keeper, const struct ledger_left *left,
                           struct errmsg *err);

/* Writes nothing; the file stays as it was left last. A zeroed one may be freed. */
void ledger_keeper_free(struct ledger_keeper *keeper);

#endif
