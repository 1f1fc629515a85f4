/* SPDX-License-Identifier: Apache-2.0 */
#include "bitmap.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define WORD_BITS 64

static uint64_t words_for(uint64_t bits)
{
    return bits / WORD_BITS + (bits % WORD_BITS != 0);
}

int bitmap_init(struct bitmap *bitmap, uint64_t bits)
{
    *bitmap = (struct bitmap){0};
    return bitmap_resize(bitmap, bits);
}

void bitmap_free(struct bitmap *bitmap)
{
    free(bitmap->words);
    *bitmap = (struct bitmap){0};
}

int bitmap_resize(struct bitmap *bitmap, uint64_t bits)
{
    uint64_t old_words = words_for(bitmap->bits), new_words = words_for(bits);
    uint64_t *words = reallocarray(bitmap->words, new_words ? new_words : 1, sizeof(*words));

    if (!words)
        return -ENOMEM;
    if (new_words > old_words)
        memset(words + old_words, 0, (new_words - old_words) * sizeof(*words));
    if (bits < bitmap->bits && bits % WORD_BITS)
        words[bits / WORD_BITS] &= ~(UINT64_MAX << (bits % WORD_BITS));
    bitmap->words = words;
    bitmap->bits = bits;
    return 0;
}

bool bitmap_test(const struct bitmap *bitmap, uint64_t bit)
{
    return (bitmap->words[bit / WORD_BITS] >> (bit % WORD_BITS)) & 1;
}

/* Calls for each word the range touches; mask has the range's bits of that word. */
#define FOR_EACH_WORD(from, count, word, mask)                                   \
    for (uint64_t at_ = (from), end_ = (from) + (count), word = 0, mask = 0;     \
         at_ < end_ && (word = at_ / WORD_BITS, mask = word_mask(at_, end_), 1); \
         at_ = (word + 1) * WORD_BITS)

static uint64_t word_mask(uint64_t from, uint64_t end)
{
    uint64_t word_end = (from / WORD_BITS + 1) * WORD_BITS;
    uint64_t mask = UINT64_MAX << (from % WORD_BITS);

    if (end < word_end)
        mask &= ~(UINT64_MAX << (end % WORD_BITS));
    return mask;
}

void bitmap_set(struct bitmap *bitmap, uint64_t from, uint64_t count)
{
    FOR_EACH_WORD(from, count, word, mask)
    bitmap->words[word] |= mask;
}

void bitmap_clear(struct bitmap *bitmap, uint64_t from, uint64_t count)
{
    FOR_EACH_WORD(from, count, word, mask)
    bitmap->words[word] &= ~mask;
}

uint64_t bitmap_run_end(const struct bitmap *bitmap, uint64_t from)
{
    uint64_t flip = bitmap_test(bitmap, from) ? UINT64_MAX : 0;

    FOR_EACH_WORD(from, bitmap->bits - from, word, mask)
    {
        uint64_t differing = (bitmap->words[word] ^ flip) & mask;

        if (differing)
            return word * WORD_BITS + (uint64_t)__builtin_ctzll(differing);
    }
    return bitmap->bits;
}
