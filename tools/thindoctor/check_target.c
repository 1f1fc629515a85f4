/* SPDX-License-Identifier: Apache-2.0 */

/* What the kernel's target needs of the file system, and what starts it. */

#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "findings.h"

#define DBROOT "/sys/kernel/config/target/dbroot"

static bool is_folder(const char *path)
{
    struct stat info;

    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

/* Where the target keeps its files: what it says itself, or before it is loaded what targetcli will
 * tell it (rtslib: the first of the two that exists). */
static void find_dbroot(char *to, size_t size)
{
    FILE *file = fopen(DBROOT, "re");

    snprintf(to, size, "%s", is_folder("/etc/target") ? "/etc/target" : "/var/target");
    if (!file)
        return;
    if (fgets(to, (int)size, file))
        to[strcspn(to, "\n")] = '\0';
    fclose(file);
}

/* LIO writes a registration down before it reports success. When the folder for that is missing it
 * has registered the initiator and reports a failure. */
static void check_reservations(struct findings *findings)
{
    char dbroot[128], folder[160], state[256], mend[200];

    find_dbroot(dbroot, sizeof(dbroot));
    snprintf(folder, sizeof(folder), "%s/pr", dbroot);
    if (is_folder(folder)) {
        snprintf(state, sizeof(state), "%s keeps them", folder);
        finding_ok(findings, NEED_SERVE, "reservations", state);
        return;
    }
    snprintf(state, sizeof(state), "%s is missing: PERSISTENT RESERVE OUT would fail, half done",
             folder);
    snprintf(mend, sizeof(mend), "mkdir -p %s", folder);
    finding_missing(findings, NEED_SERVE, "reservations", state, mend);
}

void check_target(struct findings *findings)
{
    check_reservations(findings);
}
