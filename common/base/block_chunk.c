/* SPDX-License-Identifier: Apache-2.0 */

/* All forms go by way of the edges: the units that are other than the unit before them. They take
 * 16 bits, since the first unit is none. */

#include "block_chunk.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"

/* What an allocation takes besides, and its unit and least. */
#define MEMORY_HEADER 8
#define MEMORY_UNIT   16
#define MEMORY_MIN    32
/* Fewer edges are as short as they are. */
#define REPEAT_EDGES 6

enum form {
    FORM_FULL,
    FORM_EDGES,
    FORM_REPEAT, /* the first edge and how far it is from there to the next two, by turns */
    FORM_BITMAP,
};

struct block_chunk {
    _Alignas(uint64_t) uint8_t form;
    uint8_t first;  /* 1: unit 0 is a member */
    uint8_t shift;  /* bitmap: a cell is 1 << shift units */
    uint8_t spare;  /* 0 */
    uint16_t phase; /* bitmap: units of the cell before the first whole one; 0: there is none */
    uint16_t count; /* edges, or words of the bitmap, which follow; of a repeat 3 numbers do */
};

_Static_assert(sizeof(struct block_chunk) == sizeof(uint64_t), "words follow it");

static struct block_chunk full = {.form = FORM_FULL, .first = 1};

struct block_chunk *block_chunk_full(void)
{
    return &full;
}

/* What follows the header. */
static uint16_t *edges_in(const struct block_chunk *chunk)
{
    return (uint16_t *)(chunk + 1);
}

static uint64_t *words_in(const struct block_chunk *chunk)
{
    return (uint64_t *)(chunk + 1);
}

void block_bits_set(uint64_t *words, unsigned from, unsigned to)
{
    unsigned first = from / 64, last = (to - 1) / 64;
    uint64_t head = UINT64_MAX << from % 64, tail = UINT64_MAX >> (63 - (to - 1) % 64);

    if (from >= to)
        return;
    if (first == last) {
        words[first] |= head & tail;
        return;
    }
    words[first] |= head;
    for (unsigned i = first + 1; i < last; i++)
        words[i] = UINT64_MAX;
    words[last] |= tail;
}

void block_bits_clear(uint64_t *words, unsigned from, unsigned to)
{
    unsigned first = from / 64, last = (to - 1) / 64;
    uint64_t head = UINT64_MAX << from % 64, tail = UINT64_MAX >> (63 - (to - 1) % 64);

    if (from >= to)
        return;
    if (first == last) {
        words[first] &= ~(head & tail);
        return;
    }
    words[first] &= ~head;
    for (unsigned i = first + 1; i < last; i++)
        words[i] = 0;
    words[last] &= ~tail;
}

static unsigned bit_at(const uint64_t *words, unsigned at)
{
    return words[at / 64] >> at % 64 & 1;
}

static unsigned edges_of_bits(const uint64_t *words, unsigned bits, uint16_t *edges)
{
    uint64_t carry = words[0] & 1;
    unsigned count = 0;

    for (unsigned i = 0; i < (bits + 63) / 64; i++) {
        uint64_t changes = words[i] ^ (words[i] << 1 | carry);

        carry = words[i] >> 63;
        for (; changes; changes &= changes - 1)
            edges[count++] = (uint16_t)(64 * i + (unsigned)__builtin_ctzll(changes));
    }
    while (count > 0 && edges[count - 1] >= bits)
        count--;
    return count;
}

/* How many edges are at or before at. */
static unsigned edges_before(const struct block_chunk *chunk, unsigned at)
{
    unsigned low = 0, high = chunk->count;

    while (low < high) {
        unsigned middle = (low + high) / 2;

        if (edges_in(chunk)[middle] <= at)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static unsigned repeat_edge(const struct block_chunk *chunk, unsigned index)
{
    const uint16_t *data = edges_in(chunk);

    return data[0] + index / 2 * (data[1] + (unsigned)data[2]) + (index % 2 ? data[1] : 0U);
}

static unsigned repeat_edges_before(const struct block_chunk *chunk, unsigned at)
{
    const uint16_t *data = edges_in(chunk);
    unsigned pair = data[1] + (unsigned)data[2], before;

    if (at < data[0])
        return 0;
    before = (at - data[0]) / pair * 2 + 1 + ((at - data[0]) % pair >= data[1]);
    return before < chunk->count ? before : chunk->count;
}

/* Cells of a bitmap and units. */
static unsigned cell_of(const struct block_chunk *chunk, unsigned unit)
{
    if (unit < chunk->phase)
        return 0;
    return (chunk->phase > 0) + ((unit - chunk->phase) >> chunk->shift);
}

static unsigned unit_of(const struct block_chunk *chunk, unsigned cell)
{
    if (chunk->phase == 0)
        return cell << chunk->shift;
    return cell == 0 ? 0 : chunk->phase + ((cell - 1) << chunk->shift);
}

/* Of a chunk that is neither empty nor full. */
static unsigned edges_of(const struct block_chunk *chunk, unsigned units, uint16_t *edges)
{
    unsigned count = chunk->count;

    switch (chunk->form) {
    case FORM_EDGES:
        memcpy(edges, edges_in(chunk), count * sizeof(*edges));
        return count;
    case FORM_REPEAT:
        for (unsigned i = 0; i < count; i++)
            edges[i] = (uint16_t)repeat_edge(chunk, i);
        return count;
    default:
        count = edges_of_bits(words_in(chunk), cell_of(chunk, units - 1) + 1, edges);
        for (unsigned i = 0; i < count; i++)
            edges[i] = (uint16_t)unit_of(chunk, edges[i]);
        return count;
    }
}

/* Drops members so that all begins and ends are multiples of the grain. */
static unsigned coarsen(uint16_t *edges, unsigned count, unsigned units, unsigned grain_shift,
                        bool *first)
{
    const unsigned mask = (1U << grain_shift) - 1;
    unsigned kept = 0, at;
    bool begins = false;

    for (at = *first ? 0 : 1; at <= count; at += 2) {
        /* The run of members that ends with edge at, or with the chunk. */
        unsigned from = at == 0 ? 0 : (edges[at - 1] + mask) & ~mask;
        unsigned to = at < count ? edges[at] & ~mask : units;

        if (from < to) {
            if (from == 0)
                begins = true;
            else
                edges[kept++] = (uint16_t)from;
            if (to < units)
                edges[kept++] = (uint16_t)to;
        }
    }
    *first = begins;
    return kept;
}

static bool is_repeat(const uint16_t *edges, unsigned count)
{
    if (count < REPEAT_EDGES)
        return false;
    for (unsigned i = 2; i < count; i++)
        if (edges[i] - edges[i - 2] != edges[i % 2 + 2] - edges[i % 2])
            return false;
    return edges[3] - edges[1] == edges[2] - edges[0];
}

/* The largest cells that begin at all edges. */
static void choose_cells(struct block_chunk *chunk, const uint16_t *edges, unsigned count)
{
    unsigned differ = BLOCK_CHUNK_UNITS >> 1;

    for (unsigned i = 1; i < count; i++)
        differ |= (unsigned)edges[i] ^ edges[0];
    chunk->shift = (uint8_t)__builtin_ctz(differ);
    chunk->phase = (uint16_t)(edges[0] & ((1U << chunk->shift) - 1));
}

static void fill_bitmap(struct block_chunk *chunk, const uint16_t *edges, unsigned count,
                        unsigned units)
{
    unsigned cells = cell_of(chunk, units - 1) + 1;

    for (unsigned at = !chunk->first; at <= count; at += 2)
        block_bits_set(words_in(chunk), at == 0 ? 0 : cell_of(chunk, edges[at - 1]),
                       at < count ? cell_of(chunk, edges[at]) : cells);
}

/* The form, and how many bytes follow the header. */
static size_t choose_form(struct block_chunk *chunk, const uint16_t *edges, unsigned count,
                          unsigned units)
{
    size_t words;

    chunk->count = (uint16_t)count;
    if (is_repeat(edges, count)) {
        chunk->form = FORM_REPEAT;
        return 3 * sizeof(*edges);
    }
    choose_cells(chunk, edges, count);
    words = cell_of(chunk, units - 1) / 64 + 1;
    if (count * sizeof(*edges) <= words * sizeof(uint64_t)) {
        chunk->form = FORM_EDGES;
        chunk->shift = 0;
        chunk->phase = 0;
        return count * sizeof(*edges);
    }
    chunk->form = FORM_BITMAP;
    chunk->count = (uint16_t)words;
    return words * sizeof(uint64_t);
}

static int encode_edges(uint16_t *edges, unsigned count, bool first, unsigned units,
                        struct block_chunk **ret)
{
    struct block_chunk header = {.first = first}, *chunk;
    size_t bytes;

    if (count == 0) {
        *ret = first ? &full : NULL;
        return 0;
    }
    bytes = choose_form(&header, edges, count, units);
    chunk = calloc(1, sizeof(struct block_chunk) + bytes);
    if (!chunk)
        return -ENOMEM;
    *chunk = header;
    if (chunk->form == FORM_BITMAP) {
        fill_bitmap(chunk, edges, count, units);
    } else if (chunk->form == FORM_REPEAT) {
        edges_in(chunk)[0] = edges[0];
        edges_in(chunk)[1] = (uint16_t)(edges[1] - edges[0]);
        edges_in(chunk)[2] = (uint16_t)(edges[2] - edges[1]);
    } else {
        memcpy(edges_in(chunk), edges, bytes);
    }
    *ret = chunk;
    return 0;
}

/* A chunk that takes no more than this is exact whatever the grain. The first ones to be rounded
 * are large; when that was not enough, all are, since there are very many. */
static size_t small_bytes(unsigned grain_shift)
{
    return grain_shift <= 4 ? 128 : 16;
}

static int encode_coarsely(uint16_t *edges, unsigned count, bool first, unsigned units,
                           unsigned grain_shift, struct block_chunk **ret)
{
    struct block_chunk form = {0};

    if (grain_shift > 0 && count > 0 &&
        choose_form(&form, edges, count, units) > small_bytes(grain_shift))
        count = coarsen(edges, count, units, grain_shift, &first);
    return encode_edges(edges, count, first, units, ret);
}

int block_chunk_encode(const uint64_t *words, unsigned units, unsigned grain_shift,
                       uint16_t *scratch, struct block_chunk **ret)
{
    unsigned count = edges_of_bits(words, units, scratch);

    return encode_coarsely(scratch, count, words[0] & 1, units, grain_shift, ret);
}

int block_chunk_coarsen(const struct block_chunk *chunk, unsigned units, unsigned grain_shift,
                        uint16_t *scratch, struct block_chunk **ret)
{
    unsigned count = edges_of(chunk, units, scratch);

    return encode_coarsely(scratch, count, chunk->first, units, grain_shift, ret);
}

void block_chunk_decode(const struct block_chunk *chunk, unsigned units, uint16_t *scratch,
                        uint64_t *words)
{
    unsigned count;

    memset(words, 0, BLOCK_CHUNK_WORDS * sizeof(*words));
    if (!chunk)
        return;
    count = chunk->form == FORM_FULL ? 0 : edges_of(chunk, units, scratch);
    for (unsigned at = !chunk->first; at <= count; at += 2)
        block_bits_set(words, at == 0 ? 0 : scratch[at - 1], at < count ? scratch[at] : units);
}

/* Where the run of cells like that of the unit ends. */
static unsigned find_in_bitmap(const struct block_chunk *chunk, unsigned units, unsigned at,
                               bool *ret_member)
{
    const uint64_t *words = words_in(chunk);
    unsigned cell = cell_of(chunk, at), cells = cell_of(chunk, units - 1) + 1, word = cell / 64;
    uint64_t flip = bit_at(words, cell) ? UINT64_MAX : 0;
    uint64_t others = (words[word] ^ flip) & UINT64_MAX << cell % 64;

    *ret_member = flip != 0;
    while (!others && ++word < chunk->count)
        others = words[word] ^ flip;
    if (!others)
        return units;
    cell = 64 * word + (unsigned)__builtin_ctzll(others);
    return cell < cells ? unit_of(chunk, cell) : units;
}

unsigned block_chunk_find(const struct block_chunk *chunk, unsigned units, unsigned at,
                          bool *ret_member)
{
    unsigned before;

    *ret_member = chunk && chunk->form == FORM_FULL;
    if (!chunk || chunk->form == FORM_FULL)
        return units;
    if (chunk->form == FORM_BITMAP)
        return find_in_bitmap(chunk, units, at, ret_member);
    before = chunk->form == FORM_REPEAT ? repeat_edges_before(chunk, at) : edges_before(chunk, at);
    *ret_member = (chunk->first ^ before) & 1;
    if (before == chunk->count)
        return units;
    return chunk->form == FORM_REPEAT ? repeat_edge(chunk, before) : edges_in(chunk)[before];
}

void block_chunk_invert(struct block_chunk **chunk, unsigned units)
{
    struct block_chunk *inverse = *chunk;

    if (!inverse || inverse->form == FORM_FULL) {
        *chunk = inverse ? NULL : &full;
        return;
    }
    inverse->first ^= 1;
    if (inverse->form != FORM_BITMAP)
        return;
    for (unsigned i = 0; i < inverse->count; i++)
        words_in(inverse)[i] = ~words_in(inverse)[i];
    block_bits_clear(words_in(inverse), cell_of(inverse, units - 1) + 1, 64U * inverse->count);
}

size_t block_chunk_bytes(const struct block_chunk *chunk)
{
    if (!chunk || chunk->form == FORM_FULL)
        return 0;
    if (chunk->form == FORM_REPEAT)
        return sizeof(struct block_chunk) + 3 * sizeof(uint16_t);
    return sizeof(struct block_chunk) +
           chunk->count * (chunk->form == FORM_BITMAP ? sizeof(uint64_t) : sizeof(uint16_t));
}

size_t block_chunk_memory(const struct block_chunk *chunk)
{
    size_t bytes = block_chunk_bytes(chunk);

    if (bytes == 0)
        return 0;
    bytes = (size_t)align_up(bytes + MEMORY_HEADER, MEMORY_UNIT);
    return bytes > MEMORY_MIN ? bytes : MEMORY_MIN;
}

bool block_chunk_equal(const struct block_chunk *a, const struct block_chunk *b)
{
    return a == b || (block_chunk_bytes(a) > 0 && block_chunk_bytes(a) == block_chunk_bytes(b) &&
                      memcmp(a, b, block_chunk_bytes(a)) == 0);
}

void block_chunk_free(struct block_chunk *chunk)
{
    if (chunk != &full)
        free(chunk);
}
