/* SPDX-License-Identifier: Apache-2.0 */

/* thinvol: makes and inspects the volumes behind the LUNs. */

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "size.h"
#include "standard_files.h"
#include "targetcli.h"
#include "thinvol.h"
#include "utf8.h"

enum option_code {
    OPTION_BLOCK_SIZE = 256,
    OPTION_ADOPT,
    OPTION_DISCARD,
    OPTION_JSON,
    OPTION_SINCE
};

struct verb {
    const char *name;
    int (*run)(const struct arguments *arguments);
    const char *synopsis;
    const char *what;
    bool takes_size; /* after the PATH */
    int max_operands;
    const struct option *options;
};

void say(const char *sentence)
{
    fputs("thinvol: ", stderr);
    utf8_print(stderr, sentence);
    fputc('\n', stderr);
}

int failed(const struct arguments *arguments, int error, const struct errmsg *err)
{
    say(err->text);
    arguments->outcome->error = *err;
    switch (error) {
    case -EBUSY:
    case -EEXIST:
    case -ELOOP: /* a symbolic link that others can change */
    case -ESHUTDOWN:
        return EXIT_REFUSED;
    default:
        return EXIT_ERROR;
    }
}

int usage_error(const char *verb, const char *format, ...)
{
    va_list arguments;

    fputs("thinvol: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see thinvol %s%s--help\n", verb, verb[0] ? " " : "");
    return EXIT_USAGE;
}

/* The same where a size came from the command line: one that no volume can have is wrong use. */
static int size_failed(const struct arguments *arguments, int error, const struct errmsg *err)
{
    return error == -EINVAL ? usage_error(arguments->verb, "%s", err->text)
                            : failed(arguments, error, err);
}

int close_durably(struct volume *volume, const struct arguments *arguments, int status)
{
    int error = volume_close(volume);
    struct errmsg err;

    if (!error)
        return status;
    errmsg_set(&err, error, "%s cannot be made durable: %s", arguments->path, strerror(-error));
    failed(arguments, error, &err);
    return EXIT_ERROR;
}

/* Prints, closes, and gives the worse of both results. */
static int print_and_close(struct volume *volume, const struct arguments *arguments)
{
    return close_durably(volume, arguments, print_volume(volume, arguments, NULL));
}

/* Nothing is left half made: who wants to end it has to wait for the few milliseconds. */
static int create_whole(const struct arguments *arguments, struct volume **ret, struct errmsg *err)
{
    sigset_t ends, before;
    int error;

    sigemptyset(&ends);
    sigaddset(&ends, SIGHUP);
    sigaddset(&ends, SIGINT);
    sigaddset(&ends, SIGTERM);
    sigprocmask(SIG_BLOCK, &ends, &before);
    if (arguments->adopt)
        error = volume_adopt(arguments->path, arguments->block_size, ret, err);
    else
        error = volume_create(arguments->path, arguments->block_size, arguments->bytes, ret, err);
    sigprocmask(SIG_SETMASK, &before, NULL);
    return error;
}

static int run_create(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error;

    if (!arguments->adopt && !arguments->size)
        return usage_error("create", "create needs a SIZE");
    if (arguments->adopt && arguments->size)
        return usage_error("create", "create --adopt keeps the size of the file, so SIZE must not "
                                     "be given");
    error = create_whole(arguments, &volume, &err);
    if (error)
        return arguments->adopt ? failed(arguments, error, &err)
                                : size_failed(arguments, error, &err);
    targetcli_warn(arguments->path, &arguments->outcome->note);
    return print_and_close(volume, arguments);
}

static int run_resize(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error;

    if (!arguments->size)
        return usage_error("resize", "resize needs a SIZE");
    error = volume_open(arguments->path, false, &volume, &err);
    if (error)
        return failed(arguments, error, &err);
    error = volume_resize(volume, arguments->bytes, arguments->discard, &err);
    if (error) {
        volume_close(volume);
        if (error == -EBUSY)
            strncat(err.text, "; --discard gives them up", sizeof(err.text) - strlen(err.text) - 1);
        return size_failed(arguments, error, &err);
    }
    return print_and_close(volume, arguments);
}

static int run_new_id(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, false, &volume, &err);

    if (error)
        return failed(arguments, error, &err);
    error = volume_renew_uuid(volume, &err);
    if (error) {
        volume_close(volume);
        return failed(arguments, error, &err);
    }
    return print_and_close(volume, arguments);
}

static const struct option info_options[] = {{"json", no_argument, NULL, OPTION_JSON},
                                             {"help", no_argument, NULL, 'h'},
                                             {0}};
static const struct option create_options[] = {{"block-size", required_argument, NULL,
                                                OPTION_BLOCK_SIZE},
                                               {"adopt", no_argument, NULL, OPTION_ADOPT},
                                               {"json", no_argument, NULL, OPTION_JSON},
                                               {"help", no_argument, NULL, 'h'},
                                               {0}};
static const struct option resize_options[] = {{"discard", no_argument, NULL, OPTION_DISCARD},
                                               {"json", no_argument, NULL, OPTION_JSON},
                                               {"help", no_argument, NULL, 'h'},
                                               {0}};

static const struct option changed_options[] = {{"since", required_argument, NULL, OPTION_SINCE},
                                                {"json", no_argument, NULL, OPTION_JSON},
                                                {"help", no_argument, NULL, 'h'},
                                                {0}};

static const struct verb verbs[] = {
    {"create", run_create, "create [--block-size=512|4096] [--json] PATH SIZE",
     "Makes a new volume of SIZE bytes, all of it unmapped. PATH is a sparse file of raw blocks;\n"
     "PATH.thin beside it holds the volume's identity. The block size is 512 unless given.\n\n"
     "  thinvol create --adopt [--block-size=512|4096] [--json] PATH\n\n"
     "makes a volume of a raw file that exists and keeps its bytes.\n",
     true, 2, create_options},
    {"info", run_info, "info [--json] PATH",
     "Shows the volume's identity, size and storage, and who has it in use.\n", false, 1,
     info_options},
    {"map", run_map, "map [--json] PATH",
     "Lists which blocks have storage behind them: mapped (written), anchored (reserved, never\n"
     "written) or deallocated (none). While the volume is in use the map may change under way.\n",
     false, 1, info_options},
    {"check", run_check, "check [--json] PATH",
     "Verifies that the description is sound and fits the file, that the file system can punch\n"
     "holes in it and reports them, and that the map covers every block. Changes nothing.\n",
     false, 1, info_options},
    {"resize", run_resize, "resize [--discard] [--json] PATH SIZE",
     "Makes the volume longer or shorter. Blocks in use beyond the new end are a reason to "
     "refuse,\n"
     "unless --discard gives them up.\n",
     true, 2, resize_options},
    {"new-id", run_new_id, "new-id [--json] PATH",
     "Gives the volume a new UUID: for one that was made by copying the file and the description\n"
     "of another volume. Two volumes of one UUID are one disk to initiators, so only one of them\n"
     "is served. With the new UUID it is another disk to them, and to thinmirror.\n",
     false, 1, info_options},
    {"track", run_track, "track [--json] PATH on|off",
     "Begins to record which blocks of the volume change, in PATH.track beside it, or ends that "
     "and\n"
     "removes the record. The record has a consistency point from its begin on.\n",
     false, 2, info_options},
    {"point", run_point, "point [--json] PATH",
     "Cuts a consistency point of the volume and prints its ID.\n", false, 1, info_options},
    {"points", run_points, "points [--json] PATH",
     "Lists the consistency points of the volume, the oldest one first.\n", false, 1, info_options},
    {"forget", run_forget, "forget [--json] PATH ID",
     "Forgets a consistency point: what changed since it cannot be asked any more.\n", false, 2,
     info_options},
    {"changed", run_changed, "changed [--since=ID] [--json] PATH",
     "Lists the blocks that may have changed since the consistency point, or since the oldest one\n"
     "there is. Suspect blocks may have changed, as the machine crashed meanwhile. When it fails,\n"
     "everything counts as changed.\n",
     false, 1, changed_options},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int help(void)
{
    puts("thinvol makes and inspects the volumes behind thin LUNs.\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("  thinvol %s\n", verbs[i].synopsis);
    puts(
        "\nSIZE is a number of bytes, or of K, M, G or T, which are powers of 1024 (KiB, MiB, GiB\n"
        "and TiB mean the same; KB, MB, GB and TB are powers of 1000), such as 10G or 1.5T. info,\n"
        "map, points and changed also look at a volume that is being served; the others refuse "
        "it.\n"
        "thinvol VERB --help says more, thinvol --version which version this is.\n\n"
        "Exit status: 0 done, 1 an error, 2 wrong use, 3 refused to keep data safe.");
    return EXIT_DONE;
}

static int parse_options(const struct verb *verb, int argc, char **argv, struct arguments *ret,
                         bool *ret_help)
{
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":h", verb->options, NULL)) != -1) {
        switch (code) {
        case OPTION_BLOCK_SIZE:
            if (strcmp(optarg, "512") != 0 && strcmp(optarg, "4096") != 0)
                return usage_error(verb->name, "the block size '%s' is neither 512 nor 4096",
                                   optarg);
            ret->block_size = optarg[0] == '5' ? 512 : 4096;
            break;
        case OPTION_ADOPT:
            ret->adopt = true;
            break;
        case OPTION_DISCARD:
            ret->discard = true;
            break;
        case OPTION_JSON:
            ret->json = true;
            break;
        case OPTION_SINCE:
            ret->since = optarg;
            break;
        case 'h':
            *ret_help = true;
            return EXIT_DONE;
        case ':':
            return usage_error(verb->name, "%s needs a value", argv[optind - 1]);
        default:
            return usage_error(verb->name, "%s is not known, or takes no value", argv[optind - 1]);
        }
    }
    return EXIT_DONE;
}

static int parse_operands(const struct verb *verb, int argc, char **argv, struct arguments *ret)
{
    if (optind == argc)
        return usage_error(verb->name, "%s needs the PATH of a volume", verb->name);
    if (argc - optind > verb->max_operands)
        return usage_error(verb->name, "'%s' is one argument too many",
                           argv[optind + verb->max_operands]);
    ret->path = argv[optind];
    if (argc - optind < 2)
        return EXIT_DONE;
    ret->operand = argv[optind + 1];
    if (!verb->takes_size)
        return EXIT_DONE;
    ret->size = ret->operand;
    switch (size_parse(ret->size, &ret->bytes)) {
    case 0:
        break;
    case -EDOM:
        return usage_error(verb->name,
                           "the size '%s' is no whole number of bytes; give it in a smaller unit",
                           ret->size);
    case -ERANGE:
        return usage_error(verb->name, "the size '%s' is larger than any file can be", ret->size);
    default:
        return usage_error(verb->name, "'%s' is not a size such as 10G, 512M or 1048576",
                           ret->size);
    }
    return EXIT_DONE;
}

static int run(const struct verb *verb, int argc, char **argv)
{
    struct outcome outcome = {.started = time(NULL)};
    struct arguments arguments = {.verb = verb->name, .outcome = &outcome, .block_size = 512};
    bool wants_help = false;
    int status = parse_options(verb, argc, argv, &arguments, &wants_help);

    if (wants_help) {
        printf("  thinvol %s\n\n%s", verb->synopsis, verb->what);
        return EXIT_DONE;
    }
    if (status == EXIT_DONE)
        status = parse_operands(verb, argc, argv, &arguments);
    if (status != EXIT_DONE)
        return status;
    status = verb->run(&arguments);
    if (arguments.json && status != EXIT_USAGE)
        outcome_print(&arguments, status);
    else
        outcome_drop(&outcome);
    return status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return usage_error("", "what to do is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "-V") == 0) {
        puts("thinvol " THINMIRROR_VERSION);
        return EXIT_DONE;
    }
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return run(&verbs[i], argc - 1, argv + 1);
    }
    return usage_error("", "'%s' is not something thinvol does", argv[1]);
}

int main(int argc, char **argv)
{
    int status;

    if (standard_files_reserve() < 0)
        return EXIT_ERROR;    /* there is nowhere to print it */
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a reason to die */
    status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        fprintf(stderr, "thinvol: the output cannot be written: %s\n", strerror(errno));
        return EXIT_ERROR;
    }
    return status;
}
