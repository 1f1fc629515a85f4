/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TCMU_SERVED_H
#define THINMIRROR_TCMU_SERVED_H

/* The volumes that LUNs of this process serve. Two volumes of one UUID, made by copying a volume
 * together with its description, would have one designator (VPD 83h): initiators would take both
 * LUNs for two paths to one disk, and read and write now here, now there. */

#include "errmsg.h"
#include "volume.h"

/* One volume that is served; owned by its device. Zero is one that is not. */
struct served {
    const char *path; /* as in the cfgstring, which outlives it */
    uuid_t uuid;
    struct served *next;
};

/* 0, or -EEXIST with a sentence that names both, when another volume of this UUID is served. The
 * same file may be served more than once (for reading). path: the volume's. */
int served_check(const struct volume *volume, const char *path, struct errmsg *err);

/* Checks that and enters the volume. path is kept until served_remove. */
int served_add(struct served *served, const struct volume *volume, const char *path,
               struct errmsg *err);

/* Takes one that was never entered. */
void served_remove(struct served *served);

#endif
