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
    auth_table_free(table);
    return 0;
}
