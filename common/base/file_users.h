/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_FILE_USERS_H
#define THINMIRROR_BASE_FILE_USERS_H

#include <stdbool.h>
#include <stddef.h>

/* Who uses a regular file in a way that forbids to write to it: another process, or the kernel, has
 * it open for writing (a running virtual machine, a LUN that tgtd or the kernel's target serves, a
 * loop device, a swap file), or has it locked (fcntl(2), as qemu does, also for a disk that it
 * only reads). Programs that only read it are not users.
 *
 * fd: the file, open for reading only, and nothing else in this process has it open for writing;
 * so ask before opening it for writing. A file system that is not of this machine (NFS, FUSE) does
 * not tell who has it open elsewhere.
 *
 * Written to text, for "FILE TEXT": "is open for writing by process 123 (qemu-system-x86)", "is
 * locked by process 123 (qemu-img)", "is in use as /dev/loop0", "is served by the kernel's target
 * as fileio_0/disk", "is used as swap", "is open for writing by a program that cannot be seen from
 * here". False, and an empty text, when no user is found. It costs some microseconds where there
 * is none. */
bool file_users_find(int fd, char *text, size_t size);

/* The same with procfs and sysfs elsewhere than in /proc and /sys, for tests. */
bool file_users_find_in(int fd, const char *proc, const char *sys, char *text, size_t size);

#define FILE_USERS_BYTES 512

#endif
