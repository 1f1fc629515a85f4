/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "cfgstring.h"

static struct cfgstring config;
static struct errmsg err;

/* Parses a string that must be taken. */
static void accept(const char *text)
{
    err.text[0] = '\0';
    if (cfgstring_parse(text, &config, &err) != 0)
        fail_msg("'%s' was refused: %s", text, err.text);
}

/* Parses a string that must be refused with a sentence that has these words. */
static void refuse(const char *text, int code, const char *words)
{
    int error;

    err.text[0] = '\0';
    error = cfgstring_parse(text, &config, &err);
    if (error != code)
        fail_msg("'%s' gave %d, not %d (%s)", text, error, code, err.text);
    if (!strstr(err.text, words))
        fail_msg("'%s': the message '%s' lacks '%s'", text, err.text, words);
}

static void a_path_alone_is_enough(void **state)
{
    (void)state;
    accept("thin//srv/a b/volume.img");
    assert_string_equal(config.path, "/srv/a b/volume.img");
    assert_false(config.read_only);
    assert_int_equal(config.threads, CFGSTRING_MAX_THREADS);
}

static void options_are_taken_in_any_order(void **state)
{
    (void)state;
    accept("thin//v;ro");
    assert_string_equal(config.path, "/v");
    assert_true(config.read_only);
    accept("thin//v;threads=3;ro");
    assert_true(config.read_only);
    assert_int_equal(config.threads, 3);
    accept("thin//v;ro;threads=1;");
    assert_int_equal(config.threads, 1);
    accept("thin//v;threads=8");
    assert_int_equal(config.threshold_percent, 0);
    accept("thin//v;threshold=1");
    assert_int_equal(config.threshold_percent, 1);
    accept("thin//v;threshold=99;threads=8");
    assert_int_equal(config.threshold_percent, 99);
    assert_string_equal(config.copy_group, "");
    accept("thin//v;copy=rack-1.a_B;ro");
    assert_string_equal(config.copy_group, "rack-1.a_B");
    assert_true(config.read_only);
    assert_int_equal(config.track, CFGSTRING_TRACK_AS_IS);
    accept("thin//v;track");
    assert_int_equal(config.track, CFGSTRING_TRACK);
    accept("thin//v;track=no;threads=2");
    assert_int_equal(config.track, CFGSTRING_TRACK_NO);
    accept("thin//v;copy=01234567890123456789012345678901");
    assert_int_equal(config.threads, 8);
}

static void the_runners_own_timer_is_refused(void **state)
{
    (void)state;
    refuse("thin//v;tcmur_cmd_time_out=25", -EINVAL, "leave it out");
    refuse("thin//v;ro;tcmur_cmd_time_out=25;", -EINVAL, "leave it out");
}

static void a_path_must_be_absolute_and_a_file(void **state)
{
    (void)state;
    refuse("thin/srv/volume", -EINVAL, "'srv/volume' is relative");
    refuse("thin/./volume;ro", -EINVAL, "'./volume' is relative");
    refuse("thin/", -EINVAL, "names no volume");
    refuse("thin/;ro", -EINVAL, "names no volume");
    refuse("thin//", -EINVAL, "directory");
    refuse("thin//srv/;ro", -EINVAL, "'/srv/' ends with '/'");
}

static void another_handlers_string_is_refused(void **state)
{
    (void)state;
    refuse("", -EINVAL, "begin with 'thin/'");
    refuse("thin", -EINVAL, "begin with 'thin/'");
    refuse("thinner//srv/volume", -EINVAL, "begin with 'thin/'");
    refuse("/srv/volume", -EINVAL, "begin with 'thin/'");
}

static void unknown_options_are_named(void **state)
{
    (void)state;
    refuse("thin//v;rw", -EINVAL, "unknown option 'rw'; known are: ro, threads=1..8");
    refuse("thin//v;ro;size=5", -EINVAL, "unknown option 'size'");
    refuse("thin//v;thread=5", -EINVAL, "unknown option 'thread'");
    refuse("thin//v;threadss=5", -EINVAL, "unknown option 'threadss'");
    refuse("thin//v;", -EINVAL, "empty option");
    refuse("thin//v;;ro", -EINVAL, "empty option");
    refuse("thin//v;=3", -EINVAL, "empty option");
}

static void values_are_checked(void **state)
{
    (void)state;
    refuse("thin//v;ro=1", -EINVAL, "'ro' takes no value");
    refuse("thin//v;threshold", -EINVAL, "from 1 to 99");
    refuse("thin//v;threshold=0", -EINVAL, "from 1 to 99");
    refuse("thin//v;threshold=100", -EINVAL, "from 1 to 99");
    refuse("thin//v;threshold=80%", -EINVAL, "from 1 to 99");
    refuse("thin//v;threads", -EINVAL, "from 1 to 8");
    refuse("thin//v;copy", -EINVAL, "the name of a group");
    refuse("thin//v;track=yes", -EINVAL, "no value but 'no'");
    refuse("thin//v;track=", -EINVAL, "no value but 'no'");
    refuse("thin//v;track=n", -EINVAL, "no value but 'no'");
    refuse("thin//v;track;ro", -EINVAL, "do not go together");
    refuse("thin//v;ro;track=no", -EINVAL, "do not go together");
    refuse("thin//v;copy=", -EINVAL, "the name of a group");
    refuse("thin//v;copy=a b", -EINVAL, "the name of a group");
    refuse("thin//v;copy=012345678901234567890123456789012", -EINVAL, "the name of a group");
    refuse("thin//v;threads=", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads=0", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads=9", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads=-1", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads= 1", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads=4x;ro", -EINVAL, "from 1 to 8");
    refuse("thin//v;threads=4294967297", -EINVAL, "from 1 to 8");
}

static void what_others_would_cut_is_explained(void **state)
{
    (void)state;
    refuse("thin//srv/a,b", -EINVAL, "','");
    refuse("thin//srv/a:b", -EINVAL, "':'");
    refuse("thin//srv/a\nb", -EINVAL, "0x0a");
    refuse("thin//srv/\x7f", -EINVAL, "0x7f");
    refuse("thin//srv/a ", -EINVAL, "blank");
    accept("thin//srv/\xc3\xa9");
}

static void length_is_limited_to_what_the_kernel_keeps(void **state)
{
    char text[CFGSTRING_MAX_BYTES + 2];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text, "thin//", 6);
    text[CFGSTRING_MAX_BYTES] = '\0';
    accept(text);
    assert_int_equal(strlen(config.path), CFGSTRING_MAX_BYTES - 5);
    text[CFGSTRING_MAX_BYTES] = 'a';
    text[CFGSTRING_MAX_BYTES + 1] = '\0';
    refuse(text, -ENAMETOOLONG, "256 bytes long");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_alone_is_enough),
        cmocka_unit_test(options_are_taken_in_any_order),
        cmocka_unit_test(the_runners_own_timer_is_refused),
        cmocka_unit_test(a_path_must_be_absolute_and_a_file),
        cmocka_unit_test(another_handlers_string_is_refused),
        cmocka_unit_test(unknown_options_are_named),
        cmocka_unit_test(values_are_checked),
        cmocka_unit_test(what_others_would_cut_is_explained),
        cmocka_unit_test(length_is_limited_to_what_the_kernel_keeps),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
