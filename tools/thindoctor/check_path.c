/* SPDX-License-Identifier: Apache-2.0 */

/* Can the file system of a path hold volumes? */

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "errmsg.h"
#include "findings.h"
#include "store_file.h"

#define PROBE_BYTES (1 << 20)

/* The directory whose file system is meant: the path itself, or the one it is in. */
static int directory_of(const char *path, char *ret, size_t size)
{
    struct stat info;

    if ((size_t)snprintf(ret, size, "%s", path) >= size)
        return -ENAMETOOLONG;
    if (stat(path, &info) == 0)
        return S_ISDIR(info.st_mode) ? 0 : (dirname(ret), 0);
    if (errno != ENOENT)
        return -errno;
    dirname(ret);
    return stat(ret, &info) == 0 ? 0 : -errno;
}

void check_path(struct findings *findings, const char *path)
{
    char directory[PATH_MAX], probe[PATH_MAX + 64], state[PATH_MAX + 64];
    struct store *store = NULL;
    struct errmsg err = {0};
    int error = directory_of(path, directory, sizeof(directory));

    if (error) {
        snprintf(state, sizeof(state), "%s: %s", path, strerror(-error));
        finding_missing(findings, NEED_SERVE, "hole punching", state, "mkdir -p DIRECTORY");
        return;
    }
    snprintf(probe, sizeof(probe), "%s/.thindoctor-%d", directory, (int)getpid());
    error = store_file_create(probe, PROBE_BYTES, &store, &err);
    if (!error) {
        store_close(store);
        unlink(probe);
        snprintf(state, sizeof(state), "%s can hold volumes", directory);
        finding_ok(findings, NEED_SERVE, "hole punching", state);
        return;
    }
    if (error == -EOPNOTSUPP)
        snprintf(state, sizeof(state), "%s is on a file system that cannot give back space",
                 directory);
    else
        snprintf(state, sizeof(state), "%s", err.text);
    finding_missing(findings, NEED_SERVE, "hole punching", state,
                    error == -EOPNOTSUPP ? "use a directory on ext4, xfs, btrfs or tmpfs"
                                         : "name a directory that this user can write to");
}
