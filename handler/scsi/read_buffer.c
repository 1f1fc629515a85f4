/* SPDX-License-Identifier: Apache-2.0 */

/* READ BUFFER(10), SPC-4 6.21, and READ BUFFER(16), SPC-5 6.18. In the vendor-specific mode of the
 * first: which elements of the storage hold data, a bit for each (docs/bitmap.md); of the second:
 * the change record (track.h). There is no buffer for the other modes to read, which is what they
 * say. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "bitmap_reply.h"
#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"
#include "lun_internal.h"
#include "track.h"

#define MODE_COMBINED           0x00
#define MODE_VENDOR             0x01
#define MODE_DATA               0x02
#define MODE_DESCRIPTOR         0x03
#define MODE_ERROR_HISTORY      0x1C

#define BUFFER_HEADER_BYTES     4
#define HISTORY_DIRECTORY_BYTES 32

/* Elements without data that are not worth their bits: eight times a header's. */
#define LONG_GAP        (UINT64_C(8) * 8 * BITMAP_HEADER_BYTES)

#define EXTENTS_AT_ONCE 256

/* The smallest unit that is one of the store's, so that a bit is exact, and of which the bitmap can
 * number all there are. */
static uint64_t element_bytes_of(const struct volume *volume)
{
    uint64_t bytes = volume_granularity(volume);

    while ((volume_bytes(volume) - 1) / bytes >= BITMAP_MAX_ELEMENTS)
        bytes *= 2;
    return bytes;
}

size_t bitmap_page_of(const struct volume *volume, uint8_t *to)
{
    struct bitmap_page page = {.element_bytes = element_bytes_of(volume),
                               .max_bitmap_bytes = LUN_MAX_BITMAP_BYTES};

    memcpy(page.uuid, volume_get_meta(volume)->uuid, BITMAP_UUID_BYTES);
    return bitmap_page_encode(to, &page);
}

struct bitmap_scan {
    struct volume *volume;
    uint64_t element_bytes;
    uint64_t elements; /* of the whole LUN */
    uint64_t first;
    uint64_t end; /* the first element there is no bit for */
    uint8_t *bits;
    uint64_t told; /* of the bits, up to where they are wanted */
    uint64_t next;
    struct extent extents[EXTENTS_AT_ONCE]; /* the map on its way, for all sections */
    size_t count;
    size_t index; /* of the first that may not be dealt with */
};

static uint64_t element_after(const struct bitmap_scan *scan, uint64_t byte)
{
    return byte / scan->element_bytes + (byte % scan->element_bytes != 0);
}

/* Nothing has data from this byte on up to end. True when the reply ends here. */
static bool skip_gap(struct bitmap_scan *scan, uint64_t start, uint64_t end)
{
    uint64_t from = min_u64(align_up(element_after(scan, start), 8), scan->elements);
    uint64_t to = align_down(end / scan->element_bytes, 8);

    if (end == volume_bytes(scan->volume))
        to = scan->elements;
    if (to < from || (to - from < LONG_GAP && to < scan->end && to < scan->elements))
        return false;
    scan->told = min_u64(from, scan->end);
    scan->next = to;
    return true;
}

static void set_bits(struct bitmap_scan *scan, const struct extent *extent)
{
    uint64_t from = extent->start / scan->element_bytes;
    uint64_t to = min_u64(element_after(scan, extent->start + extent->length), scan->end);

    for (uint64_t element = from; element < to;) {
        uint64_t bit = element - scan->first;

        if (bit % 8 == 0 && to - element >= 8) {
            scan->bits[bit / 8] = 0xFF;
            element += 8;
        } else {
            scan->bits[bit / 8] |= (uint8_t)(1u << bit % 8);
            element++;
        }
    }
}

/* What lies at this byte, from there on. */
static int extent_at(struct bitmap_scan *scan, uint64_t at, struct extent *ret)
{
    const struct extent *found = scan->extents + scan->index;
    uint64_t end;

    while (scan->index < scan->count && found->start + found->length <= at) {
        scan->index++;
        found++;
    }
    if (scan->index == scan->count) {
        int error = volume_extents(scan->volume, at, volume_bytes(scan->volume), scan->extents,
                                   EXTENTS_AT_ONCE, &scan->count);

        if (error)
            return error;
        scan->index = 0;
        found = scan->extents;
    }
    end = found->start + found->length;
    *ret = (struct extent){.start = at, .length = end - at, .status = found->status};
    return 0;
}

/* Anchored blocks have storage but no data: no bit. */
static int fill_bits(struct bitmap_scan *scan)
{
    uint64_t at = scan->first * scan->element_bytes;

    scan->told = scan->next = scan->end;
    while (at < volume_bytes(scan->volume) && at / scan->element_bytes < scan->end) {
        struct extent extent;
        int error = extent_at(scan, at, &extent);

        if (error)
            return error;
        at = extent.start + extent.length;
        if (extent.status == EXTENT_MAPPED)
            set_bits(scan, &extent);
        else if (skip_gap(scan, extent.start, at))
            return 0;
    }
    return 0;
}

/* Adds the section that begins at scan->first: its header, and bits for as much as room bytes and
 * scan->bits have room for. *ret_bytes: of the bits. */
static int report_section(struct exec *exec, struct bitmap_scan *scan, uint64_t room,
                          uint64_t *ret_bytes)
{
    struct bitmap_header header = {.element_bytes = scan->element_bytes, .first = scan->first};
    uint8_t bytes[BITMAP_HEADER_BYTES];
    int error;

    scan->end = min_u64(scan->first + 8 * room, scan->elements);
    error = fill_bits(scan);
    if (error)
        return error;
    memcpy(header.uuid, volume_get_meta(exec->volume)->uuid, BITMAP_UUID_BYTES);
    header.lun_bytes = volume_bytes(exec->volume);
    header.bits = (uint32_t)(scan->told - scan->first);
    header.next = scan->next;
    bitmap_header_encode(bytes, &header);
    *ret_bytes = (header.bits + 7) / 8;
    reply_add(exec, bytes, sizeof(bytes));
    reply_add(exec, scan->bits, *ret_bytes);
    memset(scan->bits, 0, *ret_bytes);
    return 0;
}

/* At least one section, and more while there is room: each long gap ends one. */
static int report_sections(struct exec *exec, struct bitmap_scan *scan, uint64_t room)
{
    uint64_t bits_left = LUN_MAX_BITMAP_BYTES, bytes;

    do {
        uint64_t for_bits = room > BITMAP_HEADER_BYTES ? room - BITMAP_HEADER_BYTES : 0;
        uint64_t first = scan->first;
        int error = report_section(exec, scan, min_u64(for_bits, bits_left), &bytes);

        if (error)
            return error;
        room -= min_u64(room, BITMAP_HEADER_BYTES + bytes);
        bits_left -= bytes;
        scan->first = scan->next;
        if (scan->first == first) /* there was no room for anything */
            break;
    } while (scan->first < scan->elements && room > BITMAP_HEADER_BYTES && bits_left > 0);
    return 0;
}

static int report(struct exec *exec, uint64_t first, size_t allocation_length)
{
    size_t buffers = iov_total(exec->command->data_in, exec->command->data_in_count);
    uint64_t room = min_u64(allocation_length, buffers);
    uint64_t element_bytes = element_bytes_of(exec->volume);
    struct bitmap_scan scan = {.volume = exec->volume,
                               .element_bytes = element_bytes,
                               .elements = (volume_bytes(exec->volume) - 1) / element_bytes + 1,
                               .first = first};
    CLEANUP_FREE uint8_t *bits = calloc(1, min_u64(room, LUN_MAX_BITMAP_BYTES) + 1);

    if (first >= scan.elements)
        return -EINVAL;
    if (!bits)
        return -ENOMEM;
    scan.bits = bits;
    reply_start(exec, allocation_length);
    return report_sections(exec, &scan, room);
}

/* The fields that both forms of the command have. */
struct where {
    uint8_t buffer;
    uint64_t offset;
    size_t allocation_length;
};

/* A buffer that holds nothing: its header, or descriptor, is zeros. */
static uint8_t report_no_buffer(struct exec *exec, size_t length, size_t allocation_length)
{
    static const uint8_t zeros[BUFFER_HEADER_BYTES];

    return reply_whole(exec, zeros, length, allocation_length);
}

/* The error history (SPC-4 6.21.9): a directory without an entry. */
static uint8_t report_error_history(struct exec *exec, const struct where *where)
{
    uint8_t directory[HISTORY_DIRECTORY_BYTES] = "THINMIRR";

    if (where->buffer != 0 || where->offset != 0) /* the directory, from its begin */
        return exec_fail_field(exec);
    return reply_whole(exec, directory, sizeof(directory), where->allocation_length);
}

static uint8_t report_bitmap(struct exec *exec)
{
    int error = report(exec, get_be32(exec->cdb + 2) * UINT64_C(8), get_be24(exec->cdb + 6));

    return error == -EINVAL ? exec_fail_field(exec) : exec_result(exec, error, false);
}

/* The modes that are the standard's. */
static uint8_t report_standard(struct exec *exec, const struct where *where)
{
    switch (exec->cdb[1]) {
    case MODE_COMBINED:
    case MODE_DESCRIPTOR:
        return report_no_buffer(exec, BUFFER_HEADER_BYTES, where->allocation_length);
    case MODE_DATA:
        return report_no_buffer(exec, 0, where->allocation_length);
    case MODE_ERROR_HISTORY:
        return report_error_history(exec, where);
    default:
        return exec_fail_field(exec);
    }
}

uint8_t op_read_buffer(struct exec *exec)
{
    const uint8_t *cdb = exec->cdb;
    const struct where where = {.buffer = cdb[2],
                                .offset = get_be24(cdb + 3),
                                .allocation_length = get_be24(cdb + 6)};

    return cdb[1] == MODE_VENDOR ? report_bitmap(exec) : report_standard(exec, &where);
}

uint8_t op_read_buffer_16(struct exec *exec)
{
    const uint8_t *cdb = exec->cdb;
    const struct where where = {.buffer = cdb[14],
                                .offset = get_be64(cdb + 2),
                                .allocation_length = get_be32(cdb + 10)};

    if (cdb[1] == MODE_VENDOR)
        return track_report(exec, where.buffer, cdb + 2, where.allocation_length);
    return report_standard(exec, &where);
}
