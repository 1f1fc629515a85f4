/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "claims.h"
#include "cleanup.h"

static void expect_map_but_keep(struct claims *claims, const char *expected)
{
    uint64_t blocks = claims->blocks;
    struct allocation got = {0};
    char text[256] = "";
    uint64_t at = 0;

    assert_int_equal(claims_build(claims, &got), 0);
    while (at < blocks) {
        uint64_t end;
        const char *why = allocation_why(&got, at, &end);
        size_t used = strlen(text);
        bool allocated;

        end = block_set_find(&got.allocated, at, end, &allocated);
        snprintf(text + used, sizeof(text) - used, "%s%d+%d %s %s", used ? "; " : "", (int)at,
                 (int)(end - at), allocated ? "used" : "free", why);
        at = end;
    }
    assert_string_equal(text, expected);
    allocation_free(&got);
}

static void expect_map(struct claims *claims, const char *expected)
{
    expect_map_but_keep(claims, expected);
    claims_free(claims);
}

static void what_nobody_claims_is_allocated(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 10, 512);
    expect_map(&claims, "0+10 used unknown contents");
}

static void only_whole_blocks_are_free(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 10, 512);
    assert_int_equal(claims_add_free(&claims, 513, 1535), 0);
    assert_int_equal(claims_add_free(&claims, 3072, 1000), 0);
    expect_map(&claims,
               "0+2 used unknown contents; 2+2 free unknown contents; 4+2 used unknown contents; "
               "6+1 free unknown contents; 7+3 used unknown contents");
}

static void what_is_kept_is_allocated_whatever_is_claimed_and_when(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 10, 512);
    assert_int_equal(claims_add_keep(&claims, 1024, 512), 0);
    assert_int_equal(claims_add_free(&claims, 512, 4096), 0);
    assert_int_equal(claims_add_keep(&claims, 2560, 1), 0);
    expect_map(&claims,
               "0+1 used unknown contents; 1+1 free unknown contents; 2+1 used unknown contents; "
               "3+2 free unknown contents; 5+1 used unknown contents; 6+3 free unknown contents; "
               "9+1 used unknown contents");
}

static void claims_come_in_any_order_and_may_overlap(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 10, 512);
    assert_int_equal(claims_add_free(&claims, 8 * 512, 512), 0);
    assert_int_equal(claims_add_free(&claims, 2 * 512, 4 * 512), 0);
    assert_int_equal(claims_add_free(&claims, 512, 3 * 512), 0);
    expect_map(&claims,
               "0+1 used unknown contents; 1+5 free unknown contents; 6+2 used unknown contents; "
               "8+1 free unknown contents; 9+1 used unknown contents");
}

static void a_rollback_forgets_what_was_said_since_the_begin(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 4, 512);
    assert_int_equal(claims_add_free(&claims, 0, 512), 0);
    assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_add_free(&claims, 512, 512), 0);
    assert_int_equal(claims_add_keep(&claims, 0, 5120), 0);
    assert_int_equal(claims_add_area(&claims, 0, 5120, "wrong"), 0);
    assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_add_free(&claims, 1024, 512), 0);
    assert_int_equal(claims_commit(&claims), 0);
    claims_rollback(&claims);
    expect_map(&claims, "0+1 free unknown contents; 1+3 used unknown contents");
}

static void nothing_of_a_rollback_is_in_what_follows(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 100, 512);
    assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_add_free(&claims, 0, 20 * 512), 0);
    assert_int_equal(claims_add_free(&claims, 40 * 512, 5 * 512), 0);
    assert_int_equal(claims_add_keep(&claims, 60 * 512, 512), 0);
    claims_rollback(&claims);
    assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_add_free(&claims, 60 * 512, 5 * 512), 0);
    assert_int_equal(claims_commit(&claims), 0);
    expect_map(&claims, "0+60 used unknown contents; 60+5 free unknown contents; "
                        "65+35 used unknown contents");
}

static void a_later_area_is_drawn_over_an_earlier_one(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 10, 512);
    assert_int_equal(claims_add_area(&claims, 0, 5120, "disk"), 0);
    assert_int_equal(claims_add_area(&claims, 1024, 1024, "part"), 0);
    assert_int_equal(claims_add_area(&claims, 1536, 512, "table"), 0);
    assert_int_equal(claims_add_free(&claims, 1024, 2048), 0);
    expect_map(&claims, "0+2 used disk; 2+1 free part; 3+1 free table; 4+2 free disk; "
                        "6+4 used disk");
}

static void claims_beyond_the_end_are_cut_off(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 3, 512);
    assert_int_equal(claims_add_free(&claims, 512, 51200), 0);
    assert_int_equal(claims_add_free(&claims, 512000, 51200), 0);
    assert_int_equal(claims_add_area(&claims, 512, 51200, "part"), 0);
    assert_int_equal(claims_add_area(&claims, 512000, 51200, "nowhere"), 0);
    expect_map(&claims, "0+1 used unknown contents; 1+2 free part");
}

static uint64_t free_blocks(const struct allocation *allocation)
{
    return allocation->allocated.blocks - block_set_total(&allocation->allocated);
}

/* Every second block, and some in one piece. */
static void claim_pieces(struct claims *claims, uint64_t count)
{
    assert_int_equal(claims_begin(claims), 0);
    assert_int_equal(claims_add_free(claims, 2 * count * 512, 1000 * 512), 0);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(claims_add_free(claims, (2 * i + (i % 7 == 0)) * 512, 512), 0);
}

static void millions_of_free_pieces_are_exact_within_the_memory(void **state)
{
    enum { COUNT = 1 << 19 };
    struct claims claims;
    struct allocation got = {0};

    (void)state;
    claims_init(&claims, 2 * COUNT + 1024, 512);
    claims.bytes_max = COUNT / 8 * 3;
    claim_pieces(&claims, COUNT);
    assert_int_equal(claims_commit(&claims), 0);
    assert_in_range(claims.free[0].bytes, 1, claims.bytes_max);
    claim_pieces(&claims, COUNT);
    claims_rollback(&claims);
    assert_int_equal(claims_build(&claims, &got), 0);
    assert_int_equal(free_blocks(&got), COUNT + 1000);
    assert_int_equal(got.allocated.grain_shift, 0);
    allocation_free(&got);
    claims_free(&claims);
}

static void without_memory_small_free_pieces_are_forgotten_and_the_large_ones_stay(void **state)
{
    enum { COUNT = 1 << 19 };
    struct claims claims;
    struct allocation got = {0};

    (void)state;
    claims_init(&claims, 2 * COUNT + 1024, 512);
    claims.bytes_max = 8192;
    claim_pieces(&claims, COUNT);
    assert_in_range(claims.free[1].bytes, 0, claims.bytes_max);
    assert_int_equal(claims_commit(&claims), 0);
    assert_int_equal(claims_build(&claims, &got), 0);
    assert_in_range(free_blocks(&got), 1000, COUNT / 2);
    assert_in_range(got.allocated.bytes, 0, 8192);
    assert_true(got.allocated.grain_shift > 0);
    allocation_free(&got);
    claims_free(&claims);
}

/* Three tracks of 2048 bytes from 1024 on, of which each but its first 512 bytes is free. */
static void tracks_are_free_but_for_their_begins(void **state)
{
    const struct claims_tracks tracks = {1024, 2048, 3};
    struct claims claims;
    CLEANUP(extent_runs_free) struct extent_runs heads = {0};

    (void)state;
    claims_init(&claims, 16, 512);
    assert_int_equal(claims_add_free(&claims, 512, 512), 0);
    assert_int_equal(claims_add_keep(&claims, 3600, 10), 0);
    assert_int_equal(claims_add_tracks(&claims, &tracks), 0);
    assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_add_tracks(&claims, &(struct claims_tracks){8192, 2048, 3}), 0);
    claims_rollback(&claims);
    /* Over what there is already. */
    assert_int_equal(claims_add_tracks(&claims, &(struct claims_tracks){3072, 1024, 1}), 0);
    assert_int_equal(claims_add_tracks(&claims, &(struct claims_tracks){100, 1024, 1}), -EINVAL);
    assert_int_equal(claims_add_tracks(&claims, &(struct claims_tracks){512, 512, 1}), -EINVAL);
    expect_map_but_keep(&claims, "0+1 used unknown contents; 1+1 free unknown contents; "
                                 "2+1 used unknown contents; 3+3 free unknown contents; "
                                 "6+2 used unknown contents; 8+2 free unknown contents; "
                                 "10+1 used unknown contents; 11+3 free unknown contents; "
                                 "14+2 used unknown contents");
    assert_int_equal(claims_build_heads(&claims, &heads), 0);
    assert_int_equal(extent_runs_end(&heads), 16);
    for (uint64_t at = 0; at < 16; at++)
        assert_int_equal(extent_runs_find(&heads, at).status == EXTENT_MAPPED,
                         at == 2 || at == 6 || at == 10);
    claims_free(&claims);
}

/* More pieces of tracks than any volume has; those that are not remembered are allocated. */
static void too_many_pieces_of_tracks_are_allocated(void **state)
{
    struct claims claims;

    (void)state;
    claims_init(&claims, 1 << 20, 512);
    for (uint64_t i = 0; i < CLAIMS_TRACK_MAX + 5; i++)
        assert_int_equal(claims_add_tracks(&claims, &(struct claims_tracks){i * 4096, 1024, 1}), 0);
    assert_int_equal(claims.track_count, CLAIMS_TRACK_MAX);
    claims_free(&claims);
}

static void nesting_and_areas_have_an_end(void **state)
{
    struct claims claims;
    int r = 0;

    (void)state;
    claims_init(&claims, 1 << 20, 512);
    for (int i = 0; i < CLAIMS_DEPTH_MAX; i++)
        assert_int_equal(claims_begin(&claims), 0);
    assert_int_equal(claims_begin(&claims), -E2BIG);
    for (int i = 0; r == 0 && i < 2 * CLAIMS_AREA_MAX; i++)
        r = claims_add_area(&claims, 0, 512, "x");
    assert_int_equal(r, -E2BIG);
    claims_free(&claims);
}

static void what_became_allocated_since_is_found(void **state)
{
    CLEANUP(extent_runs_free) struct extent_runs before = {0};
    CLEANUP(extent_runs_free) struct extent_runs after = {0};
    CLEANUP(extent_runs_free) struct extent_runs added = {0};
    CLEANUP(extent_runs_free) struct extent_runs common = {0};
    struct extent found;

    (void)state;
    extent_runs_append(&before, 4, EXTENT_MAPPED);
    extent_runs_append(&before, 6, EXTENT_DEALLOCATED);
    extent_runs_append(&after, 2, EXTENT_DEALLOCATED);
    extent_runs_append(&after, 4, EXTENT_MAPPED);
    extent_runs_append(&after, 4, EXTENT_DEALLOCATED);
    assert_int_equal(allocation_added(&before, &after, &added), 0);
    assert_int_equal(allocation_common(&before, &after, &common), 0);
    found = extent_runs_find(&added, 5);
    assert_int_equal(found.start, 4);
    assert_int_equal(found.length, 2);
    assert_int_equal(found.status, EXTENT_MAPPED);
    assert_int_equal(extent_runs_total(&added, EXTENT_MAPPED), 2);
    assert_int_equal(extent_runs_end(&added), 10);
    assert_int_equal(extent_runs_find(&common, 2).length, 2);
    assert_int_equal(extent_runs_total(&common, EXTENT_MAPPED), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_nobody_claims_is_allocated),
        cmocka_unit_test(only_whole_blocks_are_free),
        cmocka_unit_test(what_is_kept_is_allocated_whatever_is_claimed_and_when),
        cmocka_unit_test(claims_come_in_any_order_and_may_overlap),
        cmocka_unit_test(a_rollback_forgets_what_was_said_since_the_begin),
        cmocka_unit_test(nothing_of_a_rollback_is_in_what_follows),
        cmocka_unit_test(a_later_area_is_drawn_over_an_earlier_one),
        cmocka_unit_test(claims_beyond_the_end_are_cut_off),
        cmocka_unit_test(millions_of_free_pieces_are_exact_within_the_memory),
        cmocka_unit_test(without_memory_small_free_pieces_are_forgotten_and_the_large_ones_stay),
        cmocka_unit_test(tracks_are_free_but_for_their_begins),
        cmocka_unit_test(too_many_pieces_of_tracks_are_allocated),
        cmocka_unit_test(nesting_and_areas_have_an_end),
        cmocka_unit_test(what_became_allocated_since_is_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
