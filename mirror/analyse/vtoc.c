/* SPDX-License-Identifier: Apache-2.0 */

/* The VTOC of a DASD volume: every label (DSCB) is read, and what no data set's extents (Formats 1
 * and 8, continued in Format 3) cover is free. The labels of free space (Formats 5 and 7) are not
 * trusted on an image of tracks: they are not kept up to date on volumes with an index. A free
 * track keeps its home address and record zero and gets its end mark behind them: without these it
 * can't be written to again. */

#include "vtoc.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "dasd_blocks.h"
#include "partitions.h"

#define VTOC_TRACKS_MAX 4096
#define NAMES_MAX       1024 /* the map says why for as many extents; the others are only mapped */
#define TRACKS_MAX      (1U << 26)

/* Places in a DSCB, key included. */
#define NAME_BYTES         44
#define FORMAT_ID          44
#define FLAGS              61
#define FLAG_LARGE         0x08 /* LSTAR has three bytes of track */
#define SMS_FLAGS          78
#define SMS_OTHERWISE      0x0E /* PDSE, extended format, HFS: LSTAR means something else */
#define ORGANISATION       82
#define SEQUENTIAL         0x4000
#define PARTITIONED        0x0200
#define UNMOVABLE          0x0001U
#define INDICATORS         93
#define LAST_VOLUME        0x80
#define LSTAR              98 /* the last track that was written, counted from the data set's begin */
#define LSTAR_HIGH         104
#define EXTENT_COUNT       59
#define EXTENTS            105
#define EXTENT_BYTES       10
#define EXTENTS_F1         3
#define POINTER            135
#define F4_STATUS          58
#define F4_CYLINDERS       62
#define F4_HEADS           64
#define F4_PER_TRACK       74
#define F4_LARGE_CYLS      132
#define CYLS_LARGE         0xFFFE

#define STATUS_INTERRUPTED 0x04
#define EXTENT_SHARED      0x80 /* its cylinders are shared with other data sets */
#define EXTENT_PLAIN       0x01
#define EXTENT_CYLINDERS   0x81
#define EXTENTS_MAX        123 /* of a data set on one volume */

/* The extents of one data set, in their order. */
struct data_set {
    struct {
        uint64_t low, high; /* tracks of the volume */
    } extents[EXTENTS_MAX];
    unsigned count;
    bool odd; /* there are more, or other kinds, or they are out of order */
};

struct vtoc {
    struct dasd *dasd;
    uint64_t first, tracks; /* of the VTOC itself */
    unsigned per_track;     /* labels */
    uint64_t volume_tracks;
    unsigned names; /* extents that were named */
    unsigned data_sets;
    struct partition_list partitions; /* of a volume of blocks: data sets in one piece */
    uint8_t *labels;                  /* DSCB_BYTES each, in the order of their addresses */
    uint8_t *seen;      /* a byte a label: it was reached from a data set's first label */
    struct bitmap used; /* a bit a track of the volume */
};

/* Letters, digits and what else a name may be made of; anything else is a question mark. */
static void name_from_ebcdic(const uint8_t *from, char *to)
{
    static const uint8_t codes[] = "\x4B\x5B\x60\x6D\x7B\x7C\xC0\x40";
    static const char chars[] = ".$-_#@{ ";
    static const uint8_t rows[] = {0xC1, 0xD1, 0xE2};
    size_t length = NAME_BYTES;

    while (length > 0 && (from[length - 1] == 0x40 || from[length - 1] == 0))
        length--;
    for (size_t i = 0; i < length; i++) {
        const char *code = memchr(codes, from[i], sizeof(codes) - 1);

        to[i] = '?';
        if (code)
            to[i] = chars[(const uint8_t *)code - codes];
        else if (from[i] >= 0xF0 && from[i] <= 0xF9)
            to[i] = (char)('0' + from[i] - 0xF0);
        for (unsigned row = 0; row < 3; row++)
            if (from[i] >= rows[row] && from[i] < rows[row] + (row < 2 ? 9 : 8))
                to[i] = (char)("AJS"[row] + from[i] - rows[row]);
    }
    to[length] = '\0';
}

static void add_extent(struct data_set *set, const uint8_t *extent, uint64_t low, uint64_t high)
{
    if ((extent[0] != EXTENT_PLAIN && extent[0] != EXTENT_CYLINDERS) || extent[1] != set->count ||
        set->count == EXTENTS_MAX)
        set->odd = true;
    if (set->count < EXTENTS_MAX) {
        set->extents[set->count].low = low;
        set->extents[set->count].high = high;
    }
    set->count++;
}

/* Marks what an extent covers. type 0: there is none. */
static int take_extent(struct vtoc *vtoc, const uint8_t *extent, const char *name,
                       struct data_set *set)
{
    struct dasd *dasd = vtoc->dasd;
    uint64_t low, high;
    int r = 0;

    if (extent[0] == 0)
        return 0;
    if (dasd_track_number(dasd, extent + 2, &low) < 0 ||
        dasd_track_number(dasd, extent + 6, &high) < 0 || low > high || high >= vtoc->volume_tracks)
        return region_refuse(dasd->region, "an extent of %s lies beyond its bounds", name);
    if (extent[0] != EXTENT_SHARED &&
        (bitmap_test(&vtoc->used, low) || bitmap_run_end(&vtoc->used, low) <= high))
        return region_refuse(dasd->region, "an extent of %s is another one's too", name);
    bitmap_set(&vtoc->used, low, high - low + 1);
    if (vtoc->names++ < NAMES_MAX)
        r = region_name(dasd->region, dasd_track_start(dasd, low),
                        (high - low + 1) * dasd->track_bytes, name);
    add_extent(set, extent, low, high);
    return r;
}

static int take_extents(struct vtoc *vtoc, const uint8_t *extents, unsigned items, const char *name,
                        struct data_set *set)
{
    int r = 0;

    for (unsigned i = 0; i < items && r == 0; i++)
        r = take_extent(vtoc, extents + (size_t)i * EXTENT_BYTES, name, set);
    return r;
}

/* The label's index in the VTOC. */
static int find_label(const struct vtoc *vtoc, const uint8_t *pointer, uint64_t *ret)
{
    uint64_t track;
    unsigned record = pointer[4];

    if (dasd_track_number(vtoc->dasd, pointer, &track) < 0 || track < vtoc->first ||
        track - vtoc->first >= vtoc->tracks || record == 0 || record > vtoc->per_track)
        return -ERANGE;
    *ret = (track - vtoc->first) * vtoc->per_track + record - 1;
    return 0;
}

/* One label of the chain behind a data set's first one: a Format 3 has extents, a Format 2 or 9
 * only leads on. */
static int take_linked(struct vtoc *vtoc, const uint8_t *label, const char *name,
                       struct data_set *set)
{
    int r;

    if (label[FORMAT_ID] == 0xF2 || label[FORMAT_ID] == 0xF9)
        return 0;
    if (label[FORMAT_ID] != 0xF3)
        return region_refuse(vtoc->dasd->region, "the labels of %s are not a chain", name);
    r = take_extents(vtoc, label + 4, 4, name, set);
    return r < 0 ? r : take_extents(vtoc, label + 45, 9, name, set);
}

/* How many tracks of a data set are needed, as its first label has it; UINT64_MAX: it does not
 * tell. A sequential one tells where its last volume is this one. The record that ends the file may
 * be on the track behind the last one with data. */
static uint64_t tracks_needed(const uint8_t *label)
{
    unsigned organisation = get_be16(label + ORGANISATION) & ~UNMOVABLE;
    uint64_t last = get_be16(label + LSTAR);

    if (organisation != PARTITIONED &&
        (organisation != SEQUENTIAL || !(label[INDICATORS] & LAST_VOLUME)))
        return UINT64_MAX;
    if (label[SMS_FLAGS] & SMS_OTHERWISE || (last == 0 && label[LSTAR + 2] == 0))
        return UINT64_MAX;
    if (label[FLAGS] & FLAG_LARGE)
        last |= (uint64_t)label[LSTAR_HIGH] << 16;
    return last + 2;
}

/* The tracks behind the last one that was written are like free ones. */
static void cut_data_set(struct vtoc *vtoc, const uint8_t *label, const struct data_set *set)
{
    uint64_t left = tracks_needed(label);

    if (set->odd)
        return;
    for (unsigned i = 0; i < set->count; i++) {
        uint64_t tracks = set->extents[i].high - set->extents[i].low + 1;
        uint64_t kept = min_u64(tracks, left);

        if (kept < tracks)
            bitmap_clear(&vtoc->used, set->extents[i].low + kept, tracks - kept);
        left -= kept;
    }
}

/* They are numbered in the order of their labels, as Linux does it. */
static int add_partition(struct vtoc *vtoc, const struct data_set *set)
{
    const struct dasd *dasd = vtoc->dasd;
    unsigned number = ++vtoc->data_sets;

    if (set->count != 1 || set->odd)
        return 0;
    return partition_list_add(&vtoc->partitions, dasd_track_start(dasd, set->extents[0].low),
                              (set->extents[0].high - set->extents[0].low + 1) * dasd->track_bytes,
                              number);
}

static int take_data_set(struct vtoc *vtoc, const uint8_t *label)
{
    static const uint8_t none[5];
    const uint8_t *first = label;
    char name[NAME_BYTES + 1];
    struct data_set set = {.count = 0};
    uint64_t index;
    int r;

    name_from_ebcdic(label, name);
    r = take_extents(vtoc, label + EXTENTS, EXTENTS_F1, name, &set);
    while (r == 0 && memcmp(label + POINTER, none, sizeof(none)) != 0) {
        if (find_label(vtoc, label + POINTER, &index) < 0 || vtoc->seen[index])
            return region_refuse(vtoc->dasd->region, "the labels of %s are not a chain", name);
        vtoc->seen[index] = 1;
        label = vtoc->labels + index * DSCB_BYTES;
        r = take_linked(vtoc, label, name, &set);
    }
    if (r == 0 && set.count < first[EXTENT_COUNT])
        return region_refuse(vtoc->dasd->region, "extents of %s are missing", name);
    if (r == 0 && vtoc->dasd->block_bytes)
        return add_partition(vtoc, &set);
    if (r == 0 && region_ends_at_lstar(vtoc->dasd->region))
        cut_data_set(vtoc, first, &set);
    return r;
}

static int take_labels(struct vtoc *vtoc)
{
    uint64_t labels = vtoc->tracks * vtoc->per_track;
    int r = 0;

    for (uint64_t i = 0; i < labels && r == 0; i++) {
        const uint8_t *label = vtoc->labels + i * DSCB_BYTES;

        if (label[FORMAT_ID] == 0xF1 || label[FORMAT_ID] == 0xF8)
            r = take_data_set(vtoc, label);
    }
    for (uint64_t i = 0; i < labels && r == 0; i++)
        if (vtoc->labels[i * DSCB_BYTES + FORMAT_ID] == 0xF3 && !vtoc->seen[i])
            return region_refuse(vtoc->dasd->region, "a label belongs to no data set");
    return r;
}

/* Format 0 is a label that is not in use, all zeros. */
static bool is_known(const uint8_t *label, bool first)
{
    static const uint8_t zeros[DSCB_BYTES];
    unsigned format = label[FORMAT_ID];

    if (format == 0)
        return memcmp(label, zeros, DSCB_BYTES) == 0;
    return format >= 0xF1 && format <= 0xF9 && (format == 0xF4) == first;
}

static int read_vtoc_track(struct vtoc *vtoc, uint64_t track)
{
    struct region *region = vtoc->dasd->region;
    uint8_t *to = vtoc->labels + track * vtoc->per_track * DSCB_BYTES;
    struct dasd_record record;
    unsigned count = 0;
    uint32_t at = 0;
    int r = dasd_read_track(vtoc->dasd, vtoc->first + track);

    if (r < 0)
        return r;
    while ((r = dasd_next_record(vtoc->dasd, &at, &record)) > 0) {
        if (record.number == 0)
            continue;
        if (record.key_bytes + record.data_bytes != DSCB_BYTES || record.number != count + 1 ||
            count == vtoc->per_track || !is_known(record.bytes, track == 0 && count == 0))
            return region_refuse(region, "label %u on track %llu of its VTOC makes no sense",
                                 record.number, (unsigned long long)track);
        memcpy(to + (size_t)count++ * DSCB_BYTES, record.bytes, DSCB_BYTES);
    }
    if (r == 0 && count != vtoc->per_track)
        return region_refuse(region, "labels are missing on track %llu of its VTOC",
                             (unsigned long long)track);
    return r;
}

static int claim_free(struct vtoc *vtoc)
{
    struct dasd *dasd = vtoc->dasd;
    int r = 0;

    bitmap_set(&vtoc->used, 0, 1);
    for (uint64_t track = 0, end; track < vtoc->volume_tracks && r == 0; track = end) {
        end = bitmap_run_end(&vtoc->used, track);
        if (bitmap_test(&vtoc->used, track))
            continue;
        if (dasd->block_bytes)
            r = region_claim_free(dasd->region, dasd_track_start(dasd, track),
                                  (end - track) * dasd->track_bytes);
        else
            r = region_claim_tracks(dasd->region, dasd_track_start(dasd, track), dasd->track_bytes,
                                    end - track);
    }
    return r;
}

static int plan_vtoc(struct vtoc *vtoc)
{
    struct byte_range range = {dasd_track_start(vtoc->dasd, vtoc->first),
                               vtoc->tracks * vtoc->dasd->track_bytes};

    return region_plan(vtoc->dasd->region, &range, 1);
}

/* What the Format 4 label says of the volume and of the VTOC. */
static int take_format4(struct vtoc *vtoc, const uint8_t *label)
{
    struct dasd *dasd = vtoc->dasd;
    uint64_t cylinders = get_be16(label + F4_CYLINDERS), low, high;

    if (label[FORMAT_ID] != 0xF4)
        return region_refuse(dasd->region, "it has no label of Format 4");
    if (label[F4_STATUS] & STATUS_INTERRUPTED)
        return region_refuse(dasd->region, "a change of its VTOC was interrupted");
    if (cylinders == CYLS_LARGE)
        cylinders = get_be32(label + F4_LARGE_CYLS);
    vtoc->volume_tracks = cylinders * dasd->heads;
    vtoc->per_track = label[F4_PER_TRACK];
    if (get_be16(label + F4_HEADS) != dasd->heads || vtoc->per_track == 0 || cylinders == 0 ||
        (dasd->block_bytes && vtoc->per_track != dasd->per_track))
        return region_refuse(dasd->region, "its label of Format 4 makes no sense");
    if (vtoc->volume_tracks > dasd->tracks || vtoc->volume_tracks > TRACKS_MAX)
        return region_refuse(dasd->region, "it is larger than the place it lies in");
    if (label[EXTENTS] == 0 || dasd_track_number(dasd, label + EXTENTS + 2, &low) < 0 ||
        dasd_track_number(dasd, label + EXTENTS + 6, &high) < 0 || low != vtoc->first ||
        high < low || high >= vtoc->volume_tracks || high - low >= VTOC_TRACKS_MAX)
        return region_refuse(dasd->region, "its VTOC lies beyond its bounds");
    vtoc->tracks = high - low + 1;
    if (dasd->block_bytes && vtoc->tracks > 1)
        return region_refuse(dasd->region, "its VTOC is longer than a track");
    return 0;
}

static int read_format4(struct vtoc *vtoc, const uint8_t *pointer)
{
    struct dasd *dasd = vtoc->dasd;
    struct dasd_record record;
    uint32_t at = 0;
    int r;

    if (pointer[4] != 1 || dasd_track_number(dasd, pointer, &vtoc->first) < 0)
        return region_refuse(dasd->region, "its volume label tells of no VTOC");
    r = dasd_read_track(dasd, vtoc->first);
    if (r < 0)
        return r;
    while ((r = dasd_next_record(dasd, &at, &record)) > 0)
        if (record.number == 1 && record.key_bytes + record.data_bytes == DSCB_BYTES)
            return take_format4(vtoc, record.bytes);
    return r < 0 ? r : region_refuse(dasd->region, "it has no label of Format 4");
}

/* Of a volume of blocks: the labels of free space are kept and must agree, and what the data sets
 * hold is analysed in turn. */
static int take_blocks(struct vtoc *vtoc)
{
    struct region *region = vtoc->dasd->region;
    int r;

    bitmap_set(&vtoc->used, 0, 1);
    r = dasd_blocks_check_free(vtoc->dasd, vtoc->labels, vtoc->tracks * vtoc->per_track,
                               vtoc->volume_tracks, &vtoc->used);
    for (size_t i = 0; r == 0 && i < vtoc->partitions.count; i++) {
        const struct partition *partition = &vtoc->partitions.items[i];
        char label[32];

        snprintf(label, sizeof(label), "partition %u", partition->number);
        r = region_descend(region, partition->start, partition->length, label);
    }
    return r;
}

static int take_all(struct vtoc *vtoc)
{
    struct data_set none = {.count = 0};
    int r = plan_vtoc(vtoc);

    for (uint64_t track = 0; track < vtoc->tracks && r == 0; track++)
        r = read_vtoc_track(vtoc, track);
    if (r == 0)
        r = take_extent(vtoc, vtoc->labels + EXTENTS, "VTOC", &none);
    if (r == 0)
        r = take_labels(vtoc);
    if (r == 0 && vtoc->dasd->block_bytes)
        r = take_blocks(vtoc);
    return r < 0 ? r : claim_free(vtoc);
}

int vtoc_take(struct dasd *dasd, const uint8_t *pointer)
{
    struct vtoc vtoc = {.dasd = dasd};
    CLEANUP_FREE uint8_t *labels = NULL, *seen = NULL;
    int r = read_format4(&vtoc, pointer);

    if (r < 0)
        return r;
    vtoc.labels = labels = calloc(vtoc.tracks * vtoc.per_track, DSCB_BYTES);
    vtoc.seen = seen = calloc(vtoc.tracks, vtoc.per_track);
    if (!labels || !seen || bitmap_init(&vtoc.used, vtoc.volume_tracks) < 0)
        return -ENOMEM;
    r = take_all(&vtoc);
    bitmap_free(&vtoc.used);
    partition_list_free(&vtoc.partitions);
    return r;
}
