/* SPDX-License-Identifier: Apache-2.0 */
#include "port_groups_check.h"

#include <glob.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"

#define NAME "LUNs: port groups"

/* Of one LUN. */
struct groups {
    unsigned count; /* those that have ports */
    char names[160];
};

/* The beginning of the file; empty where it cannot be read. */
static void read_text(const char *folder, const char *name, char *ret, size_t size)
{
    char path[PATH_MAX];
    CLEANUP_FCLOSE FILE *file = NULL;

    ret[0] = '\0';
    if (snprintf(path, sizeof(path), "%s/%s", folder, name) >= (int)sizeof(path))
        return;
    file = fopen(path, "re");
    if (file)
        ret[fread(ret, 1, size - 1, file)] = '\0';
}

static void add_group(struct groups *groups, const char *folder)
{
    size_t used = strlen(groups->names);
    char members[16];

    read_text(folder, "members", members, sizeof(members));
    if (members[strspn(members, " \n")] == '\0')
        return;
    groups->count++;
    snprintf(groups->names + used, sizeof(groups->names) - used, "%s%s", used ? ", " : "",
             strrchr(folder, '/') + 1);
}

static void find_groups(const char *backstore, struct groups *ret)
{
    char pattern[PATH_MAX];
    glob_t found;

    *ret = (struct groups){0};
    if (snprintf(pattern, sizeof(pattern), "%s/alua/*", backstore) >= (int)sizeof(pattern) ||
        glob(pattern, GLOB_NOSORT, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++)
        add_group(ret, found.gl_pathv[i]);
    globfree(&found);
}

/* Of user:thin, and the kernel enforces states. */
static bool is_ours(const char *backstore)
{
    char info[1024], support[8];

    read_text(backstore, "info", info, sizeof(info));
    read_text(backstore, "attrib/alua_support", support, sizeof(support));
    return strstr(info, "Config: thin/") && support[0] != '0';
}

static void add_split(struct findings *findings, const char *backstore, const struct groups *groups)
{
    const char *name = strrchr(backstore, '/') + 1;
    char state[256], mend[512];

    snprintf(state, sizeof(state), "the ports of %.60s are in several groups (%s): no ALUA is told",
             name, groups->names);
    snprintf(mend, sizeof(mend),
             "put them into one: echo default_tg_pt_gp > "
             "/sys/kernel/config/target/FABRIC/TARGET/tpgt_N/lun/lun_N/alua_tg_pt_gp (members: "
             "cat %.200s/alua/*/members)",
             backstore);
    finding_missing(findings, NEED_OPTIONAL, NAME, state, mend);
}

void check_port_groups(struct findings *findings, const char *core)
{
    char pattern[PATH_MAX], state[256];
    size_t luns = 0, split = 0;
    struct groups groups;
    glob_t found;

    snprintf(pattern, sizeof(pattern), "%s/user_*/*", core);
    if (glob(pattern, 0, NULL, &found) != 0)
        return;
    for (size_t i = 0; i < found.gl_pathc; i++) {
        if (!is_ours(found.gl_pathv[i]))
            continue;
        luns++;
        find_groups(found.gl_pathv[i], &groups);
        /* One of many is an example for all. */
        if (groups.count > 1 && split++ == 0)
            add_split(findings, found.gl_pathv[i], &groups);
    }
    globfree(&found);
    snprintf(state, sizeof(state), "the ports of each LUN (%zu) are in one group", luns);
    if (luns > 0 && split == 0)
        finding_ok(findings, NEED_OPTIONAL, NAME, state);
}
