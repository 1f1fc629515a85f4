/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_FILE_PLACE_H
#define THINMIRROR_BASE_FILE_PLACE_H

/* Where a file is: the folder it lies in, held open, and its name there. What is done with the file
 * by its place is done in that folder, whatever happens to the path meanwhile.
 *
 * The path is walked step by step, and a symbolic link is followed only if it can be trusted: it
 * belongs to the superuser or to the caller, and so do the folders on the way to it, which no other
 * user may write to (in a folder with the sticky bit, where others cannot move it, a link is
 * trusted all the same). Otherwise the owner of some folder could choose what a program of the
 * superuser opens. This is stricter than /proc/sys/fs/protected_symlinks. */

#include <limits.h>
#include <sys/types.h>

#include "errmsg.h"

struct file_place {
    int folder;              /* opened with O_PATH */
    char name[NAME_MAX + 1]; /* one name, never "." or ".." */
};

/* The place of the file at path; there may be no file yet. Where path itself is a symbolic link,
 * its target's place, also when the link leads to nothing yet. To be closed with file_place_close.
 * Errors, each with a sentence: -ELOOP (a link that is not trusted, which is named, or more than 40
 * links), -ENOENT and -ENOTDIR (a folder of the path), -EISDIR (a path that ends in "/",
 * "." or ".."), -ENAMETOOLONG, -EACCES. */
int file_place_open(const char *path, struct file_place *ret, struct errmsg *err);

/* The same for the name that path ends with, link or not: where a new file is to be made. */
int file_place_open_name(const char *path, struct file_place *ret, struct errmsg *err);

/* Opens the file itself, with O_CLOEXEC and O_NOFOLLOW; mode as in open(2). The descriptor, which
 * the caller owns, or -errno; -ELOOP when the file has become a symbolic link meanwhile. */
int file_place_open_file(const struct file_place *place, int flags, mode_t mode);

/* Makes durable which names there are in the folder. 0 or -errno. */
int file_place_sync(const struct file_place *place);

/* For CLEANUP(file_place_close): takes one whose folder is -1. */
void file_place_close(struct file_place *place);

#define FILE_PLACE_NONE \
    {                   \
        .folder = -1    \
    }

#endif
