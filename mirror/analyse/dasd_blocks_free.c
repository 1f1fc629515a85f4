/* SPDX-License-Identifier: Apache-2.0 */

/* Linux keeps the labels of free space up to date: Format 5 on volumes of less than 65,536 tracks,
 * Format 7 on larger ones. Only what they, too, call free is free. */

#include <errno.h>

#include "byteorder.h"
#include "checked.h"
#include "dasd_blocks.h"

#define FORMAT_ID    44
#define F4_STATUS    58
#define STATUS_NO_F5 0x80 /* the labels of Format 5 are not kept */
#define STATUS_F7    0x20 /* those of Format 7 are */
#define FIRST_PLACE  4    /* the extents before the format's mark */
#define NEXT_PLACE   45   /* and those behind it */
#define F5_BYTES     5
#define F5_FIRST     8
#define F5_NEXT      18
#define F7_BYTES     8
#define F7_FIRST     5
#define F7_NEXT      11

struct free_space {
    struct dasd *dasd;
    uint64_t volume_tracks;
    const struct bitmap *used;
    struct bitmap called; /* a bit a track: a label calls it free */
};

static int call_free(struct free_space *space, uint64_t start, uint64_t tracks)
{
    if (tracks == 0)
        return 0;
    if (!range_within(start, tracks, space->volume_tracks))
        return region_refuse(space->dasd->region, "its free space lies beyond its bounds");
    if (bitmap_test(space->used, start) || bitmap_run_end(space->used, start) < start + tracks)
        return region_refuse(space->dasd->region,
                             "track %llu or one behind it is free and in use at once",
                             (unsigned long long)start);
    bitmap_set(&space->called, start, tracks);
    return 0;
}

/* First track, whole cylinders, and more tracks. */
static int take_format5(struct free_space *space, const uint8_t *label)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < F5_FIRST + F5_NEXT; i++) {
        const uint8_t *at = i < F5_FIRST ? label + FIRST_PLACE + (size_t)i * F5_BYTES
                                         : label + NEXT_PLACE + (size_t)(i - F5_FIRST) * F5_BYTES;

        r = call_free(space, get_be16(at), (uint64_t)get_be16(at + 2) * space->dasd->heads + at[4]);
    }
    return r;
}

/* First track, and the one behind the last; Linux has the last one itself there. Where no data set
 * has that track, it is free either way. */
static int take_format7(struct free_space *space, const uint8_t *label)
{
    int r = 0;

    for (unsigned i = 0; r == 0 && i < F7_FIRST + F7_NEXT; i++) {
        const uint8_t *at = i < F7_FIRST ? label + FIRST_PLACE + (size_t)i * F7_BYTES
                                         : label + NEXT_PLACE + (size_t)(i - F7_FIRST) * F7_BYTES;
        uint64_t start = get_be32(at), end = get_be32(at + 4);

        if (end > 0 && end < space->volume_tracks && !bitmap_test(space->used, end))
            end++;
        if (end < start)
            return region_refuse(space->dasd->region, "its free space lies beyond its bounds");
        r = call_free(space, start, end - start);
    }
    return r;
}

/* What has no owner and is not called free counts as used. */
static void keep_uncalled(const struct free_space *space, struct bitmap *used)
{
    uint64_t kept = 0;

    for (uint64_t track = 0, end; track < space->volume_tracks; track = end) {
        end = min_u64(bitmap_run_end(used, track), bitmap_run_end(&space->called, track));
        if (bitmap_test(used, track) || bitmap_test(&space->called, track))
            continue;
        bitmap_set(used, track, end - track);
        kept += end - track;
    }
    if (kept > 0)
        region_note(space->dasd->region,
                    "%llu tracks belong to no data set and are not called free; they count as "
                    "allocated",
                    (unsigned long long)kept);
}

int dasd_blocks_check_free(struct dasd *dasd, const uint8_t *labels, uint64_t count,
                           uint64_t volume_tracks, struct bitmap *used)
{
    struct free_space space = {.dasd = dasd, .volume_tracks = volume_tracks, .used = used};
    int r = 0;

    if ((labels[F4_STATUS] & (STATUS_NO_F5 | STATUS_F7)) == STATUS_NO_F5)
        return 0;
    if (bitmap_init(&space.called, volume_tracks) < 0)
        return -ENOMEM;
    for (uint64_t i = 0; r == 0 && i < count; i++) {
        const uint8_t *label = labels + i * DSCB_BYTES;

        if (label[FORMAT_ID] == 0xF5 && !(labels[F4_STATUS] & STATUS_NO_F5))
            r = take_format5(&space, label);
        else if (label[FORMAT_ID] == 0xF7)
            r = take_format7(&space, label);
    }
    if (r == 0)
        keep_uncalled(&space, used);
    bitmap_free(&space.called);
    return r;
}
