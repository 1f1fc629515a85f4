/* SPDX-License-Identifier: Apache-2.0 */

/* A region that is put together from pieces and stripes of the one below, against a table that says
 * of each of its blocks where it lies. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "fake_endpoint.h"
#include "region_internal.h"

#define BLOCK    512
#define BLOCKS   ((uint64_t)4096)
#define SEGMENTS 4
#define ROUNDS   300

/* Two plain pieces, three stripes of 4 blocks, two of 1 block; in another order below. */
static const struct region_segment segments[SEGMENTS] = {
    {.start = 0, .length = 50 * BLOCK, .stripes = 1, .origins = {2000 * BLOCK}},
    {.start = 50 * BLOCK,
     .length = 120 * BLOCK,
     .stripes = 3,
     .stripe_bytes = 4 * BLOCK,
     .origins = {900 * BLOCK, 100 * BLOCK, 500 * BLOCK}},
    {.start = 170 * BLOCK, .length = 7 * BLOCK, .stripes = 1, .origins = {3000 * BLOCK}},
    {.start = 177 * BLOCK,
     .length = 40 * BLOCK,
     .stripes = 2,
     .stripe_bytes = BLOCK,
     .origins = {1500 * BLOCK, 1400 * BLOCK}},
};
#define INNER_BLOCKS 217

struct fixture {
    struct fake_endpoint *fake;
    struct analyse_params params;
    struct analysis result;
    struct analyser analyser;
    struct region lun, inner;
    uint64_t place[INNER_BLOCKS]; /* block of the LUN */
};

/* Block by block, as one deals cards: no arithmetic in common with what is tested. */
static void make_table(uint64_t *place)
{
    uint64_t block = 0;

    for (size_t s = 0; s < SEGMENTS; s++) {
        const struct region_segment *segment = &segments[s];
        uint64_t chunk = segment->stripes == 1 ? segment->length : segment->stripe_bytes;
        uint64_t next[REGION_STRIPES_MAX];

        for (unsigned i = 0; i < segment->stripes; i++)
            next[i] = segment->origins[i] / BLOCK;
        for (uint64_t dealt = 0; dealt < segment->length;)
            for (unsigned i = 0; i < segment->stripes; i++)
                for (uint64_t n = 0; n < chunk; n += BLOCK, dealt += BLOCK)
                    place[block++] = next[i]++;
    }
    assert_int_equal(block, INNER_BLOCKS);
}

static int setup(void **state)
{
    static struct fixture fixture;

    fixture = (struct fixture){.fake = fake_create("fake", BLOCKS)};
    fake_fill(fixture.fake, 0, BLOCKS, 1);
    fixture.analyser = (struct analyser){.params = &fixture.params, .result = &fixture.result};
    assert_int_equal(disk_reader_create(&fixture.fake->base, &fixture.analyser.reader), 0);
    claims_init(&fixture.analyser.claims, BLOCKS, BLOCK);
    fixture.lun = (struct region){.analyser = &fixture.analyser, .bytes = BLOCKS * BLOCK};
    fixture.inner = (struct region){.analyser = &fixture.analyser,
                                    .below = &fixture.lun,
                                    .segments = segments,
                                    .segment_count = SEGMENTS,
                                    .bytes = INNER_BLOCKS * BLOCK,
                                    .depth = 1};
    make_table(fixture.place);
    srand(1);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;

    claims_free(&fixture->analyser.claims);
    disk_reader_free(fixture->analyser.reader);
    analysis_free(&fixture->result);
    endpoint_close(&fixture->fake->base);
    return 0;
}

static uint8_t byte_at(const struct fixture *fixture, uint64_t offset)
{
    return fixture->fake->data[fixture->place[offset / BLOCK] * BLOCK + offset % BLOCK];
}

static void a_read_is_put_together_from_where_its_blocks_lie(void **state)
{
    struct fixture *fixture = *state;
    static uint8_t got[INNER_BLOCKS * BLOCK];

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t start = (uint64_t)rand() % sizeof(got);
        uint64_t length =
            round == 0 ? (start = 0, sizeof(got)) : (uint64_t)rand() % (sizeof(got) - start + 1);

        assert_int_equal(region_read(&fixture->inner, start, got, length), 0);
        for (uint64_t i = 0; i < length; i++)
            assert_int_equal(got[i], byte_at(fixture, start + i));
    }
    assert_int_equal(region_read(&fixture->inner, sizeof(got), got, 1), -ERANGE);
    assert_int_equal(region_read(&fixture->inner, sizeof(got) - 1, got, 2), -ERANGE);
}

/* The blocks of the LUN that are not allocated. */
static void expect_free(struct fixture *fixture, uint64_t from, uint64_t to, uint64_t kept)
{
    struct claims *claims = &fixture->analyser.claims;
    struct allocation got = {0};
    bool free_blocks[BLOCKS] = {false};

    for (uint64_t i = from; i < to; i++)
        free_blocks[fixture->place[i]] = i != kept;
    assert_int_equal(claims_build(claims, &got), 0);
    for (uint64_t block = 0; block < BLOCKS; block++) {
        bool allocated;

        block_set_find(&got.allocated, block, block + 1, &allocated);
        assert_int_equal(allocated, !free_blocks[block]);
    }
    allocation_free(&got);
    claims_free(claims);
    claims_init(claims, BLOCKS, BLOCK);
}

static void what_is_claimed_is_where_its_blocks_lie(void **state)
{
    struct fixture *fixture = *state;

    for (int round = 0; round < ROUNDS; round++) {
        uint64_t from = (uint64_t)rand() % INNER_BLOCKS;
        uint64_t to = from + 1 + (uint64_t)rand() % (INNER_BLOCKS - from);
        uint64_t kept = from + (uint64_t)rand() % (to - from);

        assert_int_equal(region_claim_free(&fixture->inner, from * BLOCK, (to - from) * BLOCK), 0);
        assert_int_equal(region_keep(&fixture->inner, kept * BLOCK + 5, 1), 0);
        expect_free(fixture, from, to, kept);
    }
    assert_int_equal(region_claim_free(&fixture->inner, BLOCK, INNER_BLOCKS * BLOCK), -ERANGE);
}

static int descend(struct fixture *fixture, const struct region_segment *segment, size_t count)
{
    return region_descend_mapped(&fixture->lun, segment, count, "part");
}

static void pieces_that_do_not_fit_are_rejected(void **state)
{
    struct fixture *fixture = *state;
    struct region_segment segment = segments[1];

    segment.start = 0;
    assert_int_equal(descend(fixture, &segment, 0), -EINVAL);
    segment.origins[2] = (BLOCKS - 39) * BLOCK;
    assert_int_equal(descend(fixture, &segment, 1), -ERANGE);
    segment.origins[2] = (BLOCKS - 40) * BLOCK;
    assert_int_equal(descend(fixture, &segment, 1), 0);
    segment.length -= BLOCK;
    assert_int_equal(descend(fixture, &segment, 1), -EINVAL);
    segment = segments[0];
    segment.start = BLOCK;
    assert_int_equal(descend(fixture, &segment, 1), -EINVAL);
}

static void names_from_the_disk_are_made_plain(void **state)
{
    struct fixture *fixture = *state;
    struct claims *claims = &fixture->analyser.claims;

    assert_int_equal(region_descend(&fixture->lun, 0, 8 * BLOCK, "LV a\x1b[1m\"\\\n\x7f z"), 0);
    assert_true(claims->area_count > 0);
    assert_string_equal(claims->areas[claims->area_count - 1].why,
                        "LV a?[1m???? z, unknown contents");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_read_is_put_together_from_where_its_blocks_lie),
        TEST(what_is_claimed_is_where_its_blocks_lie),
        TEST(pieces_that_do_not_fit_are_rejected),
        TEST(names_from_the_disk_are_made_plain),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
