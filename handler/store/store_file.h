/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_H
#define THINMIRROR_STORE_FILE_H

/* A sparse raw file: mapped = data, deallocated = hole. The file system is the truth. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "errmsg.h"
#include "store.h"

/* Opens an existing regular file and takes an exclusive lock on it (shared when read_only) that
 * store_close gives back. Never creates a file.
 * Errors, each with its sentence: -ENOENT, -EISDIR / -EINVAL (not a regular file), -EBUSY (locked;
 * the message names the holder), -EOPNOTSUPP (the file system cannot punch holes or report them),
 * -EACCES, ... */
int store_file_open(const char *path, bool read_only, struct store **ret, struct errmsg *err);

/* The same for reading only, and without a lock, so that a program which serves the file, or is
 * about to, is not in the way and is not disturbed. Bytes, map and size may change at any time.
 * user: who has it locked for itself, "process 123 (tcmu-runner)", or "" when no one is seen. */
int store_file_look(const char *path, struct store **ret, char *user, size_t size,
                    struct errmsg *err);

/* Creates a new sparse file of this many bytes, locked, checking first that the file system can
 * punch holes (the file is removed again when not). -EEXIST when there is one. */
int store_file_create(const char *path, uint64_t bytes, struct store **ret, struct errmsg *err);

/* A store of its own without a name, of this many bytes with nothing in them, in the folder of the
 * file at path: it is gone when it is closed, however that comes about. Not locked; never durable.
 * -EOPNOTSUPP: the file system has no files without a name. */
int store_file_scratch(const char *path, uint64_t bytes, struct store **ret, struct errmsg *err);

#endif
