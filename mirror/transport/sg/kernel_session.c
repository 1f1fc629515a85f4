/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_session.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static bool read_port(const struct kernel_session *session, char *text, size_t size)
{
    ssize_t got = pread(session->port_fd, text, size - 1, 0);

    if (got <= 0)
        return false;
    text[got] = '\0';
    text[strcspn(text, "\n")] = '\0';
    return strtoul(text, NULL, 10) > 0;
}

int kernel_session_open(struct kernel_session *session, const char *sysfs, const struct stat *node)
{
    char path[PATH_MAX], device[PATH_MAX];
    const char *name;

    session->port_fd = -1;
    snprintf(path, sizeof(path), "%s/dev/%s/%u:%u/device", sysfs,
             S_ISBLK(node->st_mode) ? "block" : "char", major(node->st_rdev), minor(node->st_rdev));
    if (!realpath(path, device))
        return -errno;
    name = strstr(device, "/session");
    if (!name)
        return -ENOENT;
    snprintf(path, sizeof(path), "%s/class/iscsi_connection/connection%lu:0/local_port", sysfs,
             strtoul(name + strlen("/session"), NULL, 10));
    session->port_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (session->port_fd < 0)
        return -errno;
    if (!read_port(session, session->port, sizeof(session->port)))
        session->port[0] = '\0';
    return 0;
}

void kernel_session_close(struct kernel_session *session)
{
    if (session->port_fd >= 0)
        close(session->port_fd);
    session->port_fd = -1;
}

bool kernel_session_replaced(struct kernel_session *session)
{
    char now[sizeof(session->port)];

    if (session->port_fd < 0 || !read_port(session, now, sizeof(now)) ||
        strcmp(now, session->port) == 0)
        return false;
    memcpy(session->port, now, sizeof(now));
    return true;
}
