/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_INTERNAL_H
#define THINMIRROR_STORE_FILE_INTERNAL_H

/* What the files of the store over a file share. */

#include <pthread.h>
#include <stdatomic.h>

#include "file_map.h"
#include "store.h"

/* What the kernel turned out not to have is found out once and remembered. */
struct store_file {
    struct store store;
    int fd;
    /* Linux forgets the pages it could not write back and reports that once to each open file. What
     * was acknowledged is lost by then, so no flush may claim success again until the file is
     * opened anew. Flushes have an open file of their own: a write with RWF_DSYNC that fails for
     * what was written before it, and cannot be told from one that fails itself, takes nothing away
     * there. They go one by one, so that of two the one that is told nothing comes after
     * flush_failed. */
    int flush_fd;
    pthread_mutex_t flush_lock; /* around fdatasync and the change of flush_failed it calls for */
    atomic_bool flush_failed;
    atomic_bool no_dsync;
    atomic_bool no_nowait;
    atomic_bool no_zero_range;
    struct file_map map;
    struct store_identity opened; /* as it was then */
};

static inline struct store_file *file_of(struct store *store)
{
    return (struct store_file *)store;
}

extern const struct store_ops store_file_ops;

#endif
