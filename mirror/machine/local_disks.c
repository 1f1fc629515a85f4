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
#include "inquiry.h"
#include "scsi_defs.h"
#include "sg_device.h"
#include "vpd.h"

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

/* 0 when it is not known. */
static uint64_t read_sectors(const char *folder, const char *name)
{
    char text[32];

    read_text(folder, name, text, sizeof(text));
    return strtoull(text, NULL, 10);
}

/* Longer pages are cut, as the kernel cuts them when it asks. */
#define SYSFS_PAGE_BYTES 1024

/* folder: the disk's, with its SCSI device below. Not the part. */
static bool look_at(const char *sysfs, const char *folder, struct local_disk *ret)
{
    const char *name = strrchr(folder, '/') + 1;
    char device[PATH_MAX], link[PATH_MAX + 16], target[256] = "";
    uint8_t identification[SYSFS_PAGE_BYTES], serial[SYSFS_PAGE_BYTES];
    struct inquiry inquiry = {0};
    struct unit_names names;

    snprintf(link, sizeof(link), "%s/device", folder);
    if (strlen(name) >= sizeof(ret->name) || !realpath(link, device) ||
        !read_number(folder, "dev", &ret->device))
        return false;
    strcpy(ret->name, name);
    read_text(device, "vendor", inquiry.vendor, sizeof(inquiry.vendor));
    read_text(device, "model", inquiry.product, sizeof(inquiry.product));
    sg_device_target(sysfs, device, target, sizeof(target));
    names = (struct unit_names){
        .identification = identification,
        .identification_bytes =
            read_bytes(device, "vpd_pg83", identification, sizeof(identification)),
        .serial = serial,
        .serial_bytes = read_bytes(device, "vpd_pg80", serial, sizeof(serial)),
        .inquiry = &inquiry,
        .target = target,
    };
    unit_identity_read(&names, &(struct unit_identity){0}, (char[256]){0}, 256, ret->identity,
                       sizeof(ret->identity));
    return ret->identity[0] != '\0';
}

static void add(const struct local_disk *disk, struct local_disks *ret)
{
    for (size_t i = 0; i < ret->count; i++) {
        const struct local_disk *item = &ret->items[i];

        if (item->device == disk->device && item->start == disk->start &&
            item->sectors == disk->sectors)
            return;
    }
    if (ret->count < LOCAL_DISKS_MAX)
        ret->items[ret->count++] = *disk;
    else
        ret->incomplete = true;
}

/* False when it ends at nothing that says who it is. */
static bool walk(const char *sysfs, dev_t device, int depth, struct local_disks *ret);

static bool walk_below_loop(const char *sysfs, const char *folder, int depth,
                            struct local_disks *ret)
{
    char backing[PATH_MAX];
    struct stat st;

    read_text(folder, "loop/backing_file", backing, sizeof(backing));
    return backing[0] && stat(backing, &st) == 0 &&
           walk(sysfs, S_ISBLK(st.st_mode) ? st.st_rdev : device_of_file(backing), depth, ret);
}

static bool walk_slaves(const char *sysfs, const char *folder, int depth, struct local_disks *ret)
{
    char path[PATH_MAX + 8];
    struct dirent *entry;
    bool found = false;
    dev_t device;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/slaves", folder);
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        char slave[PATH_MAX + 300];

        snprintf(slave, sizeof(slave), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] != '.' && read_number(slave, "dev", &device))
            found = walk(sysfs, device, depth, ret) || found;
    }
    if (dir)
        closedir(dir);
    return found;
}

/* Which part of the disk it is; folder becomes that of the disk. */
static void read_part(char *folder, struct local_disk *ret)
{
    char partition[16], *end = strrchr(folder, '/');

    ret->start = read_sectors(folder, "start"); /* a whole disk has no such file */
    ret->sectors = read_sectors(folder, "size");
    if (ret->sectors == 0)
        ret->sectors = UINT64_MAX;
    read_text(folder, "partition", partition, sizeof(partition));
    if (partition[0] && end)
        *end = '\0';
}

static bool walk(const char *sysfs, dev_t device, int depth, struct local_disks *ret)
{
    char link[PATH_MAX], folder[PATH_MAX];
    struct local_disk disk;
    bool found = false;

    snprintf(link, sizeof(link), "%s/dev/block/%u:%u", sysfs, major(device), minor(device));
    if (depth > 0 && realpath(link, folder)) {
        read_part(folder, &disk);
        found = look_at(sysfs, folder, &disk);
        if (found)
            add(&disk, ret);
        found = walk_slaves(sysfs, folder, depth - 1, ret) || found;
        found = walk_below_loop(sysfs, folder, depth - 1, ret) || found;
    }
    if (!found)
        ret->incomplete = true;
    return found;
}

static void empty(struct local_disks *ret)
{
    ret->count = 0;
    ret->incomplete = false;
    ret->sectors = 0;
}

void local_disks_below(const char *sysfs, dev_t device, struct local_disks *ret)
{
    char folder[64 + PATH_MAX];

    empty(ret);
    snprintf(folder, sizeof(folder), "%s/dev/block/%u:%u", sysfs, major(device), minor(device));
    ret->sectors = read_sectors(folder, "size");
    walk(sysfs, device, DEEPEST, ret);
}

void local_disks_below_file(const char *sysfs, const char *path, struct local_disks *ret)
{
    local_disks_below(sysfs, device_of_file(path), ret);
    ret->sectors = 0; /* it takes no more than a part of them */
}

void local_disks_of(const char *sysfs, const char *identity, struct local_disks *ret)
{
    char path[PATH_MAX], link[PATH_MAX + 300], folder[PATH_MAX];
    struct local_disk disk;
    struct dirent *entry;
    DIR *dir;

    empty(ret);
    snprintf(path, sizeof(path), "%s/block", sysfs);
    dir = identity[0] ? opendir(path) : NULL;
    while (dir && (entry = readdir(dir))) {
        snprintf(link, sizeof(link), "%s/%s", path, entry->d_name);
        if (entry->d_name[0] == '.' || !realpath(link, folder))
            continue;
        read_part(folder, &disk);
        if (look_at(sysfs, folder, &disk) && unit_identity_may_be_one(disk.identity, identity))
            add(&disk, ret);
    }
    if (dir)
        closedir(dir);
}

static bool overlap(const struct local_disk *a, const struct local_disk *b)
{
    return a->start < b->start ? b->start - a->start < a->sectors
                               : a->start - b->start < b->sectors;
}

static bool is_same_part(const struct local_disk *a, const struct local_disk *b)
{
    return a->start == b->start && a->sectors == b->sectors;
}

static bool have(const struct local_disks *disks, dev_t device)
{
    for (size_t i = 0; i < disks->count; i++)
        if (disks->items[i].device == device)
            return true;
    return false;
}

/* Whether it takes all of its part of the one LUN that it lies on. */
static bool take_all(const struct local_disks *disks)
{
    const struct local_disk *first = &disks->items[0];

    if (disks->incomplete || disks->count == 0 || disks->sectors < first->sectors)
        return false;
    for (size_t i = 1; i < disks->count; i++)
        if (!is_same_part(&disks->items[i], first) ||
            !unit_identity_may_be_one(disks->items[i].identity, first->identity))
            return false;
    return true;
}

bool local_disks_share(const struct local_disks *a, const struct local_disks *b,
                       const struct local_disk **ret)
{
    bool all = take_all(a) || take_all(b);

    for (size_t i = 0; i < a->count; i++)
        for (size_t k = 0; k < b->count; k++) {
            const struct local_disk *x = &a->items[i], *y = &b->items[k];
            /* Two paths that both have, as all that lies on multipath does, are one way to it. */
            bool one_way = x->device == y->device || have(a, y->device) || have(b, x->device);

            *ret = x;
            if (overlap(x, y) && unit_identity_may_be_one(x->identity, y->identity) &&
                (all || !one_way || !is_same_part(x, y)))
                return true;
        }
    return false;
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

static bool find_user(const char *name, dev_t device, char *text, size_t size)
{
    char node[NAME_MAX + 8], user[256];

    snprintf(node, sizeof(node), "/dev/%s", name);
    if (!device_find_user(device, user, sizeof(user))) {
        if (!is_held(node))
            return false;
        snprintf(user, sizeof(user), "is held by another program");
    }
    snprintf(text, size, "is %s here, which %s", node, user);
    return true;
}

/* The same for the partitions that lie there. */
static bool find_user_of_parts(const char *sysfs, const struct local_disk *disk, bool *ret_any,
                               char *text, size_t size)
{
    char path[PATH_MAX], folder[PATH_MAX + NAME_MAX + 2];
    struct local_disk part;
    struct dirent *entry;
    bool found = false;
    DIR *dir;

    snprintf(path, sizeof(path), "%s/block/%s", sysfs, disk->name);
    *ret_any = false;
    dir = opendir(path);
    while (dir && !found && (entry = readdir(dir))) {
        snprintf(folder, sizeof(folder), "%s/%s/partition", path, entry->d_name);
        if (entry->d_name[0] == '.' || access(folder, F_OK) < 0)
            continue;
        *strrchr(folder, '/') = '\0';
        if (!read_number(folder, "dev", &part.device))
            continue;
        read_part(folder, &part);
        if (!overlap(&part, disk))
            continue;
        *ret_any = true;
        found = find_user(entry->d_name, part.device, text, size);
    }
    if (dir)
        closedir(dir);
    return found;
}

bool local_disk_find_user(const char *sysfs, const struct local_disk *disk, char *text, size_t size)
{
    bool found = false, any = false;

    text[0] = '\0';
    if (disk->start > 0)
        found = find_user_of_parts(sysfs, disk, &any, text, size);
    /* The user of one of the partitions is known to use the whole disk, too. */
    return any ? found : find_user(disk->name, disk->device, text, size);
}
