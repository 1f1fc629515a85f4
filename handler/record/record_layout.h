/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_LAYOUT_H
#define THINMIRROR_RECORD_LAYOUT_H

/* The bytes of PATH.track (docs/change-record.md), apart from those of the control record. */

#include <stdint.h>

#include "record_medium.h"

#define RECORD_GRANULE_MIN_BYTES 4096
#ifdef RECORD_MODEL /* small enough to be copied at each power cut */
#define RECORD_MAX_GRANULES (UINT64_C(1) << 22)
#else
#define RECORD_MAX_GRANULES (UINT64_C(1) << 28)
#endif
#define RECORD_REGION_GRANULES 4096
#define RECORD_MAX_REGIONS     (RECORD_MAX_GRANULES / RECORD_REGION_GRANULES)
/* A region's part of a bitmap, which is one sector. */
#define RECORD_REGION_BYTES  (RECORD_REGION_GRANULES / 8)
#define RECORD_PAGE_GRANULES (RECORD_PAGE_BYTES * UINT64_C(8))
#define RECORD_PAGE_REGIONS  (RECORD_PAGE_BYTES / RECORD_REGION_BYTES)
#define RECORD_MAX_PAGES     (RECORD_MAX_GRANULES / RECORD_PAGE_GRANULES)

/* One bitmap an interval, or a row of intervals. */
#define RECORD_SLOTS         48

#define RECORD_CONTROL_BYTES 16384
/* Never overwritten: what the file is. */
#define RECORD_NAME_OFFSET   (UINT64_C(32) << 10)
#define RECORD_NAME          "thinmirror-track"
#define RECORD_TABLES_OFFSET (UINT64_C(64) << 10)
#define RECORD_TABLE_BYTES   (RECORD_MAX_REGIONS * UINT64_C(4))
#define RECORD_BITS_OFFSET   (UINT64_C(16) << 20)
#define RECORD_BITS_BYTES    (RECORD_MAX_GRANULES / 8)
#define RECORD_FILE_BYTES    (RECORD_BITS_OFFSET + RECORD_SLOTS * RECORD_BITS_BYTES)

static inline uint64_t record_table_offset(unsigned slot)
{
    return RECORD_TABLES_OFFSET + slot * RECORD_TABLE_BYTES;
}

static inline uint64_t record_bits_offset(unsigned slot)
{
    return RECORD_BITS_OFFSET + slot * RECORD_BITS_BYTES;
}

_Static_assert(RECORD_TABLES_OFFSET + RECORD_SLOTS * RECORD_TABLE_BYTES <= RECORD_BITS_OFFSET,
               "the tables end before the bitmaps");

/* The unit of a change: the smallest of which RECORD_MAX_GRANULES make the volume. */
static inline uint64_t record_granule_bytes(uint64_t volume_bytes)
{
    uint64_t bytes = RECORD_GRANULE_MIN_BYTES;

    while ((volume_bytes - 1) / bytes >= RECORD_MAX_GRANULES)
        bytes *= 2;
    return bytes;
}

#endif
