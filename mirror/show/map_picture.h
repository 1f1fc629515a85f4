/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MAP_PICTURE_H
#define THINMIRROR_MAP_PICTURE_H

/* A map drawn: the LUN in a fixed number of cells, each of which remembers what lies in it. Memory
 * does not grow with the number of extents. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "extents.h"

/* Reason 0 is none, 1 to MAP_PICTURE_REASONS - 2 are those that came first, the last one stands for
 * all others. */
#define MAP_PICTURE_REASONS 9

struct map_cell {
    uint64_t bytes[3]; /* by enum extent_status; all 0: behind the end of the LUN */
    unsigned reason;   /* of most of what is mapped here, if there is such a one */
    uint64_t majority; /* by how many bytes it leads over the others */
};

struct map_picture {
    const char *name; /* of the LUN; the caller's */
    uint64_t lun_bytes;
    uint64_t scale_bytes; /* what all cells together stand for */
    struct map_cell *cells;
    size_t cell_count;
    size_t at; /* the cell where the last extent began */
    uint64_t at_start, at_end;
    uint64_t bytes[3];
    uint64_t mapped_extents;
    const char *reasons[MAP_PICTURE_REASONS]; /* owned by the caller of map_picture_add */
    uint64_t reason_bytes[MAP_PICTURE_REASONS];
    size_t reason_count; /* 1: there are none */
};

/* scale_bytes is lun_bytes, or more when the picture stands beside that of a larger LUN; not 0. No
 * more than cell_most cells, and none of less than a block. -ENOMEM. */
int map_picture_init(struct map_picture *picture, const char *name, uint64_t lun_bytes,
                     uint64_t scale_bytes, unsigned block_size, size_t cell_most);
void map_picture_free(struct map_picture *picture);

/* In order. why (may be NULL) is looked at for mapped ones only and has to stay as long as the
 * picture. */
void map_picture_add(struct map_picture *picture, uint64_t start_bytes, uint64_t length_bytes,
                     enum extent_status status, const char *why);

/* The name to be shown where columns columns are, in printable characters (utf8.h). What does not
 * fit is left out of the middle: LUNs are told apart by how they begin and end. The caller frees
 * it; NULL without memory. */
char *map_picture_title(const struct map_picture *picture, size_t columns);

/* Where a cell begins, in bytes. */
uint64_t map_picture_offset(const struct map_picture *picture, size_t cell);

/* For text on a terminal of columns columns. sides is 1 or 2. */
size_t map_text_cells(size_t columns, size_t sides);
/* One picture, or primary and secondary of one scale side by side. Errors stay in out. */
void map_text_print(FILE *out, const struct map_picture *pictures, size_t sides, size_t columns);

/* For an SVG document. */
size_t map_svg_cells(size_t sides);
/* A document that needs nothing else; two sides stand side by side. Errors stay in out. */
void map_svg_print(FILE *out, const struct map_picture *pictures, size_t sides);

#endif
