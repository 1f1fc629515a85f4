/* SPDX-License-Identifier: Apache-2.0 */
#include "kernel_target.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define UIO_PREFIX "tcm-user/"

int kernel_path(char to[static KERNEL_TARGET_PATH_BYTES], const char *folder, const char *name)
{
    int length = snprintf(to, KERNEL_TARGET_PATH_BYTES, "%s/%s", folder, name);

    return length < 0 || length >= KERNEL_TARGET_PATH_BYTES ? -ENAMETOOLONG : 0;
}

int kernel_device_init(struct kernel_device *device, const char *root, const char *uio_name)
{
    size_t digits, length;
    const char *hba, *name;
    int written;

    *device = (struct kernel_device){0};
    if (strncmp(uio_name, UIO_PREFIX, strlen(UIO_PREFIX)) != 0)
        return -EINVAL;
    hba = uio_name + strlen(UIO_PREFIX);
    digits = strspn(hba, "0123456789");
    if (digits == 0 || hba[digits] != '/')
        return -EINVAL;
    name = hba + digits + 1;
    length = strcspn(name, "/");
    if (length == 0 || name[length] != '/' || name[0] == '.')
        return -EINVAL;
    written = snprintf(device->folder, sizeof(device->folder), "%s/core/user_%.*s/%.*s", root,
                       (int)digits, hba, (int)length, name);
    if (written < 0 || (size_t)written >= sizeof(device->folder) ||
        strlen(root) >= sizeof(device->root))
        return -ENAMETOOLONG;
    snprintf(device->root, sizeof(device->root), "%s", root);
    return 0;
}

int kernel_reservation_folder(const char *root, char to[static KERNEL_TARGET_PATH_BYTES])
{
    char text[KERNEL_TARGET_TEXT_BYTES];

    to[0] = '\0';
    if (kernel_text(root, "dbroot", text))
        return -EIO;
    if (kernel_path(to, text, "pr"))
        return -ENAMETOOLONG;
    return access(to, F_OK) == 0 ? 0 : -errno;
}

int kernel_text(const char *folder, const char *name, char to[static KERNEL_TARGET_TEXT_BYTES])
{
    char path[KERNEL_TARGET_PATH_BYTES];
    CLEANUP_CLOSE int fd = -1;
    ssize_t length;

    if (kernel_path(path, folder, name))
        return -ENAMETOOLONG;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return -errno;
    /* configfs fills its page at the first read and gives all of it. */
    length = read(fd, to, KERNEL_TARGET_TEXT_BYTES);
    if (length < 0)
        return -errno;
    /* One more line would not have fitted, perhaps. */
    if (length > KERNEL_TARGET_TEXT_BYTES - 512)
        return -EOVERFLOW;
    to[length] = '\0';
    for (ssize_t i = 0; i < length; i++)
        if (to[i] == '\0')
            to[i] = ' ';
    while (length > 0 && (to[length - 1] == ' ' || to[length - 1] == '\n'))
        to[--length] = '\0';
    return 0;
}

int kernel_number(const char *folder, const char *name)
{
    char text[KERNEL_TARGET_TEXT_BYTES];
    int error = kernel_text(folder, name, text);
    size_t digits;

    if (error)
        return error;
    digits = strspn(text, "0123456789");
    if (digits == 0 || digits > 9 || text[digits] != '\0')
        return -EINVAL;
    return atoi(text);
}

static void close_folder(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

int kernel_list(const char *folder, const char *prefix,
                int (*visit)(void *context, const char *folder, const char *name), void *context)
{
    CLEANUP(close_folder) DIR *entries = opendir(folder);
    const struct dirent *entry;
    int result = 0;

    if (!entries)
        return -errno;
    while (result == 0 && (errno = 0, entry = readdir(entries))) {
        if (entry->d_name[0] != '.' && strncmp(entry->d_name, prefix, strlen(prefix)) == 0)
            result = visit(context, folder, entry->d_name);
    }
    return result == 0 && !entry && errno ? -errno : result;
}

struct ports_walk {
    const struct kernel_device *device;
    int (*visit)(void *context, const struct kernel_port *port);
    void *context;
    bool any;
};

/* A fabric is listed by its name (iSCSI), and its folder has an alias of the same letters. */
static int find_portal_group(const char *root, char *member, char to[KERNEL_TARGET_PATH_BYTES])
{
    char lower[KERNEL_TARGET_PATH_BYTES];
    int error;

    snprintf(lower, sizeof(lower), "%s", member);
    for (char *letter = lower; *letter && *letter != '/'; letter++)
        *letter = (char)tolower((unsigned char)*letter);
    error = kernel_path(to, root, lower);
    if (error || access(to, F_OK) == 0)
        return error;
    error = kernel_path(to, root, member);
    return error || access(to, F_OK) == 0 ? error : -errno;
}

/* One line of a group's members: FABRIC/TARGET/tpgt_N/lun_N. */
static int visit_member(struct ports_walk *walk, const char *group, char *member)
{
    char *lun = strrchr(member, '/'), path[KERNEL_TARGET_PATH_BYTES];
    struct kernel_port port;
    int error;

    if (!lun || strncmp(lun, "/lun_", 5) != 0 || strstr(member, ".."))
        return -EINVAL;
    *lun++ = '\0';
    if (strlen(lun) >= sizeof(port.lun) || strlen(group) >= sizeof(port.group))
        return -ENAMETOOLONG;
    snprintf(port.lun, sizeof(port.lun), "%s", lun);
    snprintf(port.group, sizeof(port.group), "%s", group);
    error = find_portal_group(walk->device->root, member, port.folder);
    if (error)
        return error;
    if (kernel_path(path, port.folder, "lun") || access(path, F_OK) != 0)
        return -ENOENT;
    walk->any = true;
    return walk->visit(walk->context, &port);
}

static int visit_group(void *context, const char *folder, const char *name)
{
    struct ports_walk *walk = context;
    char path[KERNEL_TARGET_PATH_BYTES], text[KERNEL_TARGET_TEXT_BYTES], *rest = NULL;
    int result = kernel_path(path, folder, name);

    if (result == 0)
        result = kernel_text(path, "members", text);
    for (char *line = result == 0 ? strtok_r(text, "\n", &rest) : NULL; line && result == 0;
         line = strtok_r(NULL, "\n", &rest)) {
        line += strspn(line, " ");
        if (*line)
            result = visit_member(walk, name, line);
    }
    return result;
}

int kernel_ports(const struct kernel_device *device,
                 int (*visit)(void *context, const struct kernel_port *port), void *context)
{
    struct ports_walk walk = {device, visit, context, false};
    char path[KERNEL_TARGET_PATH_BYTES];
    int result = kernel_path(path, device->folder, "alua");

    if (result == 0)
        result = kernel_list(path, "", visit_group, &walk);
    return result == 0 && !walk.any ? -ENOENT : result;
}
