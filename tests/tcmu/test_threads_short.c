/* SPDX-License-Identifier: Apache-2.0 */

/* The module on a system that has no more threads: this program's pthread_create stands before the
 * C library's. */

#include <dlfcn.h>
#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cdb.h"
#include "module_fixture.h"

static atomic_int threads_left = 1000;
static atomic_int started;

typedef int create_function(pthread_t *ret, const pthread_attr_t *attr, void *(*run)(void *),
                            void *opaque);

__attribute__((visibility("default"))) int pthread_create(pthread_t *restrict ret,
                                                          const pthread_attr_t *restrict attr,
                                                          void *(*run)(void *),
                                                          void *restrict opaque)
{
    create_function *real = (create_function *)dlsym(RTLD_NEXT, "pthread_create");

    if (threads_left <= 0)
        return EAGAIN;
    threads_left--;
    started++;
    return real(ret, attr, run, opaque);
}

static int fresh(void **state)
{
    threads_left = 1000;
    started = 0;
    return fresh_volume(state);
}

static void flush(struct host_device *device)
{
    struct host_command command = {0};

    cdb_synchronize_cache_16(command.cdb);
    assert_int_equal(host_execute(device, &command, NULL, 0), TCMU_STS_OK);
}

static void use(struct host_device *device)
{
    unsigned char out[4096], in[4096];

    for (unsigned i = 0; i < 50; i++) {
        memset(out, (int)i + 1, sizeof(out));
        write_blocks(device, 8 * i, out, 8, 512);
        flush(device);
        read_blocks(device, 8 * i, in, 8, 512);
        assert_memory_equal(in, out, sizeof(in));
    }
}

static void an_idle_lun_has_no_thread_but_the_runners(void **state)
{
    struct host_device *device = serve(cfgstring, 512);

    (void)state;
    assert_in_range(started, 1, 3); /* two watch all devices */
    use(device);
    assert_in_range(started, 2, 11);
    host_remove(device);
}

static void a_lun_is_served_without_threads_of_its_own(void **state)
{
    struct host_device *device;
    const char *told;

    (void)state;
    threads_left = 1; /* the runner's */
    device = serve(cfgstring, 512);
    use(device);
    assert_int_equal(started, 1);
    told = strstr(host_log(), "no thread can be started");
    assert_non_null(told);
    assert_non_null(strstr(host_log(), volume_path));
    assert_non_null(strstr(told, "TasksMax"));
    assert_null(strstr(told + 1, "no thread can be started"));
    threads_left = 1000;
    use(device);
    assert_in_range(started, 2, 9);
    host_remove(device);
}

static void a_lun_does_with_fewer_threads_than_it_may_have(void **state)
{
    struct host_device *device;

    (void)state;
    threads_left = 4; /* the runner's, and those that watch all devices */
    device = serve(cfgstring, 512);
    use(device);
    assert_int_equal(started, 4);
    assert_string_equal(host_log(), "");
    host_remove(device);
}

static void a_lun_that_the_runner_has_no_thread_for_is_named_in_the_log(void **state)
{
    struct host_device *device;

    (void)state;
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES, &device), 0);
    threads_left = 0;
    host_remove(device);
    assert_non_null(strstr(host_log(), "is not served: tcmu-runner can start no thread"));
    assert_non_null(strstr(host_log(), volume_path));
    host_log_clear();
    threads_left = 1000;
    host_remove(serve(cfgstring, 512));
    assert_int_equal(host_add(cfgstring, 512, VOLUME_BYTES, &device), 0);
    host_remove(device);
    assert_string_equal(host_log(), "");
}

int main(int argc, char *argv[])
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(an_idle_lun_has_no_thread_but_the_runners, fresh),
        cmocka_unit_test_setup(a_lun_is_served_without_threads_of_its_own, fresh),
        cmocka_unit_test_setup(a_lun_does_with_fewer_threads_than_it_may_have, fresh),
        cmocka_unit_test_setup(a_lun_that_the_runner_has_no_thread_for_is_named_in_the_log, fresh),
    };

    return RUN_MODULE_TESTS(argc, argv, tests);
}
