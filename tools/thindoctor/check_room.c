/* SPDX-License-Identifier: Apache-2.0 */

/* The backstores that are there, and the limits of the tcmu-runner that runs. */

#include <dirent.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "room.h"

#define CORE            "/sys/kernel/config/target/core"
#define RING_MIB_USUAL  8
#define PATH_TEXT_BYTES 512

static void cleanup_closedir(DIR **folder)
{
    if (*folder)
        closedir(*folder);
}

/* The first line of the file, without its end; false when there is none. */
static bool read_line(const char *path, char *ret, size_t size)
{
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");

    if (!file || !fgets(ret, (int)size, file))
        return false;
    ret[strcspn(ret, "\n")] = '\0';
    return true;
}

/* 0: there is none, or it is no number. */
static uint64_t read_number(const char *path)
{
    char text[64];

    return read_line(path, text, sizeof(text)) ? strtoull(text, NULL, 10) : 0;
}

/* A number behind a name in a file of lines like "MemTotal:  1234 kB" or "Max open files  1024". */
static uint64_t read_named(const char *path, const char *name)
{
    CLEANUP_FCLOSE FILE *file = fopen(path, "re");
    char line[256];

    while (file && fgets(line, sizeof(line), file))
        if (strncmp(line, name, strlen(name)) == 0)
            return strtoull(line + strlen(name), NULL, 10);
    return 0;
}

/* Counts one backstore if it is of user:thin. */
static void count_backstore(struct room *room, const char *folder)
{
    char path[PATH_TEXT_BYTES + 32], info[1024] = "";
    CLEANUP_FCLOSE FILE *file = NULL;
    uint64_t ring_mib;
    size_t length;

    snprintf(path, sizeof(path), "%s/info", folder);
    file = fopen(path, "re");
    if (!file)
        return;
    length = fread(info, 1, sizeof(info) - 1, file);
    info[length] = '\0';
    if (!strstr(info, "Config: thin/"))
        return;
    snprintf(path, sizeof(path), "%s/attrib/cmd_ring_size_mb", folder);
    ring_mib = read_number(path);
    room->luns++;
    room->ring_mib += ring_mib ? ring_mib : RING_MIB_USUAL;
}

static void count_backstores_of(struct room *room, const char *hba)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir(hba);
    char path[PATH_TEXT_BYTES];

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (entry->d_name[0] == '.' ||
            snprintf(path, sizeof(path), "%s/%s", hba, entry->d_name) >= (int)sizeof(path))
            continue;
        count_backstore(room, path);
    }
}

static void count_backstores(struct room *room)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir(CORE);
    char path[PATH_TEXT_BYTES];

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        if (strncmp(entry->d_name, "user_", 5) != 0)
            continue;
        snprintf(path, sizeof(path), CORE "/%s", entry->d_name);
        count_backstores_of(room, path);
    }
}

/* The folder in /proc of the tcmu-runner that runs; false: none does. */
static bool find_runner(char *ret, size_t size)
{
    CLEANUP(cleanup_closedir) DIR *folder = opendir("/proc");
    char path[PATH_TEXT_BYTES], name[32];

    for (struct dirent *entry; folder && (entry = readdir(folder));) {
        unsigned long pid = strtoul(entry->d_name, NULL, 10);

        snprintf(path, sizeof(path), "/proc/%lu/comm", pid);
        if (pid == 0 || !read_line(path, name, sizeof(name)) || strcmp(name, "tcmu-runner") != 0)
            continue;
        snprintf(ret, size, "/proc/%lu", pid);
        return true;
    }
    return false;
}

/* The least of the cgroup's limit and the machine's. */
static uint64_t tasks_max_of(const char *runner)
{
    uint64_t most = read_number("/proc/sys/kernel/threads-max"), of_group;
    char path[PATH_TEXT_BYTES], group[256];

    snprintf(path, sizeof(path), "%s/cgroup", runner);
    if (!read_line(path, group, sizeof(group)) || strncmp(group, "0::", 3) != 0)
        return most;
    snprintf(path, sizeof(path), "/sys/fs/cgroup%s/pids.max", group + 3);
    of_group = read_number(path); /* 0 for "max" */
    return of_group > 0 && of_group < most ? of_group : most;
}

void check_room(struct findings *findings)
{
    bool systemd = access("/run/systemd/system", F_OK) == 0;
    struct room room = {
        .memory_mib = read_named("/proc/meminfo", "MemTotal:") / 1024,
        .maps_max = read_number("/proc/sys/vm/max_map_count"),
        .more_tasks = systemd ? "systemctl set-property tcmu-runner TasksMax=infinity"
                              : "raise /proc/sys/kernel/threads-max, or the limit of its cgroup",
        .more_files = systemd ? "systemctl edit tcmu-runner, and in [Service] LimitNOFILE=65536"
                              : "ulimit -n 65536 before tcmu-runner is started",
    };
    char runner[64], limits[80];

    count_backstores(&room);
    if (find_runner(runner, sizeof(runner))) {
        room.tasks_max = tasks_max_of(runner);
        snprintf(limits, sizeof(limits), "%s/limits", runner);
        room.files_max = read_named(limits, "Max open files");
    }
    check_room_for(findings, &room);
}
