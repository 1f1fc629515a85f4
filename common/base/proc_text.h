/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_PROC_TEXT_H
#define THINMIRROR_BASE_PROC_TEXT_H

/* Lines of the kernel's text files (proc(5)), pure. Each function is false for a line that says
 * nothing of the kind. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum proc_lock_kind { PROC_FLOCK, PROC_POSIX, PROC_OFD, PROC_LOCK_OTHER };

struct proc_lock {
    enum proc_lock_kind kind;
    bool exclusive;
    pid_t pid; /* -1 for PROC_OFD, 0 in another process namespace */
    unsigned major, minor;
    uint64_t inode;
};

/* "1: FLOCK  ADVISORY  WRITE 123 08:01:4567 0 EOF" of /proc/locks, also with "lock:" before it, as
 * in /proc/PID/fdinfo/FD. Who waits for a lock ("1: -> FLOCK ...") is none. */
bool proc_parse_lock(const char *line, struct proc_lock *ret);

/* "flags: 0100002" of /proc/PID/fdinfo/FD: whether the file is open for writing. */
bool proc_parse_flags(const char *line, bool *ret_writable);

/* A line of /proc/PID/maps that is mapped shared and writable: the file's inode number. */
bool proc_parse_shared_map(const char *line, uint64_t *ret_inode);

/* The path at the beginning of a line of /proc/swaps; what is escaped as \040 is put right. False
 * for the heading and for a path that is too long for size. */
bool proc_parse_swap(const char *line, char *ret_path, size_t size);

/* The path of "TCM FILEIO ID: 0        File: /srv/a disk  Size: 1048576  Mode: O_DSYNC Async: 0",
 * in a backstore's "info" in configfs. */
bool proc_parse_fileio(const char *line, char *ret_path, size_t size);

#endif
