/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "shell_word.h"
#include "utf8.h"

static void what_a_terminal_would_obey_is_spelt_out(void **state)
{
    static const struct {
        const char *text, *shown;
    } cases[] = {
        {"", ""},
        {"plain name", "plain name"},
        {"two\nlines\t", "two\\x0alines\\x09"},
        {"\x1b[2J\x07\x7f", "\\x1b[2J\\x07\\x7f"},
        {"gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80", "gr\xc3\xbcn \xe2\x82\xac \xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "2J\xc2\x80\xc2\xa0",
         "\\xc2\\x9b2J\\xc2\\x80\xc2\xa0"},
        {"\x9b"
         "2J\xff\xc3",
         "\\x9b2J\\xff\\xc3"},
        {"\xe2\x82", "\\xe2\\x82"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *shown = utf8_printable(cases[i].text);

        assert_string_equal(shown, cases[i].shown);
        free(shown);
    }
}

static void a_path_is_quoted_where_it_has_to_be(void **state)
{
    static const struct {
        const char *path, *word;
    } cases[] = {
        {"/srv/vol-1.img", "/srv/vol-1.img"},
        {"gr\xc3\xbcn", "gr\xc3\xbcn"},
        {"my disk", "'my disk'"},
        {"it's", "'it'\\''s'"},
        {"$(reboot);*~", "'$(reboot);*~'"},
        {"-rf", "./-rf"},
        {"-r f", "'./-r f'"},
        {"", "''"},
        {"a\nb'\\", "$'a\\x0ab\\'\\\\'"},
    };
    char buffer[SHELL_WORD_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        assert_string_equal(shell_word(cases[i].path, buffer, sizeof(buffer)), cases[i].word);
}

/* A shell makes the path of it again. */
static void a_shell_reads_what_was_meant(void **state)
{
    char path[256], word[SHELL_WORD_BYTES], command[2 * SHELL_WORD_BYTES], got[256];

    (void)state;
    for (size_t i = 0; i < sizeof(path) - 1; i++)
        path[i] = (char)(i + 1);
    path[sizeof(path) - 1] = '\0';
    snprintf(command, sizeof(command),
             "LC_ALL=C exec bash -c \"$(cat <<'END'\nprintf %%s %s\nEND\n)\"",
             shell_word(path, word, sizeof(word)));
    FILE *out = popen(command, "r");
    assert_non_null(out);
    assert_int_equal(fread(got, 1, sizeof(got), out), sizeof(path) - 1);
    assert_int_equal(pclose(out), 0);
    assert_memory_equal(got, path, sizeof(path) - 1);
}

static void a_long_path_is_cut(void **state)
{
    char word[8];

    (void)state;
    assert_string_equal(shell_word("/a/b c/d/e", word, sizeof(word)), "'/a/b c");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_terminal_would_obey_is_spelt_out),
        cmocka_unit_test(a_path_is_quoted_where_it_has_to_be),
        cmocka_unit_test(a_shell_reads_what_was_meant),
        cmocka_unit_test(a_long_path_is_cut),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
