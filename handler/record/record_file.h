/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_FILE_H
#define THINMIRROR_RECORD_FILE_H

/* The change record in a file beside the volume. Who has the volume locked has the record too. */

#include "errmsg.h"
#include "record_medium.h"

#define RECORD_FILE_SUFFIX ".track"

/* volume_path is the volume's. -ENOENT: there is none. A file of a wrong length is emptied, which
 * is a record of nothing. Other errors with a sentence. */
int record_file_open(const char *volume_path, struct record_medium **ret, struct errmsg *err);
/* The same for reading only. -ENODATA: it has a wrong length. */
int record_file_look(const char *volume_path, struct record_medium **ret, struct errmsg *err);
/* Makes the file, durably; -EEXIST when there is one. */
int record_file_create(const char *volume_path, struct record_medium **ret, struct errmsg *err);
/* Removes it, durably; 0 when there is none. A file of that name that is none stays. */
int record_file_remove(const char *volume_path, struct errmsg *err);
/* 1: there is one; 0: there is none. */
int record_file_find(const char *volume_path, struct errmsg *err);

#endif
