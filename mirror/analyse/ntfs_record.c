/* SPDX-License-Identifier: Apache-2.0 */

/* Records of the master file table, their attributes, and where their bytes are. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "cluster_bitmap.h"
#include "ntfs.h"

#define FIXUP_STRIDE      512 /* whatever a sector is */
#define RECORD_HEADER     42
#define RECORD_IN_USE     0x0001
#define ATTRIBUTE_HEADER  24
#define NONRESIDENT_BYTES 64
#define ATTRIBUTES_END    UINT32_C(0xFFFFFFFF)
#define STORED_OTHERWISE  0xC0FF /* compressed, encrypted, sparse */

int ntfs_undo_fixups(const struct ntfs *ntfs, uint8_t *bytes, size_t length, const char *magic,
                     const char *what)
{
    size_t offset = get_le16(bytes + 4), count = get_le16(bytes + 6);
    size_t strides = length / FIXUP_STRIDE;
    const uint8_t *fixups = bytes + offset;

    if (memcmp(bytes, magic, 4) != 0)
        return region_refuse(ntfs->region, "%s is damaged", what);
    if (offset < 8 || offset % 2 != 0 || count != strides + 1 ||
        offset + count * 2 > FIXUP_STRIDE - 2)
        return region_refuse(ntfs->region, "%s is damaged", what);
    for (size_t i = 1; i <= strides; i++) {
        uint8_t *last = bytes + i * FIXUP_STRIDE - 2;

        if (memcmp(last, fixups, 2) != 0)
            return region_refuse(ntfs->region, "%s was not written as a whole", what);
        memcpy(last, fixups + i * 2, 2);
    }
    return 0;
}

int ntfs_read_places(const struct ntfs *ntfs, const struct byte_ranges *places, uint64_t offset,
                     void *to, size_t length)
{
    uint8_t *next = to;

    for (size_t i = 0; i < places->count && length > 0; i++) {
        const struct byte_range *place = &places->items[i];
        size_t now;
        int r;

        if (offset >= place->length) {
            offset -= place->length;
            continue;
        }
        now = (size_t)min_u64(length, place->length - offset);
        r = region_read(ntfs->region, place->start + offset, next, now);
        if (r < 0)
            return r;
        next += now;
        length -= now;
        offset = 0;
    }
    return length > 0 ? -ERANGE : 0;
}

/* Before the table's own record was read, its begin is all that is known of it. */
static int read_raw(const struct ntfs *ntfs, uint64_t number, uint8_t *to)
{
    uint64_t offset;

    if (mul_overflows(number, ntfs->record_bytes, &offset))
        return -ERANGE;
    if (ntfs->table.count == 0)
        return region_read(ntfs->region, ntfs->table_start + offset, to, ntfs->record_bytes);
    return ntfs_read_places(ntfs, &ntfs->table, offset, to, ntfs->record_bytes);
}

int ntfs_read_record(struct ntfs *ntfs, uint64_t number, uint8_t *to)
{
    int r = read_raw(ntfs, number, to);

    if (r == -ERANGE)
        return region_refuse(ntfs->region, "a record of its file table is beyond the table's end");
    if (r == 0)
        r = ntfs_undo_fixups(ntfs, to, ntfs->record_bytes, "FILE", "a record of its file table");
    if (r < 0)
        return r;
    if (!(get_le16(to + 22) & RECORD_IN_USE))
        return region_refuse(ntfs->region, "a record of its file table is not what it should be");
    return 0;
}

bool ntfs_is_name(const uint8_t *bytes, size_t length, size_t offset, size_t letters,
                  const char *name)
{
    if (letters != strlen(name))
        return false;
    if (letters > 0 && !range_within(offset, letters * 2, length))
        return false;
    for (size_t i = 0; i < letters; i++)
        if (get_le16(bytes + offset + i * 2) != (uint8_t)name[i])
            return false;
    return true;
}

/* Whether it is the piece of an attribute that begins with this cluster of it. */
static bool is_piece(const uint8_t *header, size_t length, const uint64_t *first)
{
    if (!first)
        return true;
    if (header[8] == 0)
        return *first == 0;
    return length >= NONRESIDENT_BYTES && get_le64(header + 16) == *first;
}

static int take_attribute(const struct ntfs *ntfs, const uint8_t *header, size_t length,
                          struct ntfs_attribute *ret)
{
    ret->header = header;
    ret->length = length;
    ret->resident = header[8] == 0;
    if (!ret->resident) {
        if (length < NONRESIDENT_BYTES)
            return region_refuse(ntfs->region, "an attribute is damaged");
        ret->bytes = get_le64(header + 48);
        ret->initialised_bytes = get_le64(header + 56);
        return 1;
    }
    ret->value_bytes = get_le32(header + 16);
    ret->bytes = ret->value_bytes;
    ret->initialised_bytes = ret->value_bytes;
    if (!range_within(get_le16(header + 20), ret->value_bytes, length))
        return region_refuse(ntfs->region, "an attribute is damaged");
    ret->value = header + get_le16(header + 20);
    return 1;
}

/* The attribute at *at of a record, and on to the next one. 1: here it is. 0: that was all. */
static int next_attribute(const struct ntfs *ntfs, const uint8_t *record, size_t *at,
                          const uint8_t **ret_header, size_t *ret_length)
{
    size_t end = get_le32(record + 24);

    if (*at == 0)
        *at = get_le16(record + 20);
    if (*at < RECORD_HEADER || end > ntfs->record_bytes)
        return region_refuse(ntfs->region, "a record of its file table is damaged");
    if (!range_within(*at, 4, end) || get_le32(record + *at) == ATTRIBUTES_END)
        return 0;
    if (!range_within(*at, ATTRIBUTE_HEADER, end))
        return region_refuse(ntfs->region, "an attribute is damaged");
    *ret_header = record + *at;
    *ret_length = get_le32(*ret_header + 4);
    if (*ret_length < ATTRIBUTE_HEADER || *ret_length % 8 != 0 ||
        !range_within(*at, *ret_length, end))
        return region_refuse(ntfs->region, "an attribute is damaged");
    *at += *ret_length;
    return 1;
}

int ntfs_find_in_record(const struct ntfs *ntfs, const uint8_t *record, uint32_t type,
                        const char *name, const uint64_t *first, struct ntfs_attribute *ret)
{
    const uint8_t *header;
    size_t at = 0, length;
    int r;

    while ((r = next_attribute(ntfs, record, &at, &header, &length)) > 0) {
        if (get_le32(header) == type &&
            ntfs_is_name(header, length, get_le16(header + 10), header[9], name) &&
            is_piece(header, length, first)) {
            *ret = (struct ntfs_attribute){.type = type, .name = name};
            return take_attribute(ntfs, header, length, ret);
        }
    }
    return r;
}

/* A little-endian number of up to 8 bytes. */
static uint64_t get_number(const uint8_t *bytes, unsigned count, bool is_signed)
{
    uint64_t value = is_signed && count > 0 && bytes[count - 1] & 0x80 ? UINT64_MAX : 0;

    while (count-- > 0)
        value = value << 8 | bytes[count];
    return value;
}

/* A run of a list of clusters. */
struct run {
    bool hole;
    uint64_t cluster, count;
};

/* The run at *at, and on to the next one: a length and the distance from where the last one began;
 * a hole has no distance. 1: here it is. 0: that was all. */
static int next_run(const struct ntfs *ntfs, const struct ntfs_attribute *attribute, size_t *at,
                    struct run *run)
{
    const uint8_t *numbers;
    unsigned count_bytes, step_bytes;

    if (*at >= attribute->length)
        return region_refuse(ntfs->region, "a list of clusters is damaged");
    if (attribute->header[*at] == 0)
        return 0;
    count_bytes = attribute->header[*at] & 0x0F;
    step_bytes = attribute->header[*at] >> 4;
    numbers = attribute->header + *at + 1;
    if (count_bytes == 0 || count_bytes > 8 || step_bytes > 8 ||
        !range_within(*at + 1, count_bytes + step_bytes, attribute->length))
        return region_refuse(ntfs->region, "a list of clusters is damaged");
    run->hole = step_bytes == 0;
    run->count = get_number(numbers, count_bytes, false);
    run->cluster += get_number(numbers + count_bytes, step_bytes, true);
    if (run->count == 0 || !range_within(run->hole ? 0 : run->cluster, run->count, ntfs->clusters))
        return region_refuse(ntfs->region, "a list of clusters leads beyond its end");
    *at += 1 + count_bytes + step_bytes;
    return 1;
}

static int note_run(struct ntfs *ntfs, const struct run *run)
{
    return byte_ranges_add(&ntfs->used, run->cluster * ntfs->cluster_bytes,
                           run->count * ntfs->cluster_bytes);
}

static int add_runs(struct ntfs *ntfs, const struct ntfs_attribute *attribute,
                    struct byte_ranges *ret, uint64_t *ret_clusters)
{
    size_t at = get_le16(attribute->header + 32);
    struct run run = {0};
    int r;

    while ((r = next_run(ntfs, attribute, &at, &run)) > 0) {
        if (run.hole)
            return region_refuse(ntfs->region, "a list of clusters is damaged");
        r = cluster_bitmap_add(ret, run.cluster * ntfs->cluster_bytes,
                               run.count * ntfs->cluster_bytes);
        if (r == 0)
            r = note_run(ntfs, &run);
        if (r < 0)
            return r;
        *ret_clusters += run.count;
    }
    return r;
}

int ntfs_note_scattered(struct ntfs *ntfs, const struct ntfs_attribute *attribute)
{
    size_t at = attribute->resident ? 0 : get_le16(attribute->header + 32);
    struct run run = {0};
    int r;

    if (attribute->resident)
        return 0;
    while ((r = next_run(ntfs, attribute, &at, &run)) > 0) {
        r = run.hole ? 0 : note_run(ntfs, &run);
        if (r < 0)
            return r;
    }
    return r;
}

int ntfs_note_record(struct ntfs *ntfs, uint8_t *record)
{
    const uint8_t *header;
    size_t at = 0, length;
    int r;

    if (memcmp(record, "FILE", 4) != 0 || !(get_le16(record + 22) & RECORD_IN_USE))
        return 0;
    r = ntfs_undo_fixups(ntfs, record, ntfs->record_bytes, "FILE", "a record of its file table");
    if (r < 0)
        return r;
    while ((r = next_attribute(ntfs, record, &at, &header, &length)) > 0) {
        struct ntfs_attribute attribute = {0};

        r = take_attribute(ntfs, header, length, &attribute);
        if (r > 0)
            r = ntfs_note_scattered(ntfs, &attribute);
        if (r < 0)
            return r;
    }
    return r;
}

int ntfs_add_piece(struct ntfs *ntfs, const struct ntfs_attribute *piece, struct byte_ranges *ret,
                   uint64_t *clusters)
{
    int r;

    if (piece->resident || get_le64(piece->header + 16) != *clusters)
        return region_refuse(ntfs->region, "a list of clusters is missing");
    if (get_le16(piece->header + 12) & STORED_OTHERWISE)
        return region_refuse(ntfs->region, "a file of its own is compressed, encrypted or sparse");
    r = add_runs(ntfs, piece, ret, clusters);
    if (r == 0 && get_le64(piece->header + 24) + 1 != *clusters)
        r = region_refuse(ntfs->region, "a list of clusters is not as long as it says");
    return r;
}
