/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_LOCK_H
#define THINMIRROR_STORE_FILE_LOCK_H

#include <stdbool.h>

#include "errmsg.h"

/* Takes a whole-file lock on fd without waiting; closing fd gives it back. It is flock(2), which
 * belongs to the open file and not to the process, so that a second open within one process is
 * kept out as well. -EBUSY: locked by someone else, whom the sentence names as well as the system
 * lets us know. */
int file_lock(int fd, const char *path, bool shared, struct errmsg *err);

#endif
