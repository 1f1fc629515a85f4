/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_SANITIZE_H
#define THINMIRROR_VOLUME_SANITIZE_H

/* Making what was in a volume unreadable (SBC-4 4.11). A volume is sealed first: from then on
 * reads, changes and resizes give -ESHUTDOWN, those that were under way have ended, and its
 * description says so durably, so that a volume whose sanitizing broke off is never taken for whole
 * again. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "volume.h"

#define VOLUME_PATTERN_MAX_BYTES 4096

/* What is done to every block that has storage. Blocks without any hold nothing that could be
 * overwritten, and stay as they are. */
struct volume_sanitize_plan {
    bool overwrite; /* false: everything is deallocated */
    /* In every block from its start, over and over, the last time as far as it goes; in every
     * second pass inverted if so wanted. */
    uint8_t pattern[VOLUME_PATTERN_MAX_BYTES];
    size_t pattern_bytes; /* 1 to the block size */
    unsigned passes;      /* at least 1, each durable before the next begins */
    bool invert;
};

/* Seals the volume, or changes how it is sealed. how: not VOLUME_WHOLE. When the description cannot
 * be written, nothing has changed. -EROFS. */
int volume_seal(struct volume *volume, enum volume_seal how, struct errmsg *err);

/* Opens it again, durably. When the description cannot be written it stays sealed. */
int volume_unseal(struct volume *volume, struct errmsg *err);

/* How it is sealed. To be asked by the thread that seals, or before any does. */
enum volume_seal volume_sealed(const struct volume *volume);

#define VOLUME_PROGRESS_ALL 65536

/* Does what the plan says to a sealed volume, and makes it durable. progress counts up to
 * VOLUME_PROGRESS_ALL. -ECANCELED soon after stop has become true. */
int volume_sanitize(struct volume *volume, const struct volume_sanitize_plan *plan,
                    atomic_uint *progress, const atomic_bool *stop);

#endif
