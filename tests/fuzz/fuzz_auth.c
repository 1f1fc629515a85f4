/* SPDX-License-Identifier: Apache-2.0 */
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "auth.h"
#include "cleanup.h"
#include "fuzz.h"

/* A file in memory with these bytes, open to its owner only. */
static int make_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("auth", MFD_CLOEXEC);

    FUZZ_CHECK(fd >= 0 && fchmod(fd, 0600) == 0);
    FUZZ_CHECK(write(fd, data, size) == (ssize_t)size);
    return fd;
}

static void check_credentials(const struct iscsi_credentials *found)
{
    FUZZ_CHECK(found->user[0] && found->secret[0]);
    FUZZ_CHECK(!found->target_user == !found->target_secret);
    FUZZ_CHECK(!found->target_user || (found->target_user[0] && found->target_secret[0]));
}

/* The message names the line and repeats no word of the file that might be a secret. */
static void check_message(const struct errmsg *err, char *text)
{
    static const char form[] = "TARGET-IQN|* USER SECRET [TARGET-USER TARGET-SECRET]";

    FUZZ_CHECK(strstr(err->text, "line ") || strstr(err->text, "too large"));
    for (char *word = strtok(text, " \t\r\n"); word; word = strtok(NULL, " \t\r\n"))
        FUZZ_CHECK(strlen(word) < 12 || strstr(form, word) || !strstr(err->text, word));
}

/* The first words of the text as the variables: what is taken is what they were, and they are gone.
 */
static void check_environment(const char *text)
{
    static const char *const variables[] = {"THINMIRROR_CHAP_USER", "THINMIRROR_CHAP_SECRET",
                                            "THINMIRROR_CHAP_TARGET_USER",
                                            "THINMIRROR_CHAP_TARGET_SECRET"};
    static const char names[] =
        "THINMIRROR_CHAP_TARGET_USER THINMIRROR_CHAP_TARGET_SECRET (THINMIRROR_CHAP_...)";
    char words[4][300] = {"", "", "", ""};
    int count = sscanf(text, "%299s %299s %299s %299s", words[0], words[1], words[2], words[3]);
    struct auth_table *table = NULL;
    struct errmsg err = {""};
    const struct iscsi_credentials *found;

    for (int i = 0; i < count; i++) /* one word more than a whole leaves half */
        FUZZ_CHECK(setenv(variables[i], words[i], 1) == 0);
    if (auth_table_load(NULL, &table, &err)) {
        FUZZ_CHECK(!table && err.text[0]);
        for (int i = 0; i < count; i++)
            FUZZ_CHECK(strlen(words[i]) < 12 || strstr(names, words[i]) ||
                       !strstr(err.text, words[i]));
        return;
    }
    FUZZ_CHECK(!auth_table_file(table));
    found = auth_table_find(table, "iqn.2020-01.com.example:any", NULL);
    FUZZ_CHECK(!found == (count < 2));
    FUZZ_CHECK(!found ||
               (strcmp(found->user, words[0]) == 0 && strcmp(found->secret, words[1]) == 0));
    FUZZ_CHECK(!found ||
               (found->target_secret ? strcmp(found->target_secret, words[3]) == 0 : count == 2));
    for (int i = 0; i < 4; i++)
        FUZZ_CHECK(!getenv(variables[i]));
    auth_table_free(table);
}

static bool is_same(const char *x, const char *y)
{
    return x && y ? strcmp(x, y) == 0 : !x && !y;
}

static void check_copy(const struct iscsi_credentials *found)
{
    struct iscsi_credentials *copy = NULL;

    FUZZ_CHECK(iscsi_credentials_copy(found, &copy) == 0 && copy);
    FUZZ_CHECK(is_same(copy->user, found->user) && is_same(copy->secret, found->secret));
    FUZZ_CHECK(is_same(copy->target_user, found->target_user));
    FUZZ_CHECK(is_same(copy->target_secret, found->target_secret));
    FUZZ_CHECK(copy->optional == found->optional);
    iscsi_credentials_free(copy);
}

static void check_line(const struct auth_table *table, const char *line)
{
    char *fields[6] = {NULL};
    int count = sscanf(line, " %ms %ms %ms %ms %ms %ms", &fields[0], &fields[1], &fields[2],
                       &fields[3], &fields[4], &fields[5]);

    if (count > 0 && fields[0][0] != '#') {
        const struct iscsi_credentials *found = auth_table_find(table, fields[0], fields[1]);

        FUZZ_CHECK(count == 3 || count == 5);
        FUZZ_CHECK(found && strcmp(found->secret, fields[2]) == 0);
        FUZZ_CHECK(!found->target_secret == (count == 3));
        FUZZ_CHECK(count == 3 || (strcmp(found->target_user, fields[3]) == 0 &&
                                  strcmp(found->target_secret, fields[4]) == 0 &&
                                  strcmp(found->secret, found->target_secret) != 0));
        check_credentials(found);
        check_copy(found);
        FUZZ_CHECK(!found->optional);
        FUZZ_CHECK(auth_table_find(table, fields[0], NULL));
    }
    for (int i = 0; i < 6; i++)
        free(fields[i]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct auth_table *table = NULL;
    struct errmsg err = {""};
    CLEANUP_CLOSE int fd = make_file(data, size);
    char path[64];

    check_environment(text);
    snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
    if (auth_table_load(path, &table, &err)) {
        FUZZ_CHECK(!table);
        check_message(&err, text);
        return 0;
    }
    /* Read again, in another way: each line is a comment, or is found with all of its fields. */
    for (char *line = text, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        check_line(table, line);
    }
    auth_table_make_optional(table);
    FUZZ_CHECK(strcmp(auth_table_file(table), path) == 0);
    auth_table_free(table);
    return 0;
}
