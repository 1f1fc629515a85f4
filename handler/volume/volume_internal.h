/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_INTERNAL_H
#define THINMIRROR_VOLUME_INTERNAL_H

/* What the files of the volume share. */

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "cleanup.h"
#include "range_lock.h"
#include "record.h"
#include "volume.h"
#include "volume_meta.h"

struct volume {
    struct store *store;
    struct volume_meta meta;
    pthread_mutex_t meta_lock; /* around a change of meta and its description */
    bool read_only;
    bool described; /* has a description in a file */
    char *name;     /* for messages; the path, where described */
    /* Every operation shares the bytes it touches, volume_update has them alone, and a resize has
     * all, so that no operation sees the size change under way. Held over the store's I/O, since
     * that is what it orders. */
    struct range_lock *ranges;
    /* Who wants to know of changes; the lock is a leaf. The count is looked at without it. */
    pthread_mutex_t watches_lock;
    struct volume_watch *watches;
    atomic_uint watch_count;
    /* What changed since when; NULL: no one asks. Changes only with everything held. */
    _Atomic(struct record *) record;
    bool track_refused;
    bool sealed; /* only volume_sanitize touches the bytes; guarded by ranges */
};

/* 0, or why bytes cannot be read, or changed; to be asked with the bytes held. */
static inline int may_read(const struct volume *volume)
{
    return volume->sealed ? -ESHUTDOWN : 0;
}

/* Tells the watches (volume_watch.h) that the bytes are about to change. */
void volume_notice_change(struct volume *volume, uint64_t offset, uint64_t length);

/* The change of these bytes begins then: it is marked where a record is kept, and noticed where the
 * bytes are watched. -EROFS, -ESHUTDOWN, or unless may_wait -EAGAIN: then nothing has begun. */
static inline int begin_change(struct volume *volume, uint64_t offset, uint64_t length,
                               bool may_wait, struct record_change *ret)
{
    int error = volume->read_only ? -EROFS : may_read(volume);

    ret->record = NULL;
    if (!error && __builtin_expect(volume->record != NULL, 0))
        error = record_begin(volume->record, offset, length, may_wait, ret);
    if (!error && atomic_load_explicit(&volume->watch_count, memory_order_relaxed) > 0)
        volume_notice_change(volume, offset, length);
    return error;
}

static inline void end_change(struct record_change *change)
{
    if (__builtin_expect(change->record != NULL, 0))
        record_end(change);
}

/* Until the end of the scope the bytes, which are held, change; unless begin_change gives an error.
 */
#define CHANGES_RANGE(volume, offset, length, ret_error) \
    CLEANUP(end_change) struct record_change its_change; \
    ret_error = begin_change(volume, offset, length, true, &its_change)

/* volume_track.c: what opening, looking and closing do about the record. */
int volume_open_record(struct volume *volume, struct errmsg *err);
void volume_look_at_record(struct volume *volume, bool in_use);
void volume_close_record(struct volume *volume, bool durable);

/* volume_extent for who holds any of the volume's bytes, with which its size stays; limit lies
 * within it. */
int volume_extent_held(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret);

/* What a scope holds of a volume's bytes. */
struct hold {
    struct range_lock *lock;
    uint64_t stripes;
};

static inline struct hold share(struct volume *volume, uint64_t stripes)
{
    range_lock_share(volume->ranges, stripes);
    return (struct hold){volume->ranges, stripes};
}

static inline struct hold own(struct volume *volume, uint64_t stripes)
{
    range_lock_own(volume->ranges, stripes);
    return (struct hold){volume->ranges, stripes};
}

static inline void release_shared(struct hold *hold)
{
    range_lock_unshare(hold->lock, hold->stripes);
}

static inline void release_owned(struct hold *hold)
{
    range_lock_disown(hold->lock, hold->stripes);
}

/* Until the end of the scope: the bytes are shared; they are this thread's alone; the size stays;
 * everything is this thread's alone. */
#define SHARES_RANGE(volume, offset, length) \
    CLEANUP(release_shared)                  \
    struct hold shares_range = share(volume, range_lock_stripes(offset, length))

#define OWNS_RANGE(volume, offset, length) \
    CLEANUP(release_owned) struct hold owns_range = own(volume, range_lock_stripes(offset, length))

#define SIZE_STAYS(volume) \
    CLEANUP(release_shared) struct hold size_stays = share(volume, RANGE_LOCK_SIZE)

#define SIZE_CHANGES(volume) \
    CLEANUP(release_owned) struct hold size_changes = own(volume, RANGE_LOCK_ALL)

#endif
