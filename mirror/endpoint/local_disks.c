/* SPDX-License-Identifier: Apache-2.0 */
#include "local_disks.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "cleanup.h"
#include "device.h"
#include "endpoint_scsi.h"
#include "inquiry.h"
#include "scsi_defs.h"
#include "sg_device.h"

#define DEEPEST 16 /* devices upon each other */

/* All of a small file, at most size bytes. How many; 0 when it cannot be read. */
static size_t read_bytes(const char *folder, const char *name, void *to, size_t size)
{
    CLEANUP_FCLOSE FILE *file = NULL;
    char path[PATH_MAX];

    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return 0;
    file = fopen(path, "re");
    return file ? fread(to, 1, size, file) : 0;
}

/* A line, without the padding of INQUIRY data. */
static void read_text(const char *folder, const char *name, char *text, size_t size)
{
    size_t length = read_bytes(folder, name, text, size - 1);

    text[length] = '\0';
    text[strcspn(text, "\n")] = '\0';
    for (length = strlen(text); length > 0 && text[length - 1] == ' '; length--)
        text[length - 1] = '\0';
}

static bool read_number(const char *folder, const char *name, dev_t *ret)
{
    unsigned int at_major, at_minor;
    char text[32];

    read_text(folder, name, text, sizeof(text));
    if (sscanf(text, "%u:%u", &at_major, &at_minor) != 2)
        return false;
    *ret = makedev(at_major, at_minor);
    return true;
}

/* folder: the disk's, with its SCSI device below. */
static bool look_at(const char *sysfs, const char *folder, struct local_disk *ret)
{
    const char *name = strrchr(folder, '/') + 1;
    char device[PATH_MAX], link[PATH_MAX + 16], target[256] = "";
    uint8_t identification[SCSI_VPD_BYTES], serial[SCSI_VPD_BYTES];
    struct inquiry inquiry = {0};
    struct scsi_names names;

    snprintf(link, sizeof(link), "%s/device", folder);
    if (strlen(name) >= sizeof(ret->name) || !realpath(link, device) ||
        !read_number(folder, "dev", &ret->device))
        return false;
    strcpy(ret->name, name);
    read_text(device, "vendor", inquiry.vendor, sizeof(inquiry.vendor));
    read_text(device, "model", inquiry.product, sizeof(inquiry.product));
    sg_device_target(sysfs, device, target, sizeof(target));
    names = (struct scsi_names){
        .identification = identification,
        .identification_bytes =
            read_bytes(device, "vpd_pg83", identification, sizeof(identification)),
        .serial = serial,
        .serial_bytes = read_bytes(device, "vpd_pg80", serial, sizeof(serial)),
        .inquiry = &inquiry,
        .target = target,
    };
    scsi_identity(&names, &(struct scsi_unit){0}, (char[256]){0}, 256, ret->identity,
                  sizeof(ret->identity));
    return ret->identity[0] != '\0';
}

static void add(const struct local_disk *disk, struct local_disks *ret)
{
    for (size_t i = 0; i < ret->count; i++)
        if (ret->items[i].device == disk->device)
            return;
    if (ret->count < LOCAL_DISKS_MAX)
        ret->items[ret->count++] = *disk;
}

static void walk(const char *sysfs, dev_t device, int depth, struct local_disks *ret);

/* The device that a file system was mounted from: some have a device number of their own. */
static dev_t device_of_file(const struct stat *st)
{
    CLEANUP_FCLOSE FILE *mounts = NULL;
    char line[4096], source[PATH_MAX];
    unsigned int at_major, at_minor;
    struct stat node;

    if (major(st->st_dev) != 0)
        return st->st_dev;
    mounts = fopen("/proc/self/mountinfo", "re");
    while (mounts && fgets(line, sizeof(line), mounts)) {
        const char *rest = strstr(line, " - ");

        if (sscanf(line, "%*u %*u %u:%u", &at_major, &at_minor) == 2 &&
            makedev(at_major, at_minor) == st->st_dev && rest &&
            sscanf(rest, " - %*s %4095s", source) == 1 && stat(source, &node) == 0 &&
            S_ISBLK(node.st_mode))
            return node.st_rdev;
    }
    return st->st_dev;
}

static void walk_below_loop(const char *sysfs, const char *folder, int depth,
                            struct local_disks *ret)
{
    char backing[PATH_MAX];
    struct stat st;

    read_text(folder, "loop/backing_file", backing, sizeof(backing));
    if (backing[0] && stat(backing, &st) == 0)
        walk(sysfs, S_ISBLK(st.st_mode) ? st.st_rdev : device_of_file(&st), depth, ret);
}

static void walk_slaves(const char *sysfs, const char *folder, int depth, struct local_disks *ret)
{
    char path[PATH_MAX + 8];
    struct dirent *entry;
    dev_t device;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/slaves", folder);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char slave[PATH_MAX + 300];

        snprintf(slave, sizeof(slave), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && read_number(slave, "dev", &device))
            walk(sysfs, device, depth, ret);
    }
    if (dir)
        closedir(dir);
}

static void walk(const char *sysfs, dev_t device, int depth, struct local_disks *ret)
{
    char link[PATH_MAX], folder[PATH_MAX], *end;
    struct local_disk disk;
    char partition[16];

    snprintf(link, sizeof(link), "%s/dev/block/%u:%u", sysfs, major(device), minor(device));
    if (depth == 0 || !realpath(link, folder))
        return;
    read_text(folder, "partition", partition, sizeof(partition));
    end = strrchr(folder, '/');
    if (partition[0] && end)
        *end = '\0';
    if (look_at(sysfs, folder, &disk))
        add(&disk, ret);
    walk_slaves(sysfs, folder, depth - 1, ret);
    walk_below_loop(sysfs, folder, depth - 1, ret);
}

void local_disks_below(const char *sysfs, dev_t device, struct local_disks *ret)
{
    ret->count = 0;
    walk(sysfs, device, DEEPEST, ret);
}

void local_disks_of(const char *sysfs, const char *identity, struct local_disks *ret)
{
    char path[PATH_MAX], link[PATH_MAX + 300], folder[PATH_MAX];
    struct local_disk disk;
    struct dirent *entry;
    DIR *dir;

    ret->count = 0;
    snprintf(path, sizeof(path), "%s/block", sysfs);
    dir = identity[0] ? opendir(path) : NULL;
    while (dir && (entry = readdir(dir))) {
        snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && realpath(link, folder) && look_at(sysfs, folder, &disk) &&
            endpoint_may_be_one(disk.identity, identity))
            add(&disk, ret);
    }
    if (dir)
        closedir(dir);
}

/* Whether somebody has it for himself, whom nothing else shows. */
static bool is_held(const char *node)
{
    int fd = open(node, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_EXCL);
    bool held = fd < 0 && errno == EBUSY;

    if (fd >= 0)
        close(fd);
    return held;
}

bool local_disks_find_user(const struct local_disks *disks, const char *except, char *text,
                           size_t size)
{
    text[0] = '\0';
    for (size_t i = 0; i < disks->count; i++) {
        const struct local_disk *disk = &disks->items[i];
        char node[LOCAL_DISK_NAME_BYTES + 8], user[256];

        snprintf(node, sizeof(node), "/dev/%s", disk->name);
        if (strcmp(disk->name, except) == 0)
            continue;
        if (!device_find_user(disk->device, user, sizeof(user)) && is_held(node))
            snprintf(user, sizeof(user), "is held by another program");
        if (user[0]) {
            snprintf(text, size, "is %s here, which %s", node, user);
            return true;
        }
    }
    return false;
}
