/* SPDX-License-Identifier: Apache-2.0 */
#include "sg_device.h"

#include <dirent.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#include "cleanup.h"

#define SEGMENT_BYTES 4096 /* the least that one segment of a transfer carries */

static bool read_text(const char *path, char *text, size_t size)
{
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");

    if (!file || !fgets(text, (int)size, file))
        return false;
    text[strcspn(text, "\n")] = '\0';
    return text[0] != '\0';
}

static uint64_t read_number(const char *path)
{
    char text[32];

    return read_text(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* The only entry of a directory, "sda" in .../device/block. */
static bool only_entry(const char *path, char *name, size_t size)
{
    DIR *dir = opendir(path);
    struct dirent *entry;
    bool found = false;

    while (dir && !found && (entry = readdir(dir)))
        if (entry->d_name[0] != '.' && strlen(entry->d_name) < size) {
            memcpy(name, entry->d_name, strlen(entry->d_name) + 1);
            found = true;
        }
    if (dir)
        closedir(dir);
    return found;
}

/* The transfer of one command is bound by the queue's sectors and, when pages lie scattered, by its
 * segments. */
static uint64_t max_transfer(const char *sysfs, const char *disk)
{
    char path[PATH_MAX];
    uint64_t bytes, segments;

    snprintf(path, sizeof(path), "%s/block/%s/queue/max_sectors_kb", sysfs, disk);
    bytes = read_number(path) * 1024;
    snprintf(path, sizeof(path), "%s/block/%s/queue/max_segments", sysfs, disk);
    segments = read_number(path) * SEGMENT_BYTES;
    if (segments && (bytes == 0 || segments < bytes))
        return segments;
    return bytes;
}

/* device is .../sessionS/targetH:C:T/H:C:T:L when open-iscsi brought it. */
void sg_device_target(const char *sysfs, const char *device, char *target, size_t size)
{
    char path[PATH_MAX], name[224];
    const char *session = strstr(device, "/session"), *unit = strrchr(device, ':');
    unsigned long number;

    if (!session || !unit)
        return;
    number = strtoul(session + strlen("/session"), NULL, 10);
    snprintf(path, sizeof(path), "%s/class/iscsi_session/session%lu/targetname", sysfs, number);
    if (read_text(path, name, sizeof(name)))
        snprintf(target, size, "%s,L,0x%lx", name, strtoul(unit + 1, NULL, 10));
}

void sg_device_look_up(const char *sysfs, const char *path, struct sg_device *ret)
{
    char link[PATH_MAX], device[PATH_MAX], block[PATH_MAX + 8];
    struct stat st;

    memset(ret, 0, sizeof(*ret));
    if (stat(path, &st) < 0)
        return;
    snprintf(link, sizeof(link), "%s/dev/%s/%u:%u/device", sysfs,
             S_ISBLK(st.st_mode) ? "block" : "char", major(st.st_rdev), minor(st.st_rdev));
    if (!realpath(link, device))
        return;
    snprintf(block, sizeof(block), "%s/block", device);
    if (only_entry(block, ret->disk, sizeof(ret->disk)))
        ret->max_transfer_bytes = max_transfer(sysfs, ret->disk);
    ret->comes_back = strstr(device, "/session") || strstr(device, "/rport-");
    sg_device_target(sysfs, device, ret->target, sizeof(ret->target));
}
