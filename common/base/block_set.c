/* SPDX-License-Identifier: Apache-2.0 */
#include "block_set.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <isa-l/crc64.h>

#include "checked.h"
#include "cleanup.h"

/* So that the table of pieces takes 4 MiB at most. */
#define CHUNKS_MAX (1U << 19)
#define GRAIN_MAX  16U

void block_set_init(struct block_set *set, uint64_t blocks)
{
    *set = (struct block_set){.blocks = blocks, .units = blocks};
    while (set->units > (uint64_t)CHUNKS_MAX * BLOCK_CHUNK_UNITS) {
        set->unit_shift++;
        set->units =
            (blocks >> set->unit_shift) + ((blocks & ((UINT64_C(1) << set->unit_shift) - 1)) != 0);
    }
    set->chunk_count =
        (size_t)(set->units / BLOCK_CHUNK_UNITS + (set->units % BLOCK_CHUNK_UNITS != 0));
}

static void free_windows(struct block_set *set)
{
    for (unsigned i = 0; i < set->window_count; i++)
        free(set->windows[i]);
    set->window_count = 0;
    free(set->scratch);
    set->scratch = NULL;
}

void block_set_free(struct block_set *set)
{
    free_windows(set);
    for (size_t i = 0; set->chunks && i < set->chunk_count; i++)
        block_chunk_free(set->chunks[i]);
    free(set->chunks);
    block_set_init(set, set->blocks);
}

/* Only the last one is not whole. */
static unsigned chunk_units(const struct block_set *set, size_t chunk)
{
    return (unsigned)min_u64(BLOCK_CHUNK_UNITS, set->units - (uint64_t)chunk * BLOCK_CHUNK_UNITS);
}

static int make_room(struct block_set *set)
{
    if (!set->chunks) {
        set->chunks = calloc(set->chunk_count, sizeof(struct block_chunk *));
        set->bytes = set->chunk_count * sizeof(struct block_chunk *);
    }
    if (!set->scratch)
        set->scratch = malloc(BLOCK_CHUNK_UNITS * sizeof(*set->scratch));
    return set->chunks && set->scratch ? 0 : -ENOMEM;
}

static void replace_chunk(struct block_set *set, size_t index, struct block_chunk *chunk)
{
    set->bytes -= block_chunk_memory(set->chunks[index]);
    set->bytes += block_chunk_memory(chunk);
    block_chunk_free(set->chunks[index]);
    set->chunks[index] = chunk;
}

static int store(struct block_set *set, size_t index, const uint64_t *words)
{
    struct block_chunk *chunk;
    int r =
        block_chunk_encode(words, chunk_units(set, index), set->grain_shift, set->scratch, &chunk);

    if (r == 0)
        replace_chunk(set, index, chunk);
    return r;
}

/* A larger grain for all pieces that are not small, until there is some room. */
static int shrink(struct block_set *set)
{
    int r = 0;

    while (r == 0 && set->bytes > set->budget_bytes / 8 * 7 && set->grain_shift < GRAIN_MAX) {
        set->grain_shift++;
        for (size_t i = 0; r == 0 && i < set->chunk_count; i++) {
            struct block_chunk *chunk;

            if (block_chunk_bytes(set->chunks[i]) == 0)
                continue;
            r = block_chunk_coarsen(set->chunks[i], chunk_units(set, i), set->grain_shift,
                                    set->scratch, &chunk);
            if (r == 0)
                replace_chunk(set, i, chunk);
        }
    }
    return r;
}

static int check_budget(struct block_set *set)
{
    if (set->budget_bytes == 0 || set->bytes <= set->budget_bytes || set->grain_shift == GRAIN_MAX)
        return 0;
    return shrink(set);
}

static int close_window(struct block_set *set, struct block_set_window *window)
{
    int r = store(set, window->chunk, window->words);

    return r == 0 ? check_budget(set) : r;
}

/* One that is free, or the one that was opened first. */
static int take_window(struct block_set *set)
{
    if (set->window_count < BLOCK_SET_WINDOWS) {
        set->windows[set->window_count] = malloc(sizeof(struct block_set_window));
        if (!set->windows[set->window_count])
            return -ENOMEM;
        set->window_last = set->window_count++;
        return 0;
    }
    set->window_last = set->window_next;
    set->window_next = (set->window_next + 1) % BLOCK_SET_WINDOWS;
    return close_window(set, set->windows[set->window_last]);
}

/* Makes window_last the one of the piece. */
static bool find_window(struct block_set *set, size_t chunk)
{
    if (set->window_count > 0 && set->windows[set->window_last]->chunk == chunk)
        return true;
    for (unsigned i = 0; i < set->window_count; i++) {
        if (set->windows[i]->chunk != chunk)
            continue;
        set->window_last = i;
        return true;
    }
    return false;
}

static int open_window(struct block_set *set, size_t chunk)
{
    struct block_set_window *window;
    int r;

    if (find_window(set, chunk))
        return 0;
    r = take_window(set);
    if (r < 0)
        return r;
    window = set->windows[set->window_last];
    window->chunk = chunk;
    block_chunk_decode(set->chunks[chunk], chunk_units(set, chunk), set->scratch, window->words);
    replace_chunk(set, chunk, NULL);
    return 0;
}

/* Units [from, to) of one piece become members or others. */
static int change_chunk(struct block_set *set, size_t chunk, unsigned from, unsigned to,
                        bool member)
{
    bool whole = from == 0 && to == chunk_units(set, chunk), is_member;
    int r;

    if (!find_window(set, chunk)) {
        if (whole) {
            replace_chunk(set, chunk, member ? block_chunk_full() : NULL);
            return 0;
        }
        if (block_chunk_bytes(set->chunks[chunk]) == 0) {
            block_chunk_find(set->chunks[chunk], chunk_units(set, chunk), from, &is_member);
            if (is_member == member)
                return 0;
        }
    }
    r = open_window(set, chunk);
    if (r < 0)
        return r;
    if (member)
        block_bits_set(set->windows[set->window_last]->words, from, to);
    else
        block_bits_clear(set->windows[set->window_last]->words, from, to);
    return 0;
}

static int change_units(struct block_set *set, uint64_t from, uint64_t to, bool member)
{
    int r = from < to ? make_room(set) : 0;

    while (r == 0 && from < to) {
        size_t chunk = (size_t)(from / BLOCK_CHUNK_UNITS);
        uint64_t base = (uint64_t)chunk * BLOCK_CHUNK_UNITS;
        uint64_t end = min_u64(to, base + BLOCK_CHUNK_UNITS);

        r = change_chunk(set, chunk, (unsigned)(from - base), (unsigned)(end - base), member);
        from = end;
    }
    return r;
}

static uint64_t round_up(const struct block_set *set, uint64_t blocks)
{
    return (blocks >> set->unit_shift) + ((blocks & ((UINT64_C(1) << set->unit_shift) - 1)) != 0);
}

int block_set_add(struct block_set *set, uint64_t start, uint64_t length)
{
    uint64_t end = start + length;
    uint64_t to = end == set->blocks ? set->units : end >> set->unit_shift;

    return change_units(set, round_up(set, start), to, true);
}

int block_set_add_touched(struct block_set *set, uint64_t start, uint64_t length)
{
    if (length == 0)
        return 0;
    return change_units(set, start >> set->unit_shift, round_up(set, start + length), true);
}

int block_set_remove(struct block_set *set, uint64_t start, uint64_t length)
{
    if (length == 0 || !set->chunks)
        return 0;
    return change_units(set, start >> set->unit_shift, round_up(set, start + length), false);
}

int block_set_settle(struct block_set *set)
{
    int r = 0;

    for (; r == 0 && set->window_count > 0; set->window_count--) {
        struct block_set_window *window = set->windows[set->window_count - 1];

        r = close_window(set, window);
        if (r < 0)
            return r;
        free(window);
    }
    set->window_last = 0;
    set->window_next = 0;
    free_windows(set);
    return r;
}

/* Two pieces, and room to put them side by side. */
struct pair {
    uint64_t first[BLOCK_CHUNK_WORDS];
    uint64_t second[BLOCK_CHUNK_WORDS];
};

/* Adds a piece that has to be looked at bit by bit. */
static int unite_bits(struct block_set *ret, size_t index, const struct block_chunk *other,
                      struct pair *pair)
{
    unsigned units = chunk_units(ret, index);

    block_chunk_decode(ret->chunks[index], units, ret->scratch, pair->first);
    block_chunk_decode(other, units, ret->scratch, pair->second);
    for (unsigned i = 0; i < BLOCK_CHUNK_WORDS; i++)
        pair->first[i] |= pair->second[i];
    return store(ret, index, pair->first);
}

int block_set_take(struct block_set *set, struct block_set *other)
{
    CLEANUP_FREE struct pair *pair = malloc(sizeof(*pair));
    struct block_chunk *const all = block_chunk_full();
    int r = pair ? make_room(set) : -ENOMEM;

    for (size_t i = 0; r == 0 && other->chunks && i < set->chunk_count; i++) {
        struct block_chunk *mine = set->chunks[i], *more = other->chunks[i];

        if (!more || mine == all || block_chunk_equal(mine, more))
            continue;
        if (mine && more != all) {
            r = unite_bits(set, i, more, pair);
            continue;
        }
        other->bytes -= block_chunk_memory(more);
        other->chunks[i] = NULL;
        replace_chunk(set, i, more);
    }
    if (other->grain_shift > set->grain_shift)
        set->grain_shift = other->grain_shift;
    block_set_free(other);
    if (r == 0)
        r = check_budget(set);
    free_windows(set);
    return r;
}

static int combine_bits(struct block_set *ret, size_t index, const struct block_chunk *first,
                        enum block_set_op op, const struct block_chunk *second, struct pair *pair)
{
    const uint64_t flip = op == BLOCK_SET_WITHOUT ? UINT64_MAX : 0;
    unsigned units = chunk_units(ret, index);

    block_chunk_decode(first, units, ret->scratch, pair->first);
    block_chunk_decode(second, units, ret->scratch, pair->second);
    for (unsigned i = 0; i < BLOCK_CHUNK_WORDS; i++)
        pair->first[i] &= pair->second[i] ^ flip;
    return store(ret, index, pair->first);
}

int block_set_combine(const struct block_set *set, enum block_set_op op,
                      const struct block_set *other, struct block_set *ret)
{
    CLEANUP_FREE struct pair *pair = malloc(sizeof(*pair));
    int r = pair ? make_room(ret) : -ENOMEM;

    for (size_t i = 0; r == 0 && set->chunks && i < set->chunk_count; i++) {
        const struct block_chunk *first = set->chunks[i];
        const struct block_chunk *second = other->chunks ? other->chunks[i] : NULL;
        bool is_none = op == BLOCK_SET_COMMON
                           ? !second
                           : second == block_chunk_full() || block_chunk_equal(first, second);

        if (first && !is_none)
            r = combine_bits(ret, i, first, op, second, pair);
    }
    free_windows(ret);
    return r;
}

int block_set_invert(struct block_set *set)
{
    int r = make_room(set);

    for (size_t i = 0; r == 0 && i < set->chunk_count; i++)
        block_chunk_invert(&set->chunks[i], chunk_units(set, i));
    free_windows(set);
    return r;
}

uint64_t block_set_find(const struct block_set *set, uint64_t block, uint64_t until,
                        bool *ret_member)
{
    uint64_t at = block >> set->unit_shift, end = round_up(set, until);
    bool member = false, is_first = true;

    *ret_member = false;
    if (!set->chunks)
        return until;
    while (at < end) {
        size_t index = (size_t)(at / BLOCK_CHUNK_UNITS);
        uint64_t base = (uint64_t)index * BLOCK_CHUNK_UNITS;
        unsigned next = block_chunk_find(set->chunks[index], chunk_units(set, index),
                                         (unsigned)(at - base), &member);

        if (is_first)
            *ret_member = member;
        else if (member != *ret_member)
            break;
        is_first = false;
        at = base + next;
        if (next < chunk_units(set, index))
            break;
    }
    return min_u64(at << set->unit_shift, until);
}

uint64_t block_set_total(const struct block_set *set)
{
    uint64_t total = 0;

    for (uint64_t at = 0, end; at < set->blocks; at = end) {
        bool member;

        end = block_set_find(set, at, set->blocks, &member);
        total += member ? end - at : 0;
    }
    return total;
}

uint64_t block_set_digest(const struct block_set *set, uint64_t seed)
{
    for (size_t i = 0; i < set->chunk_count; i++) {
        const struct block_chunk *chunk = set->chunks ? set->chunks[i] : NULL;
        const uint64_t all = chunk == block_chunk_full();
        size_t bytes = block_chunk_bytes(chunk);

        seed = crc64_ecma_refl(seed, (const unsigned char *)(bytes ? (const void *)chunk : &all),
                               bytes ? bytes : sizeof(all));
    }
    return seed;
}
