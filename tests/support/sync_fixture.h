/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_SYNC_FIXTURE_H
#define THINMIRROR_TESTS_SYNC_FIXTURE_H

/* Two endpoints in memory and a sync from one to the other. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "fake_endpoint.h"
#include "sync.h"

#define BLOCKS 4096

struct fixture {
    struct fake_endpoint *primary;
    struct fake_endpoint *secondary;
    struct sync_params params;
    struct sync_result result;
    struct errmsg error;
};

static inline int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));

    fixture->primary = fake_create("primary", BLOCKS);
    fixture->secondary = fake_create("secondary", BLOCKS);
    fixture->params = (struct sync_params){.primary = &fixture->primary->base,
                                           .secondary = &fixture->secondary->base};
    *state = fixture;
    return 0;
}

static inline int teardown(void **state)
{
    struct fixture *fixture = *state;

    endpoint_close(&fixture->primary->base);
    endpoint_close(&fixture->secondary->base);
    free(fixture);
    return 0;
}

static inline int run(struct fixture *fixture)
{
    fixture->error.text[0] = '\0';
    return sync_run(&fixture->params, &fixture->result, &fixture->error);
}

static inline void expect_ranges(struct fake_endpoint *fake, enum endpoint_op op,
                                 const char *expected)
{
    assert_string_equal(fake_ranges(fake, op), expected);
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, setup, teardown)

#endif
