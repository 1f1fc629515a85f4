/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_REGISTRY_H
#define THINMIRROR_LUN_REGISTRY_H

/* The logical units that are open in this process, for commands that copy from one to another. Its
 * lock guards the list and who uses what in it; it is a leaf, and nothing is waited for under it
 * but that uses end. */

#include <stdint.h>

struct lun;

/* From then on others find the LUN. */
void registry_add(struct lun *lun);
/* It is not found any more; returns when it is not used any more. */
void registry_remove(struct lun *lun);

/* Which copy group the LUN is of, for those who look while it is open; "": of none. */
void registry_set_group(struct lun *lun, const char *group);

/* The LUN with this NAA designator that asker may copy from and to: itself, or one of its copy
 * group. NULL: there is none, or more than one. The caller gives it back with registry_release, and
 * soon: closing the LUN waits for that. */
struct lun *registry_find(struct lun *asker, const uint8_t naa[static 16]);
void registry_release(struct lun *lun);

#endif
