/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BOOK_H
#define THINMIRROR_BOOK_H

/* The ledger of a sync's secondary, from before the first write to the end. */

#include <limits.h>
#include <stdbool.h>

#include "exit_status.h"
#include "ledger.h"
#include "session.h"

/* Zero-initialise; book_free. */
struct book {
    bool keep;    /* a ledger can be kept at all */
    bool found;   /* there was one: ledger, until book_begin */
    bool resumed; /* this run goes on where that one was interrupted */
    char path[PATH_MAX];
    struct ledger ledger;
    struct session *session;
};

/* Reads what is known about the secondary. With --resume: STATUS_REFUSED when that is about another
 * copy than this one. */
enum exit_status book_open(struct book *book, struct session *session);

/* Notes that the secondary is about to be written to. STATUS_REFUSED when a resumed copy was begun
 * with another source map. When the primary's tables of contents have changed since, what the
 * interrupted copy had done may be out of date: the copy begins anew, with a note. A ledger that
 * cannot be written is an error only where the user named the file: without one a later sync has to
 * be told --overwrite, nothing worse. */
enum exit_status book_begin(struct book *book, const struct source_map *source);

/* Checks of book_begin without writing anything, for a dry run. */
enum exit_status book_check_source(struct book *book, const struct source_map *source);

/* For sync_params.checkpoint; opaque is the book. */
int book_checkpoint(void *opaque, const struct range_set *done, struct errmsg *err);

/* Notes that the copy is complete. */
enum exit_status book_complete(struct book *book);

void book_free(struct book *book);

#endif
