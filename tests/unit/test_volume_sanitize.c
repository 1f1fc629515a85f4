/* SPDX-License-Identifier: Apache-2.0 */

/* What sanitizing and closing make durable, and that neither hides an error of it. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "store_mem.h"
#include "volume.h"
#include "volume_sanitize.h"
#include "volume_watch.h"

#define BYTES (1 << 20)

struct place {
    struct store *store;
    struct volume *volume;
};

static int setup(void **state)
{
    struct place *place = calloc(1, sizeof(*place));
    struct volume_meta meta;
    struct errmsg err;

    assert_non_null(place);
    volume_meta_init(&meta, 512);
    assert_int_equal(store_mem_create(BYTES, 4096, &place->store), 0);
    assert_int_equal(volume_over_store(place->store, &meta, false, &place->volume, &err), 0);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    struct place *place = *state;

    assert_int_equal(volume_close(place->volume), 0);
    free(place);
    return 0;
}

static int sanitize(struct place *place, bool overwrite, unsigned passes)
{
    struct volume_sanitize_plan plan = {.overwrite = overwrite,
                                        .pattern = {0x55},
                                        .pattern_bytes = 1,
                                        .passes = passes};
    atomic_uint progress = 0;
    atomic_bool stop = false;
    struct errmsg err;
    int error;

    assert_int_equal(volume_seal(place->volume, VOLUME_SEALED_UNRESTRICTED, &err), 0);
    error = volume_sanitize(place->volume, &plan, &progress, &stop);
    assert_int_equal(progress == VOLUME_PROGRESS_ALL, !error);
    assert_int_equal(volume_unseal(place->volume, &err), 0);
    return error;
}

static void each_pass_is_durable_before_the_next(void **state)
{
    struct place *place = *state;

    for (unsigned pass = 0; pass < 3; pass++) {
        store_mem_set_fault(place->store, "flush", pass, EIO);
        assert_int_equal(sanitize(place, true, 3), -EIO);
    }
    store_mem_set_fault(place->store, "flush", 0, 0);
    assert_int_equal(sanitize(place, true, 3), 0);
}

static void an_erase_is_durable(void **state)
{
    struct place *place = *state;

    store_mem_set_fault(place->store, "flush", 0, EIO);
    assert_int_equal(sanitize(place, false, 1), -EIO);
    store_mem_set_fault(place->store, "flush", 0, 0);
    assert_int_equal(sanitize(place, false, 1), 0);
}

static void sealing_changes_all_of_it(void **state)
{
    struct place *place = *state;
    const struct volume_range range = {BYTES - 512, 512};
    struct volume_watch *watch;
    struct errmsg err;

    assert_int_equal(volume_watch_set(place->volume, &range, 1, &watch), 0);
    assert_int_equal(volume_seal(place->volume, VOLUME_SEALED_UNRESTRICTED, &err), 0);
    assert_true(volume_watch_changed(watch));
    volume_watch_end(watch);
    assert_int_equal(volume_unseal(place->volume, &err), 0);
}

static void closing_tells_that_the_last_flush_failed(void **state)
{
    struct place place;
    void *at;

    (void)state;
    assert_int_equal(setup(&at), 0);
    place = *(struct place *)at;
    free(at);
    store_mem_set_fault(place.store, "flush", 0, EIO);
    assert_int_equal(volume_close(place.volume), -EIO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_pass_is_durable_before_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(an_erase_is_durable, setup, teardown),
        cmocka_unit_test_setup_teardown(sealing_changes_all_of_it, setup, teardown),
        cmocka_unit_test(closing_tells_that_the_last_flush_failed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
