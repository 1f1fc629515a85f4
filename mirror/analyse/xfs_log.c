/* SPDX-License-Identifier: Apache-2.0 */

/* The XFS log is a ring of 512-byte blocks. Each begins with the number of the turn (cycle) it was
 * written in, a record's first block with a mark and then the cycle, so the newest record ends
 * where the cycle drops. A clean unmount writes a record with one operation that says so; whatever
 * else the newest record is, there may be something to replay. */

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "xfs.h"

#define BLOCK         512
#define RECORD_MAGIC  0xFEEDBABEU
#define VERSION_2     2U
#define HEADER_COVERS 32768 /* bytes of a record that one header block describes */
#define UNMOUNT_FLAG  0x20U
#define LOOK_BACK     1024 /* blocks: more than a record of one operation takes with its padding */

static int read_block(const struct xfs *xfs, uint64_t block, uint8_t bytes[BLOCK])
{
    return region_read(xfs->region, xfs->log_start + block * BLOCK, bytes, BLOCK);
}

static int read_cycle(const struct xfs *xfs, uint64_t block, uint32_t *ret)
{
    uint8_t bytes[BLOCK];
    int r = read_block(xfs, block, bytes);

    if (r < 0)
        return r;
    *ret = get_be32(bytes) == RECORD_MAGIC ? get_be32(bytes + 4) : get_be32(bytes);
    return 0;
}

/* The block behind the newest record; count for the end of the log. */
static int find_head(const struct xfs *xfs, uint64_t count, uint64_t *ret_head,
                     uint32_t *ret_newest)
{
    uint64_t low = 0, high = count - 1;
    uint32_t first, last;
    int r = read_cycle(xfs, 0, &first);

    if (r == 0)
        r = read_cycle(xfs, count - 1, &last);
    if (r < 0)
        return r;
    *ret_newest = first;
    *ret_head = count;
    if (first == last && first != 0)
        return 0;
    if (first == 0 || (last != 0 && last != first - 1))
        return region_refuse(xfs->region, "its log makes no sense");
    /* low is of this turn, high is not. */
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        uint32_t cycle;

        r = read_cycle(xfs, middle, &cycle);
        if (r < 0)
            return r;
        if (cycle != first && cycle != last)
            return region_refuse(xfs->region, "its log makes no sense");
        if (cycle == first)
            low = middle;
        else
            high = middle;
    }
    *ret_head = high;
    return 0;
}

static bool is_unmount(const struct xfs *xfs, const uint8_t *header, uint64_t block, uint64_t head,
                       uint64_t count)
{
    uint64_t length = get_be32(header + 12), record_bytes = get_be32(header + 320);
    uint64_t header_blocks = 1, data;
    uint8_t operation[BLOCK];

    if (get_be32(header + 8) & VERSION_2 && record_bytes > HEADER_COVERS)
        header_blocks = (record_bytes + HEADER_COVERS - 1) / HEADER_COVERS;
    if (get_be32(header + 40) != 1 || memcmp(header + 304, xfs->uuid, sizeof(xfs->uuid)) != 0 ||
        length == 0 || header_blocks > LOOK_BACK)
        return false;
    if ((block + header_blocks + (length + BLOCK - 1) / BLOCK) % count != head % count)
        return false;
    data = (block + header_blocks) % count;
    return read_block(xfs, data, operation) == 0 && operation[9] & UNMOUNT_FLAG;
}

int xfs_log_check(const struct xfs *xfs)
{
    uint64_t count = xfs->log_bytes / BLOCK, head;
    uint32_t newest;
    int r = find_head(xfs, count, &head, &newest);

    if (r < 0)
        return r;
    for (uint64_t back = 1; back <= LOOK_BACK && back <= count; back++) {
        uint64_t block = (head + count - back) % count;
        uint8_t header[BLOCK];

        r = read_block(xfs, block, header);
        if (r < 0)
            return r;
        if (get_be32(header) != RECORD_MAGIC)
            continue;
        if (get_be32(header + 4) <= newest && is_unmount(xfs, header, block, head, count))
            return 0;
        break;
    }
    return region_refuse(xfs->region, "it was not unmounted cleanly: its log is to be replayed");
}
