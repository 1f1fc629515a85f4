/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PORT_GROUPS_CHECK_H
#define THINMIRROR_PORT_GROUPS_CHECK_H

#include "findings.h"

/* Adds a finding when ports of a LUN of user:thin are in several target port groups: initiators are
 * told nothing of ALUA then, and the kernel enforces it all the same. Names the LUN. Where the
 * ports of each LUN are in one, or there are none, a finding that says so; nothing where there are
 * no LUNs. core: the kernel target's folder of backstores. Optional: the LUN is served. */
void check_port_groups(struct findings *findings, const char *core);

#endif
