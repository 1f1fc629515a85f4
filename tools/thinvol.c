/* SPDX-License-Identifier: Apache-2.0 */

/* thinvol: makes and inspects the volumes behind the LUNs. */

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "size.h"
#include "volume.h"

enum exit_status { EXIT_DONE = 0, EXIT_ERROR = 1, EXIT_USAGE = 2, EXIT_REFUSED = 3 };

struct arguments {
    const char *path;
    const char *size; /* as given, or NULL */
    uint64_t bytes;
    uint32_t block_size;
    bool adopt;
    bool discard;
    bool json;
};

enum option_code { OPTION_BLOCK_SIZE = 256, OPTION_ADOPT, OPTION_DISCARD, OPTION_JSON };

struct verb {
    const char *name;
    int (*run)(const struct arguments *arguments);
    const char *synopsis;
    const char *what;
    int max_operands;
    const struct option *options;
};

/* An error's place among the exit statuses. */
static int failed(int error, const struct errmsg *err)
{
    fprintf(stderr, "thinvol: %s\n", err->text);
    return error == -EBUSY || error == -EEXIST ? EXIT_REFUSED : EXIT_ERROR;
}

static int usage_error(const char *verb, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static int usage_error(const char *verb, const char *format, ...)
{
    va_list arguments;

    fputs("thinvol: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fprintf(stderr, "; see thinvol %s%s--help\n", verb, verb[0] ? " " : "");
    return EXIT_USAGE;
}

static void uuid_text(const struct volume *volume, char text[static UUID_STR_LEN])
{
    uuid_unparse_lower(volume_get_meta(volume)->uuid, text);
}

/* What create, info and resize tell of a volume. */
static int print_volume(struct volume *volume, const struct arguments *arguments)
{
    char uuid[UUID_STR_LEN], size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
    uint64_t bytes = volume_bytes(volume);
    uint64_t allocated;
    int error = volume_allocated(volume, &allocated);

    if (error) {
        fprintf(stderr, "thinvol: %s cannot be examined: %s\n", arguments->path, strerror(-error));
        return EXIT_ERROR;
    }
    uuid_text(volume, uuid);
    if (arguments->json) {
        struct json_object *object = json_object_new_object();

        json_object_object_add(object, "path", json_object_new_string(arguments->path));
        json_object_object_add(object, "uuid", json_object_new_string(uuid));
        json_object_object_add(object, "block_size",
                               json_object_new_int64(volume_block_size(volume)));
        json_object_object_add(object, "blocks", json_object_new_uint64(volume_blocks(volume)));
        json_object_object_add(object, "bytes", json_object_new_uint64(bytes));
        json_object_object_add(object, "allocated_bytes", json_object_new_uint64(allocated));
        json_object_object_add(object, "granularity_bytes",
                               json_object_new_int64(volume_granularity(volume)));
        puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY |
                                                        JSON_C_TO_STRING_NOSLASHESCAPE));
        json_object_put(object);
        return EXIT_DONE;
    }
    printf("volume:       %s\n", arguments->path);
    printf("uuid:         %s\n", uuid);
    printf("size:         %s (%" PRIu64 " bytes, %" PRIu64 " blocks of %u)\n",
           size_text(bytes, size, sizeof(size)), bytes, volume_blocks(volume),
           volume_block_size(volume));
    printf("allocated:    %s (%.1f %%)\n", size_text(allocated, used, sizeof(used)),
           100.0 * (double)allocated / (double)bytes);
    printf("granularity:  %u bytes are given back at a time\n", volume_granularity(volume));
    return EXIT_DONE;
}

/* Prints, closes, and gives the worse of both results. */
static int print_and_close(struct volume *volume, const struct arguments *arguments)
{
    int status = print_volume(volume, arguments);
    int error = volume_close(volume);

    if (error) {
        fprintf(stderr, "thinvol: %s cannot be made durable: %s\n", arguments->path,
                strerror(-error));
        return EXIT_ERROR;
    }
    return status;
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
    if (arguments->adopt)
        error = volume_adopt(arguments->path, arguments->block_size, &volume, &err);
    else
        error =
            volume_create(arguments->path, arguments->block_size, arguments->bytes, &volume, &err);
    if (error)
        return failed(error, &err);
    return print_and_close(volume, arguments);
}

static int run_info(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, true, &volume, &err);

    return error ? failed(error, &err) : print_and_close(volume, arguments);
}

/* One line of the map; all of it is one extent. */
static void print_extent(const struct extent *extent, uint32_t block_size, bool json, bool first)
{
    uint64_t lba = extent->start / block_size;
    uint64_t blocks = extent->length / block_size;
    const char *status = extent_status_name(extent->status);

    if (json)
        printf("%s\n  {\"lba\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"status\": \"%s\"}",
               first ? "" : ",", lba, blocks, status);
    else
        printf("%16" PRIu64 " %16" PRIu64 "  %s\n", lba, blocks, status);
}

/* Prints extent by extent, neighbours of one status as one. */
static int print_map(struct volume *volume, bool json)
{
    uint32_t block_size = volume_block_size(volume);
    uint64_t bytes = volume_bytes(volume);
    struct extent extent, pending = {0};
    bool first = true;

    for (uint64_t at = 0; at < bytes; at += extent.length) {
        int error = volume_extent(volume, at, bytes, &extent);

        if (error)
            return error;
        if (pending.length > 0 && pending.status == extent.status) {
            pending.length += extent.length;
            continue;
        }
        if (pending.length > 0) {
            print_extent(&pending, block_size, json, first);
            first = false;
        }
        pending = extent;
    }
    print_extent(&pending, block_size, json, first);
    return 0;
}

static int run_map(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, true, &volume, &err);

    if (error)
        return failed(error, &err);
    if (arguments->json)
        putchar('[');
    else
        printf("%16s %16s  %s\n", "LBA", "BLOCKS", "STATUS");
    error = print_map(volume, arguments->json);
    if (error)
        fprintf(stderr, "thinvol: the map of %s cannot be read: %s\n", arguments->path,
                strerror(-error));
    else if (arguments->json)
        puts("\n]");
    volume_close(volume);
    return error ? EXIT_ERROR : EXIT_DONE;
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
        return failed(error, &err);
    error = volume_resize(volume, arguments->bytes, arguments->discard, &err);
    if (error) {
        volume_close(volume);
        return failed(error, &err);
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

static const struct verb verbs[] = {
    {"create", run_create, "create [--block-size=512|4096] [--json] PATH SIZE",
     "Makes a new volume of SIZE bytes, all of it unmapped. PATH is a sparse file of raw blocks;\n"
     "PATH.thin beside it holds the volume's identity. The block size is 512 unless given.\n\n"
     "  thinvol create --adopt [--block-size=512|4096] [--json] PATH\n\n"
     "makes a volume of a raw file that exists and keeps its bytes.\n",
     2, create_options},
    {"info", run_info, "info [--json] PATH", "Shows the volume's identity, size and storage.\n", 1,
     info_options},
    {"map", run_map, "map [--json] PATH",
     "Lists which blocks have storage behind them: mapped (written), anchored (reserved, never\n"
     "written) or deallocated (none).\n",
     1, info_options},
    {"resize", run_resize, "resize [--discard] [--json] PATH SIZE",
     "Makes the volume longer or shorter. Blocks in use beyond the new end are a reason to "
     "refuse,\n"
     "unless --discard gives them up.\n",
     2, resize_options},
};

#define VERB_COUNT (sizeof(verbs) / sizeof(verbs[0]))

static int help(void)
{
    puts("thinvol makes and inspects the volumes behind thin LUNs.\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        printf("  thinvol %s\n", verbs[i].synopsis);
    puts(
        "\nSIZE is a number of bytes, or of K, M, G or T (powers of 1024). A volume that is being\n"
        "served is refused. thinvol VERB --help says more.\n\n"
        "Exit status: 0 done, 1 an error, 2 wrong use, 3 refused to keep data safe.");
    return EXIT_DONE;
}

static int parse_options(const struct verb *verb, int argc, char **argv, struct arguments *ret,
                         bool *ret_help)
{
    int code;

    opterr = 0;
    while ((code = getopt_long(argc, argv, ":", verb->options, NULL)) != -1) {
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
    ret->size = argv[optind + 1];
    switch (size_parse(ret->size, &ret->bytes)) {
    case 0:
        break;
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
    struct arguments arguments = {.block_size = 512};
    bool wants_help = false;
    int status = parse_options(verb, argc, argv, &arguments, &wants_help);

    if (wants_help) {
        printf("  thinvol %s\n\n%s", verb->synopsis, verb->what);
        return EXIT_DONE;
    }
    if (status == EXIT_DONE)
        status = parse_operands(verb, argc, argv, &arguments);
    if (status == EXIT_DONE)
        status = verb->run(&arguments);
    return status;
}

static int dispatch(int argc, char **argv)
{
    if (argc < 2)
        return usage_error("", "what to do is missing");
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)
        return help();
    for (size_t i = 0; i < VERB_COUNT; i++) {
        if (strcmp(argv[1], verbs[i].name) == 0)
            return run(&verbs[i], argc - 1, argv + 1);
    }
    return usage_error("", "'%s' is not something thinvol does", argv[1]);
}

int main(int argc, char **argv)
{
    int status;

    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a reason to die */
    status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        fprintf(stderr, "thinvol: the output cannot be written: %s\n", strerror(errno));
        return EXIT_ERROR;
    }
    return status;
}
