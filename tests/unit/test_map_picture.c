/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "map_picture.h"

#define KIB 1024ULL

static void start(struct map_picture *picture, uint64_t bytes, uint64_t scale, size_t cells)
{
    assert_int_equal(map_picture_init(picture, "a", bytes, scale, 512, cells), 0);
}

static char *text_of(const struct map_picture *pictures, size_t sides, size_t columns)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    map_text_print(out, pictures, sides, columns);
    assert_int_equal(fclose(out), 0);
    return text;
}

static char *svg_of(const struct map_picture *pictures, size_t sides)
{
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    map_svg_print(out, pictures, sides);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void every_byte_lands_in_its_cell(void **state)
{
    struct map_picture picture;

    (void)state;
    start(&picture, 1000 * 512, 1000 * 512, 7);
    for (uint64_t at = 0; at < 1000; at += 10)
        map_picture_add(&picture, at * 512, 5120, at % 20 ? EXTENT_MAPPED : EXTENT_DEALLOCATED,
                        NULL);
    for (size_t i = 0; i < 7; i++)
        assert_int_equal(picture.cells[i].bytes[EXTENT_MAPPED] +
                             picture.cells[i].bytes[EXTENT_DEALLOCATED],
                         map_picture_offset(&picture, i + 1) - map_picture_offset(&picture, i));
    assert_int_equal(map_picture_offset(&picture, 7), 1000 * 512);
    assert_int_equal(picture.bytes[EXTENT_MAPPED], 500 * 512);
    assert_int_equal(picture.mapped_extents, 50);
    map_picture_free(&picture);
}

static void the_largest_lun_has_a_last_cell(void **state)
{
    struct map_picture picture;
    uint64_t size = UINT64_MAX - 511;

    (void)state;
    start(&picture, size, size, 8192);
    map_picture_add(&picture, 0, size - 512, EXTENT_DEALLOCATED, NULL);
    map_picture_add(&picture, size - 512, 512, EXTENT_MAPPED, NULL);
    assert_int_equal(picture.cells[8191].bytes[EXTENT_MAPPED], 512);
    assert_int_equal(picture.cells[8190].bytes[EXTENT_MAPPED], 0);
    map_picture_free(&picture);
}

/* One block of 64 MiB is seen, and so is the one that is missing. */
static void a_sign_for_each_share(void **state)
{
    struct map_picture picture;
    uint64_t cell = 64 * KIB;
    char *text;

    (void)state;
    start(&picture, 1024 * cell, 1024 * cell, map_text_cells(80, 1));
    assert_int_equal(picture.cell_count, 1024);
    map_picture_add(&picture, 0, cell, EXTENT_MAPPED, NULL);
    map_picture_add(&picture, cell, 512, EXTENT_DEALLOCATED, NULL);
    map_picture_add(&picture, cell + 512, cell - 512, EXTENT_MAPPED, NULL);
    map_picture_add(&picture, 2 * cell, 512, EXTENT_MAPPED, NULL);
    map_picture_add(&picture, 2 * cell + 512, cell - 512, EXTENT_DEALLOCATED, NULL);
    map_picture_add(&picture, 3 * cell, cell, EXTENT_ANCHORED, NULL);
    map_picture_add(&picture, 4 * cell, 1020 * cell, EXTENT_DEALLOCATED, NULL);
    text = text_of(&picture, 1, 80);
    assert_non_null(strstr(text, "\n    0 bytes |#+-o............................................"
                                 "................|\n      4 MiB |........"));
    assert_non_null(strstr(text, "\none sign: 64 KiB\n"));
    assert_null(strstr(text, "blank"));
    assert_non_null(
        strstr(text, "\n128 KiB of 64 MiB mapped (0.2%), 3 extents, anchored 64 KiB\n"));
    free(text);
    map_picture_free(&picture);
}

static void the_text_is_never_wider_than_the_terminal(void **state)
{
    struct map_picture pictures[2];

    (void)state;
    for (size_t sides = 1; sides <= 2; sides++) {
        for (size_t columns = 24; columns < 200; columns++) {
            char *text, *rest, *line;

            for (size_t side = 0; side < sides; side++) {
                start(&pictures[side], 1000 * KIB, 1000 * KIB, map_text_cells(columns, sides));
                map_picture_add(&pictures[side], 0, 1000 * KIB, EXTENT_MAPPED, NULL);
            }
            text = rest = text_of(pictures, sides, columns);
            while ((line = strsep(&rest, "\n")))
                assert_in_range(strlen(line), 0, columns);
            free(text);
            for (size_t side = 0; side < sides; side++)
                map_picture_free(&pictures[side]);
        }
    }
}

/* The same place is the same LBA, and what the smaller one doesn't have is blank. */
static void two_sides_have_one_scale(void **state)
{
    struct map_picture pictures[2];
    char *text;

    (void)state;
    start(&pictures[0], 256 * KIB, 512 * KIB, 512);
    start(&pictures[1], 512 * KIB, 512 * KIB, 512);
    map_picture_add(&pictures[0], 0, 256 * KIB, EXTENT_MAPPED, NULL);
    map_picture_add(&pictures[1], 0, 320 * KIB, EXTENT_DEALLOCATED, NULL);
    map_picture_add(&pictures[1], 320 * KIB, 192 * KIB, EXTENT_MAPPED, NULL);
    text = text_of(pictures, 2, 50);
    assert_non_null(strstr(text, "\n             P                S\n    0 bytes |######"));
    assert_non_null(strstr(text, "\n    0 bytes |################|................|\n"));
    assert_non_null(strstr(text, "\n    256 KiB |                |................|\n"));
    assert_non_null(strstr(text, "\n    320 KiB |                |################|\n"));
    assert_non_null(strstr(text, "blank: behind the end"));
    free(text);
    map_picture_free(&pictures[0]);
    map_picture_free(&pictures[1]);
}

static void more_reasons_than_colours_become_other(void **state)
{
    static const char *const names[] = {"r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8", "r9"};
    struct map_picture picture;
    char *text;

    (void)state;
    start(&picture, 10 * KIB, 10 * KIB, 5);
    for (size_t i = 0; i < 10; i++)
        map_picture_add(&picture, i * KIB, KIB, EXTENT_MAPPED, names[i]);
    assert_int_equal(picture.reason_count, MAP_PICTURE_REASONS);
    assert_int_equal(picture.reason_bytes[MAP_PICTURE_REASONS - 1], 3 * KIB);
    assert_int_equal(picture.cells[4].reason, MAP_PICTURE_REASONS - 1);
    text = svg_of(&picture, 1);
    assert_non_null(strstr(text, ">r6: 1 KiB</text>"));
    assert_non_null(strstr(text, ">other: 3 KiB</text>"));
    assert_null(strstr(text, "r7"));
    free(text);
    map_picture_free(&picture);
}

static void a_cell_has_the_colour_of_its_majority(void **state)
{
    struct map_picture picture;

    (void)state;
    start(&picture, 64 * KIB, 64 * KIB, 1);
    map_picture_add(&picture, 0, 10 * KIB, EXTENT_MAPPED, "few");
    map_picture_add(&picture, 10 * KIB, 44 * KIB, EXTENT_MAPPED, "most");
    map_picture_add(&picture, 54 * KIB, 10 * KIB, EXTENT_MAPPED, "few");
    assert_string_equal(picture.reasons[picture.cells[0].reason], "most");
    map_picture_free(&picture);
}

/* Cut in the middle, between characters; what is short stays whole. */
static void a_long_name_has_its_beginning_and_its_end(void **state)
{
    static const char long_name[] = "iscsi://san1/iqn.2024-01.org.example:"
                                    "\xc3\xa4\xc3\xb6\xc3\xbc\xc3\xa4\xc3\xb6\xc3\xbc-volume1/0";
    struct map_picture pictures[2];

    (void)state;
    for (size_t columns = 32; columns < 70; columns++) {
        const size_t cells = map_text_cells(columns, 2);
        char *text, *second;

        start(&pictures[0], 1000 * KIB, 1000 * KIB, cells);
        start(&pictures[1], 1000 * KIB, 1000 * KIB, cells);
        pictures[0].name = "short";
        pictures[1].name = long_name;
        text = text_of(pictures, 2, columns);
        assert_memory_equal(text, "P short\nS iscsi://", strlen("P short\nS iscsi://"));
        second = text + strlen("P short\n");
        *strchr(second, '\n') = '\0';
        if (strlen("S ") + strlen(long_name) <= columns) {
            assert_string_equal(second + 2, long_name);
        } else {
            assert_in_range(strlen(second), columns - 2, columns);
            assert_non_null(strstr(second, "..."));
            assert_string_equal(second + strlen(second) - 4, "e1/0");
            assert_int_not_equal((unsigned char)strstr(second, "...")[3] & 0xC0, 0x80);
        }
        free(text);
        map_picture_free(&pictures[0]);
        map_picture_free(&pictures[1]);
    }
}

static void a_panel_has_the_end_of_a_long_name_too(void **state)
{
    static const char *const names[] = {
        "iscsi://san1.example.org,san2.example.org/iqn.2024-01.org.example.fresh:pri/1",
        "iscsi://san1.example.org,san2.example.org/iqn.2024-01.org.example.fresh:sec/1"};
    struct map_picture pictures[2];
    char *text;

    (void)state;
    for (size_t side = 0; side < 2; side++) {
        start(&pictures[side], 64 * KIB, 64 * KIB, map_svg_cells(2));
        pictures[side].name = names[side];
    }
    text = svg_of(pictures, 2);
    assert_non_null(strstr(text, "Primary: iscsi://san1."));
    assert_non_null(strstr(text, ".fresh:pri/1</text>"));
    assert_non_null(strstr(text, "Secondary: iscsi://san1."));
    assert_non_null(strstr(text, ".fresh:sec/1</text>"));
    assert_null(strstr(text, names[0]));
    free(text);
    map_picture_free(&pictures[0]);
    map_picture_free(&pictures[1]);
    /* There is room for it where there is but one. */
    start(&pictures[0], 64 * KIB, 64 * KIB, map_svg_cells(1));
    pictures[0].name = names[0];
    text = svg_of(pictures, 1);
    assert_non_null(strstr(text, names[0]));
    free(text);
    map_picture_free(&pictures[0]);
}

/* Of what the legend explains. */
static size_t legend_colours(const char *svg, unsigned colours[16])
{
    size_t count = 0;

    for (const char *at = svg; (at = strstr(at, "height=\"14\" fill=\"#")); count++) {
        at += strlen("height=\"14\" fill=\"#");
        assert_in_range(count, 0, 15);
        colours[count] = (unsigned)strtoul(at, NULL, 16);
    }
    return count;
}

static int channel_distance(unsigned a, unsigned b, int shift)
{
    return abs((int)(a >> shift & 0xFF) - (int)(b >> shift & 0xFF));
}

static void no_two_colours_of_a_legend_are_alike(void **state)
{
    static const char *const names[] = {NULL, "r0", "r1", "r2", "r3", "r4", "r5", "r6", "r7", "r8"};
    struct map_picture picture;
    unsigned colours[16];
    size_t count;
    char *text;

    (void)state;
    start(&picture, 12 * KIB, 12 * KIB, 12);
    for (size_t i = 0; i < 10; i++)
        map_picture_add(&picture, i * KIB, KIB, EXTENT_MAPPED, names[i]);
    map_picture_add(&picture, 10 * KIB, KIB, EXTENT_ANCHORED, NULL);
    map_picture_add(&picture, 11 * KIB, KIB, EXTENT_DEALLOCATED, NULL);
    text = svg_of(&picture, 1);
    count = legend_colours(text, colours);
    assert_int_equal(count, MAP_PICTURE_REASONS + 2);
    for (size_t a = 0; a < count; a++)
        for (size_t b = 0; b < a; b++)
            assert_true(channel_distance(colours[a], colours[b], 0) +
                            channel_distance(colours[a], colours[b], 8) +
                            channel_distance(colours[a], colours[b], 16) >
                        60);
    free(text);
    map_picture_free(&picture);
}

static void a_name_is_never_markup(void **state)
{
    struct map_picture picture;
    char *text;

    (void)state;
    start(&picture, 64 * KIB, 64 * KIB, 8);
    picture.name = "<b>&\x01\xff";
    map_picture_add(&picture, 0, 64 * KIB, EXTENT_DEALLOCATED, NULL);
    text = svg_of(&picture, 1);
    assert_non_null(strstr(text, ">&lt;b&gt;&amp;\\x01\\xff</text>"));
    free(text);
    map_picture_free(&picture);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_byte_lands_in_its_cell),
        cmocka_unit_test(the_largest_lun_has_a_last_cell),
        cmocka_unit_test(a_sign_for_each_share),
        cmocka_unit_test(the_text_is_never_wider_than_the_terminal),
        cmocka_unit_test(two_sides_have_one_scale),
        cmocka_unit_test(more_reasons_than_colours_become_other),
        cmocka_unit_test(a_cell_has_the_colour_of_its_majority),
        cmocka_unit_test(a_long_name_has_its_beginning_and_its_end),
        cmocka_unit_test(a_panel_has_the_end_of_a_long_name_too),
        cmocka_unit_test(no_two_colours_of_a_legend_are_alike),
        cmocka_unit_test(a_name_is_never_markup),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
