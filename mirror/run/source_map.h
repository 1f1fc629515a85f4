/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SOURCE_MAP_H
#define THINMIRROR_SOURCE_MAP_H

/* What tells which blocks of the primary are used: its target, its own tables of contents, both, or
 * nothing. */

#include "analyse.h"
#include "exit_status.h"

struct session;

struct source_map {
    const char *name; /* "lba-status", "bitmap", "analyse", "both" or "full" */
    /* The same with what else decides which blocks are dealt with and how, for the ledger:
     * "analyse+glf" with --skip-gaps, --vtoc-lstar and --keep-free. ("k" once was a --keep-free
     * that left more alone.) */
    char ledger_name[16];
    bool ask;      /* the target */
    bool analysed; /* analysis is filled */
    bool chosen;   /* by the user */
    struct analysis analysis;
    /* The primary as it is to be copied, where that is another one than the LUN itself (see
     * track_view.h); NULL otherwise. */
    struct endpoint *view;
};

/* Chooses session->source as the options say, and reads the tables of contents where they count.
 * STATUS_FAILED when what was asked for can't be had. Notes why when the choice was not the
 * user's. */
enum exit_status source_map_choose(struct session *session);
void source_map_free(struct source_map *source);

/* What is read of the primary to be copied or compared. */
struct endpoint *source_map_primary(const struct session *session);

/* What is allocated by the tables of contents; NULL when they were not read. */
const struct block_set *source_map_allocated(const struct source_map *source);

/* Reads the tables again after a copy. *ret_changed: they are not what they were. ret_again
 * (zero-initialised, the caller's to free) is then what has to be copied after that: what has
 * become allocated since, *ret_added blocks, and the tables themselves. source then has it all. */
enum exit_status source_map_reread(struct session *session, struct block_set *ret_again,
                                   uint64_t *ret_added, bool *ret_changed);

#endif
