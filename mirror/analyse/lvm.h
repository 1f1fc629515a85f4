/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LVM_H
#define THINMIRROR_LVM_H

/* What the parts of the LVM2 analyser share. */

#include "lvm_text.h"
#include "region.h"

#define LVM_ID_BYTES 32

/* Claims what no logical volume uses of the physical volume with this identifier, and descends into
 * those that lie on it whole and plain. */
int lvm_take_volumes(struct region *region, const struct lvm_text *text,
                     const char id[LVM_ID_BYTES]);

#endif
