/* SPDX-License-Identifier: Apache-2.0 */
#include "room.h"

#include <inttypes.h>
#include <stdio.h>

/* A LUN's own thread, and eight that wait for its disk. */
#define TASKS_PER_LUN 9
/* tcmu-runner's own threads, and those of all devices. */
#define TASKS_BESIDES 16

/* The volume twice, and the ring; one more while something is looked up. */
#define FILES_PER_LUN 4
#define FILES_BESIDES 64

/* The ring, and a stack with its guard page for each thread. */
#define MAPS_PER_LUN (1 + 2 * TASKS_PER_LUN)
#define MAPS_BESIDES 500

/* The ring's memory cannot be swapped out. */
#define RING_MEMORY_SHARE 4

static void check_limit(struct findings *findings, const char *name, const char *what,
                        uint64_t needed, uint64_t most, uint64_t luns, const char *mend)
{
    char state[256];

    if (most == 0)
        return;
    snprintf(state, sizeof(state), "%" PRIu64 " LUN%s take up to %" PRIu64 " of %" PRIu64 " %s",
             luns, luns == 1 ? "" : "s", needed, most, what);
    if (needed <= most)
        finding_ok(findings, NEED_OPTIONAL, name, state);
    else
        finding_missing(findings, NEED_OPTIONAL, name, state, mend);
}

static void check_rings(struct findings *findings, const struct room *room)
{
    char state[256];

    if (room->memory_mib == 0)
        return;
    snprintf(state, sizeof(state),
             "the rings of %" PRIu64 " LUN%s take %" PRIu64 " of %" PRIu64 " MiB of memory",
             room->luns, room->luns == 1 ? "" : "s", room->ring_mib, room->memory_mib);
    if (room->ring_mib <= room->memory_mib / RING_MEMORY_SHARE)
        finding_ok(findings, NEED_OPTIONAL, "LUNs: memory", state);
    else
        finding_missing(findings, NEED_OPTIONAL, "LUNs: memory", state,
                        "create the backstores with control=cmd_ring_size_mb=1 (see "
                        "docs/targetcli.md)");
}

void check_room_for(struct findings *findings, const struct room *room)
{
    check_rings(findings, room);
    check_limit(findings, "LUNs: tasks", "tasks", TASKS_PER_LUN * room->luns + TASKS_BESIDES,
                room->tasks_max, room->luns, room->more_tasks);
    check_limit(findings, "LUNs: files", "open files", FILES_PER_LUN * room->luns + FILES_BESIDES,
                room->files_max, room->luns, room->more_files);
    check_limit(findings, "LUNs: maps", "memory maps", MAPS_PER_LUN * room->luns + MAPS_BESIDES,
                room->maps_max, room->luns, "sysctl vm.max_map_count=1000000");
}
