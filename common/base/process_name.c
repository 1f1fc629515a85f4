/* SPDX-License-Identifier: Apache-2.0 */
#include "process_name.h"

#include <limits.h>
#include <string.h>

#include "cleanup.h"

void process_name(const char *proc, pid_t pid, char *text, size_t size)
{
    char path[PATH_MAX], name[32] = "";
    CLEANUP_FCLOSE FILE *comm = NULL;

    snprintf(path, sizeof(path), "%s/%d/comm", proc, (int)pid);
    comm = fopen(path, "re");
    if (!comm || !fgets(name, sizeof(name), comm))
        name[0] = '\0';
    name[strcspn(name, "\n")] = '\0';
    if (name[0])
        snprintf(text, size, "process %d (%s)", (int)pid, name);
    else
        snprintf(text, size, "process %d", (int)pid);
}
