/* SPDX-License-Identifier: Apache-2.0 */
#include "file_lock.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/types.h>

#include "cleanup.h"

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

/* The process that took a flock on the file, by /proc/locks; 0 when that does not tell, because the
 * holder is in another process namespace. Some file systems (Btrfs, overlays) have other device
 * numbers there than stat gives: then the process must have the file open. */
static pid_t holder_of(int fd)
{
    CLEANUP_FCLOSE FILE *locks = fopen("/proc/locks", "re");
    struct stat st;
    char line[256];

    if (!locks || fstat(fd, &st) < 0)
        return 0;
    while (fgets(line, sizeof(line), locks)) {
        unsigned major_number, minor_number;
        unsigned long long inode;
        int pid;

        if (sscanf(line, "%*u: FLOCK %*s %*s %d %x:%x:%llu", &pid, &major_number, &minor_number,
                   &inode) != 4 ||
            pid <= 0 || inode != st.st_ino)
            continue;
        if ((major_number == major(st.st_dev) && minor_number == minor(st.st_dev)) ||
            has_open(pid, &st))
            return pid;
    }
    return 0;
}

/* The program's name of 15 characters at most, or "" when it is gone. */
static void name_of_process(pid_t pid, char *name, size_t size)
{
    char path[64];

    snprintf(path, sizeof(path), "/proc/%d/comm", (int)pid);
    CLEANUP_FCLOSE FILE *comm = fopen(path, "re");
    if (!comm || !fgets(name, (int)size, comm))
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
}

static int busy(int fd, const char *path, struct errmsg *err)
{
    pid_t pid = holder_of(fd);
    char name[32];
    char holder[80];

    if (pid == 0) {
        snprintf(holder, sizeof(holder), "another process");
    } else {
        name_of_process(pid, name, sizeof(name));
        snprintf(holder, sizeof(holder), "%s (process %d)", name[0] ? name : "a program", (int)pid);
    }
    return errmsg_set(
        err, -EBUSY,
        "%s is in use by %s and can have only one user at a time; delete the LUN that "
        "serves it, or wait until that program has ended",
        path, holder);
}

int file_lock(int fd, const char *path, bool shared, struct errmsg *err)
{
    int result;

    do {
        result = flock(fd, (shared ? LOCK_SH : LOCK_EX) | LOCK_NB);
    } while (result < 0 && errno == EINTR);
    if (result == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return busy(fd, path, err);
    return errmsg_set(err, -errno, "%s cannot be locked: %s", path, strerror(errno));
}
