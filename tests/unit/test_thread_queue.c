/* SPDX-License-Identifier: Apache-2.0 */

/* When threads are started and when they end. pthread_create is wrapped by the linker. */

#include <errno.h>
#include <pthread.h>
#include <semaphore.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include <cmocka.h>

#include "thread_queue.h"

enum { ITEMS = 64, MOST = 8 };

static struct {
    bool no_threads; /* the system has none */
    unsigned started;
} injected;

int __real_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *opaque);
int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *opaque);

int __wrap_pthread_create(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                          void *opaque)
{
    if (injected.no_threads)
        return EAGAIN;
    injected.started++;
    return __real_pthread_create(ret, attr, run, opaque);
}

static struct {
    struct fifo_link items[ITEMS];
    struct thread_queue *queue;
    sem_t begun, go_on;
    atomic_int served;
    struct fifo_link *_Atomic last;
} seen;

static void hold(void *context, struct fifo_link *item)
{
    assert_ptr_equal(context, &seen);
    sem_post(&seen.begun);
    while (sem_wait(&seen.go_on) < 0)
        continue;
    seen.last = item;
    seen.served++;
}

static int set_up(void **state)
{
    (void)state;
    injected.no_threads = false;
    injected.started = 0;
    seen.served = 0;
    seen.last = NULL;
    sem_init(&seen.begun, 0, 0);
    sem_init(&seen.go_on, 0, 0);
    return thread_queue_create(MOST, hold, &seen, &seen.queue);
}

static int tear_down(void **state)
{
    (void)state;
    sem_destroy(&seen.begun);
    sem_destroy(&seen.go_on);
    return 0;
}

static void put(int first, int count)
{
    for (int i = first; i < first + count; i++)
        assert_int_equal(thread_queue_put(seen.queue, &seen.items[i]), 0);
}

static void wait_begun(int count)
{
    for (int i = 0; i < count; i++)
        while (sem_wait(&seen.begun) < 0)
            continue;
}

static void let_go(int count)
{
    for (int i = 0; i < count; i++)
        sem_post(&seen.go_on);
}

static void wait_for_threads(unsigned count)
{
    for (int i = 0; i < 1000 && thread_queue_threads(seen.queue) != count; i++)
        usleep(10000);
    assert_int_equal(thread_queue_threads(seen.queue), count);
}

static void free_queue(void)
{
    let_go(ITEMS);
    thread_queue_free(seen.queue);
}

static void no_thread_is_started_before_there_is_work(void **state)
{
    (void)state;
    assert_int_equal(thread_queue_threads(seen.queue), 0);
    thread_queue_free(seen.queue);
    assert_int_equal(injected.started, 0);
}

static void there_are_as_many_threads_as_there_is_work_for(void **state)
{
    (void)state;
    put(0, 3);
    wait_begun(3);
    assert_int_equal(thread_queue_threads(seen.queue), 3);
    put(3, 30);
    wait_begun(MOST - 3);
    assert_int_equal(thread_queue_threads(seen.queue), MOST);
    free_queue();
    assert_int_equal(seen.served, 33);
    assert_int_equal(injected.started, MOST);
}

static void an_idle_thread_is_used_again(void **state)
{
    (void)state;
    for (int i = 0; i < 20; i++) {
        put(i, 1);
        wait_begun(1);
        let_go(1);
        while (seen.served <= i)
            usleep(100);
        usleep(2000); /* it may not have come to wait yet */
    }
    assert_in_range(injected.started, 1, 3);
    free_queue();
}

static void idle_threads_end_and_others_are_started(void **state)
{
    (void)state;
    thread_queue_set_idle_ms(seen.queue, 20);
    for (int round = 0; round < 3; round++) {
        put(0, 5);
        wait_begun(5);
        assert_int_equal(thread_queue_threads(seen.queue), 5);
        let_go(5);
        wait_for_threads(0);
        assert_int_equal(seen.served, 5 * (round + 1));
    }
    free_queue();
}

static void without_any_thread_an_item_stays_the_callers(void **state)
{
    (void)state;
    injected.no_threads = true;
    assert_int_equal(thread_queue_put(seen.queue, &seen.items[0]), -EAGAIN);
    injected.no_threads = false;
    put(1, 1);
    free_queue();
    assert_int_equal(seen.served, 1);
    assert_ptr_equal(seen.last, &seen.items[1]);
}

static void with_fewer_threads_the_queue_goes_on(void **state)
{
    (void)state;
    put(0, 1);
    wait_begun(1);
    injected.no_threads = true;
    put(1, 10);
    assert_int_equal(thread_queue_threads(seen.queue), 1);
    free_queue();
    assert_int_equal(seen.served, 11);
}

static void items_are_begun_in_the_order_they_come(void **state)
{
    (void)state;
    put(0, 1);
    injected.no_threads = true;
    put(1, 20);
    for (int i = 0; i < 21; i++) {
        wait_begun(1);
        let_go(1);
        while (seen.served <= i)
            usleep(100);
        assert_ptr_equal(seen.last, &seen.items[i]);
    }
    free_queue();
}

#define QUEUE_TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        QUEUE_TEST(no_thread_is_started_before_there_is_work),
        QUEUE_TEST(there_are_as_many_threads_as_there_is_work_for),
        QUEUE_TEST(an_idle_thread_is_used_again),
        QUEUE_TEST(idle_threads_end_and_others_are_started),
        QUEUE_TEST(without_any_thread_an_item_stays_the_callers),
        QUEUE_TEST(with_fewer_threads_the_queue_goes_on),
        QUEUE_TEST(items_are_begun_in_the_order_they_come),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
