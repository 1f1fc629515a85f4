/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "workers.h"

enum { ITEMS = 1000 };

static struct {
    atomic_int served[ITEMS];
    atomic_int inside;
    atomic_int most;
    int hold_us;
} seen;

static void serve(void *context, void *item)
{
    int inside = ++seen.inside;

    assert_ptr_equal(context, &seen);
    if (inside > seen.most)
        seen.most = inside;
    if (seen.hold_us)
        usleep((useconds_t)seen.hold_us);
    seen.inside--;
    seen.served[(uintptr_t)item]++;
}

static void serve_all(int threads, int items, int hold_us)
{
    struct workers *workers;

    for (int i = 0; i < ITEMS; i++)
        seen.served[i] = 0;
    seen.most = 0;
    seen.hold_us = hold_us;
    assert_int_equal(workers_create(threads, serve, &seen, &workers), 0);
    for (int i = 0; i < items; i++)
        assert_int_equal(workers_submit(workers, (void *)(uintptr_t)i), 0);
    workers_stop(workers);
    for (int i = 0; i < items; i++)
        assert_int_equal(seen.served[i], 1);
}

static void every_item_is_served_once(void **state)
{
    (void)state;
    serve_all(4, ITEMS, 0);
    serve_all(1, ITEMS, 0);
}

static void stopping_serves_what_is_queued(void **state)
{
    (void)state;
    serve_all(2, 20, 1000);
}

static void so_many_at_a_time(void **state)
{
    (void)state;
    serve_all(3, 60, 2000);
    assert_in_range(seen.most, 2, 3);
    serve_all(1, 20, 500);
    assert_int_equal(seen.most, 1);
}

static void nothing_to_stop_is_fine(void **state)
{
    (void)state;
    workers_stop(NULL);
    serve_all(8, 0, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_served_once),
        cmocka_unit_test(stopping_serves_what_is_queued),
        cmocka_unit_test(so_many_at_a_time),
        cmocka_unit_test(nothing_to_stop_is_fine),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
