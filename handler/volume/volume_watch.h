/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_WATCH_H
#define THINMIRROR_VOLUME_WATCH_H

/* Whether bytes of a volume still are what they were: a watch notices the first change that begins
 * in any of its ranges, before the change happens. So a reader that afterwards finds no change
 * noticed, has read what was there when the watch was set. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct volume;
struct volume_watch;

struct volume_range {
    uint64_t offset; /* bytes */
    uint64_t length;
};

/* Copies the ranges, which lie within the volume. Changes that are under way have ended when it
 * returns. The volume outlives the watch. -ENOMEM. -ERANGE: a range does not lie within the volume.
 * -ESHUTDOWN: it is sealed. */
int volume_watch_set(struct volume *volume, const struct volume_range *ranges, size_t count,
                     struct volume_watch **ret);
bool volume_watch_changed(struct volume_watch *watch);
/* Takes NULL. */
void volume_watch_end(struct volume_watch *watch);

#endif
