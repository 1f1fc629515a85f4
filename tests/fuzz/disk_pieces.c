/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_pieces.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "cleanup.h"

#define DISK_SEED_MAX (1U << 20)

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
    if (piece->sector >= DISK_BASE || *ret_from >= end)
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

/* A seed of the corpus without its answer and without room for more than its disk; 0 bytes when
 * there is none of this name. */
static size_t read_base(const uint8_t *name, size_t length, uint8_t **ret)
{
    char path[sizeof(FUZZ_CORPUS) + 64];
    CLEANUP_FCLOSE FILE *file = NULL;
    struct disk_piece piece;
    size_t size, end = DISK_HEAD_BYTES;

    if (length == 0 || length > 60 || memchr(name, '.', length) == name || memchr(name, 0, length))
        return 0;
    snprintf(path, sizeof(path), FUZZ_CORPUS "/%.*s", (int)length, (const char *)name);
    file = fopen(path, "rb");
    *ret = malloc(DISK_SEED_MAX);
    if (!file || !*ret)
        return 0;
    size = fread(*ret, 1, DISK_SEED_MAX, file);
    for (size_t at = end; disk_next_piece(*ret, size, &at, &piece) && piece.sector < DISK_BASE;)
        end = at;
    return size < DISK_HEAD_BYTES ? 0 : end;
}

const uint8_t *disk_expand(const uint8_t *input, size_t *size, uint8_t **ret_owned,
                           unsigned *ret_failing)
{
    size_t at = DISK_HEAD_BYTES, base, more;
    struct disk_piece piece;
    uint8_t *whole = NULL;

    *ret_owned = NULL;
    *ret_failing = 0;
    if (!disk_next_piece(input, *size, &at, &piece) || piece.sector != DISK_BASE ||
        piece.bytes < DISK_BASE_HEAD)
        return input;
    *ret_failing = get_be16(input + piece.at + 1);
    base = read_base(input + piece.at + DISK_BASE_HEAD, piece.bytes - DISK_BASE_HEAD, ret_owned);
    more = *size - at;
    if (base > 0)
        whole = realloc(*ret_owned, base + more);
    if (!whole)
        return input;
    *ret_owned = whole;
    memcpy(whole + base, input + at, more);
    *size = base + more;
    if (input[piece.at] & DISK_BASE_MENDED)
        disk_mend(whole, *size);
    return whole;
}
