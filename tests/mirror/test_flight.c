/* SPDX-License-Identifier: Apache-2.0 */
/* How much is in flight, the memory it is in, and how fast it goes. The clock is the test's. */
#include "sync_fixture.h"

#include <string.h>

#include "arena.h"
#include "flight.h"
#include "pacer.h"

#define MIB          (1024 * 1024)
#define LARGE_BLOCKS (64 * MIB / 512)

static double now;

double copy_now(void);
double __wrap_copy_now(void);

double __wrap_copy_now(void)
{
    return now;
}

static void a_short_line_needs_little_in_flight(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 128, false);
    assert_int_equal(flight.most_bytes, 2 * MIB);
    flight_took(&flight, MIB, 0.0001);
    assert_in_range(flight.most_bytes, 2 * MIB, 2 * MIB + 128 * 1024);
}

static void a_long_line_needs_more_in_flight(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 128, false);
    flight_took(&flight, MIB, 0.010);
    assert_in_range(flight.most_bytes, 12 * MIB, 12 * MIB + MIB / 2);
    flight_init(&flight, 128, false);
    flight_took(&flight, MIB, 3);
    assert_int_equal(flight.most_bytes, 16 * MIB);
}

static void the_quickest_answer_counts(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 128, false);
    flight_took(&flight, MIB, 0.010);
    flight_took(&flight, MIB, 0.002);
    flight_took(&flight, MIB, 0.030);
    assert_in_range(flight.most_bytes, 4 * MIB, 4 * MIB + MIB / 2);
}

static void what_is_asked_for_stays(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 7, true);
    flight_took(&flight, MIB, 0.0001);
    assert_int_equal(flight.most_bytes, 16 * MIB);
    assert_int_equal(flight.most_requests, 7);
}

static void requests_and_bytes_are_limited_but_for_the_first(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 2, false);
    assert_true(flight_has_room(&flight, 64 * MIB));
    flight_begin(&flight, MIB);
    assert_true(flight_has_room(&flight, MIB));
    assert_false(flight_has_room(&flight, MIB + 1));
    flight_begin(&flight, 0);
    assert_false(flight_has_room(&flight, 0));
    flight_end(&flight, MIB);
    assert_true(flight_has_room(&flight, 2 * MIB));
}

static void the_best_large_request_tells_what_the_line_carries(void **state)
{
    struct flight flight;

    (void)state;
    flight_init(&flight, 128, false);
    assert_true(flight_carries(&flight, 1) == UINT64_MAX);
    flight_took(&flight, 4096, 0.000001);
    assert_true(flight_carries(&flight, 1) == UINT64_MAX);
    flight_took(&flight, MIB, 0.010);
    flight_took(&flight, MIB / 4, 0.001);
    flight_took(&flight, MIB, 1);
    assert_in_range(flight_carries(&flight, 0.001), MIB / 4 - 1, MIB / 4);
    flight_took(&flight, MIB, 0);
    assert_true(flight_carries(&flight, 1e9) == UINT64_MAX);
}

static void an_arena_gives_the_lowest_run_that_is_long_enough(void **state)
{
    struct arena arena;
    uint8_t *a, *b, *c;

    (void)state;
    assert_int_equal(arena_init(&arena, 4 * ARENA_UNIT_BYTES), 0);
    a = arena_take(&arena, 1);
    b = arena_take(&arena, ARENA_UNIT_BYTES + 1);
    c = arena_take(&arena, ARENA_UNIT_BYTES);
    assert_ptr_equal(a, arena.memory);
    assert_ptr_equal(b, arena.memory + ARENA_UNIT_BYTES);
    assert_ptr_equal(c, arena.memory + 3 * ARENA_UNIT_BYTES);
    assert_int_equal(arena_taken_bytes(&arena), 4 * ARENA_UNIT_BYTES);
    assert_null(arena_take(&arena, 1));
    arena_give(&arena, a, 1);
    arena_give(&arena, c, ARENA_UNIT_BYTES);
    assert_null(arena_take(&arena, 2 * ARENA_UNIT_BYTES)); /* two units, but apart */
    arena_give(&arena, b, ARENA_UNIT_BYTES + 1);
    assert_ptr_equal(arena_take(&arena, 4 * ARENA_UNIT_BYTES), arena.memory);
    arena_free(&arena);
}

/* Runs of random lengths never overlap, and all of it comes back. */
static void an_arena_keeps_its_runs_apart(void **state)
{
    enum { RUNS = 40, UNITS = 64 };
    uint8_t *runs[RUNS] = {0};
    size_t bytes[RUNS];
    struct arena arena;

    (void)state;
    srandom(3);
    assert_int_equal(arena_init(&arena, UNITS * ARENA_UNIT_BYTES), 0);
    for (int round = 0; round < 3000; round++) {
        int i = (int)(random() % RUNS);

        if (runs[i]) {
            for (size_t at = 0; at < bytes[i]; at += 512)
                assert_int_equal(runs[i][at], i);
            arena_give(&arena, runs[i], bytes[i]);
            runs[i] = NULL;
            continue;
        }
        bytes[i] = 1 + (size_t)random() % (6 * ARENA_UNIT_BYTES);
        runs[i] = arena_take(&arena, bytes[i]);
        if (runs[i])
            memset(runs[i], i, bytes[i]);
    }
    for (int i = 0; i < RUNS; i++)
        if (runs[i])
            arena_give(&arena, runs[i], bytes[i]);
    assert_non_null(arena_take(&arena, UNITS * ARENA_UNIT_BYTES));
    arena_free(&arena);
}

static void let_time_pass(struct fake_endpoint *fake, const struct endpoint_request *request)
{
    (void)request;
    now += *(double *)fake->opaque;
}

static struct fake_endpoint *large(const char *name, double *seconds)
{
    struct fake_endpoint *fake = fake_create(name, LARGE_BLOCKS);

    fake->base.info.max_transfer_blocks = 32768;
    fake->answers_per_wait = 1;
    fake->on_answer = let_time_pass;
    fake->opaque = seconds;
    return fake;
}

static void copy_large(struct fixture *fixture, double *seconds)
{
    fixture->primary = large("primary", seconds);
    fixture->secondary = large("secondary", seconds);
    fixture->params.primary = &fixture->primary->base;
    fixture->params.secondary = &fixture->secondary->base;
    fake_fill(fixture->primary, 0, LARGE_BLOCKS, 1);
    assert_int_equal(run(fixture), 0);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, LARGE_BLOCKS));
}

static void drop(struct fixture *fixture)
{
    endpoint_close(&fixture->primary->base);
    endpoint_close(&fixture->secondary->base);
}

static void a_copy_has_as_much_in_flight_as_the_line_is_long(void **state)
{
    struct fixture near = {0}, far = {0};
    double no_time = 0, ten_ms = 0.010;

    (void)state;
    copy_large(&near, &no_time);
    assert_int_equal(near.primary->high_water[ENDPOINT_READ], 8); /* of 256 KiB */
    assert_in_range(near.secondary->high_water[ENDPOINT_WRITE], 1, 8);
    copy_large(&far, &ten_ms);
    assert_in_range(far.primary->high_water[ENDPOINT_READ], 48, 64);
    drop(&near);
    drop(&far);
}

/* 32 of 64 KiB are 2 MiB; of those of 4 KiB there is a limit to the number. */
static void small_extents_fly_in_greater_number(void **state)
{
    struct fixture *fixture = *state;

    fixture->primary->base.info.max_transfer_blocks = 8; /* so none is joined */
    for (uint64_t lba = 0; lba < BLOCKS; lba += 16)
        fake_fill(fixture->primary, lba, 8, 1);
    assert_int_equal(run(fixture), 0);
    assert_int_equal(fixture->primary->high_water[ENDPOINT_READ], COPY_QUEUE_DEPTH);
    assert_true(fake_same_data(fixture->primary, fixture->secondary, BLOCKS));
}

/* Bytes a second, where every wait is late_ms longer than it should be. */
static double reached_rate(struct copy_pacer *pacer, const struct copy_control *control,
                           int late_ms)
{
    const double begin = now;
    uint64_t bytes = 0;

    while (now < begin + 10) {
        int delay_ms = copy_pacer_delay(pacer, control);

        if (delay_ms > 0) {
            now += (delay_ms + late_ms) / 1000.0;
            continue;
        }
        copy_pacer_spend(pacer, control, MIB / 4);
        bytes += MIB / 4;
    }
    return (double)bytes / (now - begin);
}

static void a_rate_is_reached_though_waits_end_late(void **state)
{
    struct copy_pacer pacer = {0};
    struct copy_control control = {0};

    (void)state;
    for (uint64_t rate = MIB; rate <= UINT64_C(1024) * MIB; rate *= 4) {
        double reached;

        control.rate_bytes = rate;
        reached = reached_rate(&pacer, &control, 3);
        assert_true(reached >= 0.97 * (double)rate);
        assert_true(reached <= 1.03 * (double)rate);
    }
}

static void a_low_rate_reads_little_at_a_time(void **state)
{
    struct copy_control control = {0};

    (void)state;
    assert_int_equal(copy_pacer_blocks(&control, 512, 512), 512);
    control.rate_bytes = 2 * MIB;
    assert_int_equal(copy_pacer_blocks(&control, 512, 512), 512);
    control.rate_bytes = MIB;
    assert_int_equal(copy_pacer_blocks(&control, 512, 512), 256);
    control.rate_bytes = MIB - 1;
    assert_int_equal(copy_pacer_blocks(&control, 512, 512), 128);
    control.rate_bytes = 1;
    assert_int_equal(copy_pacer_blocks(&control, 512, 512), 8);
    assert_int_equal(copy_pacer_blocks(&control, 64, 4096), 1);
    assert_int_equal(copy_pacer_blocks(&control, 5, 512), 5);
}

static void time_without_anything_to_do_is_not_saved_up(void **state)
{
    const struct copy_control control = {.rate_bytes = MIB};
    struct copy_pacer pacer = {0};

    (void)state;
    copy_pacer_spend(&pacer, &control, MIB);
    assert_in_range(copy_pacer_delay(&pacer, &control), 999, 1001);
    now += 100;
    assert_int_equal(copy_pacer_delay(&pacer, &control), 0);
    copy_pacer_spend(&pacer, &control, MIB);
    assert_in_range(copy_pacer_delay(&pacer, &control), 949, 952);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_short_line_needs_little_in_flight),
        cmocka_unit_test(a_long_line_needs_more_in_flight),
        cmocka_unit_test(the_quickest_answer_counts),
        cmocka_unit_test(what_is_asked_for_stays),
        cmocka_unit_test(requests_and_bytes_are_limited_but_for_the_first),
        cmocka_unit_test(the_best_large_request_tells_what_the_line_carries),
        cmocka_unit_test(an_arena_gives_the_lowest_run_that_is_long_enough),
        cmocka_unit_test(an_arena_keeps_its_runs_apart),
        cmocka_unit_test(a_copy_has_as_much_in_flight_as_the_line_is_long),
        TEST(small_extents_fly_in_greater_number),
        cmocka_unit_test(a_rate_is_reached_though_waits_end_late),
        cmocka_unit_test(a_low_rate_reads_little_at_a_time),
        cmocka_unit_test(time_without_anything_to_do_is_not_saved_up),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
