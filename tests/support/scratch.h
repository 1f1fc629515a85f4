/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_SCRATCH_H
#define THINMIRROR_TESTS_SCRATCH_H

/* Places for files of a test: a directory of its own, and small file systems mounted where only
 * this process sees them. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct scratch {
    char directory[64];
    bool mounted;
};

/* A fresh directory in $TMPDIR or /tmp. */
void scratch_make(struct scratch *scratch);
/* The same with a file system of this type mounted on it. False where that is not allowed: then the
 * test has to skip. */
bool scratch_mount(struct scratch *scratch, const char *type, const char *options);
/* Removes everything. */
void scratch_remove(struct scratch *scratch);

/* "DIRECTORY/name" in one of a few static buffers, for use at once. */
const char *scratch_path(const struct scratch *scratch, const char *name);

/* A file of size bytes, each of which is byte. */
void scratch_file(const char *path, size_t size, uint8_t byte);
/* Writes text as the whole file. */
void scratch_text(const char *path, const char *text);
bool scratch_exists(const char *path);
/* How many names there are in the directory. */
size_t scratch_count(const struct scratch *scratch);

#endif
