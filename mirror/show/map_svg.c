/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>

#include "cleanup.h"
#include "map_picture.h"
#include "size.h"
#include "utf8.h"

#define ROWS        64
#define CELL        7 /* pixels */
#define LABELS      90
#define GAP         40
#define MARGIN      20
#define HEAD        56
#define LEGEND_LINE 20
#define TITLE_SIZE  12
#define TITLE_WIDTH_TENTHS \
    73               /* of a character, in tenths of a pixel: fonts have 0.6 em or a little more */
#define LABEL_ROWS 8 /* every LABEL_ROWSth row says where it begins */

/* What a cell looks like: one colour for deallocated, anchored and each reason, and for what is
 * mapped in part a paler one. */
enum { STYLE_NONE, STYLE_DEALLOCATED, STYLE_ANCHORED, STYLE_MAPPED };
#define LEVELS      4
#define STYLE_COUNT (STYLE_MAPPED + MAP_PICTURE_REASONS * LEVELS)

static const char *const level_opacity[LEVELS] = {"0.4", "0.6", "0.8", "1"};
/* No two are alike, as nothing else tells reasons apart; the first is for what has none. */
static const char *const reason_colour[MAP_PICTURE_REASONS] = {"#1f5fa8", "#c2410c", "#15803d",
                                                               "#7e22ce", "#db2777", "#0e7490",
                                                               "#854d0e", "#84a50a", "#4b5563"};
#define COLOUR_DEALLOCATED "#e7e9ec"
#define COLOUR_ANCHORED    "#f2c14e"

static unsigned columns_of(size_t sides)
{
    return sides > 1 ? 64 : 128;
}

size_t map_svg_cells(size_t sides)
{
    return (size_t)columns_of(sides) * ROWS;
}

static unsigned cell_style(const struct map_cell *cell)
{
    uint64_t mapped = cell->bytes[EXTENT_MAPPED];
    uint64_t all = mapped + cell->bytes[EXTENT_DEALLOCATED] + cell->bytes[EXTENT_ANCHORED];
    unsigned level;

    if (all == 0)
        return STYLE_NONE;
    if (mapped == 0)
        return cell->bytes[EXTENT_ANCHORED] > 0 ? STYLE_ANCHORED : STYLE_DEALLOCATED;
    level = mapped == all ? LEVELS - 1 : (unsigned)((double)mapped / (double)all * (LEVELS - 1));
    if (mapped < all && level == LEVELS - 1)
        level--; /* rounded up */
    return STYLE_MAPPED + cell->reason * LEVELS + level;
}

/* What a name from outside holds must not become markup. */
static void put_text(FILE *out, const char *text)
{
    CLEANUP_FREE char *copy = utf8_printable(text);

    for (const char *at = copy ? copy : "?"; *at; at++) {
        if (*at == '&')
            fputs("&amp;", out);
        else if (*at == '<')
            fputs("&lt;", out);
        else if (*at == '>')
            fputs("&gt;", out);
        else
            fputc(*at, out);
    }
}

static void print_style(FILE *out, unsigned style)
{
    if (style == STYLE_DEALLOCATED)
        fputs("<path fill=\"" COLOUR_DEALLOCATED "\" d=\"", out);
    else if (style == STYLE_ANCHORED)
        fputs("<path fill=\"" COLOUR_ANCHORED "\" d=\"", out);
    else
        fprintf(out, "<path fill=\"%s\" fill-opacity=\"%s\" d=\"",
                reason_colour[(style - STYLE_MAPPED) / LEVELS],
                level_opacity[(style - STYLE_MAPPED) % LEVELS]);
}

/* All cells that look so, as one path; neighbours in a row are one rectangle. */
static void print_cells(FILE *out, const struct map_picture *picture, unsigned style,
                        unsigned columns, unsigned x)
{
    bool any = false;

    for (size_t i = 0, next; i < picture->cell_count; i = next) {
        next = i + 1;
        if (cell_style(&picture->cells[i]) != style)
            continue;
        while (next < picture->cell_count && next % columns != 0 &&
               cell_style(&picture->cells[next]) == style)
            next++;
        if (!any)
            print_style(out, style);
        any = true;
        fprintf(out, "M%zu %zuh%zuv%dh-%zuz", x + i % columns * CELL,
                MARGIN + HEAD + i / columns * CELL, (next - i) * CELL, CELL, (next - i) * CELL);
    }
    if (any)
        fputs("\"/>\n", out);
}

/* How wide a text is depends on the viewer's fonts, except for a fixed width. */
static void print_title(FILE *out, const struct map_picture *picture, const char *side,
                        unsigned columns)
{
    size_t room = columns * CELL * 10 / TITLE_WIDTH_TENTHS - strlen(side);
    CLEANUP_FREE char *title = map_picture_title(picture, room);

    fputs(side, out);
    put_text(out, title ? title : "?");
}

static void print_head(FILE *out, const struct map_picture *picture, const char *side,
                       unsigned columns, unsigned x)
{
    char mapped[SIZE_TEXT_BYTES], lun[SIZE_TEXT_BYTES];

    fprintf(out,
            "<text x=\"%u\" y=\"%d\" font-weight=\"bold\" font-family=\"monospace\" "
            "font-size=\"%d\">",
            x, MARGIN + 14, TITLE_SIZE);
    print_title(out, picture, side, columns);
    fprintf(out,
            "</text>\n<text x=\"%u\" y=\"%d\">%s of %s mapped (%.1f%%), %" PRIu64
            " extent%s</text>\n",
            x, MARGIN + 36, size_text(picture->bytes[EXTENT_MAPPED], mapped, sizeof(mapped)),
            size_text(picture->lun_bytes, lun, sizeof(lun)),
            100 * (double)picture->bytes[EXTENT_MAPPED] / (double)picture->lun_bytes,
            picture->mapped_extents, picture->mapped_extents == 1 ? "" : "s");
}

static void print_offsets(FILE *out, const struct map_picture *picture, unsigned columns)
{
    char text[SIZE_TEXT_BYTES];

    for (unsigned row = 0; row < ROWS && (size_t)row * columns < picture->cell_count;
         row += LABEL_ROWS)
        fprintf(out, "<text x=\"%d\" y=\"%u\" text-anchor=\"end\" fill=\"#555\">%s</text>\n",
                LABELS - 8, MARGIN + HEAD + row * CELL + 10,
                size_text(map_picture_offset(picture, (size_t)row * columns), text, sizeof(text)));
}

/* One line of the legend, with the sizes of both sides. */
static void print_meaning(FILE *out, unsigned *y, const char *colour, const char *meaning,
                          const uint64_t bytes[2], size_t sides)
{
    char text[SIZE_TEXT_BYTES];

    fprintf(out,
            "<rect x=\"%d\" y=\"%u\" width=\"14\" height=\"14\" fill=\"%s\"/>\n"
            "<text x=\"%d\" y=\"%u\">",
            LABELS, *y - 12, colour, LABELS + 22, *y);
    put_text(out, meaning);
    fprintf(out, ": %s", size_text(bytes[0], text, sizeof(text)));
    if (sides > 1)
        fprintf(out, " and %s", size_text(bytes[1], text, sizeof(text)));
    fputs("</text>\n", out);
    *y += LEGEND_LINE;
}

/* The secondary's tables are not read: what is mapped there has no reason. */
static void print_legend(FILE *out, const struct map_picture *pictures, size_t sides, unsigned y)
{
    const struct map_picture *other = &pictures[sides - 1];
    char cell[SIZE_TEXT_BYTES];

    for (size_t i = 0; i < pictures[0].reason_count; i++) {
        const uint64_t bytes[2] = {pictures[0].reason_bytes[i], other->reason_bytes[i]};

        if (i > 0 || bytes[0] > 0 || bytes[1] > 0)
            print_meaning(out, &y, reason_colour[i], i > 0 ? pictures[0].reasons[i] : "mapped",
                          bytes, i > 0 ? 1 : sides);
    }
    for (int status = EXTENT_ANCHORED; status >= EXTENT_DEALLOCATED; status--) {
        const uint64_t bytes[2] = {pictures[0].bytes[status], other->bytes[status]};

        if (bytes[0] > 0 || bytes[1] > 0)
            print_meaning(out, &y, status == EXTENT_ANCHORED ? COLOUR_ANCHORED : COLOUR_DEALLOCATED,
                          extent_status_name((enum extent_status)status), bytes, sides);
    }
    fprintf(out,
            "<text x=\"%d\" y=\"%u\" fill=\"#555\">One cell is %s; the paler it is, the less of it "
            "is mapped.%s</text>\n",
            LABELS, y, size_text(map_picture_offset(&pictures[0], 1), cell, sizeof(cell)),
            pictures[0].lun_bytes != other->lun_bytes ? " What is blank is behind the end." : "");
}

void map_svg_print(FILE *out, const struct map_picture *pictures, size_t sides)
{
    static const char *const names[] = {"Primary: ", "Secondary: "};
    unsigned columns = columns_of(sides), panel = columns * CELL + GAP;
    unsigned width = LABELS + (unsigned)sides * panel - GAP + MARGIN;
    unsigned legend = MARGIN + HEAD + ROWS * CELL + 30;
    unsigned lines = (unsigned)pictures[0].reason_count + 3;
    unsigned height = legend + lines * LEGEND_LINE;

    fprintf(out,
            "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n"
            "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%u\" height=\"%u\" "
            "viewBox=\"0 0 %u %u\" font-family=\"sans-serif\" font-size=\"13\">\n"
            "<rect width=\"100%%\" height=\"100%%\" fill=\"#fff\"/>\n",
            width, height, width, height);
    print_offsets(out, &pictures[0], columns);
    for (size_t side = 0; side < sides; side++) {
        unsigned x = LABELS + (unsigned)side * panel;

        /* However wide a font is, a name ends where its panel ends. */
        fprintf(out, "<svg x=\"0\" y=\"0\" width=\"%u\" height=\"%u\">\n", x + columns * CELL,
                legend);
        print_head(out, &pictures[side], sides > 1 ? names[side] : "", columns, x);
        for (unsigned style = STYLE_NONE + 1; style < STYLE_COUNT; style++)
            print_cells(out, &pictures[side], style, columns, x);
        fputs("</svg>\n", out);
    }
    print_legend(out, pictures, sides, legend);
    fputs("</svg>\n", out);
}
