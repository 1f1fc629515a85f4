/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_watch.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "volume_internal.h"

/* In the volume's list as long as nothing has changed; watches_lock guards all of it. */
struct volume_watch {
    struct volume *volume;
    struct volume_watch *next;
    bool changed;
    size_t count;
    struct volume_range ranges[];
};

static bool covers(const struct volume_watch *watch, uint64_t offset, uint64_t length)
{
    for (size_t i = 0; i < watch->count; i++) {
        const struct volume_range *range = &watch->ranges[i];

        if (offset < range->offset + range->length && range->offset < offset + length)
            return true;
    }
    return false;
}

static void unlink_watch(struct volume_watch **at)
{
    struct volume *volume = (*at)->volume;

    *at = (*at)->next;
    atomic_fetch_sub(&volume->watch_count, 1);
}

void volume_notice_change(struct volume *volume, uint64_t offset, uint64_t length)
{
    SCOPED_LOCK(&volume->watches_lock);
    uint64_t end;

    if (length == 0 || add_overflows(offset, length, &end)) /* nothing will come of it */
        return;
    for (struct volume_watch **at = &volume->watches; *at;) {
        if (covers(*at, offset, length)) {
            (*at)->changed = true;
            unlink_watch(at);
        } else {
            at = &(*at)->next;
        }
    }
}

int volume_watch_set(struct volume *volume, const struct volume_range *ranges, size_t count,
                     struct volume_watch **ret)
{
    struct volume_watch *watch = calloc(1, sizeof(*watch) + count * sizeof(*ranges));

    if (!watch)
        return -ENOMEM;
    /* With everything held, no change is under way that has not looked at watch_count yet. */
    SIZE_CHANGES(volume);
    int error = may_read(volume);

    for (size_t i = 0; !error && i < count; i++)
        if (!range_within(ranges[i].offset, ranges[i].length, volume_bytes(volume)))
            error = -ERANGE;
    if (error) {
        free(watch);
        return error;
    }
    watch->volume = volume;
    watch->count = count;
    memcpy(watch->ranges, ranges, count * sizeof(*ranges));
    SCOPED_LOCK(&volume->watches_lock);
    watch->next = volume->watches;
    volume->watches = watch;
    atomic_fetch_add(&volume->watch_count, 1);
    *ret = watch;
    return 0;
}

bool volume_watch_changed(struct volume_watch *watch)
{
    SCOPED_LOCK(&watch->volume->watches_lock);

    return watch->changed;
}

void volume_watch_end(struct volume_watch *watch)
{
    struct volume *volume = watch ? watch->volume : NULL;

    if (!watch)
        return;
    pthread_mutex_lock(&volume->watches_lock);
    for (struct volume_watch **at = &volume->watches; *at; at = &(*at)->next) {
        if (*at == watch) {
            unlink_watch(at);
            break;
        }
    }
    pthread_mutex_unlock(&volume->watches_lock);
    free(watch);
}
