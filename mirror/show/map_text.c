/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "cleanup.h"
#include "map_picture.h"
#include "size.h"

#define LABEL_COLUMNS 11 /* "1023.99 MiB" */
#define ROWS          16
#define FEWEST_CELLS  8   /* of all sides */
#define MOST_CELLS    128 /* of a side */

/* Of a side. A power of two of cells in a row: rows then begin at round offsets. */
static size_t row_cells(size_t columns, size_t sides)
{
    size_t beside = LABEL_COLUMNS + strlen(" |") + sides * strlen("|");
    size_t cells = FEWEST_CELLS / sides;

    while (cells < MOST_CELLS && beside + sides * cells * 2 <= columns)
        cells *= 2;
    return cells;
}

size_t map_text_cells(size_t columns, size_t sides)
{
    return row_cells(columns, sides) * ROWS;
}

/* However little is mapped in a cell, it never looks like an empty one. */
static char cell_sign(const struct map_cell *cell)
{
    uint64_t others = cell->bytes[EXTENT_DEALLOCATED] + cell->bytes[EXTENT_ANCHORED];

    if (cell->bytes[EXTENT_MAPPED] == 0 && others == 0)
        return ' ';
    if (cell->bytes[EXTENT_MAPPED] > 0 && others == 0)
        return '#';
    if (cell->bytes[EXTENT_MAPPED] >= others)
        return '+';
    if (cell->bytes[EXTENT_MAPPED] > 0)
        return '-';
    return cell->bytes[EXTENT_ANCHORED] > 0 ? 'o' : '.';
}

static void print_row(FILE *out, const struct map_picture *picture, size_t first, size_t cells)
{
    for (size_t i = first; i < first + cells; i++)
        fputc(i < picture->cell_count ? cell_sign(&picture->cells[i]) : ' ', out);
    fputc('|', out);
}

/* Words go to the next line where they don't fit; *at is the column. */
static void print_words(FILE *out, const char *text, size_t columns, size_t *at)
{
    while (*text) {
        size_t length = strcspn(text, " ");

        if (*at > 0 && *at + 1 + length > columns) {
            fputc('\n', out);
            *at = 0;
        } else if (*at > 0) {
            fputc(' ', out);
            *at += 1;
        }
        fprintf(out, "%.*s", (int)length, text);
        *at += length;
        text += length;
        text += strspn(text, " ");
    }
}

static void print_line(FILE *out, const char *text, size_t columns)
{
    size_t at = 0;

    print_words(out, text, columns, &at);
    fputc('\n', out);
}

/* A cell behind the end of the smaller one of two. */
static bool is_any_blank(const struct map_picture *pictures, size_t sides)
{
    for (size_t side = 0; side < sides; side++)
        for (size_t i = 0; i < pictures[side].cell_count; i++)
            if (cell_sign(&pictures[side].cells[i]) == ' ')
                return true;
    return false;
}

/* Each sign stays on one line with its meaning. */
static void print_legend(FILE *out, bool blank, size_t columns)
{
    static const char *const signs[] = {"# mapped",      "+ half of it or more",
                                        "- less",        "o anchored",
                                        ". deallocated", "blank: behind the end"};
    size_t count = sizeof(signs) / sizeof(signs[0]) - (blank ? 0 : 1), at = 0;

    for (size_t i = 0; i < count; i++) {
        size_t length = strlen(signs[i]);

        if (at > 0 && at + 3 + length > columns) {
            fputc('\n', out);
            at = 0;
        }
        at += (size_t)fprintf(out, "%s%s", at > 0 ? "   " : "", signs[i]);
    }
    fputc('\n', out);
}

static void print_summary(FILE *out, const struct map_picture *picture, const char *side,
                          size_t columns)
{
    char mapped[SIZE_TEXT_BYTES], lun[SIZE_TEXT_BYTES], anchored[SIZE_TEXT_BYTES], line[256];
    uint64_t anchored_bytes = picture->bytes[EXTENT_ANCHORED];

    size_text(picture->bytes[EXTENT_MAPPED], mapped, sizeof(mapped));
    size_text(picture->lun_bytes, lun, sizeof(lun));
    size_text(anchored_bytes, anchored, sizeof(anchored));
    snprintf(line, sizeof(line), "%s%s of %s mapped (%.1f%%), %" PRIu64 " extent%s%s%s", side,
             mapped, lun, 100 * (double)picture->bytes[EXTENT_MAPPED] / (double)picture->lun_bytes,
             picture->mapped_extents, picture->mapped_extents == 1 ? "" : "s",
             anchored_bytes > 0 ? ", anchored " : "", anchored_bytes > 0 ? anchored : "");
    print_line(out, line, columns);
}

static void print_name(FILE *out, const char *mark, const struct map_picture *picture,
                       size_t columns)
{
    size_t beside = strlen(mark);
    CLEANUP_FREE char *title = map_picture_title(picture, columns > beside ? columns - beside : 0);

    fprintf(out, "%s%s\n", mark, title ? title : "?");
}

void map_text_print(FILE *out, const struct map_picture *pictures, size_t sides, size_t columns)
{
    static const char *const marks[] = {"P ", "S "};
    size_t cells = row_cells(columns, sides);
    char label[SIZE_TEXT_BYTES];

    for (size_t side = 0; side < sides; side++)
        print_name(out, sides > 1 ? marks[side] : "", &pictures[side], columns);
    fputc('\n', out);
    if (sides > 1)
        fprintf(out, "%*s  %-*s %s\n", LABEL_COLUMNS, "", (int)cells, "P", "S");
    for (size_t first = 0; first < pictures[0].cell_count; first += cells) {
        size_text(map_picture_offset(&pictures[0], first), label, sizeof(label));
        fprintf(out, "%*s |", LABEL_COLUMNS, label);
        for (size_t side = 0; side < sides; side++)
            print_row(out, &pictures[side], first, cells);
        fputc('\n', out);
    }
    fputc('\n', out);
    print_legend(out, is_any_blank(pictures, sides), columns);
    size_text(map_picture_offset(&pictures[0], 1), label, sizeof(label));
    fprintf(out, "one sign: %s\n\n", label);
    for (size_t side = 0; side < sides; side++)
        print_summary(out, &pictures[side], sides > 1 ? marks[side] : "", columns);
}
