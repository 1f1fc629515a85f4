/* SPDX-License-Identifier: Apache-2.0 */
#include "file_lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "cleanup.h"
#include "proc_text.h"
#include "process_name.h"

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

/* Whether the process has the file open, as far as we may look. */
static bool has_open(pid_t pid, const struct stat *file)
{
    CLEANUP(close_directory) DIR *directory = NULL;
    const struct dirent *entry;
    char path[64];
    struct stat st;

    snprintf(path, sizeof(path), "/proc/%d/fd", (int)pid);
    directory = opendir(path);
    while (directory && (entry = readdir(directory))) {
        if (fstatat(dirfd(directory), entry->d_name, &st, 0) == 0 && st.st_dev == file->st_dev &&
            st.st_ino == file->st_ino)
            return true;
    }
    return false;
}

/* The process that took an exclusive flock, or any, on the file, by /proc/locks; 0 when that does
 * not tell, because the holder is in another process namespace. Some file systems (Btrfs, overlays)
 * have other device numbers there than stat gives: then the process must have the file open. */
static pid_t holder_of(int fd, bool any)
{
    CLEANUP_FCLOSE FILE *locks = fopen("/proc/locks", "re");
    struct proc_lock lock;
    struct stat st;
    char line[256];

    if (!locks || fstat(fd, &st) < 0)
        return 0;
    while (fgets(line, sizeof(line), locks)) {
        if (!proc_parse_lock(line, &lock) || lock.kind != PROC_FLOCK || lock.pid <= 0 ||
            lock.inode != st.st_ino || !(any || lock.exclusive))
            continue;
        if (makedev(lock.major, lock.minor) == st.st_dev || has_open(lock.pid, &st))
            return lock.pid;
    }
    return 0;
}

int file_lock(int fd, bool exclusive, char *holder, size_t size)
{
    pid_t pid;
    int result;

    do {
        result = flock(fd, (exclusive ? LOCK_EX : LOCK_SH) | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    if (result == 0 || errno != EWOULDBLOCK)
        return result < 0 ? -errno : 0;
    if (!holder)
        return -EBUSY;
    pid = holder_of(fd, true);
    if (pid > 0)
        process_name("/proc", pid, holder, size);
    else
        snprintf(holder, size, "another process");
    return -EBUSY;
}

bool file_lock_holder(int fd, char *holder, size_t size)
{
    pid_t pid = holder_of(fd, false);

    if (pid > 0)
        process_name("/proc", pid, holder, size);
    return pid > 0;
}
