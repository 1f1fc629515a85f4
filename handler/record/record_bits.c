/* SPDX-License-Identifier: Apache-2.0 */

/* The bitmaps, and the checksums of what is cool in them. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "record_internal.h"

#define TABLE_PAGE_REGIONS (RECORD_PAGE_BYTES / 4)

static _Atomic uint64_t *words_of(const struct record *record, unsigned slot)
{
    return (_Atomic uint64_t *)(void *)(record->medium->mapping + record_bits_offset(slot));
}

bool record_page_held(const struct record *record, unsigned slot, uint64_t page)
{
    return atomic_load_explicit(&record->held[slot][page / 64], memory_order_acquire) >> page % 64 &
           1;
}

int record_hold_page(struct record *record, unsigned slot, uint64_t page)
{
    RECORD_LOCKED(&record->pages_lock);
    struct record_medium *medium = record->medium;
    int error;

    if (record_page_held(record, slot, page))
        return 0;
    error = medium->ops->hold(medium, record_bits_offset(slot) + page * RECORD_PAGE_BYTES,
                              RECORD_PAGE_BYTES, false);
    if (!error)
        atomic_fetch_or(&record->held[slot][page / 64], UINT64_C(1) << page % 64);
    return error;
}

/* Most are set already when the same place is written again and again. */
static void set_bits(_Atomic uint64_t *word, uint64_t bits)
{
    uint64_t mask = htole64(bits);

    if ((atomic_load_explicit(word, memory_order_relaxed) & mask) != mask)
        atomic_fetch_or_explicit(word, mask, memory_order_relaxed);
}

int record_mark(struct record *record, unsigned slot, uint64_t first, uint64_t last)
{
    _Atomic uint64_t *words = words_of(record, slot);
    uint64_t page = UINT64_MAX;

    for (uint64_t at = first; at <= last;) {
        uint64_t end = min_u64(align_down(at, 64) + 64, last + 1);
        uint64_t bits = UINT64_MAX >> (64 - (end - at)) << at % 64;

        if (at / RECORD_PAGE_GRANULES != page) {
            page = at / RECORD_PAGE_GRANULES;
            if (!record_page_held(record, slot, page)) {
                int error = record_hold_page(record, slot, page);

                if (error)
                    return error;
            }
        }
        set_bits(&words[at / 64], bits);
        at = end;
    }
    return 0;
}

uint64_t record_word(const struct record *record, unsigned slot, uint64_t word)
{
    if (!record_page_held(record, slot, word / (RECORD_PAGE_BYTES / 8)))
        return 0;
    return le64toh(atomic_load_explicit(&words_of(record, slot)[word], memory_order_relaxed));
}

static uint32_t region_checksum(const struct record *record, unsigned slot, uint64_t region)
{
    uint8_t bytes[RECORD_REGION_BYTES];

    if (!record_page_held(record, slot, region / RECORD_PAGE_REGIONS))
        return 0;
    memcpy(bytes, record->medium->mapping + record_bits_offset(slot) + region * RECORD_REGION_BYTES,
           sizeof(bytes));
    return track_region_checksum(bytes);
}

static int load_held_pages(struct record *record, unsigned slot)
{
    struct record_medium *medium = record->medium;
    uint64_t start = record_bits_offset(slot);
    uint64_t bytes = record->control.regions * (uint64_t)RECORD_REGION_BYTES;
    uint64_t end = start + align_up(bytes, RECORD_PAGE_BYTES);

    for (uint64_t at = start; at < end;) {
        uint64_t from = end, to = end;
        int error = medium->ops->next_data(medium, at, end, &from, &to);

        if (error)
            return error;
        from = align_down(from, RECORD_PAGE_BYTES);
        to = min_u64(align_up(to, RECORD_PAGE_BYTES), end);
        if (from < to && !record->looks)
            error = medium->ops->hold(medium, from, to - from, true);
        if (error)
            return error;
        for (uint64_t page = (from - start) / RECORD_PAGE_BYTES; from < to; page++) {
            atomic_fetch_or(&record->held[slot][page / 64], UINT64_C(1) << page % 64);
            from += RECORD_PAGE_BYTES;
        }
        at = to;
    }
    return 0;
}

static int make_checksums(struct record *record, unsigned slot)
{
    if (!record->checksums[slot])
        record->checksums[slot] = calloc(RECORD_MAX_REGIONS, sizeof(uint32_t));
    return record->checksums[slot] ? 0 : -ENOMEM;
}

static int load_checksums(struct record *record, unsigned slot)
{
    uint8_t page[RECORD_PAGE_BYTES];
    int error = make_checksums(record, slot);

    for (uint64_t region = 0; !error && region < record->control.regions; region++) {
        uint64_t in_page = region % TABLE_PAGE_REGIONS;

        if (in_page == 0)
            error = record->medium->ops->read(record->medium, page, sizeof(page),
                                              record_table_offset(slot) + region * 4);
        if (!error)
            record->checksums[slot][region] = get_be32(page + in_page * 4);
    }
    return error;
}

static int check_slot(const struct record *record, unsigned slot)
{
    uint64_t digest = 0;

    for (uint64_t region = 0; region < record->control.regions; region++) {
        uint32_t checksum = record->checksums[slot][region];

        if (bit_is_set(record->control.hot, region))
            continue;
        if (region_checksum(record, slot, region) != checksum)
            return -EBADMSG;
        digest += track_digest_part(region, checksum);
    }
    return digest == record->control.slots[slot].digest ? 0 : -EBADMSG;
}

int record_load_bits(struct record *record)
{
    int error = 0;

    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++) {
        if (record->control.slots[slot].from == 0)
            continue;
        error = load_held_pages(record, slot);
        if (!error)
            error = load_checksums(record, slot);
        if (!error)
            error = check_slot(record, slot);
    }
    return error;
}

/* One page of a slot's table, with the new checksums of those regions. */
static int sum_page(struct record *record, unsigned slot, uint64_t first, const uint64_t *regions)
{
    uint64_t end = min_u64(first + TABLE_PAGE_REGIONS, record->control.regions);
    uint8_t page[RECORD_PAGE_BYTES] = {0};
    bool differs = false;

    for (uint64_t region = first; region < end; region++) {
        uint32_t *checksum = &record->checksums[slot][region];

        if (bit_is_set(regions, region)) {
            uint32_t now = region_checksum(record, slot, region);

            differs |= now != *checksum;
            *checksum = now;
            record->control.slots[slot].digest += track_digest_part(region, now);
        }
        put_be32(page + (region - first) * 4, *checksum);
    }
    if (!differs)
        return 0;
    return record->medium->ops->write(record->medium, page, sizeof(page),
                                      record_table_offset(slot) + first * 4);
}

int record_sum_slot(struct record *record, unsigned slot, const uint64_t *regions)
{
    int error = make_checksums(record, slot);

    for (uint64_t first = 0; !error && first < record->control.regions; first += TABLE_PAGE_REGIONS)
        error = sum_page(record, slot, first, regions);
    return error;
}

int record_sum_regions(struct record *record, const uint64_t *regions)
{
    int error = 0;

    for (unsigned slot = 0; !error && slot < RECORD_SLOTS; slot++)
        if (record->control.slots[slot].from != 0)
            error = record_sum_slot(record, slot, regions);
    return error;
}

void record_unsum_regions(struct record *record, const uint64_t *regions)
{
    for (unsigned slot = 0; slot < RECORD_SLOTS; slot++) {
        const uint32_t *checksums = record->checksums[slot];

        if (record->control.slots[slot].from == 0 || !checksums)
            continue;
        for (uint64_t region = 0; region < record->control.regions; region++)
            if (checksums[region] && bit_is_set(regions, region))
                record->control.slots[slot].digest -= track_digest_part(region, checksums[region]);
    }
}

int record_clear_slot(struct record *record, unsigned slot)
{
    struct record_medium *medium = record->medium;
    int error;

    free(record->checksums[slot]);
    record->checksums[slot] = NULL;
    for (unsigned i = 0; i < RECORD_MAX_PAGES / 64; i++)
        atomic_store(&record->held[slot][i], 0);
    error = medium->ops->give_back(medium, record_bits_offset(slot), RECORD_BITS_BYTES);
    return error ? error
                 : medium->ops->give_back(medium, record_table_offset(slot), RECORD_TABLE_BYTES);
}

int record_merge_bits(struct record *record, unsigned to, unsigned from)
{
    uint64_t pages = (record->granules - 1) / RECORD_PAGE_GRANULES + 1;

    for (uint64_t page = 0; page < pages; page++) {
        uint64_t first = page * (RECORD_PAGE_BYTES / 8);
        int error;

        if (!record_page_held(record, from, page))
            continue;
        error = record_hold_page(record, to, page);
        if (error)
            return error;
        for (uint64_t word = first; word < first + RECORD_PAGE_BYTES / 8; word++)
            set_bits(&words_of(record, to)[word], record_word(record, from, word));
    }
    return 0;
}
