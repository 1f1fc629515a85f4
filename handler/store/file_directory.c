/* SPDX-License-Identifier: Apache-2.0 */
#include "file_directory.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <string.h>

#include "cleanup.h"

int file_sync_directory(const char *path)
{
    CLEANUP_FREE char *copy = strdup(path);
    CLEANUP_CLOSE int fd = -1;

    if (!copy)
        return -ENOMEM;
    fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* EINVAL: a file system that has nothing to do for it. */
    return fsync(fd) < 0 && errno != EINVAL ? -errno : 0;
}
