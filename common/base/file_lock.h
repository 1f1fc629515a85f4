/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_FILE_LOCK_H
#define THINMIRROR_BASE_FILE_LOCK_H

#include <stdbool.h>
#include <stddef.h>

/* Takes a lock on the whole file without waiting, exclusive or shared; closing fd gives it back. It
 * is flock(2), which belongs to the open file and not to the process, so that a second open within
 * one process is kept out as well. 0 or -errno. -EBUSY: another one has it, and holder, if not
 * NULL, names it as "process 123 (tcmu-runner)", or "another process" when that is not seen. */
int file_lock(int fd, bool exclusive, char *holder, size_t size);

/* Whether another one has the exclusive lock, without touching it, as far as it is seen: then
 * holder names it. */
bool file_lock_holder(int fd, char *holder, size_t size);

#endif
