/* SPDX-License-Identifier: Apache-2.0 */

/* Commands on the ring that libtcmu drops: which they are, and when it is known that they were. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "host_ring.h"
#include "ring.h"
#include "sense.h"

#define TEST_UNIT_READY 0x00
#define DROPPED         0xC0
#define RING_PLACES     512 /* of which one is padding */

static uint16_t put(struct host_ring *ring, uint8_t opcode)
{
    return host_ring_put(ring, (uint8_t[HOST_RING_CDB_BYTES]){opcode});
}

/* The position behind count commands from this one on. */
static uint32_t behind(struct host_ring *ring, uint32_t position, int commands)
{
    while (commands-- > 0)
        position = host_ring_behind(ring, position);
    return position;
}

/* Puts so many commands on the ring, and has them answered. */
static void go_on(struct host_ring *ring, int commands)
{
    struct host_response response;

    while (commands-- > 0) {
        host_ring_respond(ring, put(ring, DROPPED), 0, NULL);
        assert_true(host_ring_take(ring, &response));
    }
}

static void assert_passes(struct host_ring *ring, uint32_t *position, uint32_t reached,
                          uint16_t expected)
{
    uint16_t dropped = 0;

    assert_true(ring_passes_dropped_until(ring, position, reached, &dropped));
    assert_int_equal(dropped, expected);
}

static void assert_passes_none(struct host_ring *ring, uint32_t position, uint32_t reached,
                               uint32_t expected)
{
    uint16_t dropped = 0;

    assert_false(ring_passes_dropped_until(ring, &position, reached, &dropped));
    assert_int_equal(position, expected);
}

static void dropped_commands_are_found_up_to_what_was_reached(void **state)
{
    struct host_ring *ring = *state;
    uint32_t position = ring_start(ring), start = position;
    uint16_t first, second;

    put(ring, TEST_UNIT_READY);
    first = put(ring, DROPPED);
    second = put(ring, DROPPED);
    put(ring, TEST_UNIT_READY);
    put(ring, DROPPED);
    assert_passes_none(ring, start, start, start);
    assert_passes_none(ring, start, behind(ring, start, 1), behind(ring, start, 1));
    assert_passes(ring, &position, behind(ring, start, 3), first);
    assert_passes(ring, &position, behind(ring, start, 3), second);
    assert_passes_none(ring, position, behind(ring, start, 3), behind(ring, start, 3));
    assert_passes_none(ring, position, behind(ring, start, 4), behind(ring, start, 4));
}

/* The groups 3 but for 7Fh, 6 and 7 of SPC-4 4.2.5.1. */
static void these_operation_codes_are_dropped(void **state)
{
    struct host_ring *ring = *state;
    uint32_t position = ring_start(ring);

    for (int opcode = 0; opcode < 0x100; opcode++) {
        uint16_t dropped = 0, id = put(ring, (uint8_t)opcode);
        bool expected = (opcode >= 0x60 && opcode <= 0x7E) || opcode >= 0xC0;

        assert_int_equal(ring_has_more(ring, position), !expected);
        assert_int_equal(ring_passes_dropped_until(ring, &position, behind(ring, position, 1),
                                                   &dropped),
                         expected);
        if (expected)
            assert_int_equal(dropped, id);
    }
}

/* What is there has been answered, or is not taken yet. */
static void what_was_reached_may_lie_behind(void **state)
{
    struct host_ring *ring = *state;

    for (int round = 0; round < RING_PLACES; round++) {
        uint32_t start = ring_start(ring), position = start;
        uint16_t dropped = put(ring, DROPPED);

        put(ring, TEST_UNIT_READY);
        assert_passes(ring, &position, behind(ring, start, 2), dropped);
        position = behind(ring, start, 2);
        assert_passes_none(ring, position, start, position);
        assert_passes_none(ring, position, behind(ring, start, 1), position);
        put(ring, DROPPED);
        assert_passes_none(ring, position, start, position);
        assert_passes_none(ring, position, behind(ring, start, 1), position);
        for (struct host_response response; host_ring_unanswered(ring) > 0;) {
            host_ring_respond(ring, dropped, 0, NULL);
            assert_true(host_ring_take(ring, &response));
        }
    }
}

static void what_was_reached_may_lie_nowhere(void **state)
{
    struct host_ring *ring = *state;
    uint32_t start = ring_start(ring), place = behind(ring, start, 1) - start;

    put(ring, DROPPED);
    assert_passes_none(ring, start, RING_PLACES * place, start);
    assert_passes_none(ring, start, (RING_PLACES + 1) * place, start);
    assert_passes_none(ring, start, UINT32_MAX, start);
}

static void the_end_of_the_ring_and_its_padding_are_passed(void **state)
{
    struct host_ring *ring = *state;

    go_on(ring, RING_PLACES - 3);
    for (int round = 0; round < 4; round++) {
        uint32_t position = ring_start(ring), start = position;
        uint16_t dropped[4];

        for (int i = 0; i < 4; i++)
            dropped[i] = put(ring, DROPPED);
        for (int i = 0; i < 4; i++)
            assert_passes(ring, &position, behind(ring, start, 4), dropped[i]);
        assert_passes_none(ring, start, RING_PLACES * (behind(ring, 0, 1)), start); /* nowhere */
        assert_passes_none(ring, position, behind(ring, start, 4), behind(ring, start, 4));
        for (struct host_response response; host_ring_unanswered(ring) > 0;) {
            host_ring_respond(ring, dropped[0], 0, NULL);
            assert_true(host_ring_take(ring, &response));
        }
        go_on(ring, RING_PLACES - 1 - 3);
    }
}

static void a_command_that_was_handed_out_passes_those_before_it(void **state)
{
    struct host_ring *ring = *state;
    uint32_t position = ring_start(ring), start = position;
    uint16_t dropped = 0, first = put(ring, DROPPED), good = put(ring, TEST_UNIT_READY);

    put(ring, DROPPED);
    assert_false(ring_passes_dropped(ring, &position, (uint16_t)(good + 7), &dropped));
    assert_int_equal(position, start);
    assert_true(ring_passes_dropped(ring, &position, good, &dropped));
    assert_int_equal(dropped, first);
    assert_false(ring_passes_dropped(ring, &position, good, &dropped));
    assert_int_equal(position, behind(ring, start, 2));
    assert_false(ring_has_more(ring, position));
    put(ring, TEST_UNIT_READY);
    assert_true(ring_has_more(ring, position));
}

static void a_response_has_no_sense_data_of_others(void **state)
{
    struct host_ring *ring = *state;
    struct host_response response;
    uint8_t old[HOST_RING_SENSE_BYTES], sense[SENSE_FIXED_BYTES] = {0x70, 0, 5};

    memset(old, 0xEE, sizeof(old));
    for (int i = 0; i < RING_PLACES; i++) {
        host_ring_respond(ring, put(ring, TEST_UNIT_READY), 2, old);
        assert_true(host_ring_take(ring, &response));
    }
    ring_respond(ring, put(ring, DROPPED), 2, sense);
    assert_true(host_ring_take(ring, &response));
    assert_int_equal(response.scsi_status, 2);
    assert_memory_equal(response.sense, sense, sizeof(sense));
    for (size_t i = sizeof(sense); i < sizeof(response.sense); i++)
        assert_int_equal(response.sense[i], 0);
}

static int create(void **state)
{
    *state = host_ring_create();
    return 0;
}

static int destroy(void **state)
{
    free(*state);
    return 0;
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, create, destroy)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RING_TEST(dropped_commands_are_found_up_to_what_was_reached),
        RING_TEST(these_operation_codes_are_dropped),
        RING_TEST(what_was_reached_may_lie_behind),
        RING_TEST(what_was_reached_may_lie_nowhere),
        RING_TEST(the_end_of_the_ring_and_its_padding_are_passed),
        RING_TEST(a_response_has_no_sense_data_of_others),
        RING_TEST(a_command_that_was_handed_out_passes_those_before_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
