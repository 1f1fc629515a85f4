/* SPDX-License-Identifier: Apache-2.0 */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>

#include "workpool.h"

#define ITEMS 500

struct item {
    struct work work;
    struct workpool *pool;
    pthread_t ran_on, done_on;
    int runs, again;
};

static int done_count;

static void run_item(struct work *work)
{
    struct item *item = (struct item *)work;

    item->runs++;
    item->ran_on = pthread_self();
}

static void item_done(struct work *work)
{
    struct item *item = (struct item *)work;

    item->done_on = pthread_self();
    done_count++;
    if (item->again-- > 0)
        workpool_submit(item->pool, work);
}

static void wait_readable(struct workpool *pool)
{
    struct pollfd fd = {.fd = workpool_fd(pool), .events = POLLIN};

    assert_int_equal(poll(&fd, 1, 10000), 1);
}

static void work_runs_elsewhere_and_is_done_here(void **state)
{
    static struct item items[ITEMS];
    struct workpool *pool;

    (void)state;
    done_count = 0;
    assert_int_equal(workpool_create(4, &pool), 0);
    for (int i = 0; i < ITEMS; i++) {
        items[i] = (struct item){.work = {.run = run_item, .done = item_done}};
        workpool_submit(pool, &items[i].work);
    }
    while (done_count < ITEMS) {
        wait_readable(pool);
        workpool_service(pool);
    }
    for (int i = 0; i < ITEMS; i++) {
        assert_int_equal(items[i].runs, 1);
        assert_true(pthread_equal(items[i].done_on, pthread_self()));
        assert_false(pthread_equal(items[i].ran_on, pthread_self()));
    }
    workpool_destroy(pool);
}

static void nothing_to_do_is_not_readable(void **state)
{
    struct workpool *pool;
    struct item item = {.work = {.run = run_item, .done = item_done}};
    struct pollfd fd = {.events = POLLIN};

    (void)state;
    assert_int_equal(workpool_create(1, &pool), 0);
    fd.fd = workpool_fd(pool);
    assert_int_equal(poll(&fd, 1, 0), 0);
    workpool_service(pool);
    workpool_submit(pool, &item.work);
    wait_readable(pool);
    workpool_service(pool);
    assert_int_equal(poll(&fd, 1, 0), 0);
    workpool_destroy(pool);
}

static void done_may_submit_again(void **state)
{
    struct workpool *pool;
    struct item item = {.work = {.run = run_item, .done = item_done}, .again = 20};

    (void)state;
    assert_int_equal(workpool_create(2, &pool), 0);
    item.pool = pool;
    done_count = 0;
    workpool_submit(pool, &item.work);
    while (done_count < 21) {
        wait_readable(pool);
        workpool_service(pool);
    }
    assert_int_equal(item.runs, 21);
    workpool_destroy(pool);
}

static void destroy_finishes_what_is_queued(void **state)
{
    static struct item items[ITEMS];
    struct workpool *pool;

    (void)state;
    done_count = 0;
    assert_int_equal(workpool_create(2, &pool), 0);
    for (int i = 0; i < ITEMS; i++) {
        items[i] =
            (struct item){.work = {.run = run_item, .done = item_done}, .pool = pool, .again = 1};
        workpool_submit(pool, &items[i].work);
    }
    workpool_destroy(pool);
    assert_int_equal(done_count, 2 * ITEMS);
    workpool_destroy(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(work_runs_elsewhere_and_is_done_here),
        cmocka_unit_test(nothing_to_do_is_not_readable),
        cmocka_unit_test(done_may_submit_again),
        cmocka_unit_test(destroy_finishes_what_is_queued),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
