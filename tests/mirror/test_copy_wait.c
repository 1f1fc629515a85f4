/* SPDX-License-Identifier: Apache-2.0 */

/* How long a copy waits for its sides, and for which. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>
#include <errno.h>

#include "copy_wait.h"
#include "fake_endpoint.h"

/* A signal must be noticed soon. */
#define LONGEST_MS 200

static struct {
    unsigned calls;
    struct endpoint *endpoints[2];
    size_t count;
    int timeout_ms;
    int result;
} waited;

int __wrap_endpoint_wait(struct endpoint *const endpoints[], size_t count, int timeout_ms);

int __wrap_endpoint_wait(struct endpoint *const endpoints[], size_t count, int timeout_ms)
{
    waited.calls++;
    memcpy(waited.endpoints, endpoints, count * sizeof(*endpoints));
    waited.count = count;
    waited.timeout_ms = timeout_ms;
    return waited.result;
}

static struct endpoint primary = {.info.name = "primary"}, secondary = {.info.name = "secondary"};

static int wait_for(bool first_busy, bool second_busy, bool draining, int delay_ms)
{
    const struct copy_side sides[2] = {{&primary, first_busy}, {&secondary, second_busy}};
    struct errmsg err;

    memset(&waited, 0, sizeof(waited));
    return copy_wait(sides, draining, delay_ms, &err);
}

static void a_wait_is_as_long_as_said_and_never_long(void **state)
{
    static const struct {
        int delay_ms, expected_ms;
    } waits[] = {{0, LONGEST_MS},          {1, 1},     {199, 199},
                 {LONGEST_MS, LONGEST_MS}, {201, 200}, {1000000, LONGEST_MS}};

    (void)state;
    for (size_t i = 0; i < sizeof(waits) / sizeof(waits[0]); i++) {
        assert_int_equal(wait_for(true, false, false, waits[i].delay_ms), 0);
        assert_int_equal(waited.calls, 1);
        assert_int_equal(waited.timeout_ms, waits[i].expected_ms);
    }
}

/* Both are served, as the one that is not busy may have a ping to answer. */
static void both_sides_are_waited_for(void **state)
{
    (void)state;
    assert_int_equal(wait_for(true, false, false, 0), 0);
    assert_int_equal(waited.count, 2);
    assert_int_equal(wait_for(false, true, false, 0), 0);
    assert_int_equal(waited.count, 2);
    assert_int_equal(wait_for(false, false, false, 7), 0);
    assert_int_equal(waited.count, 2);
    assert_int_equal(waited.timeout_ms, 7);
}

static void at_the_end_only_what_is_busy_is_waited_for(void **state)
{
    (void)state;
    assert_int_equal(wait_for(false, true, true, 0), 0);
    assert_int_equal(waited.count, 1);
    assert_ptr_equal(waited.endpoints[0], &secondary);
    assert_int_equal(wait_for(true, false, true, 0), 0);
    assert_int_equal(waited.count, 1);
    assert_ptr_equal(waited.endpoints[0], &primary);
}

static void nothing_is_waited_for_when_nothing_comes(void **state)
{
    (void)state;
    assert_int_equal(wait_for(false, false, false, 0), 0);
    assert_int_equal(waited.calls, 0);
    assert_int_equal(wait_for(false, false, true, 7), 0);
    assert_int_equal(waited.calls, 0);
}

static void a_side_that_is_lost_is_named(void **state)
{
    const struct copy_side both[2] = {{&primary, true}, {&secondary, true}};
    const struct copy_side one[2] = {{&primary, true}, {NULL, false}};
    struct errmsg err;

    (void)state;
    waited.result = -EPIPE;
    assert_int_equal(copy_wait(both, false, 0, &err), -EPIPE);
    assert_string_equal(err.text, "lost the connection to primary or secondary: Broken pipe");
    assert_int_equal(copy_wait(one, false, 0, &err), -EPIPE);
    assert_string_equal(err.text, "lost the connection to primary: Broken pipe");
    waited.result = -EINTR;
    assert_int_equal(copy_wait(both, false, 0, &err), 0);
    waited.result = 1;
    assert_int_equal(copy_wait(both, false, 0, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_wait_is_as_long_as_said_and_never_long),
        cmocka_unit_test(both_sides_are_waited_for),
        cmocka_unit_test(at_the_end_only_what_is_busy_is_waited_for),
        cmocka_unit_test(nothing_is_waited_for_when_nothing_comes),
        cmocka_unit_test(a_side_that_is_lost_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
