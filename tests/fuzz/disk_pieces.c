/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_pieces.h"

#include <string.h>

#include "byteorder.h"
#include "checked.h"

bool disk_next_piece(const uint8_t *input, size_t size, size_t *at, struct disk_piece *ret)
{
    if (*at + DISK_PIECE_BYTES > size)
        return false;
    ret->sector = get_be32(input + *at);
    ret->at = *at + DISK_PIECE_BYTES;
    ret->bytes = min_u64(get_be16(input + *at + 4), size - ret->at);
    *at = ret->at + ret->bytes;
    return true;
}

uint64_t disk_sectors(const uint8_t *input, size_t size)
{
    return size < DISK_HEAD_BYTES ? 0 : get_be32(input) % DISK_SECTORS_MAX + 1;
}

/* The part of the piece that lies in [offset, offset + length); false when there is none. */
static bool overlap(const struct disk_piece *piece, uint64_t offset, size_t length,
                    uint64_t *ret_from, size_t *ret_bytes)
{
    uint64_t start = (uint64_t)piece->sector * DISK_SECTOR;
    uint64_t end = min_u64(start + piece->bytes, offset + length);

    *ret_from = max_u64(start, offset);
    if (piece->sector == DISK_ANSWER || *ret_from >= end)
        return false;
    *ret_bytes = end - *ret_from;
    return true;
}

void disk_read(const uint8_t *input, size_t size, uint64_t offset, void *to, size_t length)
{
    struct disk_piece piece;
    uint64_t from;
    size_t bytes;

    memset(to, 0, length);
    for (size_t at = DISK_HEAD_BYTES; disk_next_piece(input, size, &at, &piece);)
        if (overlap(&piece, offset, length, &from, &bytes))
            memcpy((uint8_t *)to + (from - offset),
                   input + piece.at + (from - (uint64_t)piece.sector * DISK_SECTOR), bytes);
}

void disk_write(uint8_t *input, size_t size, uint64_t offset, const void *from, size_t length)
{
    struct disk_piece piece;
    uint64_t place;
    size_t bytes;

    for (size_t at = DISK_HEAD_BYTES; disk_next_piece(input, size, &at, &piece);)
        if (overlap(&piece, offset, length, &place, &bytes))
            memcpy(input + piece.at + (place - (uint64_t)piece.sector * DISK_SECTOR),
                   (const uint8_t *)from + (place - offset), bytes);
}
