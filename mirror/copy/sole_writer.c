/* SPDX-License-Identifier: Apache-2.0 */
#include "sole_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file_lock.h"
#include "ledger.h"
#include "process_name.h"

#define ROOT_FOLDER "/run/thinmirror"
#define NAME_BYTES  32

static int busy(const char *shown, const char *holder, struct errmsg *err)
{
    return errmsg_set(err, -EBUSY, "%s: %s is copying to it already: wait until that has ended",
                      shown, holder);
}

/* Where the caller's locks are. */
static void choose_folder(char path[static PATH_MAX])
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (geteuid() == 0)
        snprintf(path, PATH_MAX, ROOT_FOLDER);
    else if (runtime && runtime[0] == '/')
        snprintf(path, PATH_MAX, "%s/thinmirror", runtime);
    else
        snprintf(path, PATH_MAX, "/tmp/thinmirror-%u", (unsigned)geteuid());
}

/* The folder, made if it is missing, and ours alone; -ENOENT where there cannot be one. */
static int open_folder(const char *path, struct errmsg *err)
{
    CLEANUP_CLOSE int fd = -1;
    struct stat st;

    /* Others may look into the superuser's, but make and open nothing there. */
    if (mkdir(path, geteuid() == 0 ? 0755 : 0700) < 0 && errno != EEXIST)
        return -ENOENT;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &st) == 0 && st.st_uid == geteuid() && !(st.st_mode & 022))
        return TAKE_FD(fd);
    return errmsg_set(err, -EPERM,
                      "%s is no folder that only this user can write to, so no lock can be held "
                      "in it; remove it",
                      path);
}

static bool is_held(const char *folder, const char *name, char *holder, size_t size)
{
    char path[PATH_MAX];
    CLEANUP_CLOSE int fd = -1;

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= PATH_MAX)
        return false;
    fd = open(path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    return fd >= 0 && file_lock_holder(fd, holder, size);
}

/* A user is told of the superuser's copy, whose lock it can see but not take. */
static int check_superuser(const char *name, const char *shown, struct errmsg *err)
{
    char holder[PROCESS_NAME_BYTES];

    return is_held(ROOT_FOLDER, name, holder, sizeof(holder)) ? busy(shown, holder, err) : 0;
}

static void lock_name(const char *identity, char name[static NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%016" PRIx64 ".lock", ledger_hash(identity));
}

bool sole_writer_find(const char *identity, char *holder, size_t size)
{
    char name[NAME_BYTES], folder[PATH_MAX];

    if (identity[0] == '\0')
        return false;
    lock_name(identity, name);
    choose_folder(folder);
    return is_held(folder, name, holder, size) || is_held(ROOT_FOLDER, name, holder, size);
}

int sole_writer_take(const char *identity, const char *shown, int *ret_fd, struct errmsg *err)
{
    char name[NAME_BYTES], path[PATH_MAX], holder[PROCESS_NAME_BYTES];
    CLEANUP_CLOSE int folder = -1;
    CLEANUP_CLOSE int fd = -1;
    int error = 0;

    *ret_fd = -1;
    if (identity[0] == '\0')
        return 0;
    lock_name(identity, name);
    if (geteuid() != 0)
        error = check_superuser(name, shown, err);
    if (error)
        return error;
    choose_folder(path);
    folder = open_folder(path, err);
    if (folder < 0)
        return folder == -ENOENT ? 0 : folder;
    fd = openat(folder, name, O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return 0;
    error = file_lock(fd, true, holder, sizeof(holder));
    if (error == -EBUSY)
        return busy(shown, holder, err);
    if (!error)
        *ret_fd = TAKE_FD(fd);
    return 0;
}
