/* SPDX-License-Identifier: Apache-2.0 */
#include "file_copy.h"

#include <errno.h>
#include <linux/magic.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "checked.h"

/* The kernel copies no more in one call, and a multiple of every block. */
#define AT_A_TIME (UINT64_C(1) << 30)

/* Whether the file system is known to copy bytes when it is asked to. One that lets both files
 * share their storage instead (XFS, Btrfs, what a server does behind NFS or SMB) must not be asked:
 * a write to either of them would need new space from then on. */
static bool copies_bytes(int fd)
{
    struct statfs fs;

    if (fstatfs(fd, &fs) < 0)
        return false;
    return fs.f_type == EXT4_SUPER_MAGIC || fs.f_type == TMPFS_MAGIC;
}

static int copy_error(int error)
{
    switch (error) {
    case EXDEV:
    case ENOSYS:
    case EINVAL:
    case EBADF: /* one of them is append-only, or no regular file */
        return -EOPNOTSUPP;
    case EDQUOT:
        return -ENOSPC;
    default:
        return -error;
    }
}

int file_copy(int to_fd, uint64_t to_offset, int from_fd, uint64_t from_offset, uint64_t length)
{
    off_t to = (off_t)to_offset, from = (off_t)from_offset;

    if (!copies_bytes(to_fd) || !copies_bytes(from_fd))
        return -EOPNOTSUPP;
    while (length > 0) {
        ssize_t done =
            copy_file_range(from_fd, &from, to_fd, &to, (size_t)min_u64(length, AT_A_TIME), 0);

        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return copy_error(errno);
        if (done == 0) /* someone cut the file short */
            return -EIO;
        length -= (uint64_t)done;
    }
    return 0;
}
