/* SPDX-License-Identifier: Apache-2.0 */

/* Which bytes exclude each other, and that no waiter starves. */

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>

#include <cmocka.h>

#include "range_lock.h"

#define KIB    UINT64_C(1024)
#define MIB    (1024 * KIB)
#define THREAD 3
#define TURNS  2000

static void a_range_has_the_stripes_of_all_its_bytes(void **state)
{
    (void)state;
    srand(1);
    for (int i = 0; i < 2000; i++) {
        uint64_t offset = (uint64_t)rand() * 512 % (64 * MIB);
        uint64_t length = 1 + (uint64_t)rand() % (i % 2 ? 8 * MIB : 64 * KIB);
        uint64_t stripes = range_lock_stripes(offset, length);

        assert_int_equal(stripes & RANGE_LOCK_SIZE, 0);
        assert_int_equal(stripes & ~RANGE_LOCK_ALL, 0);
        for (uint64_t at = 0; at < length; at += 512)
            assert_int_equal(range_lock_stripes(offset + at, 1) & ~stripes, 0);
        assert_int_equal(range_lock_stripes(offset + length - 1, 1) & ~stripes, 0);
    }
}

static void a_small_range_has_one_stripe_and_a_neighbour_another(void **state)
{
    (void)state;
    assert_int_equal(__builtin_popcountll(range_lock_stripes(0, 4 * KIB)), 1);
    assert_int_equal(range_lock_stripes(0, 4 * KIB) & range_lock_stripes(MIB, 4 * KIB), 0);
}

static void ranges_at_the_end_of_all_numbers_do_not_wrap(void **state)
{
    (void)state;
    assert_int_equal(range_lock_stripes(UINT64_MAX - 10, 100), RANGE_LOCK_ALL - RANGE_LOCK_SIZE);
    assert_int_equal(range_lock_stripes(0, UINT64_MAX), RANGE_LOCK_ALL - RANGE_LOCK_SIZE);
    assert_int_not_equal(range_lock_stripes(UINT64_MAX - 10, 5), 0);
}

static void an_empty_range_keeps_the_size(void **state)
{
    (void)state;
    assert_int_equal(range_lock_stripes(MIB, 0), RANGE_LOCK_SIZE);
    assert_int_not_equal(RANGE_LOCK_ALL & RANGE_LOCK_SIZE, 0);
}

struct crowd {
    struct range_lock *lock;
    uint64_t stripes;
    atomic_bool stop;
    atomic_ulong turns; /* of the threads that go on until they are stopped */
    long counter;       /* changed only by who owns the stripes */
};

static void *share_over_and_over(void *argument)
{
    struct crowd *crowd = argument;

    while (!atomic_load(&crowd->stop)) {
        long before;

        range_lock_share(crowd->lock, crowd->stripes);
        before = crowd->counter;
        atomic_fetch_add(&crowd->turns, 1);
        if (crowd->counter != before)
            abort();
        range_lock_unshare(crowd->lock, crowd->stripes);
    }
    return NULL;
}

static void *own_over_and_over(void *argument)
{
    struct crowd *crowd = argument;

    while (!atomic_load(&crowd->stop)) {
        range_lock_own(crowd->lock, crowd->stripes);
        crowd->counter++;
        atomic_fetch_add(&crowd->turns, 1);
        range_lock_disown(crowd->lock, crowd->stripes);
    }
    return NULL;
}

static void run_crowd(struct crowd *crowd, void *(*body)(void *), void (*turn)(struct crowd *))
{
    pthread_t threads[THREAD];

    *crowd = (struct crowd){.stripes = range_lock_stripes(0, 2 * MIB)};
    assert_int_equal(range_lock_create(&crowd->lock), 0);
    for (int i = 0; i < THREAD; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, body, crowd), 0);
    while (atomic_load(&crowd->turns) == 0)
        ;
    for (int i = 0; i < TURNS; i++)
        turn(crowd);
    atomic_store(&crowd->stop, true);
    for (int i = 0; i < THREAD; i++)
        assert_int_equal(pthread_join(threads[i], NULL), 0);
    range_lock_free(crowd->lock);
}

static void own_once(struct crowd *crowd)
{
    range_lock_own(crowd->lock, crowd->stripes);
    crowd->counter++;
    range_lock_disown(crowd->lock, crowd->stripes);
}

static void who_wants_it_alone_gets_in_though_sharers_never_pause(void **state)
{
    struct crowd crowd;

    (void)state;
    run_crowd(&crowd, share_over_and_over, own_once);
    assert_int_equal(crowd.counter, TURNS);
}

static void share_once(struct crowd *crowd)
{
    range_lock_share(crowd->lock, crowd->stripes);
    range_lock_unshare(crowd->lock, crowd->stripes);
}

static void who_shares_gets_in_though_others_never_pause_to_want_it_alone(void **state)
{
    struct crowd crowd;

    (void)state;
    run_crowd(&crowd, own_over_and_over, share_once);
    assert_int_equal(crowd.counter, atomic_load(&crowd.turns));
}

static void what_another_has_alone_is_not_waited_for_if_so_wanted(void **state)
{
    uint64_t all = range_lock_stripes(0, 4 * MIB), last = range_lock_stripes(3 * MIB, 4 * KIB);
    struct range_lock *lock;

    (void)state;
    assert_int_equal(range_lock_create(&lock), 0);
    range_lock_own(lock, last);
    assert_false(range_lock_try_share(lock, last));
    assert_false(range_lock_try_share(lock, all));
    range_lock_disown(lock, last);
    range_lock_own(lock, all); /* none is held any more */
    range_lock_disown(lock, all);
    range_lock_share(lock, last);
    assert_true(range_lock_try_share(lock, all));
    range_lock_unshare(lock, last);
    range_lock_unshare(lock, all);
    range_lock_own(lock, all);
    range_lock_disown(lock, all);
    range_lock_free(lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_range_has_the_stripes_of_all_its_bytes),
        cmocka_unit_test(a_small_range_has_one_stripe_and_a_neighbour_another),
        cmocka_unit_test(ranges_at_the_end_of_all_numbers_do_not_wrap),
        cmocka_unit_test(an_empty_range_keeps_the_size),
        cmocka_unit_test(what_another_has_alone_is_not_waited_for_if_so_wanted),
        cmocka_unit_test(who_wants_it_alone_gets_in_though_sharers_never_pause),
        cmocka_unit_test(who_shares_gets_in_though_others_never_pause_to_want_it_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
