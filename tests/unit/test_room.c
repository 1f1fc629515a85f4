/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "room.h"

static const struct finding *named(const struct findings *findings, const char *name)
{
    for (size_t i = 0; i < findings->count; i++)
        if (strcmp(findings->items[i].name, name) == 0)
            return &findings->items[i];
    return NULL;
}

static const struct room with_room = {
    .luns = 500,
    .ring_mib = 500,
    .memory_mib = 16000,
    .tasks_max = 15000,
    .files_max = 65536,
    .maps_max = 65530,
    .more_tasks = "more tasks",
    .more_files = "more files",
};

static void what_there_is_room_for_is_well(void **state)
{
    struct findings findings = {0};

    (void)state;
    check_room_for(&findings, &with_room);
    assert_int_equal(findings.count, 4);
    for (size_t i = 0; i < findings.count; i++) {
        assert_true(findings.items[i].ok);
        assert_int_equal(findings.items[i].need, NEED_OPTIONAL);
    }
    assert_string_equal(named(&findings, "LUNs: memory")->state,
                        "the rings of 500 LUNs take 500 of 16000 MiB of memory");
    assert_string_equal(named(&findings, "LUNs: tasks")->state,
                        "500 LUNs take up to 4516 of 15000 tasks");
}

static void each_limit_has_its_mend(void **state)
{
    struct findings findings = {0};
    struct room room = with_room;

    (void)state;
    room.ring_mib = 4001;
    room.tasks_max = 4515;
    room.files_max = 1024;
    room.maps_max = 9999;
    check_room_for(&findings, &room);
    assert_non_null(strstr(named(&findings, "LUNs: memory")->mend, "cmd_ring_size_mb=1"));
    assert_string_equal(named(&findings, "LUNs: tasks")->mend, "more tasks");
    assert_string_equal(named(&findings, "LUNs: files")->mend, "more files");
    assert_non_null(strstr(named(&findings, "LUNs: maps")->mend, "vm.max_map_count"));
    for (size_t i = 0; i < findings.count; i++)
        assert_false(findings.items[i].ok);
}

static void what_is_not_known_is_not_judged(void **state)
{
    struct findings findings = {0};
    struct room room = {.luns = 1000, .ring_mib = 8000};

    (void)state;
    check_room_for(&findings, &room);
    assert_int_equal(findings.count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_there_is_room_for_is_well),
        cmocka_unit_test(each_limit_has_its_mend),
        cmocka_unit_test(what_is_not_known_is_not_judged),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
