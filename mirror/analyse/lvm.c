/* SPDX-License-Identifier: Apache-2.0 */

/* A physical volume of LVM2: its label, and the metadata areas it points to. An area is a ring in
 * which old texts of metadata lie about; only the one that the area's header names counts, and it
 * must have the right checksum. */

#include "lvm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "format_registry.h"

#define SECTOR        512
#define LABEL_SECTORS 4
#define LABEL_MARK    "LABELONE"
#define LABEL_TYPE    "LVM2 001"
#define AREA_MARK     " LVM2 x[5A%r0N*>"
#define AREA_HEADER   512
#define FIRST_CRC     0xF597A6CFU
#define FLAG_IGNORED  1U
#define TEXT_MAX      ((uint64_t)16 << 20)
#define AREAS_MAX     4

struct area {
    uint64_t offset, bytes;
};

struct label {
    char id[LVM_ID_BYTES];
    struct area areas[AREAS_MAX]; /* of metadata */
    size_t area_count;
};

/* LVM's CRC-32: the usual polynomial with a start of its own and no inversion. */
static uint32_t crc_of(const uint8_t *bytes, size_t length)
{
    return ~crc32_gzip_refl(~FIRST_CRC, bytes, length);
}

/* Where the label is; 0 when there is none, since sector 0 is no place for the mark alone. */
static int find_label(struct region *region, uint8_t sector[SECTOR], uint64_t *ret_offset)
{
    for (uint64_t i = 0; i < LABEL_SECTORS; i++) {
        int r = region_read(region, i * SECTOR, sector, SECTOR);

        if (r < 0)
            return r;
        *ret_offset = i * SECTOR;
        if (memcmp(sector, LABEL_MARK, 8) == 0 && memcmp(sector + 24, LABEL_TYPE, 8) == 0 &&
            get_le64(sector + 8) == i)
            return 1;
    }
    return 0;
}

static int probe(struct region *region)
{
    uint8_t sector[SECTOR];
    uint64_t offset;

    return find_label(region, sector, &offset);
}

/* The identifier, the volume's size, areas of data up to an empty one, areas of metadata up to an
 * empty one. */
static int read_label(struct region *region, struct label *ret)
{
    uint8_t sector[SECTOR];
    uint64_t offset;
    size_t at;
    bool metadata = false;
    int r = find_label(region, sector, &offset);

    *ret = (struct label){0};
    if (r < 0)
        return r;
    at = get_le32(sector + 20);
    if (crc_of(sector + 20, SECTOR - 20) != get_le32(sector + 16) ||
        !range_within(at, LVM_ID_BYTES + 8, SECTOR))
        return region_refuse(region, "the checksum of its label is wrong");
    memcpy(ret->id, sector + at, LVM_ID_BYTES);
    for (at += LVM_ID_BYTES + 8; range_within(at, 16, SECTOR); at += 16) {
        struct area area = {get_le64(sector + at), get_le64(sector + at + 8)};

        if (area.offset == 0 && metadata)
            return 0;
        if (area.offset == 0)
            metadata = true;
        else if (metadata && ret->area_count == AREAS_MAX)
            break;
        else if (metadata)
            ret->areas[ret->area_count++] = area;
    }
    return region_refuse(region, "its label makes no sense");
}

/* The text may go on at the begin of the ring. */
static int read_ring(struct region *region, const struct area *area, uint64_t offset, uint8_t *to,
                     uint64_t bytes)
{
    uint64_t first = min_u64(bytes, area->bytes - offset);
    int r = region_read(region, area->offset + offset, to, first);

    if (r < 0 || first == bytes)
        return r;
    if (bytes - first > offset - AREA_HEADER)
        return -EINVAL;
    return region_read(region, area->offset + AREA_HEADER, to + first, bytes - first);
}

static int read_area(struct region *region, const struct area *area, uint8_t **ret,
                     size_t *ret_bytes)
{
    uint8_t header[AREA_HEADER];
    uint64_t offset, bytes;
    CLEANUP_FREE uint8_t *text = NULL;
    int r = region_read(region, area->offset, header, sizeof(header));

    if (r < 0)
        return r;
    offset = get_le64(header + 40);
    bytes = get_le64(header + 48);
    if (crc_of(header + 4, sizeof(header) - 4) != get_le32(header) ||
        memcmp(header + 4, AREA_MARK, 16) != 0 || get_le32(header + 20) != 1 ||
        get_le64(header + 24) != area->offset || get_le64(header + 32) != area->bytes)
        return region_refuse(region, "the header of its metadata is damaged");
    if (get_le32(header + 60) & FLAG_IGNORED || offset == 0 || bytes == 0)
        return region_refuse(region, "its metadata are kept on other volumes");
    if (get_le64(header + 72) != 0)
        return region_refuse(region, "its metadata are being changed");
    if (offset < AREA_HEADER || offset >= area->bytes || bytes > TEXT_MAX || bytes > area->bytes)
        return region_refuse(region, "the header of its metadata makes no sense");
    text = malloc(bytes);
    if (!text)
        return -ENOMEM;
    r = read_ring(region, area, offset, text, bytes);
    if (r < 0)
        return r;
    if (crc_of(text, bytes) != get_le32(header + 56))
        return region_refuse(region, "the checksum of its metadata is wrong");
    *ret = TAKE_PTR(text);
    *ret_bytes = bytes;
    return 0;
}

/* All areas must say the same. */
static int read_text(struct region *region, const struct label *label, uint8_t **ret,
                     size_t *ret_bytes)
{
    int r = label->area_count ? read_area(region, &label->areas[0], ret, ret_bytes)
                              : region_refuse(region, "its metadata are kept on other volumes");

    for (size_t i = 1; r == 0 && i < label->area_count; i++) {
        CLEANUP_FREE uint8_t *other = NULL;
        size_t bytes;

        r = read_area(region, &label->areas[i], &other, &bytes);
        if (r == 0 && (bytes != *ret_bytes || memcmp(other, *ret, bytes) != 0))
            r = region_refuse(region, "its copies of the metadata are not the same");
    }
    return r;
}

static int analyse(struct region *region)
{
    CLEANUP(lvm_text_free) struct lvm_text text = {0};
    CLEANUP_FREE uint8_t *raw = NULL;
    struct label label;
    size_t bytes = 0;
    int r = read_label(region, &label);

    if (r == 0)
        r = read_text(region, &label, &raw, &bytes);
    if (r == 0)
        r = lvm_text_parse((const char *)raw, bytes, &text);
    if (r == -EINVAL)
        return region_refuse(region, "its metadata cannot be read");
    return r < 0 ? r : lvm_take_volumes(region, &text, label.id);
}

const struct format format_lvm = {.name = "LVM2", .probe = probe, .analyse = analyse};
