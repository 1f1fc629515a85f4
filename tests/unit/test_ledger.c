/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cleanup.h"
#include "ledger.h"

static struct range sample_ranges[] = {{0, 4096}, {8192, 8193}, {1ULL << 36, 1ULL << 37}};

static const struct ledger sample = {
    .state = LEDGER_COMPLETE,
    .primary = {"naa.6001405aabbccdd", "iscsi://host/iqn.2024-01.org.example:a/1", 1ULL << 37, 512},
    .secondary = {"serial.ACME.Disk \"8\".\\x", "/dev/sdq", UINT64_MAX, 4096},
    .copy = "00112233445566778899aabbccddeeff",
    .replaces = "ffeeddccbbaa99887766554433221100",
    .pointed_to = true,
    .pair = "db-1",
    .left = {.known = true,
             .seed = UINT64_MAX,
             .blocks = 77,
             .changed_ns = 5,
             .by_map = true,
             .map = {[0] = 1, [63] = UINT64_MAX},
             .spots = {[0] = UINT64_MAX, [63] = 2}},
    .source_map = "lba-status",
    .tables = "0123456789abcdef",
    .started = 1700000000,
    .completed = INT64_MAX,
    .done = {.items = sample_ranges, .count = 3, .capacity = 3, .before = 3},
};

static void expect_same_side(const struct ledger_side *a, const struct ledger_side *b)
{
    assert_string_equal(a->identity, b->identity);
    assert_string_equal(a->name, b->name);
    assert_int_equal(a->blocks, b->blocks);
    assert_int_equal(a->block_size, b->block_size);
}

static void what_was_written_is_read_back(void **state)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP(ledger_free) struct ledger got;

    (void)state;
    assert_int_equal(ledger_encode(&sample, &text), 0);
    assert_int_equal(ledger_decode(text, strlen(text), &got), 0);
    assert_int_equal(got.done.count, 3);
    assert_memory_equal(got.done.items, sample_ranges, sizeof(sample_ranges));
    assert_int_equal(got.state, LEDGER_COMPLETE);
    expect_same_side(&got.primary, &sample.primary);
    expect_same_side(&got.secondary, &sample.secondary);
    assert_string_equal(got.source_map, "lba-status");
    assert_string_equal(got.tables, "0123456789abcdef");
    assert_int_equal(got.started, sample.started);
    assert_int_equal(got.completed, sample.completed);
    assert_string_equal(got.copy, sample.copy);
    assert_string_equal(got.replaces, sample.replaces);
    assert_string_equal(got.pair, "db-1");
    assert_true(got.pointed_to);
    assert_memory_equal(&got.left, &sample.left, sizeof(got.left));
}

/* As the version before this wrote it. */
static void what_came_later_may_be_missing(void **state)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP(ledger_free) struct ledger got;
    struct ledger ledger = sample;

    (void)state;
    ledger.copy[0] = ledger.replaces[0] = ledger.pair[0] = ledger.tables[0] = '\0';
    ledger.pointed_to = ledger.left.known = false;
    assert_int_equal(ledger_encode(&ledger, &text), 0);
    assert_null(strstr(text, "copy\""));
    assert_null(strstr(text, "pair"));
    assert_null(strstr(text, "left"));
    assert_int_equal(ledger_decode(text, strlen(text), &got), 0);
    assert_false(got.left.known || got.pointed_to || got.copy[0]);
}

static void a_pointer_has_the_path_it_points_to(void **state)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP(ledger_free) struct ledger got;
    struct ledger pointer = sample;

    (void)state;
    pointer.state = LEDGER_ELSEWHERE;
    assert_int_equal(ledger_encode(&pointer, &text), 0);
    assert_int_equal(ledger_decode(text, strlen(text), &got), -EINVAL);
    free(TAKE_PTR(text));
    strcpy(pointer.elsewhere, "/srv/my ledger");
    assert_int_equal(ledger_encode(&pointer, &text), 0);
    assert_int_equal(ledger_decode(text, strlen(text), &got), 0);
    assert_string_equal(got.elsewhere, "/srv/my ledger");
    assert_true(ledger_is_meant(&pointer, &sample));
    strcpy(pointer.copy, sample.replaces);
    assert_true(ledger_is_meant(&pointer, &sample));
    pointer.copy[0] = 'e';
    assert_false(ledger_is_meant(&pointer, &sample));
    pointer.copy[0] = '\0';
    assert_false(ledger_is_meant(&pointer, &sample));
}

static void a_ledger_that_was_cut_is_no_ledger(void **state)
{
    CLEANUP_FREE char *text = NULL;
    struct ledger got;

    (void)state;
    assert_int_equal(ledger_encode(&sample, &text), 0);
    for (size_t length = 0; length < strlen(text); length++)
        assert_int_equal(ledger_decode(text, length, &got), -EINVAL);
}

static void a_ledger_with_any_bit_changed_is_no_ledger(void **state)
{
    CLEANUP_FREE char *text = NULL;
    struct ledger got;

    (void)state;
    assert_int_equal(ledger_encode(&sample, &text), 0);
    for (size_t i = 0; i < strlen(text); i++) {
        char before = text[i];

        text[i] = (char)(before ^ 1);
        assert_int_equal(ledger_decode(text, strlen(text), &got), -EINVAL);
        text[i] = before;
    }
}

static void more_ranges_than_there_is_room_for_are_left_out(void **state)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP(range_set_free) struct range_set many = {0};
    CLEANUP(ledger_free) struct ledger got;
    struct ledger ledger = sample;

    (void)state;
    for (uint64_t i = 0; i < LEDGER_RANGES_MAX + 100; i++)
        assert_int_equal(range_set_add(&many, (1ULL << 36) + 2 * i, 1), 0);
    ledger.done = many;
    assert_int_equal(ledger_encode(&ledger, &text), 0);
    assert_true(strlen(text) < LEDGER_MAX_BYTES);
    assert_int_equal(ledger_decode(text, strlen(text), &got), 0);
    assert_int_equal(got.done.count, LEDGER_RANGES_MAX);
    assert_memory_equal(got.done.items, many.items, LEDGER_RANGES_MAX * sizeof(*many.items));
}

/* The sample's text with the first occurrence of from replaced, and a checksum that fits. */
static int decode_changed(const char *from, const char *to)
{
    CLEANUP_FREE char *text = NULL;
    CLEANUP_FREE char *changed = NULL;
    CLEANUP_FREE char *whole = NULL;
    CLEANUP(ledger_free) struct ledger got;
    char *at;

    assert_int_equal(ledger_encode(&sample, &text), 0);
    at = strstr(text, from);
    assert_non_null(at);
    assert_true(asprintf(&changed, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from)) > 0);
    at = strstr(changed, ",\n  \"checksum\":\"");
    assert_non_null(at);
    *at = '\0';
    assert_true(asprintf(&whole, "%s,\n  \"checksum\":\"%016llx\"\n}\n", changed,
                         (unsigned long long)ledger_hash(changed)) > 0);
    return ledger_decode(whole, strlen(whole), &got);
}

static void members_must_be_there_and_make_sense(void **state)
{
    (void)state;
    assert_int_equal(decode_changed("1700000000", "1700000001"), 0);
    assert_int_equal(decode_changed("\"state\"", "\"estate\""), -EINVAL);
    assert_int_equal(decode_changed("\"complete\"", "\"half\""), -EINVAL);
    assert_int_equal(decode_changed("\"thinmirror_ledger\":2", "\"thinmirror_ledger\":3"), -EINVAL);
    assert_int_equal(decode_changed("\"primary\"", "\"first\""), -EINVAL);
    assert_int_equal(decode_changed("\"naa.6001405aabbccdd\"", "17"), -EINVAL);
    assert_int_equal(decode_changed("\"naa.6001405aabbccdd\"", "\"a\\u0000b\""), -EINVAL);
    assert_int_equal(decode_changed("137438953472", "-1"), -EINVAL);
    assert_int_equal(decode_changed("137438953472", "\"8\""), -EINVAL);
    assert_int_equal(decode_changed("512", "4294967296"), -EINVAL);
    assert_int_equal(decode_changed("1700000000", "1.5"), -EINVAL);
    assert_int_equal(decode_changed("9223372036854775807", "9223372036854775808"), -EINVAL);
    assert_int_equal(decode_changed("{", "{\"more\": [1, {}],"), 0);
    assert_int_equal(decode_changed("{", "{\"more\": [[[[[[[[[[1]]]]]]]]]],"), -EINVAL);
    assert_int_equal(decode_changed("{", "[{"), -EINVAL);
    assert_int_equal(decode_changed("\"pointed_to\":true", "\"pointed_to\":1"), -EINVAL);
    assert_int_equal(decode_changed("\"left\":{", "\"left\":7,\"right\":{"), -EINVAL);
    assert_int_equal(decode_changed("\"map\":\"0", "\"map\":\"g"), -EINVAL);
    assert_int_equal(decode_changed("\"spots\":\"f", "\"spots\":\""), -EINVAL);
    assert_int_equal(decode_changed("\"copy\":\"0", "\"copy\":\"00"), -EINVAL);
}

static void ranges_must_be_in_order_and_on_the_lun(void **state)
{
    static const char *const wrong[] = {"8193+1 0+2",
                                        "0+4096 4096+1",
                                        "0+4096 1+1",
                                        "0+0",
                                        "137438953472+1",
                                        "0+137438953473",
                                        "1+18446744073709551615",
                                        "18446744073709551616+1",
                                        "0",
                                        "0+",
                                        "+5",
                                        "-1+2",
                                        "0+ 5",
                                        "0+5 ",
                                        " 0+5",
                                        "0+5,7+1",
                                        "0+5  7+1",
                                        "0+5x",
                                        "0+5\\u0000"};

    (void)state;
    assert_int_equal(decode_changed("0+4096 8192+1 68719476736+68719476736", ""), 0);
    assert_int_equal(decode_changed("0+4096 8192+1 68719476736+68719476736", "0+137438953472"), 0);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(decode_changed("0+4096 8192+1 68719476736+68719476736", wrong[i]),
                         -EINVAL);
}

static void other_json_is_no_ledger(void **state)
{
    static const char *const texts[] = {"", "null", "7", "[]", "{}", "\"x\"", "root:x:0:0:\n"};
    struct ledger got;

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_int_equal(ledger_decode(texts[i], strlen(texts[i]), &got), -EINVAL);
}

static void texts_that_are_too_long_are_refused(void **state)
{
    CLEANUP_FREE char *text = malloc(LEDGER_MAX_BYTES + 1);
    char name[LEDGER_IDENTITY_BYTES + 8];
    struct ledger got;

    (void)state;
    memset(text, ' ', LEDGER_MAX_BYTES + 1);
    assert_int_equal(ledger_decode(text, LEDGER_MAX_BYTES + 1, &got), -EINVAL);
    memset(name, 'x', sizeof(name));
    name[0] = '"';
    name[LEDGER_IDENTITY_BYTES] = '"';
    name[LEDGER_IDENTITY_BYTES + 1] = '\0';
    assert_int_equal(decode_changed("\"naa.6001405aabbccdd\"", name), 0);
    name[LEDGER_IDENTITY_BYTES] = 'x';
    name[LEDGER_IDENTITY_BYTES + 1] = '"';
    name[LEDGER_IDENTITY_BYTES + 2] = '\0';
    assert_int_equal(decode_changed("\"naa.6001405aabbccdd\"", name), -EINVAL);
}

static void a_side_without_identity_matches_nothing(void **state)
{
    struct ledger_side known = sample.primary, now = sample.primary;

    (void)state;
    strcpy(now.name, "another way to it");
    assert_true(ledger_side_matches(&known, &now));
    now.blocks++; /* it has grown */
    assert_true(ledger_side_matches(&known, &now));
    now.blocks -= 2;
    assert_false(ledger_side_matches(&known, &now));
    now.blocks++;
    now.block_size = 4096;
    assert_false(ledger_side_matches(&known, &now));
    now.block_size = 512;
    now.identity[5] = 'x';
    assert_false(ledger_side_matches(&known, &now));
    known.identity[0] = now.identity[0] = '\0';
    assert_false(ledger_side_matches(&known, &now));
}

static void expect_file_name(const char *identity, const char *expected)
{
    char name[LEDGER_FILE_BYTES];

    ledger_file_name(identity, name);
    assert_string_equal(name, expected);
}

static void file_names_are_safe_and_differ(void **state)
{
    char identity[LEDGER_IDENTITY_BYTES], a[LEDGER_FILE_BYTES], b[LEDGER_FILE_BYTES];

    (void)state;
    expect_file_name("naa.6001405", "naa.6001405.json");
    expect_file_name("../etc/x", "%2E.%2Fetc%2Fx.json");
    expect_file_name("t10.A B_\xff%", "t10.A%20B%5F%FF%25.json");
    memset(identity, '/', sizeof(identity));
    identity[sizeof(identity) - 1] = '\0';
    ledger_file_name(identity, a);
    identity[sizeof(identity) - 2] = '.';
    ledger_file_name(identity, b);
    assert_string_not_equal(a, b);
    assert_true(strlen(a) < LEDGER_FILE_BYTES && !strchr(a, '/'));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_written_is_read_back),
        cmocka_unit_test(what_came_later_may_be_missing),
        cmocka_unit_test(a_pointer_has_the_path_it_points_to),
        cmocka_unit_test(a_ledger_that_was_cut_is_no_ledger),
        cmocka_unit_test(a_ledger_with_any_bit_changed_is_no_ledger),
        cmocka_unit_test(more_ranges_than_there_is_room_for_are_left_out),
        cmocka_unit_test(ranges_must_be_in_order_and_on_the_lun),
        cmocka_unit_test(members_must_be_there_and_make_sense),
        cmocka_unit_test(other_json_is_no_ledger),
        cmocka_unit_test(texts_that_are_too_long_are_refused),
        cmocka_unit_test(a_side_without_identity_matches_nothing),
        cmocka_unit_test(file_names_are_safe_and_differ),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
