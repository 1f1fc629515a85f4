/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_BLOCK_CHUNK_H
#define THINMIRROR_BASE_BLOCK_CHUNK_H

/* One piece of a set of blocks (block_set.h), kept in whatever form is the smallest: where members
 * begin and end, two lengths that take turns, or a bitmap whose cells are as large as all begins
 * and ends allow. The same members always take the same form, byte for byte. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define BLOCK_CHUNK_UNITS 65536U
#define BLOCK_CHUNK_WORDS (BLOCK_CHUNK_UNITS / 64)

/* NULL: it has no members. */
struct block_chunk;

/* The chunk of which all are members. It is never freed. */
struct block_chunk *block_chunk_full(void);

/* Bit n % 64 of words[n / 64] says whether n is a member; units of them count, the bits behind are
 * 0. Members are dropped at their begins and ends up to multiples of 1 << grain_shift where the
 * chunk would be large otherwise. scratch has BLOCK_CHUNK_UNITS numbers. *ret is the caller's to
 * free. -ENOMEM. */
int block_chunk_encode(const uint64_t *words, unsigned units, unsigned grain_shift,
                       uint16_t *scratch, struct block_chunk **ret);
/* The same for a chunk that is neither empty nor full. */
int block_chunk_coarsen(const struct block_chunk *chunk, unsigned units, unsigned grain_shift,
                        uint16_t *scratch, struct block_chunk **ret);
/* The other way round, to BLOCK_CHUNK_WORDS words. */
void block_chunk_decode(const struct block_chunk *chunk, unsigned units, uint16_t *scratch,
                        uint64_t *words);

/* Where the run of members, or of others, ends in which at lies; units at most. */
unsigned block_chunk_find(const struct block_chunk *chunk, unsigned units, unsigned at,
                          bool *ret_member);

/* What was not a member becomes one, and the other way round. */
void block_chunk_invert(struct block_chunk **chunk, unsigned units);

/* Its bytes are its contents; 0 when it has none of its own, being empty or full. */
size_t block_chunk_bytes(const struct block_chunk *chunk);
/* What they take of memory, with what malloc adds. */
size_t block_chunk_memory(const struct block_chunk *chunk);
bool block_chunk_equal(const struct block_chunk *a, const struct block_chunk *b);
void block_chunk_free(struct block_chunk *chunk);

/* Makes [from, to) ones or zeros. */
void block_bits_set(uint64_t *words, unsigned from, unsigned to);
void block_bits_clear(uint64_t *words, unsigned from, unsigned to);

#endif
