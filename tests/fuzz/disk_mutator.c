/* SPDX-License-Identifier: Apache-2.0 */

/* How libFuzzer changes the inputs of the targets disk_*: mostly bytes inside a piece, so that what
 * follows stays where it is, and then checksums are made to fit, as a rule. */

#include <string.h>

#include "disk_pieces.h"
#include "fuzz.h"

#define WINDOW_MAX 64

size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

static size_t count_pieces(const uint8_t *data, size_t size)
{
    struct disk_piece piece;
    size_t count = 0;

    for (size_t at = DISK_HEAD_BYTES; disk_next_piece(data, size, &at, &piece);)
        count += piece.sector < DISK_BASE;
    return count;
}

static bool find_piece(const uint8_t *data, size_t size, size_t number, struct disk_piece *ret)
{
    for (size_t at = DISK_HEAD_BYTES; disk_next_piece(data, size, &at, ret);)
        if (ret->sector < DISK_BASE && ret->bytes > 0 && number-- == 0)
            return true;
    return false;
}

static void change_piece(uint8_t *data, const struct disk_piece *piece, unsigned seed)
{
    size_t begin = seed % piece->bytes, length = piece->bytes - begin;
    uint8_t window[WINDOW_MAX];

    if (length > 1 + seed / 7 % WINDOW_MAX)
        length = 1 + seed / 7 % WINDOW_MAX;
    memcpy(window, data + piece->at + begin, length);
    LLVMFuzzerMutate(window, length, length);
    memcpy(data + piece->at + begin, window, length);
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
    size_t pieces = count_pieces(data, size);
    struct disk_piece piece;

    if (seed % 8 == 0 || pieces == 0 || !find_piece(data, size, seed / 8 % pieces, &piece))
        size = LLVMFuzzerMutate(data, size, max_size);
    else
        change_piece(data, &piece, seed / 64);
    if (seed % 5 != 0)
        disk_mend(data, size);
    return size;
}
