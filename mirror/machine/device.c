/* SPDX-License-Identifier: Apache-2.0 */
#include "device.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>

#include "cleanup.h"

#define SCSI_GENERIC_MAJOR 21

static void cleanup_closedir(DIR **dir)
{
    if (*dir)
        closedir(*dir);
}

/* The first line of a small file, without its newline; false when it cannot be read. */
static bool read_line(const char *path, char *line, size_t size)
{
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");

    if (!file || !fgets(line, (int)size, file))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return true;
}

enum device_kind device_kind_of(const char *path)
{
    char link[PATH_MAX], target[PATH_MAX];
    struct stat st;
    ssize_t length;

    if (stat(path, &st) < 0)
        return DEVICE_NONE;
    if (S_ISCHR(st.st_mode))
        return major(st.st_rdev) == SCSI_GENERIC_MAJOR ? DEVICE_SCSI_GENERIC : DEVICE_OTHER;
    if (!S_ISBLK(st.st_mode))
        return S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode) ? DEVICE_OTHER : DEVICE_NONE;
    /* A partition has no device of its own there, so it is none of SG_IO's. */
    snprintf(link, sizeof(link), "/sys/dev/block/%u:%u/device/subsystem", major(st.st_rdev),
             minor(st.st_rdev));
    length = readlink(link, target, sizeof(target) - 1);
    if (length < 0)
        return DEVICE_BLOCK;
    target[length] = '\0';
    return strcmp(strrchr(target, '/') ? strrchr(target, '/') + 1 : target, "scsi") == 0
               ? DEVICE_SCSI_DISK
               : DEVICE_BLOCK;
}

unsigned long long device_number(dev_t device, const char *attribute)
{
    char path[PATH_MAX], line[64];

    for (int of_disk = 0; of_disk < 2; of_disk++) {
        snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s%s", major(device), minor(device),
                 of_disk ? "../" : "", attribute);
        if (read_line(path, line, sizeof(line)))
            return strtoull(line, NULL, 10);
    }
    return 0;
}

void device_identity(dev_t device, char *text, size_t size)
{
    char boot[64] = "";

    read_line("/proc/sys/kernel/random/boot_id", boot, sizeof(boot));
    snprintf(text, size, "block.%u.%u.%.8s.%llu", major(device), minor(device), boot,
             device_number(device, "diskseq"));
}

/* What the mount of the number was mounted from. */
static dev_t device_of_mount(unsigned long long mount)
{
    CLEANUP_FCLOSE FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096], source[PATH_MAX];
    struct stat st;

    while (mounts && fgets(line, sizeof(line), mounts)) {
        const char *rest = strstr(line, " - ");

        if (strtoull(line, NULL, 10) == mount && rest &&
            sscanf(rest, " - %*s %4095s", source) == 1 && source[0] == '/' &&
            stat(source, &st) == 0 && S_ISBLK(st.st_mode))
            return st.st_rdev;
    }
    return 0;
}

dev_t device_of_file(const char *path)
{
    struct statx st;

    if (statx(AT_FDCWD, path, 0, STATX_MNT_ID, &st) < 0)
        return 0;
    if (st.stx_dev_major != 0)
        return makedev(st.stx_dev_major, st.stx_dev_minor);
    /* Of btrfs each subvolume has a number of its own, which is neither the device's nor that of
     * the mount. */
    return st.stx_mask & STATX_MNT_ID ? device_of_mount(st.stx_mnt_id) : 0;
}

int device_check_writable(int fd, const char *shown, struct errmsg *err)
{
    int read_only = 0;

    if (ioctl(fd, BLKROGET, &read_only) < 0 || !read_only)
        return 0;
    return errmsg_set(err, -EROFS,
                      "%s: the kernel holds it read-only: blockdev --setrw makes it writable, or "
                      "name another one",
                      shown);
}

static bool is_one(const struct stat *a, const struct stat *b)
{
    if (S_ISBLK(a->st_mode) && S_ISBLK(b->st_mode))
        return a->st_rdev == b->st_rdev;
    return a->st_dev == b->st_dev && a->st_ino == b->st_ino;
}

/* The same for the block device whose "MAJOR:MINOR" stands in the file. */
static bool named_device_lies_on(const char *path, const struct stat *lower)
{
    char number[32];
    unsigned int dev_major, dev_minor;
    struct stat st = {.st_mode = S_IFBLK};

    if (!read_line(path, number, sizeof(number)) ||
        sscanf(number, "%u:%u", &dev_major, &dev_minor) != 2)
        return false;
    st.st_rdev = makedev(dev_major, dev_minor);
    return device_lies_on(&st, lower);
}

bool device_lies_on(const struct stat *upper, const struct stat *lower)
{
    CLEANUP(cleanup_closedir) DIR *slaves = NULL;
    char sysfs[64], path[PATH_MAX], backing[PATH_MAX];
    struct dirent *entry;
    struct stat st;

    if (is_one(upper, lower))
        return true;
    if (!S_ISBLK(upper->st_mode))
        return false;
    snprintf(sysfs, sizeof(sysfs), "/sys/dev/block/%u:%u", major(upper->st_rdev),
             minor(upper->st_rdev));
    snprintf(path, sizeof(path), "%s/loop/backing_file", sysfs);
    if (read_line(path, backing, sizeof(backing)) && stat(backing, &st) == 0 &&
        device_lies_on(&st, lower))
        return true;
    snprintf(path, sizeof(path), "%s/partition", sysfs);
    if (access(path, F_OK) == 0) {
        snprintf(path, sizeof(path), "%s/../dev", sysfs);
        return named_device_lies_on(path, lower);
    }
    snprintf(path, sizeof(path), "%s/slaves", sysfs);
    slaves = opendir(path);
    while (slaves && (entry = readdir(slaves))) {
        snprintf(path, sizeof(path), "%s/slaves/%s/dev", sysfs, entry->d_name);
        if (entry->d_name[0] != '.' && named_device_lies_on(path, lower))
            return true;
    }
    return false;
}

/* Btrfs mounts have a device number of their own; what they were mounted from stands behind " - "
 * and the type. */
static bool is_mounted_from(const char *line, dev_t device)
{
    const char *rest = strstr(line, " - ");
    char source[PATH_MAX];
    struct stat st;

    return rest && sscanf(rest, " - %*s %4095s", source) == 1 &&
           strncmp(source, "/dev/", strlen("/dev/")) == 0 && stat(source, &st) == 0 &&
           S_ISBLK(st.st_mode) && st.st_rdev == device;
}

static bool find_mount(dev_t device, char *text, size_t size)
{
    CLEANUP_FCLOSE FILE *mounts = fopen("/proc/self/mountinfo", "re");
    char line[4096], where[PATH_MAX];
    unsigned int at_major, at_minor;

    while (mounts && fgets(line, sizeof(line), mounts)) {
        /* ID, parent, MAJOR:MINOR, root, mount point */
        if (sscanf(line, "%*u %*u %u:%u %*s %4095s", &at_major, &at_minor, where) != 3)
            continue;
        if (makedev(at_major, at_minor) == device || is_mounted_from(line, device)) {
            snprintf(text, size, "is mounted on %s", where);
            return true;
        }
    }
    return false;
}

static bool find_swap(dev_t device, char *text, size_t size)
{
    CLEANUP_FCLOSE FILE *swaps = fopen("/proc/swaps", "re");
    char line[4096], path[PATH_MAX];
    struct stat st;

    while (swaps && fgets(line, sizeof(line), swaps))
        if (sscanf(line, "%4095s", path) == 1 && stat(path, &st) == 0 && S_ISBLK(st.st_mode) &&
            st.st_rdev == device) {
            snprintf(text, size, "is used as swap");
            return true;
        }
    return false;
}

/* "is held by dm-0 (vg-root), which is mounted on /srv", of the holder that sysfs has at path. */
static void describe_holder(const char *path, char *text, size_t size)
{
    char file[PATH_MAX + 16], name[128], number[32], use[256];
    unsigned int dev_major, dev_minor;
    size_t used;

    snprintf(text, size, "is held by %s", strrchr(path, '/') + 1);
    snprintf(file, sizeof(file), "%s/dm/name", path);
    used = strlen(text);
    if (read_line(file, name, sizeof(name)))
        snprintf(text + used, size - used, " (%s)", name);
    snprintf(file, sizeof(file), "%s/dev", path);
    if (!read_line(file, number, sizeof(number)) ||
        sscanf(number, "%u:%u", &dev_major, &dev_minor) != 2)
        return;
    used = strlen(text);
    if (find_mount(makedev(dev_major, dev_minor), use, sizeof(use)) ||
        find_swap(makedev(dev_major, dev_minor), use, sizeof(use)))
        snprintf(text + used, size - used, ", which %s", use);
}

static bool find_holder(const char *sysfs, char *text, size_t size)
{
    char path[PATH_MAX];
    CLEANUP(cleanup_closedir) DIR *dir = NULL;
    struct dirent *entry;

    snprintf(path, sizeof(path), "%s/holders", sysfs);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.') {
            snprintf(path, sizeof(path), "%s/holders/%s", sysfs, entry->d_name);
            describe_holder(path, text, size);
            return true;
        }
    return false;
}

/* A backstore of the kernel's target: its info names the device it has opened. */
static bool is_served_as(const char *folder, const char *name, dev_t device)
{
    CLEANUP_FCLOSE FILE *info = NULL;
    char path[PATH_MAX], line[512];
    unsigned int at_major, at_minor;

    snprintf(path, sizeof(path), "%s/%s/info", folder, name);
    info = fopen(path, "re");
    while (info && fgets(line, sizeof(line), info)) {
        const char *numbers = strstr(line, "Major: ");

        if (numbers && sscanf(numbers, "Major: %u Minor: %u", &at_major, &at_minor) == 2 &&
            makedev(at_major, at_minor) == device)
            return true;
    }
    return false;
}

static bool find_target(dev_t device, char *text, size_t size)
{
    static const char core[] = "/sys/kernel/config/target/core";
    CLEANUP(cleanup_closedir) DIR *kinds = opendir(core);
    struct dirent *kind, *entry;
    char folder[PATH_MAX];

    while (kinds && (kind = readdir(kinds))) {
        CLEANUP(cleanup_closedir) DIR *dir = NULL;

        if (strncmp(kind->d_name, "iblock_", strlen("iblock_")) != 0)
            continue;
        snprintf(folder, sizeof(folder), "%s/%s", core, kind->d_name);
        dir = opendir(folder);
        while (dir && (entry = readdir(dir)))
            if (entry->d_name[0] != '.' && is_served_as(folder, entry->d_name, device)) {
                snprintf(text, size, "is served by the kernel's target (%s/%s)", kind->d_name,
                         entry->d_name);
                return true;
            }
    }
    return false;
}

static bool find_user(dev_t device, const char *sysfs, char *text, size_t size)
{
    return find_mount(device, text, size) || find_swap(device, text, size) ||
           find_holder(sysfs, text, size) || find_target(device, text, size);
}

static bool find_user_of_partition(const char *sysfs, char *text, size_t size)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir(sysfs);
    char path[PATH_MAX], number[32];
    unsigned int part_major, part_minor;
    struct dirent *entry;

    while (dir && (entry = readdir(dir))) {
        snprintf(path, sizeof(path), "%s/%s/partition", sysfs, entry->d_name);
        if (entry->d_name[0] == '.' || access(path, F_OK) < 0)
            continue;
        snprintf(path, sizeof(path), "%s/%s/dev", sysfs, entry->d_name);
        if (!read_line(path, number, sizeof(number)) ||
            sscanf(number, "%u:%u", &part_major, &part_minor) != 2)
            continue;
        *strrchr(path, '/') = '\0';
        if (find_user(makedev(part_major, part_minor), path, text, size)) {
            size_t used = strlen(text);

            snprintf(text + used, size - used, " (partition %s)", entry->d_name);
            return true;
        }
    }
    return false;
}

/* The user of a whole disk uses its partitions, too. */
static bool find_user_of_disk(const char *partition, char *text, size_t size)
{
    char path[PATH_MAX], number[32];
    unsigned int disk_major, disk_minor;

    snprintf(path, sizeof(path), "%s/partition", partition);
    if (access(path, F_OK) < 0)
        return false;
    snprintf(path, sizeof(path), "%s/../dev", partition);
    if (!read_line(path, number, sizeof(number)) ||
        sscanf(number, "%u:%u", &disk_major, &disk_minor) != 2)
        return false;
    *strrchr(path, '/') = '\0';
    if (!find_user(makedev(disk_major, disk_minor), path, text, size))
        return false;
    snprintf(text + strlen(text), size - strlen(text), " (the whole disk)");
    return true;
}

bool device_find_user(dev_t device, char *text, size_t size)
{
    const struct stat st = {.st_mode = S_IFBLK, .st_rdev = device};
    char sysfs[64];

    text[0] = '\0';
    snprintf(sysfs, sizeof(sysfs), "/sys/dev/block/%u:%u", major(device), minor(device));
    return find_user(device, sysfs, text, size) || find_user_of_partition(sysfs, text, size) ||
           find_user_of_disk(sysfs, text, size) || device_find_loop(&st, text, size);
}

bool device_find_loop(const struct stat *lower, char *text, size_t size)
{
    CLEANUP(cleanup_closedir) DIR *dir = opendir("/sys/block");
    char path[PATH_MAX], backing[PATH_MAX];
    struct dirent *entry;
    struct stat st;

    text[0] = '\0';
    while (dir && (entry = readdir(dir))) {
        if (strncmp(entry->d_name, "loop", 4) != 0)
            continue;
        snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", entry->d_name);
        if (read_line(path, backing, sizeof(backing)) && stat(backing, &st) == 0 &&
            device_lies_on(&st, lower)) {
            snprintf(text, size, "is in use as /dev/%s", entry->d_name);
            return true;
        }
    }
    return false;
}
