/* SPDX-License-Identifier: Apache-2.0 */

/* An IBM DASD volume as an image of its tracks, one after another: count, key and data (CKD), as
 * the Hercules emulator keeps it. The header and all addresses are checked; what the tracks hold is
 * the table of contents' business. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"
#include "vtoc.h"

#define MARK_BYTES     8
#define HEADER_BYTES   512
#define TRACK_MIN      1024
#define TRACK_MAX      131072
#define HEADS_MAX      64
#define HOME_BYTES     5
#define COUNT_BYTES    8
#define LABEL_KEY      4
#define LABEL_DATA     80
#define LABEL_RECORD   3
#define LABEL_POINTER  (LABEL_KEY + 11)
#define HEADS_EXTENDED 15

static const char plain_mark[] = "CKD_P370";
static const char *const other_marks[] = {"CKD_C370", "CKD_S370", "CKD_P064", "CKD_C064",
                                          "CKD_S064"};
static const uint8_t vol1_key[LABEL_KEY] = {0xE5, 0xD6, 0xD3, 0xF1};
static const uint8_t end_mark[COUNT_BYTES] = {0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF};

uint64_t dasd_track_start(const struct dasd *dasd, uint64_t track)
{
    return (dasd->block_bytes ? 0 : HEADER_BYTES) + track * dasd->track_bytes;
}

int dasd_track_number(const struct dasd *dasd, const uint8_t *cchh, uint64_t *ret)
{
    uint64_t cylinder = get_be16(cchh);
    uint32_t head = get_be16(cchh + 2);

    if (dasd->heads <= HEADS_EXTENDED) {
        cylinder |= (uint64_t)(head >> 4) << 16;
        head &= 0xF;
    }
    if (head >= dasd->heads)
        return -ERANGE;
    *ret = cylinder * dasd->heads + head;
    return *ret < dasd->tracks ? 0 : -ERANGE;
}

static int refuse_track(struct dasd *dasd, const char *what)
{
    return region_refuse(dasd->region, "%s of track %llu is damaged", what,
                         (unsigned long long)dasd->current);
}

int dasd_read_track(struct dasd *dasd, uint64_t track)
{
    uint64_t number;
    int r =
        region_read(dasd->region, dasd_track_start(dasd, track), dasd->track, dasd->track_bytes);

    if (r < 0)
        return r;
    dasd->current = track;
    if (dasd->block_bytes)
        return 0;
    if (dasd->track[0] != 0 || dasd_track_number(dasd, dasd->track + 1, &number) < 0 ||
        number != track)
        return refuse_track(dasd, "the home address");
    return 0;
}

static int next_block(struct dasd *dasd, uint32_t *at, struct dasd_record *ret)
{
    if (*at >= dasd->per_track)
        return 0;
    ret->number = *at + 1;
    ret->key_bytes = DSCB_KEY;
    ret->data_bytes = DSCB_BYTES - DSCB_KEY;
    ret->bytes = dasd->track + (size_t)*at * dasd->block_bytes;
    (*at)++;
    return 1;
}

int dasd_next_record(struct dasd *dasd, uint32_t *at, struct dasd_record *ret)
{
    const uint8_t *count;
    uint64_t number, length;

    if (dasd->block_bytes)
        return next_block(dasd, at, ret);
    if (*at == 0)
        *at = HOME_BYTES;
    if (!range_within(*at, COUNT_BYTES, dasd->track_bytes))
        return refuse_track(dasd, "a record");
    count = dasd->track + *at;
    if (memcmp(count, end_mark, sizeof(end_mark)) == 0)
        return 0;
    ret->number = count[4];
    ret->key_bytes = count[5];
    ret->data_bytes = get_be16(count + 6);
    ret->bytes = count + COUNT_BYTES;
    length = COUNT_BYTES + ret->key_bytes + ret->data_bytes;
    if (dasd_track_number(dasd, count, &number) < 0 || number != dasd->current ||
        !range_within(*at, length, dasd->track_bytes))
        return refuse_track(dasd, "a record");
    *at += (uint32_t)length;
    return 1;
}

static int probe(struct region *region)
{
    uint8_t mark[MARK_BYTES];
    int r = region_read(region, 0, mark, sizeof(mark));

    if (r < 0)
        return r;
    if (memcmp(mark, plain_mark, MARK_BYTES) == 0)
        return 1;
    for (size_t i = 0; i < sizeof(other_marks) / sizeof(other_marks[0]); i++)
        if (memcmp(mark, other_marks[i], MARK_BYTES) == 0)
            return 1;
    return 0;
}

static int read_header(struct dasd *dasd)
{
    uint8_t header[20];
    int r = region_read(dasd->region, 0, header, sizeof(header));

    if (r < 0)
        return r;
    if (memcmp(header, plain_mark, MARK_BYTES) != 0)
        return region_refuse(dasd->region, "compressed and 64-bit images are not understood here");
    if (header[17] != 0 || header[18] != 0 || header[19] != 0)
        return region_refuse(dasd->region, "it is one of several files of a volume");
    dasd->heads = get_le32(header + 8);
    dasd->track_bytes = get_le32(header + 12);
    if (dasd->heads == 0 || dasd->heads > HEADS_MAX || dasd->track_bytes < TRACK_MIN ||
        dasd->track_bytes > TRACK_MAX || dasd->track_bytes % 512 != 0 ||
        region_bytes(dasd->region) < HEADER_BYTES + dasd->track_bytes)
        return region_refuse(dasd->region, "its header makes no sense");
    dasd->tracks = (region_bytes(dasd->region) - HEADER_BYTES) / dasd->track_bytes;
    return 0;
}

/* The third record of the first track. */
static int read_label(struct dasd *dasd, uint8_t *pointer)
{
    struct dasd_record record;
    uint32_t at = 0;
    int r = dasd_read_track(dasd, 0);

    if (r < 0)
        return r;
    while ((r = dasd_next_record(dasd, &at, &record)) > 0) {
        if (record.number != LABEL_RECORD)
            continue;
        if (record.key_bytes != LABEL_KEY || record.data_bytes < LABEL_DATA ||
            memcmp(record.bytes, vol1_key, LABEL_KEY) != 0 ||
            memcmp(record.bytes + LABEL_KEY, vol1_key, LABEL_KEY) != 0)
            break;
        memcpy(pointer, record.bytes + LABEL_POINTER, 5);
        return 0;
    }
    return r < 0 ? r : region_refuse(dasd->region, "it has no volume label (VOL1)");
}

static int analyse(struct region *region)
{
    CLEANUP_FREE uint8_t *track = malloc(TRACK_MAX);
    struct dasd dasd = {.region = region, .track = track};
    uint8_t pointer[5];
    int r = track ? read_header(&dasd) : -ENOMEM;

    if (r == 0)
        r = read_label(&dasd, pointer);
    return r < 0 ? r : vtoc_take(&dasd, pointer);
}

const struct format format_dasd = {.name = "DASD", .probe = probe, .analyse = analyse};
