/* SPDX-License-Identifier: Apache-2.0 */
#include "error_count.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool read_count(int fd, uint32_t *ret)
{
    char text[32], *end;
    ssize_t got = pread(fd, text, sizeof(text) - 1, 0);

    if (got <= 0)
        return false;
    text[got] = '\0';
    *ret = (uint32_t)strtoul(text, &end, 0);
    return end != text;
}

static bool read_sum(const struct error_count *count, uint32_t *ret)
{
    uint32_t errors = 0, timeouts = 0;

    if (!read_count(count->errors_fd, &errors) ||
        (count->timeouts_fd >= 0 && !read_count(count->timeouts_fd, &timeouts)))
        return false;
    *ret = errors + timeouts;
    return true;
}

static int open_count(const char *sysfs, const struct stat *st, const char *name)
{
    char path[PATH_MAX];

    snprintf(path, sizeof(path), "%s/dev/block/%u:%u/device/%s", sysfs, major(st->st_rdev),
             minor(st->st_rdev), name);
    return open(path, O_RDONLY | O_CLOEXEC);
}

int error_count_open(struct error_count *count, const char *sysfs, int block_fd)
{
    struct stat st;

    count->errors_fd = count->timeouts_fd = -1;
    if (fstat(block_fd, &st) < 0)
        return -errno;
    count->errors_fd = open_count(sysfs, &st, "ioerr_cnt");
    if (count->errors_fd < 0)
        return -errno;
    count->timeouts_fd = open_count(sysfs, &st, "iotmo_cnt");
    if (!read_sum(count, &count->known)) {
        error_count_close(count);
        return -EIO;
    }
    return 0;
}

void error_count_close(struct error_count *count)
{
    if (count->errors_fd >= 0)
        close(count->errors_fd);
    if (count->timeouts_fd >= 0)
        close(count->timeouts_fd);
    count->errors_fd = count->timeouts_fd = -1;
}

void error_count_expect(struct error_count *count)
{
    count->known++;
}

/* Fewer than expected: what was expected had not been counted. */
bool error_count_moved(struct error_count *count)
{
    uint32_t now = count->known;
    bool is_read = read_sum(count, &now);
    bool moved = !is_read || (int32_t)(now - count->known) > 0;

    count->known = now;
    return moved;
}
