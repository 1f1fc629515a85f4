/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_DASD_BLOCKS_H
#define THINMIRROR_DASD_BLOCKS_H

/* What the labels of free space (Formats 5 and 7) say of a volume of blocks. */

#include <stddef.h>

#include "bitmap.h"
#include "vtoc.h"

/* labels: count of them, DSCB_BYTES each, the first of Format 4, which tells whether the others are
 * kept; nothing is checked where they are not. used has a bit a track of the volume, set where a
 * label has an extent; a track that is neither used nor called free is set too, and a note tells of
 * it. Refuses labels that call a used track free, or one beyond the end. -ENOMEM. */
int dasd_blocks_check_free(struct dasd *dasd, const uint8_t *labels, uint64_t count,
                           uint64_t volume_tracks, struct bitmap *used);

#endif
