/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_OTHER_CONTENTS_H
#define THINMIRROR_OTHER_CONTENTS_H

/* Whether something is in a region that none of the formats here reads: a new use of a disk leaves
 * the marks of the old one where it does not write itself. */

#include "region.h"

#define OTHER_CONTENTS_NAME_MAX 64

/* Asks libblkid, which reads through the region. 1: there is something, ret_name is what libblkid
 * calls it. 0: there is nothing but what the formats here see, too. -errno: the region can't be
 * read, or libblkid could not tell. */
int other_contents_find(struct region *region, char ret_name[static OTHER_CONTENTS_NAME_MAX]);

#endif
