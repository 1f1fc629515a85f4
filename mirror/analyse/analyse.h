/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ANALYSE_H
#define THINMIRROR_ANALYSE_H

/* Reads a LUN's own tables of contents (partitions, volumes, file systems) and tells which of its
 * blocks belong to something. Whatever is unknown, dirty, unsupported, inconsistent or beyond its
 * bounds counts as allocated, with a note that names it. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "allocation.h"
#include "endpoint.h"

#define ANALYSIS_NOTES_MAX 12
#define ANALYSIS_FOUND_MAX 64

struct analyse_params {
    bool skip_gaps;  /* what lies between partitions is free; otherwise it may hold boot loaders */
    bool vtoc_lstar; /* tracks of a data set behind the last one that was written are free */
    const atomic_bool *stop; /* set: read no more, end with -EINTR; or NULL */
    /* Called again and again while there is something to wait for, with the bytes that were read so
     * far; or NULL. It may do whatever does not touch the endpoint. */
    void (*watch)(void *opaque, uint64_t read_bytes);
    void *opaque;
};

/* A file system, or whatever else has a table of contents that was understood. */
struct analysis_found {
    char *what;         /* "partition 1, ext4"; owned */
    const char *format; /* "ext4" */
    uint64_t start;     /* bytes of the LUN, when it lies there in one piece */
    uint64_t bytes;
    bool one_piece;
};

struct analysis {
    struct allocation allocation;
    char *notes[ANALYSIS_NOTES_MAX]; /* sentences that say what counts as allocated, and why */
    size_t note_count;
    size_t notes_lost; /* how many more there was no room for */
    bool understood;   /* at least one table of contents was */
    struct analysis_found found[ANALYSIS_FOUND_MAX];
    size_t found_count;
    /* The begins of free tracks of a DASD, which count as allocated, but are to be those of empty
     * tracks on a copy: see track_view.h. Empty when there are none. */
    struct extent_runs heads;
    /* Of all that was read and of the allocation: another one, when the tables have changed. */
    uint64_t digest;
    uint64_t read_digest;    /* of what was read alone */
    struct block_set tables; /* all blocks that were read */
};

/* The endpoint has no other requests in flight. ret is given back with analysis_free, also after a
 * failure. -errno with a sentence only when the target is gone, memory is out, or it was stopped.
 */
int analyse_run(struct endpoint *endpoint, const struct analyse_params *params,
                struct analysis *ret, struct errmsg *err);

/* The read_digest that analyse_run would come to now, without the memory that an allocation takes:
 * as long as it is the same, so are the tables. */
int analyse_look(struct endpoint *endpoint, const struct analyse_params *params,
                 uint64_t *ret_read_digest, struct errmsg *err);

/* Also for a zero-initialised one. */
void analysis_free(struct analysis *analysis);

#endif
