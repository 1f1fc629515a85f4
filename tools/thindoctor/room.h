/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ROOM_H
#define THINMIRROR_ROOM_H

/* What the LUNs of this machine take, and what there is. */

#include <stdint.h>

#include "findings.h"

/* Of what is not known the value is 0. */
struct room {
    uint64_t luns;          /* backstores of user:thin */
    uint64_t ring_mib;      /* their rings together, which the kernel keeps in memory */
    uint64_t memory_mib;    /* all there is */
    uint64_t tasks_max;     /* that tcmu-runner may have */
    uint64_t files_max;     /* descriptors that it may have open */
    uint64_t maps_max;      /* memory maps that a process may have */
    const char *more_tasks; /* the command that raises tasks_max */
    const char *more_files;
};

/* Adds a finding for each limit that is known. Each is missing when the LUNs with all their threads
 * at work would take more than there is; optional, as fewer threads will do. Pure. */
void check_room_for(struct findings *findings, const struct room *room);

#endif
