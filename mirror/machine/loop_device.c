/* SPDX-License-Identifier: Apache-2.0 */
#include "loop_device.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cleanup.h"

/* Somebody else may take the free device first. */
#define TRIES 16

static int try_next(int control, const struct loop_config *config, int *ret_fd,
                    char ret_path[static LOOP_DEVICE_PATH_BYTES])
{
    int number = ioctl(control, LOOP_CTL_GET_FREE), r;

    if (number < 0)
        return -errno;
    snprintf(ret_path, LOOP_DEVICE_PATH_BYTES, "/dev/loop%d", number);
    *ret_fd = open(ret_path, O_RDONLY | O_CLOEXEC);
    if (*ret_fd < 0)
        return -errno;
    r = ioctl(*ret_fd, LOOP_CONFIGURE, config) < 0 ? -errno : 0;
    if (r < 0)
        close(*ret_fd);
    return r;
}

int loop_device_open(const char *file, uint64_t start, uint64_t bytes, int *ret_fd,
                     char ret_path[static LOOP_DEVICE_PATH_BYTES])
{
    CLEANUP_CLOSE int backing = open(file, O_RDONLY | O_CLOEXEC);
    CLEANUP_CLOSE int control = backing < 0 ? -1 : open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    struct loop_config config = {
        .fd = (uint32_t)backing,
        .info = {.lo_offset = start,
                 .lo_sizelimit = bytes,
                 .lo_flags = LO_FLAGS_READ_ONLY | LO_FLAGS_AUTOCLEAR},
    };
    int r = -EBUSY;

    if (control < 0)
        return -errno;
    /* What was written past the kernel's cache (SG_IO) is not what it may still hold of a disk. */
    (void)posix_fadvise(backing, 0, 0, POSIX_FADV_DONTNEED);
    for (int i = 0; r == -EBUSY && i < TRIES; i++)
        r = try_next(control, &config, ret_fd, ret_path);
    return r;
}
