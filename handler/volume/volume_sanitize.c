/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_sanitize.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "log.h"
#include "store.h"
#include "volume_internal.h"

/* Done between two looks at whether to stop. A punch is quick, but not with millions of extents. */
#define ERASE_BYTES     (UINT64_C(1) << 28)
#define OVERWRITE_BYTES (UINT64_C(1) << 20)

/* One sanitizing, under way. */
struct work {
    struct volume *volume;
    const struct volume_sanitize_plan *plan;
    atomic_uint *progress;
    const atomic_bool *stop;
    unsigned pass;
    uint8_t *buffer; /* OVERWRITE_BYTES of this pass's pattern */
};

/* No other command is in the volume while it becomes sealed or open. From then on all of it
 * changes, and its change record, of which nothing is to be left, says nothing until it begins
 * anew. */
static void set_seal(struct volume *volume, enum volume_seal how)
{
    SIZE_CHANGES(volume);

    volume->sealed = how != VOLUME_WHOLE;
    volume_notice_change(volume, 0, volume_bytes(volume));
    if (!volume->record)
        return;
    if (volume->sealed)
        record_sanitize(volume->record);
    else if (record_restart(volume->record, RECORD_SANITIZED))
        log_warning("%s: the change record cannot begin anew", volume->name);
}

static int describe(struct volume *volume, enum volume_seal how, struct errmsg *err)
{
    SCOPED_LOCK(&volume->meta_lock);
    struct volume_meta meta = volume->meta;
    int error = 0;

    meta.seal = how;
    if (volume->described)
        error = volume_meta_replace(volume->name, &meta, err);
    if (!error)
        volume->meta.seal = how;
    return error;
}

int volume_seal(struct volume *volume, enum volume_seal how, struct errmsg *err)
{
    bool was_sealed = volume->sealed;
    int error;

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    set_seal(volume, how);
    error = describe(volume, how, err);
    if (error && !was_sealed)
        set_seal(volume, VOLUME_WHOLE);
    return error;
}

int volume_unseal(struct volume *volume, struct errmsg *err)
{
    int error = describe(volume, VOLUME_WHOLE, err);

    if (!error)
        set_seal(volume, VOLUME_WHOLE);
    return error;
}

enum volume_seal volume_sealed(const struct volume *volume)
{
    return volume->meta.seal;
}

static int stop_or_go_on(const struct work *work, uint64_t done)
{
    uint64_t bytes = volume_bytes(work->volume);
    double part = (work->pass + (double)done / (double)bytes) / work->plan->passes;

    /* Only what is durable is all of it. */
    atomic_store(work->progress, (unsigned)(part * (VOLUME_PROGRESS_ALL - 1)));
    return atomic_load(work->stop) ? -ECANCELED : 0;
}

static int erase(const struct work *work)
{
    struct store *store = work->volume->store;
    uint64_t bytes = volume_bytes(work->volume);
    int error = 0;

    for (uint64_t at = 0; !error && at < bytes; at += ERASE_BYTES) {
        error = store_punch(store, at, min_u64(ERASE_BYTES, bytes - at));
        if (!error)
            error = stop_or_go_on(work, at);
    }
    return error;
}

static void fill_buffer(const struct work *work)
{
    const struct volume_sanitize_plan *plan = work->plan;
    uint32_t block_size = volume_block_size(work->volume);
    uint8_t flip = plan->invert && work->pass % 2 ? 0xFF : 0;

    for (size_t at = 0; at < OVERWRITE_BYTES; at++)
        work->buffer[at] = plan->pattern[at % block_size % plan->pattern_bytes] ^ flip;
}

/* start: on a block's edge, as the buffer is. */
static int overwrite_range(const struct work *work, uint64_t start, uint64_t end)
{
    int error = 0;

    while (!error && start < end) {
        struct iovec iov = {.iov_base = work->buffer,
                            .iov_len = (size_t)min_u64(OVERWRITE_BYTES, end - start)};

        error = store_write(work->volume->store, &iov, 1, start, false);
        start += iov.iov_len;
        if (!error)
            error = stop_or_go_on(work, start);
    }
    return error;
}

/* One pass over all that has storage, anchored blocks too: what is in theirs is not known. */
static int overwrite(const struct work *work)
{
    struct store *store = work->volume->store;
    uint64_t bytes = volume_bytes(work->volume);
    uint32_t block_size = volume_block_size(work->volume);
    struct extent extent;

    fill_buffer(work);
    for (uint64_t at = 0; at < bytes;) {
        int error = store_extent(store, at, bytes, &extent);
        uint64_t end = at + extent.length;

        if (!error && extent.status != EXTENT_DEALLOCATED) {
            end = min_u64(align_up(end, block_size), bytes);
            error = overwrite_range(work, align_down(at, block_size), end);
        }
        if (!error)
            error = stop_or_go_on(work, end);
        if (error)
            return error;
        at = end;
    }
    return store_flush(store);
}

int volume_sanitize(struct volume *volume, const struct volume_sanitize_plan *plan,
                    atomic_uint *progress, const atomic_bool *stop)
{
    struct work work = {.volume = volume, .plan = plan, .progress = progress, .stop = stop};
    CLEANUP_FREE uint8_t *buffer = plan->overwrite ? malloc(OVERWRITE_BYTES) : NULL;
    int error = 0;

    if (plan->overwrite && !buffer)
        return -ENOMEM;
    work.buffer = buffer;
    if (plan->overwrite)
        for (; !error && work.pass < plan->passes; work.pass++)
            error = overwrite(&work);
    else
        error = erase(&work);
    if (!error)
        error = store_flush(volume->store);
    if (!error)
        atomic_store(progress, VOLUME_PROGRESS_ALL);
    return error;
}
