/* SPDX-License-Identifier: Apache-2.0 */
#include "options.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "size.h"

#define SYNC   (1U << COMMAND_SYNC)
#define MAP    (1U << COMMAND_MAP)
#define VERIFY (1U << COMMAND_VERIFY)
#define PROBE  (1U << COMMAND_PROBE)
#define FORGET (1U << COMMAND_FORGET)
#define LUNS   (SYNC | MAP | VERIFY | PROBE) /* that open LUNs */
#define ALL    (LUNS | 1U << COMMAND_LEDGERS | FORGET)
#define ANY    (ALL | 1U << COMMAND_NONE)

static const struct {
    const char *name;
    size_t endpoints; /* at least */
    size_t most;
    const char *wanted;
} commands[] = {
    [COMMAND_SYNC] = {"sync", 2, 2, "PRIMARY and SECONDARY"},
    [COMMAND_MAP] = {"map", 1, 2, "PRIMARY, and SECONDARY to see both"},
    [COMMAND_VERIFY] = {"verify", 2, 2, "PRIMARY and SECONDARY"},
    [COMMAND_PROBE] = {"probe", 1, 1, "LUN"},
    [COMMAND_LEDGERS] = {"ledgers", 0, 0, "no names"},
    [COMMAND_FORGET] = {"forget", 0, 2, "PRIMARY and SECONDARY, --pair=NAME or a ledger's file"},
};

#define COMMAND_COUNT (sizeof(commands) / sizeof(commands[0]))

const char *options_command_name(enum command command)
{
    return command < COMMAND_COUNT ? commands[command].name : NULL;
}

/* One of the words, by its index. */
static int set_word(const char *value, const char *const *words, int *ret)
{
    for (int i = 0; words[i]; i++) {
        if (strcmp(value, words[i]) == 0) {
            *ret = i;
            return 0;
        }
    }
    return -EINVAL;
}

static int set_progress(struct options *options, const char *value, struct errmsg *err)
{
    static const char *const words[] = {"auto", "bar", "json", "none", NULL};
    int index;

    if (set_word(value, words, &index) < 0)
        return errmsg_set(err, -EINVAL, "--progress is auto, bar, json or none, not '%s'", value);
    options->progress = (enum progress_mode)index;
    return 0;
}

static int set_source(struct options *options, const char *value, struct errmsg *err)
{
    static const char *const words[] = {"lba-status", "bitmap", "analyse", "both", "full", NULL};
    static const enum source_choice choices[] = {SOURCE_LBA_STATUS, SOURCE_BITMAP, SOURCE_ANALYSE,
                                                 SOURCE_BOTH, SOURCE_FULL};
    int index;

    if (set_word(value, words, &index) < 0)
        return errmsg_set(err, -EINVAL,
                          "--source-map is lba-status, bitmap, analyse, both or full, not '%s'",
                          value);
    options->source = choices[index];
    return 0;
}

static int set_format(struct options *options, const char *value, struct errmsg *err)
{
    static const char *const words[] = {"list", "text", "json", "svg", NULL};
    bool map = options->command == COMMAND_MAP;
    int index;

    if (strcmp(value, "raw") == 0) {
        options->raw = true;
        return 0;
    }
    if (!map || set_word(value, words, &index) < 0)
        return errmsg_set(err, -EINVAL, "--format is %sraw, not '%s'",
                          map ? "list, text, json, svg or " : "", value);
    options->format = (enum map_format)index;
    options->format_given = true;
    return 0;
}

int options_read_rate(const char *path, uint64_t *ret_bytes)
{
    /* A named pipe without a writer must not hold the copy up. */
    CLEANUP_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    char text[64];
    ssize_t length;

    if (fd < 0)
        return -errno;
    length = read(fd, text, sizeof(text) - 1);
    if (length < 0)
        return errno == EAGAIN ? -EINVAL : -errno;
    text[length] = '\0';
    text[strcspn(text, " \t\r\n")] = '\0';
    return size_parse(text, ret_bytes) < 0 ? -EINVAL : 0;
}

static int set_rate_file(struct options *options, const char *path, struct errmsg *err)
{
    uint64_t ignored;
    int r = options_read_rate(path, &ignored);

    options->rate_file = path;
    if (r == -EINVAL)
        return errmsg_set(err, r,
                          "--rate=@%s: the file does not begin with a number of bytes per "
                          "second like 500K, 20M or 1G",
                          path);
    return r < 0 ? errmsg_set(err, -EINVAL, "--rate=@%s: %s", path, strerror(-r)) : 0;
}

static int set_rate(struct options *options, const char *value, struct errmsg *err)
{
    if (value[0] == '@' && value[1] != '\0')
        return set_rate_file(options, value + 1, err);
    if (size_parse(value, &options->rate_bytes) < 0 || options->rate_bytes == 0)
        return errmsg_set(err, -EINVAL,
                          "--rate is a number of bytes per second like 500K, 20M or 1G, or @FILE "
                          "with such a number in it, not '%s'",
                          value);
    return 0;
}

/* 1 to most. */
static int set_count(const char *name, const char *value, unsigned most, unsigned *ret,
                     struct errmsg *err)
{
    uint64_t count;

    if (size_parse(value, &count) < 0 || count == 0 || count > most)
        return errmsg_set(err, -EINVAL, "--%s is a number from 1 to %u, not '%s'", name, most,
                          value);
    *ret = (unsigned)count;
    return 0;
}

static int set_queue_depth(struct options *options, const char *value, struct errmsg *err)
{
    return set_count("queue-depth", value, OPTION_QUEUE_DEPTH_MAX, &options->queue_depth, err);
}

static int set_sessions(struct options *options, const char *value, struct errmsg *err)
{
    return set_count("sessions", value, OPTION_SESSIONS_MAX, &options->sessions, err);
}

static int set_skip_bad(struct options *options, const char *value, struct errmsg *err)
{
    if (size_parse(value, &options->skip_bad) < 0 || options->skip_bad == 0)
        return errmsg_set(err, -EINVAL, "--skip-bad is a number of blocks, not '%s'", value);
    return 0;
}

static int set_verify(struct options *options, const char *value, struct errmsg *err)
{
    static const char *const words[] = {"end", "inline", NULL};
    int index;

    if (set_word(value, words, &index) < 0)
        return errmsg_set(err, -EINVAL, "--verify is end (as without a word) or inline, not '%s'",
                          value);
    *(index == 0 ? &options->verify : &options->verify_inline) = true;
    return 0;
}

static int set_checkpoint(struct options *options, const char *value, struct errmsg *err)
{
    char *end;
    double seconds = strtod(value, &end);

    /* Not a number fails every comparison. */
    if (*value < '0' || *value > '9' || *end != '\0' || !(seconds >= 0.001 && seconds <= 86400))
        return errmsg_set(err, -EINVAL,
                          "--checkpoint is a number of seconds from 0.001 to 86400, not '%s'",
                          value);
    options->checkpoint_ms = (unsigned)(seconds * 1000 + 0.5);
    return 0;
}

static int set_path(const char **to, const char *option, const char *value, struct errmsg *err)
{
    if (*value == '\0')
        return errmsg_set(err, -EINVAL, "--%s needs the name of a file", option);
    *to = value;
    return 0;
}

static int set_ledger(struct options *options, const char *value, struct errmsg *err)
{
    return set_path(&options->ledger, "ledger", value, err);
}

static int set_pair(struct options *options, const char *value, struct errmsg *err)
{
    size_t length = strlen(value);

    if (length == 0 || length > OPTIONS_PAIR_MAX ||
        strspn(value, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") !=
            length)
        return errmsg_set(err, -EINVAL,
                          "--pair is a name of up to %d letters, digits, '.', '_' and '-', not "
                          "'%s'",
                          OPTIONS_PAIR_MAX, value);
    options->pair = value;
    return 0;
}

static int set_auth_file(struct options *options, const char *value, struct errmsg *err)
{
    return set_path(&options->auth_file, "auth-file", value, err);
}

/* Either flag (the offset of a bool) or set takes the option; with both, flag takes it without a
 * value. */
static const struct option {
    const char *name;
    unsigned commands;
    size_t flag;
    int (*set)(struct options *options, const char *value, struct errmsg *err);
} option_table[] = {
    {"help", ANY, offsetof(struct options, help), NULL},
    {"version", ANY, offsetof(struct options, version), NULL},
    {"quiet", ALL, offsetof(struct options, quiet), NULL},
    {"verbose", ALL, offsetof(struct options, verbose), NULL},
    {"json", ALL, offsetof(struct options, json), NULL},
    {"auth-file", LUNS, 0, set_auth_file},
    {"chap-optional", LUNS, offsetof(struct options, chap_optional), NULL},
    {"progress", SYNC | VERIFY, 0, set_progress},
    {"queue-depth", SYNC | VERIFY, 0, set_queue_depth},
    {"sessions", SYNC | VERIFY, 0, set_sessions},
    {"rate", SYNC | VERIFY, 0, set_rate},
    {"source-map", SYNC | MAP | VERIFY, 0, set_source},
    {"skip-gaps", SYNC | MAP | VERIFY, offsetof(struct options, skip_gaps), NULL},
    {"vtoc-lstar", SYNC | MAP | VERIFY, offsetof(struct options, vtoc_lstar), NULL},
    {"format", LUNS, 0, set_format},
    {"keep-free", SYNC, offsetof(struct options, keep_free), NULL},
    {"trust-maps", SYNC | VERIFY, offsetof(struct options, trust_maps), NULL},
    {"allocated", VERIFY, offsetof(struct options, allocated), NULL},
    {"dry-run", SYNC, offsetof(struct options, dry_run), NULL},
    {"overwrite", SYNC, offsetof(struct options, overwrite), NULL},
    {"reserve", SYNC, offsetof(struct options, reserve), NULL},
    {"resume", SYNC, offsetof(struct options, resume), NULL},
    {"checkpoint", SYNC, 0, set_checkpoint},
    {"detect-zeroes", SYNC, offsetof(struct options, detect_zeroes), NULL},
    {"skip-bad", SYNC, 0, set_skip_bad},
    {"verify", SYNC, offsetof(struct options, verify), set_verify},
    {"ledger", SYNC, 0, set_ledger},
    {"pair", SYNC | FORGET, 0, set_pair},
};

static const struct option *find_option(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof(option_table) / sizeof(option_table[0]); i++)
        if (strlen(option_table[i].name) == length &&
            strncmp(option_table[i].name, name, length) == 0)
            return &option_table[i];
    return NULL;
}

static int no_option(const struct options *options, const char *word, size_t length,
                     struct errmsg *err)
{
    const char *command = options_command_name(options->command);

    if (command && length == 1)
        return errmsg_set(err, -EINVAL,
                          "'-' would be standard input or output, where no block can be found "
                          "again: name a LUN or a file");
    return errmsg_set(err, -EINVAL, "%s has no option %.*s; thinmirror %s%s--help lists them",
                      command ? command : "thinmirror", (int)length, word, command ? command : "",
                      command ? " " : "");
}

/* argv[*at] begins with "--"; its value may be the next argument. */
static int parse_option(int argc, char *const argv[], int *at, struct options *options,
                        struct errmsg *err)
{
    const char *name = argv[*at] + 2, *value = strchr(name, '=');
    size_t length = value ? (size_t)(value - name) : strlen(name);
    const struct option *option = find_option(name, length);

    if (!option || !(option->commands & 1U << options->command))
        return no_option(options, argv[*at], strlen("--") + length, err);
    if (!option->set && value)
        return errmsg_set(err, -EINVAL, "--%s takes no value", option->name);
    if (option->flag > 0 && !value) {
        *(bool *)((char *)options + option->flag) = true;
        return 0;
    }
    if (value)
        return option->set(options, value + 1, err);
    if (*at + 1 >= argc)
        return errmsg_set(err, -EINVAL, "--%s needs a value", option->name);
    return option->set(options, argv[++*at], err);
}

static int take_command(const char *word, struct options *options, struct errmsg *err)
{
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        if (strcmp(word, commands[i].name) == 0) {
            options->command = (enum command)i;
            return 0;
        }
    }
    if (strcmp(word, "help") == 0) {
        options->help = true;
        return 0;
    }
    return errmsg_set(err, -EINVAL,
                      "there is no command '%s': sync, map, verify, probe, ledgers or forget",
                      word);
}

static int take_name(const char *name, struct options *options, struct errmsg *err)
{
    size_t most = commands[options->command].most;

    if (most == 0)
        return errmsg_set(err, -EINVAL, "%s takes no name; '%s' is too many",
                          commands[options->command].name, name);
    if (*name == '\0' || strcmp(name, "thin:") == 0)
        return errmsg_set(err, -EINVAL, "the name of a LUN or file is empty");
    if (options->name_count == most)
        return errmsg_set(err, -EINVAL, "%s takes %s only; '%s' is too many",
                          commands[options->command].name, commands[options->command].wanted, name);
    options->names[options->name_count++] = name;
    return 0;
}

static int take_word(const char *word, struct options *options, struct errmsg *err)
{
    if (options->command == COMMAND_NONE)
        return take_command(word, options, err);
    return take_name(word, options, err);
}

/* --json is short for a format, and two LUNs are drawn. */
static int settle_format(struct options *options, struct errmsg *err)
{
    if (options->json && options->format_given && options->format != FORMAT_JSON)
        return errmsg_set(err, -EINVAL, "--json and another --format exclude each other");
    if (options->json)
        options->format = FORMAT_JSON;
    else if (options->name_count > 1 && !options->format_given)
        options->format = FORMAT_TEXT;
    if (options->name_count > 1 && options->format == FORMAT_LIST)
        return errmsg_set(err, -EINVAL,
                          "--format=list is for one LUN; text, svg and json show two");
    return 0;
}

/* Whose ledger is meant, told in one way. */
static int check_forget(const struct options *options, struct errmsg *err)
{
    if (options->command != COMMAND_FORGET || (options->name_count > 0) != (options->pair != NULL))
        return 0;
    return errmsg_set(err, -EINVAL, "forget needs %s%s; thinmirror forget --help shows examples",
                      commands[COMMAND_FORGET].wanted, options->pair ? ", one of these" : "");
}

static int check_complete(struct options *options, struct errmsg *err)
{
    if (options->help || options->version)
        return 0;
    if (options->command == COMMAND_NONE)
        return errmsg_set(err, -EINVAL,
                          "what is to be done? sync, map, verify, probe, ledgers or forget; "
                          "thinmirror --help says more");
    if (options->name_count < commands[options->command].endpoints)
        return errmsg_set(err, -EINVAL, "%s needs %s; thinmirror %s --help shows examples",
                          commands[options->command].name, commands[options->command].wanted,
                          commands[options->command].name);
    if (check_forget(options, err) < 0)
        return -EINVAL;
    if (options->quiet && options->verbose)
        return errmsg_set(err, -EINVAL, "--quiet and --verbose exclude each other");
    if (options->dry_run && (options->verify || options->verify_inline))
        return errmsg_set(err, -EINVAL,
                          "--dry-run writes nothing that --verify could check; "
                          "thinmirror verify compares what is there");
    if (options->command == COMMAND_SYNC && options->trust_maps && !options->verify)
        return errmsg_set(err, -EINVAL, "--trust-maps is for --verify, which compares both sides");
    if (options->trust_maps &&
        (options->source == SOURCE_FULL || options->allocated || options->keep_free))
        return errmsg_set(err, -EINVAL,
                          "--trust-maps changes nothing with --source-map=full, --allocated or "
                          "--keep-free: leave it out");
    return options->command == COMMAND_MAP ? settle_format(options, err) : 0;
}

/* The options that have a letter, too. */
static bool take_letter(const char *word, struct options *options)
{
    if (word[0] != '-' || word[1] == '\0' || word[2] != '\0')
        return false;
    switch (word[1]) {
    case 'h':
        options->help = true;
        return true;
    case 'V':
        options->version = true;
        return true;
    case 'q':
        options->quiet = true;
        return true;
    case 'v':
        options->verbose = true;
        return true;
    default:
        return false;
    }
}

int options_parse(int argc, char *const argv[], struct options *ret, struct errmsg *err)
{
    bool words_only = false;

    *ret = (struct options){.command = COMMAND_NONE, .checkpoint_ms = OPTIONS_CHECKPOINT_MS};
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];
        int r;

        if (!words_only && strcmp(word, "--") == 0) {
            words_only = true;
            continue;
        }
        if (!words_only && take_letter(word, ret))
            continue;
        if (!words_only && strncmp(word, "--", 2) == 0)
            r = parse_option(argc, argv, &at, ret, err);
        else if (!words_only && word[0] == '-')
            r = no_option(ret, word, strlen(word), err);
        else
            r = take_word(word, ret, err);
        if (r < 0)
            return r;
    }
    return check_complete(ret, err);
}
