/* SPDX-License-Identifier: Apache-2.0 */
#include "cfgstring.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>

#define PREFIX      CFGSTRING_SUBTYPE "/"
#define OPTION_LIST "ro, threads=1..8, threshold=1..99, copy=GROUP, track[=no]"

_Static_assert(CFGSTRING_MAX_THREADS == 8, "OPTION_LIST");

/* One option: name[=value], not terminated. value is NULL without '='. */
struct option_text {
    const char *name;
    int name_length;
    const char *value;
    int value_length;
};

static int check_characters(const char *text, struct errmsg *err)
{
    size_t length = strlen(text);

    if (length > CFGSTRING_MAX_BYTES)
        return errmsg_set(err, -ENAMETOOLONG,
                          "the cfgstring is %zu bytes long with its '" PREFIX
                          "' and the kernel keeps %d; use a shorter path",
                          length, CFGSTRING_MAX_BYTES);
    if (strchr(text, ','))
        return errmsg_set(err, -EINVAL,
                          "the cfgstring contains ',', where the kernel would cut it; use a path "
                          "without commas, and ';' between options");
    if (strchr(text, ':'))
        return errmsg_set(err, -EINVAL,
                          "the cfgstring contains ':', which targetcli does not store; use a path "
                          "without colons");
    for (const char *at = text; *at; at++)
        if (iscntrl((unsigned char)*at))
            return errmsg_set(err, -EINVAL, "the cfgstring contains a control character (0x%02x)",
                              (unsigned)(unsigned char)*at);
    if (length > 0 && text[length - 1] == ' ')
        return errmsg_set(err, -EINVAL,
                          "the cfgstring ends with a blank, which targetcli does not store");
    return 0;
}

static int parse_path(const char *path, size_t length, struct cfgstring *ret, struct errmsg *err)
{
    if (length == 0)
        return errmsg_set(err, -EINVAL,
                          "the cfgstring names no volume; write cfgstring=/ABSOLUTE/PATH");
    if (path[0] != '/')
        return errmsg_set(err, -EINVAL,
                          "the path '%.*s' is relative; write cfgstring=/ABSOLUTE/PATH",
                          (int)length, path);
    if (path[length - 1] == '/')
        return errmsg_set(err, -EINVAL,
                          "the path '%.*s' ends with '/', so it can only be a directory; a volume "
                          "is a file made by 'thinvol create'",
                          (int)length, path);
    memcpy(ret->path, path, length);
    ret->path[length] = '\0';
    return 0;
}

static bool option_is(const struct option_text *option, const char *name)
{
    return strlen(name) == (size_t)option->name_length &&
           memcmp(name, option->name, strlen(name)) == 0;
}

/* A decimal number of at most 8 digits, or -1. */
static int option_number(const struct option_text *option)
{
    int number = 0;

    if (!option->value || option->value_length < 1 || option->value_length > 8)
        return -1;
    for (int i = 0; i < option->value_length; i++) {
        if (!isdigit((unsigned char)option->value[i]))
            return -1;
        number = number * 10 + (option->value[i] - '0');
    }
    return number;
}

static int parse_threads(const struct option_text *option, struct cfgstring *ret,
                         struct errmsg *err)
{
    int number = option_number(option);

    if (number < 1 || number > CFGSTRING_MAX_THREADS)
        return errmsg_set(err, -EINVAL,
                          "option 'threads' needs a number from 1 to %d, as in threads=4",
                          CFGSTRING_MAX_THREADS);
    ret->threads = number;
    return 0;
}

static int parse_threshold(const struct option_text *option, struct cfgstring *ret,
                           struct errmsg *err)
{
    int number = option_number(option);

    if (number < 1 || number > 99)
        return errmsg_set(err, -EINVAL,
                          "option 'threshold' needs a percentage from 1 to 99 of the file system "
                          "that may be used before initiators are told, as in threshold=80");
    ret->threshold_percent = number;
    return 0;
}

static int parse_copy_group(const struct option_text *option, struct cfgstring *ret,
                            struct errmsg *err)
{
    bool valid = option->value && option->value_length > 0 &&
                 option->value_length <= CFGSTRING_MAX_GROUP_BYTES;

    for (int i = 0; valid && i < option->value_length; i++) {
        char at = option->value[i];

        valid = isalnum((unsigned char)at) || at == '-' || at == '_' || at == '.';
    }
    if (!valid)
        return errmsg_set(err, -EINVAL,
                          "option 'copy' needs the name of a group of 1 to %d letters, digits, "
                          "'-', '_' or '.', as in copy=cluster1",
                          CFGSTRING_MAX_GROUP_BYTES);
    memcpy(ret->copy_group, option->value, (size_t)option->value_length);
    ret->copy_group[option->value_length] = '\0';
    return 0;
}

static int parse_track(const struct option_text *option, struct cfgstring *ret, struct errmsg *err)
{
    if (!option->value)
        ret->track = CFGSTRING_TRACK;
    else if (option->value_length == 2 && memcmp(option->value, "no", 2) == 0)
        ret->track = CFGSTRING_TRACK_NO;
    else
        return errmsg_set(err, -EINVAL, "option 'track' takes no value but 'no', as in track=no");
    return 0;
}

static int refuse_runner_timeout(struct errmsg *err)
{
    return errmsg_set(err, -EINVAL,
                      "option '" CFGSTRING_RUNNER_TIMEOUT "' cannot be used: tcmu-runner keeps no "
                      "time for handlers that complete their commands themselves; leave it out");
}

static int parse_option(const struct option_text *option, struct cfgstring *ret, struct errmsg *err)
{
    if (option_is(option, "ro")) {
        if (option->value)
            return errmsg_set(err, -EINVAL, "option 'ro' takes no value");
        ret->read_only = true;
        return 0;
    }
    if (option_is(option, "threads"))
        return parse_threads(option, ret, err);
    if (option_is(option, "threshold"))
        return parse_threshold(option, ret, err);
    if (option_is(option, "copy"))
        return parse_copy_group(option, ret, err);
    if (option_is(option, "track"))
        return parse_track(option, ret, err);
    if (option_is(option, CFGSTRING_RUNNER_TIMEOUT))
        return refuse_runner_timeout(err);
    if (option->name_length == 0)
        return errmsg_set(err, -EINVAL, "the cfgstring has an empty option; known are: %s",
                          OPTION_LIST);
    return errmsg_set(err, -EINVAL, "unknown option '%.*s'; known are: %s", option->name_length,
                      option->name, OPTION_LIST);
}

/* Options from at on; at stands behind a ';'. */
static int parse_options(const char *at, struct cfgstring *ret, struct errmsg *err)
{
    for (bool more = true; more;) {
        size_t length = strcspn(at, ";");
        const char *equals = memchr(at, '=', length);
        struct option_text option = {
            .name = at,
            .name_length = (int)(equals ? (size_t)(equals - at) : length),
            .value = equals ? equals + 1 : NULL,
            .value_length = equals ? (int)(at + length - equals) - 1 : 0,
        };
        int error = parse_option(&option, ret, err);

        if (error)
            return error;
        more = at[length] != '\0' && strcmp(at + length, ";") != 0;
        at += length + 1;
    }
    return 0;
}

int cfgstring_parse(const char *text, struct cfgstring *ret, struct errmsg *err)
{
    const char *path = text + strlen(PREFIX);
    size_t path_length;
    int error;

    *ret = (struct cfgstring){.threads = CFGSTRING_MAX_THREADS};
    if (strncmp(text, PREFIX, strlen(PREFIX)) != 0)
        return errmsg_set(err, -EINVAL, "the cfgstring does not begin with '" PREFIX "'");
    error = check_characters(text, err);
    if (error)
        return error;
    path_length = strcspn(path, ";");
    error = parse_path(path, path_length, ret, err);
    if (error || path[path_length] == '\0')
        return error;
    error = parse_options(path + path_length + 1, ret, err);
    if (!error && ret->read_only && ret->track != CFGSTRING_TRACK_AS_IS)
        return errmsg_set(err, -EINVAL,
                          "options 'ro' and 'track' do not go together: nothing changes a volume "
                          "that is served write protected");
    return error;
}
