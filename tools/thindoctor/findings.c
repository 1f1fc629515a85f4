/* SPDX-License-Identifier: Apache-2.0 */
#include "findings.h"

#include <stdio.h>

static void add(struct findings *findings, enum need need, bool ok, const char *name,
                const char *state, const char *mend)
{
    struct finding *finding;

    if (findings->count >= FINDINGS_MAX)
        return;
    finding = &findings->items[findings->count++];
    *finding = (struct finding){.need = need, .ok = ok};
    snprintf(finding->name, sizeof(finding->name), "%s", name);
    snprintf(finding->state, sizeof(finding->state), "%s", state);
    snprintf(finding->mend, sizeof(finding->mend), "%s", mend);
}

void finding_ok(struct findings *findings, enum need need, const char *name, const char *state)
{
    add(findings, need, true, name, state, "");
}

void finding_missing(struct findings *findings, enum need need, const char *name, const char *state,
                     const char *mend)
{
    add(findings, need, false, name, state, mend);
}

const char *need_name(enum need need)
{
    static const char *const names[] = {"serve", "mirror", "optional"};

    return names[need];
}

bool findings_allow(const struct findings *findings, enum need need)
{
    for (size_t i = 0; i < findings->count; i++)
        if (findings->items[i].need == need && !findings->items[i].ok)
            return false;
    return true;
}
