/* SPDX-License-Identifier: Apache-2.0 */
#include "file_users.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <limits.h>
#include <linux/magic.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "cleanup.h"
#include "proc_text.h"
#include "process_name.h"

struct question {
    const char *proc, *sys;
    struct stat file;
    char *text;
    size_t size;
};

static void close_directory(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

static bool is_the_file(const struct question *question, const struct stat *st)
{
    return st->st_dev == question->file.st_dev && st->st_ino == question->file.st_ino;
}

static bool path_is_the_file(const struct question *question, const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && is_the_file(question, &st);
}

enum answer { NO_WRITER, A_WRITER, UNKNOWN };

/* Where a lease is refused for no other reason than that the file is open. */
static bool leases_tell(int fd)
{
    static const unsigned long known[] = {EXT4_SUPER_MAGIC,  XFS_SUPER_MAGIC,
                                          BTRFS_SUPER_MAGIC, F2FS_SUPER_MAGIC,
                                          TMPFS_MAGIC,       OVERLAYFS_SUPER_MAGIC,
                                          RAMFS_MAGIC,       REISERFS_SUPER_MAGIC,
                                          EXFAT_SUPER_MAGIC};
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if ((unsigned long)fs.f_type == known[i])
            return true;
    return false;
}

/* The kernel gives a lease for reading only on what is open for writing nowhere: neither in another
 * container nor by the kernel itself. It is given back at once. */
static enum answer ask_for_lease(int fd)
{
    if (!leases_tell(fd))
        return UNKNOWN;
    /* Who opens the file meanwhile makes the kernel send a signal: one that is ignored. */
    if (fcntl(fd, F_SETSIG, SIGURG) < 0)
        return UNKNOWN;
    if (fcntl(fd, F_SETLEASE, F_RDLCK) < 0)
        return errno == EAGAIN ? A_WRITER : UNKNOWN;
    fcntl(fd, F_SETLEASE, F_UNLCK);
    return NO_WRITER;
}

/* How the process has one file descriptor open. */
struct descriptor {
    bool writable;
    bool locked; /* by an open file description's lock, which has no process */
};

static struct descriptor read_fdinfo(const char *path)
{
    CLEANUP_FCLOSE FILE *info = fopen(path, "re");
    struct descriptor descriptor = {0};
    struct proc_lock lock;
    char line[256];

    while (info && fgets(line, sizeof(line), info)) {
        proc_parse_flags(line, &descriptor.writable);
        if (proc_parse_lock(line, &lock) && lock.kind == PROC_OFD)
            descriptor.locked = true;
    }
    return descriptor;
}

/* Whether the process has the file open in that way. */
static bool has_open(const struct question *question, const char *pid, bool locked)
{
    CLEANUP(close_directory) DIR *directory = NULL;
    const struct dirent *entry;
    char path[PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%s/%s/fd", question->proc, pid);
    directory = opendir(path);
    while (directory && (entry = readdir(directory))) {
        struct descriptor descriptor;

        if (entry->d_name[0] == '.' || fstatat(dirfd(directory), entry->d_name, &st, 0) < 0 ||
            !is_the_file(question, &st))
            continue;
        snprintf(path, sizeof(path), "%s/%s/fdinfo/%s", question->proc, pid, entry->d_name);
        descriptor = read_fdinfo(path);
        if (locked ? descriptor.locked : descriptor.writable)
            return true;
    }
    return false;
}

/* Whether the process has the file mapped for writing, and perhaps closed it. */
static bool has_mapped(const struct question *question, const char *pid)
{
    CLEANUP_FCLOSE FILE *maps = NULL;
    char path[PATH_MAX], line[PATH_MAX + 128];
    uint64_t inode;

    snprintf(path, sizeof(path), "%s/%s/maps", question->proc, pid);
    maps = fopen(path, "re");
    while (maps && fgets(line, sizeof(line), maps)) {
        const char *name = strchr(line, '/');

        line[strcspn(line, "\n")] = '\0';
        if (name && proc_parse_shared_map(line, &inode) && inode == question->file.st_ino &&
            path_is_the_file(question, name))
            return true;
    }
    return false;
}

/* The first process that has the file open in that way; 0: none that is seen. */
static pid_t find_process(const struct question *question, bool locked)
{
    CLEANUP(close_directory) DIR *directory = opendir(question->proc);
    const struct dirent *entry;

    while (directory && (entry = readdir(directory))) {
        int pid = atoi(entry->d_name);

        if (pid > 0 && (has_open(question, entry->d_name, locked) ||
                        (!locked && has_mapped(question, entry->d_name))))
            return pid;
    }
    return 0;
}

/* "is WHAT by process 123 (name)". */
static bool name_process(const struct question *question, const char *what, pid_t pid)
{
    char name[PROCESS_NAME_BYTES] = "a program that cannot be seen from here";

    if (pid > 0)
        process_name(question->proc, pid, name, sizeof(name));
    snprintf(question->text, question->size, "is %s by %s", what, name);
    return true;
}

static bool find_lock(const struct question *question, int fd)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};

    if (fcntl(fd, F_OFD_GETLK, &lock) < 0 || lock.l_type == F_UNLCK)
        return false;
    return name_process(question, "locked",
                        lock.l_pid > 0 ? lock.l_pid : find_process(question, true));
}

/* Attributes of the kernel's own users of files, each of which names one file. */
struct kernel_user {
    const char *pattern; /* below sysfs */
    const char *words;   /* what the file is, before the name of the user */
    int skip, names;     /* the user's name is this many parts of the attribute's path, before the
                          * last skip ones */
    bool is_info;        /* the path stands within a line, as fileio's "info" has it */
};

static const struct kernel_user kernel_users[] = {
    {"block/loop*/loop/backing_file", "in use as /dev/", 2, 1, false},
    {"kernel/config/target/core/fileio_*/*/info", "served by the kernel's target as ", 1, 2, true},
    {"kernel/config/target/core/fileio_*/*/udev_path", "served by the kernel's target as ", 1, 2,
     false},
    {"kernel/config/nvmet/subsystems/*/namespaces/*/device_path",
     "served by the kernel's NVMe target as ", 1, 3, false},
    {"kernel/config/usb_gadget/*/functions/mass_storage.*/lun.*/file", "served as USB disk ", 1, 2,
     false},
};

/* The user's name: the path is cut and its last parts returned. */
static const char *user_name(char *path, int skip, int names)
{
    char *at;

    for (; skip > 0 && (at = strrchr(path, '/')); skip--)
        *at = '\0';
    for (at = path + strlen(path); at > path; at--)
        if (at[-1] == '/' && --names == 0)
            break;
    return at;
}

static bool attribute_names_the_file(const struct question *question, const char *attribute,
                                     bool is_info)
{
    CLEANUP_FCLOSE FILE *file = fopen(attribute, "re");
    char line[PATH_MAX + 128], path[PATH_MAX];

    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (!is_info)
            return path_is_the_file(question, line);
        if (proc_parse_fileio(line, path, sizeof(path)) && path_is_the_file(question, path))
            return true;
    }
    return false;
}

static bool find_kernel_user(const struct question *question, const struct kernel_user *user)
{
    char pattern[PATH_MAX];
    bool found = false;
    glob_t paths;

    snprintf(pattern, sizeof(pattern), "%s/%s", question->sys, user->pattern);
    if (glob(pattern, GLOB_NOSORT, NULL, &paths) != 0)
        return false;
    for (size_t i = 0; i < paths.gl_pathc && !found; i++) {
        found = attribute_names_the_file(question, paths.gl_pathv[i], user->is_info);
        if (found)
            snprintf(question->text, question->size, "is %s%s", user->words,
                     user_name(paths.gl_pathv[i], user->skip, user->names));
    }
    globfree(&paths);
    return found;
}

static bool find_swap(const struct question *question)
{
    char path[PATH_MAX], line[PATH_MAX + 128];
    CLEANUP_FCLOSE FILE *swaps = NULL;

    snprintf(path, sizeof(path), "%s/swaps", question->proc);
    swaps = fopen(path, "re");
    while (swaps && fgets(line, sizeof(line), swaps))
        if (proc_parse_swap(line, path, sizeof(path)) && path_is_the_file(question, path)) {
            snprintf(question->text, question->size, "is used as swap");
            return true;
        }
    return false;
}

static bool find_writer(const struct question *question, int fd)
{
    enum answer answer = ask_for_lease(fd);
    pid_t pid = answer == NO_WRITER ? 0 : find_process(question, false);

    return (pid > 0 || answer == A_WRITER) && name_process(question, "open for writing", pid);
}

bool file_users_find_in(int fd, const char *proc, const char *sys, char *text, size_t size)
{
    struct question question = {.proc = proc, .sys = sys, .text = text, .size = size};
    bool found;

    text[0] = '\0';
    if (fstat(fd, &question.file) < 0)
        return false;
    found = find_swap(&question);
    for (size_t i = 0; i < sizeof(kernel_users) / sizeof(kernel_users[0]) && !found; i++)
        found = find_kernel_user(&question, &kernel_users[i]);
    return found || find_writer(&question, fd) || find_lock(&question, fd);
}

bool file_users_find(int fd, char *text, size_t size)
{
    return file_users_find_in(fd, "/proc", "/sys", text, size);
}
