/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_META_H
#define THINMIRROR_VOLUME_META_H

/* What a volume is besides its bytes, kept in PATH.thin: a JSON object
 * {"format": "thinmirror-volume", "version": 1, "uuid": "...", "block_size": 512}, and once an
 * initiator has saved mode pages "mode_pages": "...", their bytes in hexadecimal, and while a
 * SANITIZE runs, and after one that failed, "sanitize": "restricted" or "unrestricted". Fields that
 * are not known are refused: rewriting the description would lose them. */

#include <stddef.h>
#include <stdint.h>
#include <uuid/uuid.h>

#include "errmsg.h"

#define VOLUME_META_SUFFIX         ".thin"
#define VOLUME_META_MAX_BYTES      65536
#define VOLUME_META_MODE_MAX_BYTES 256

/* Whether the bytes may be used. */
enum volume_seal {
    VOLUME_WHOLE,
    VOLUME_SEALED_RESTRICTED,   /* until a SANITIZE succeeds */
    VOLUME_SEALED_UNRESTRICTED, /* until then, or until the failure is accepted */
};

struct volume_meta {
    uuid_t uuid;
    uint32_t block_size; /* 512 or 4096 */
    /* Mode pages that were saved, as the logical unit lays them out; none: 0 bytes. */
    uint8_t mode_pages[VOLUME_META_MODE_MAX_BYTES];
    size_t mode_pages_bytes;
    enum volume_seal seal;
};

/* A fresh random UUID. */
void volume_meta_init(struct volume_meta *meta, uint32_t block_size);

/* Parses text of length bytes. -EINVAL with a sentence that names the field. Fuzzed. */
int volume_meta_parse(const char *text, size_t length, struct volume_meta *ret, struct errmsg *err);

/* volume_path is the volume's, not the description's. -ENOENT names the `thinvol create` command.
 */
int volume_meta_load(const char *volume_path, struct volume_meta *ret, struct errmsg *err);

/* Writes a new description atomically and durably; -EEXIST when there is one. */
int volume_meta_create(const char *volume_path, const struct volume_meta *meta, struct errmsg *err);

/* Puts this description in the place of the one there is, atomically and durably; who may read it
 * does not change. */
int volume_meta_replace(const char *volume_path, const struct volume_meta *meta,
                        struct errmsg *err);

#endif
