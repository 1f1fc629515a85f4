/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_REPLACE_FILE_H
#define THINMIRROR_BASE_REPLACE_FILE_H

/* Puts a small file in the place of another one, or where there is none, atomically and durably: a
 * crash leaves the old one or the new one, whole. The new one is written as NAME.new in the folder
 * of the place and then given its name. Owner and mode are set by its descriptor, never by its
 * name, so that an owner of the folder who plants a symbolic link there gains nothing by it. */

#include <stddef.h>
#include <sys/types.h>

#include "file_place.h"

enum replace_file_which {
    REPLACE_FILE_NONE, /* there must be none: -EEXIST */
    REPLACE_FILE_ONE,  /* there must be one, a regular file: -ENOENT, -EINVAL; its mode is kept, and
                        * its owner as far as we may give files away */
    REPLACE_FILE_ANY,  /* whether there is one or not */
};

struct replace_file_terms {
    enum replace_file_which which;
    mode_t mode; /* of the new file, masked with 0777; REPLACE_FILE_ONE does not look at it */
    /* The most that a file of this kind holds. NAME.new, left by a process that was killed, is
     * removed if it may be such a file; -EBUSY when it cannot be, because it is larger or no
     * regular file. */
    size_t max_bytes;
};

/* 0 or -errno. After a failure of the last step the new file may be there and not durable; -ESTALE:
 * another process has changed the folder meanwhile, so that the file there may be another one.
 * Callers for one place are the caller's to order (a lock on the volume, say). */
int replace_file(const struct file_place *place, const void *bytes, size_t length,
                 const struct replace_file_terms *terms);

#endif
