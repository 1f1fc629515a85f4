/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "options.h"

/* Parses the words of a command line, "thinmirror" itself left out. */
static int parse(struct options *options, struct errmsg *err, ...)
{
    char *argv[16] = {(char *)"thinmirror"};
    int argc = 1;
    va_list words;
    char *word;

    va_start(words, err);
    while ((word = va_arg(words, char *)))
        argv[argc++] = word;
    va_end(words);
    return options_parse(argc, argv, options, err);
}

static void everything_has_a_default(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "sync", "a", "b", NULL), 0);
    assert_int_equal(options.command, COMMAND_SYNC);
    assert_string_equal(options.names[0], "a");
    assert_string_equal(options.names[1], "b");
    assert_int_equal(options.name_count, 2);
    assert_false(options.dry_run || options.json || options.overwrite || options.verify ||
                 options.help || options.version);
    assert_int_equal(options.progress, PROGRESS_AUTO);
    assert_int_equal(options.source, SOURCE_BEST);
    assert_int_equal(options.queue_depth, 0);
    assert_int_equal(options.rate_bytes, 0);
    assert_null(options.ledger);
    assert_null(options.auth_file);
}

static void every_option_is_taken(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "sync", "--overwrite", "--json", "a", "--verify",
                           "--progress=json", "--source-map=both", "--queue-depth=1024", "b",
                           "--rate=1G", "--sessions=16", "--ledger=l", "--auth-file=f",
                           "--trust-maps", NULL),
                     0);
    assert_true(options.overwrite && options.json && options.verify && options.trust_maps);
    assert_int_equal(options.progress, PROGRESS_JSON);
    assert_int_equal(options.source, SOURCE_BOTH);
    assert_int_equal(options.queue_depth, 1024);
    assert_int_equal(options.sessions, 16);
    assert_int_equal(options.rate_bytes, 1 << 30);
    assert_string_equal(options.ledger, "l");
    assert_string_equal(options.auth_file, "f");
    assert_string_equal(options.names[1], "b");
}

static void a_value_may_be_the_next_word(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "verify", "--rate", "20M", "--source-map", "lba-status",
                           "a", "b", NULL),
                     0);
    assert_int_equal(options.rate_bytes, 20 << 20);
    assert_int_equal(options.source, SOURCE_LBA_STATUS);
    assert_int_equal(parse(&options, &err, "sync", "a", "b", "--ledger", NULL), -EINVAL);
    assert_string_equal(err.text, "--ledger needs a value");
}

static void after_two_dashes_come_only_names(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "map", "--json", "--", "--odd-name", NULL), 0);
    assert_string_equal(options.names[0], "--odd-name");
    assert_int_equal(parse(&options, &err, "map", "--odd-name", NULL), -EINVAL);
}

/* A prefix of an option is none, nor is an option with something behind it. */
static void names_are_taken_whole(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "sync", "--over", "a", "b", NULL), -EINVAL);
    assert_int_equal(parse(&options, &err, "sync", "--overwrites", "a", "b", NULL), -EINVAL);
    assert_int_equal(parse(&options, &err, "sync", "--overwrite=yes", "a", "b", NULL), -EINVAL);
    assert_string_equal(err.text, "--overwrite takes no value");
    assert_int_equal(parse(&options, &err, "sync", "--", "--overwrite", "b", NULL), 0);
    assert_false(options.overwrite);
}

static void numbers_have_limits(void **state)
{
    static const char *const wrong[] = {
        "--queue-depth=0",  "--queue-depth=1025", "--queue-depth=-1", "--queue-depth=",
        "--queue-depth=8x", "--rate=0",           "--rate=-1",        "--rate=99999999999999999999",
        "--format=qcow2",   "--format=json",      "--rate=1.5.M",     "--ledger=",
        "--auth-file=",     "--sessions=0",       "--sessions=17"};
    struct options options;
    struct errmsg err;

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++)
        assert_int_equal(parse(&options, &err, "sync", wrong[i], "a", "b", NULL), -EINVAL);
}

static void help_needs_no_names(void **state)
{
    struct options options;
    struct errmsg err;

    (void)state;
    assert_int_equal(parse(&options, &err, "sync", "--help", NULL), 0);
    assert_true(options.help);
    assert_int_equal(parse(&options, &err, "--help", NULL), 0);
    assert_int_equal(options.command, COMMAND_NONE);
    assert_int_equal(parse(&options, &err, NULL), -EINVAL);
    assert_int_equal(parse(&options, &err, "sync", "", "b", NULL), -EINVAL);
}

/* Every option of a command stands in its help, and nothing of another's does. */
static void help_and_parser_agree(void **state)
{
    static const char *const options[] = {"--json",        "--auth-file", "--progress",
                                          "--queue-depth", "--rate",      "--source-map",
                                          "--sessions",    "--dry-run",   "--overwrite",
                                          "--ledger",      "--reserve"};
    struct errmsg err;

    (void)state;
    for (int command = COMMAND_SYNC; command < COMMAND_NONE; command++) {
        for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++) {
            struct options parsed;
            char line[32];
            bool listed;

            snprintf(line, sizeof(line), "\n  %s", options[i]);
            listed = strstr(options_help((enum command)command), line);
            err.text[0] = '\0';
            parse(&parsed, &err, options_command_name((enum command)command), options[i], NULL);
            assert_int_equal(listed, !strstr(err.text, "has no option"));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_has_a_default),
        cmocka_unit_test(every_option_is_taken),
        cmocka_unit_test(a_value_may_be_the_next_word),
        cmocka_unit_test(after_two_dashes_come_only_names),
        cmocka_unit_test(names_are_taken_whole),
        cmocka_unit_test(numbers_have_limits),
        cmocka_unit_test(help_needs_no_names),
        cmocka_unit_test(help_and_parser_agree),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
