/* SPDX-License-Identifier: Apache-2.0 */
#include "map_picture.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "utf8.h"

int map_picture_init(struct map_picture *picture, const char *name, uint64_t lun_bytes,
                     uint64_t scale_bytes, unsigned block_size, size_t cell_most)
{
    size_t count = (size_t)min_u64(cell_most, scale_bytes / block_size);

    *picture = (struct map_picture){.name = name,
                                    .lun_bytes = lun_bytes,
                                    .scale_bytes = scale_bytes,
                                    .cell_count = count > 0 ? count : 1,
                                    .reason_count = 1};
    picture->cells = calloc(picture->cell_count, sizeof(*picture->cells));
    if (!picture->cells)
        return -ENOMEM;
    picture->at_end = map_picture_offset(picture, 1);
    return 0;
}

void map_picture_free(struct map_picture *picture)
{
    free(picture->cells);
    picture->cells = NULL;
}

/* The product of size and cell does not fit 64 bits for very large LUNs; this does. */
uint64_t map_picture_offset(const struct map_picture *picture, size_t cell)
{
    uint64_t whole = picture->scale_bytes / picture->cell_count;
    uint64_t rest = picture->scale_bytes % picture->cell_count;

    return whole * cell + rest * cell / picture->cell_count;
}

static bool is_inside_character(char byte)
{
    return ((unsigned char)byte & 0xC0) == 0x80;
}

char *map_picture_title(const struct map_picture *picture, size_t columns)
{
    static const char gap[] = "...";
    char *name = utf8_printable(picture->name);
    size_t length = name ? strlen(name) : 0;
    size_t room = columns > strlen(gap) ? columns - strlen(gap) : 0;
    size_t head = room / 2, tail = length - (room - head);

    if (length <= columns || room < 2)
        return name;
    while (head > 0 && is_inside_character(name[head]))
        head--;
    while (is_inside_character(name[tail]))
        tail++;
    memmove(name + head + strlen(gap), name + tail, length - tail + 1);
    memcpy(name + head, gap, strlen(gap));
    return name;
}

static unsigned find_reason(struct map_picture *picture, const char *why)
{
    const unsigned others = MAP_PICTURE_REASONS - 1;

    if (!why)
        return 0;
    for (unsigned i = 1; i < picture->reason_count && i < others; i++)
        if (picture->reasons[i] == why || strcmp(picture->reasons[i], why) == 0)
            return i;
    if (picture->reason_count < others) {
        picture->reasons[picture->reason_count] = why;
        return (unsigned)picture->reason_count++;
    }
    picture->reasons[others] = "other";
    picture->reason_count = MAP_PICTURE_REASONS;
    return others;
}

/* The reason that leads is kept; one counter per cell is enough to find a majority. */
static void vote(struct map_cell *cell, unsigned reason, uint64_t bytes)
{
    if (cell->reason == reason) {
        cell->majority += bytes;
    } else if (cell->majority >= bytes) {
        cell->majority -= bytes;
    } else {
        cell->reason = reason;
        cell->majority = bytes - cell->majority;
    }
}

static void add_to_cell(struct map_cell *cell, enum extent_status status, unsigned reason,
                        uint64_t bytes)
{
    cell->bytes[status] += bytes;
    if (status == EXTENT_MAPPED)
        vote(cell, reason, bytes);
}

/* Extents are many and cells are few: where a cell ends is found once. */
static void move_to(struct map_picture *picture, uint64_t start_bytes)
{
    while (picture->at_end <= start_bytes && picture->at + 1 < picture->cell_count) {
        picture->at++;
        picture->at_start = picture->at_end;
        picture->at_end = map_picture_offset(picture, picture->at + 1);
    }
}

void map_picture_add(struct map_picture *picture, uint64_t start_bytes, uint64_t length_bytes,
                     enum extent_status status, const char *why)
{
    uint64_t end = start_bytes + length_bytes;
    unsigned reason = status == EXTENT_MAPPED ? find_reason(picture, why) : 0;

    picture->bytes[status] += length_bytes;
    if (status == EXTENT_MAPPED) {
        picture->reason_bytes[reason] += length_bytes;
        picture->mapped_extents++;
    }
    move_to(picture, start_bytes);
    if (start_bytes >= picture->at_start && end <= picture->at_end) {
        add_to_cell(&picture->cells[picture->at], status, reason, length_bytes);
        return;
    }
    for (size_t i = picture->at; i < picture->cell_count; i++) {
        uint64_t from = max_u64(start_bytes, map_picture_offset(picture, i));
        uint64_t to = min_u64(end, map_picture_offset(picture, i + 1));

        if (from >= to)
            break;
        add_to_cell(&picture->cells[i], status, reason, to - from);
    }
}
