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
#include <stdlib.h>
#include <string.h>

#include "size.h"
#include "standard_files.h"
#include "utf8.h"
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
    fputs("thinvol: ", stderr);
    utf8_print(stderr, err->text);
    fputc('\n', stderr);
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

/* The same where a size came from the command line: one that no volume can have is wrong use. */
static int size_failed(const char *verb, int error, const struct errmsg *err)
{
    return error == -EINVAL ? usage_error(verb, "%s", err->text) : failed(error, err);
}

static void uuid_text(const struct volume *volume, char text[static UUID_STR_LEN])
{
    uuid_unparse_lower(volume_get_meta(volume)->uuid, text);
}

/* Takes the object over. */
static void print_json(struct json_object *object)
{
    puts(json_object_to_json_string_ext(object, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED |
                                                    JSON_C_TO_STRING_NOSLASHESCAPE));
    json_object_put(object);
}

static void add_path(struct json_object *object, const char *path)
{
    char *text = utf8_copy(path);

    json_object_object_add(object, "path", text ? json_object_new_string(text) : NULL);
    free(text);
}

/* What create, info and resize tell of a volume. */
static int print_volume(struct volume *volume, const struct arguments *arguments)
{
    char uuid[UUID_STR_LEN], size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
    bool sealed = volume_get_meta(volume)->seal != VOLUME_WHOLE;
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

        add_path(object, arguments->path);
        json_object_object_add(object, "uuid", json_object_new_string(uuid));
        json_object_object_add(object, "block_size",
                               json_object_new_int64(volume_block_size(volume)));
        json_object_object_add(object, "blocks", json_object_new_uint64(volume_blocks(volume)));
        json_object_object_add(object, "bytes", json_object_new_uint64(bytes));
        json_object_object_add(object, "allocated_bytes", json_object_new_uint64(allocated));
        json_object_object_add(object, "granularity_bytes",
                               json_object_new_int64(volume_granularity(volume)));
        json_object_object_add(object, "sanitize_failed", json_object_new_boolean(sealed));
        print_json(object);
        return EXIT_DONE;
    }
    fputs("volume:       ", stdout);
    utf8_print(stdout, arguments->path);
    putchar('\n');
    printf("uuid:         %s\n", uuid);
    printf("size:         %s, %" PRIu64 " bytes\n", size_text(bytes, size, sizeof(size)), bytes);
    printf("blocks:       %" PRIu64 " of %u bytes\n", volume_blocks(volume),
           volume_block_size(volume));
    printf("allocated:    %s (%.1f %%)\n", size_text(allocated, used, sizeof(used)),
           100.0 * (double)allocated / (double)bytes);
    printf("granularity:  %u bytes are given back at a time\n", volume_granularity(volume));
    if (sealed)
        printf("sanitize:     one broke off; no block can be used until another succeeds\n");
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
        return arguments->adopt ? failed(error, &err) : size_failed("create", error, &err);
    return print_and_close(volume, arguments);
}

static int run_info(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, true, &volume, &err);

    return error ? failed(error, &err) : print_and_close(volume, arguments);
}

/* Hands out the map extent by extent, neighbours of one status as one. */
static int walk_map(struct volume *volume, int (*each)(const struct extent *extent, void *context),
                    void *context)
{
    uint64_t bytes = volume_bytes(volume);
    struct extent extent, pending = {0};

    for (uint64_t at = 0; at < bytes; at += extent.length) {
        int error = volume_extent(volume, at, bytes, &extent);

        if (!error && pending.length > 0 && pending.status != extent.status) {
            error = each(&pending, context);
            pending.length = 0;
        }
        if (error)
            return error;
        extent.start -= pending.length;
        pending = (struct extent){.start = extent.start,
                                  .length = pending.length + extent.length,
                                  .status = extent.status};
    }
    return each(&pending, context);
}

struct map_output {
    uint32_t block_size;
    bool json;
    bool started;
};

static int print_extent(const struct extent *extent, void *context)
{
    struct map_output *output = context;
    uint64_t lba = extent->start / output->block_size;
    uint64_t blocks = extent->length / output->block_size;
    const char *status = extent_status_name(extent->status);

    if (output->json)
        printf("%s\n  {\"lba\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"status\": \"%s\"}",
               output->started ? "," : "", lba, blocks, status);
    else
        printf("%16" PRIu64 " %16" PRIu64 "  %s\n", lba, blocks, status);
    output->started = true;
    return 0;
}

static int run_map(const struct arguments *arguments)
{
    struct map_output output = {.json = arguments->json};
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, true, &volume, &err);

    if (error)
        return failed(error, &err);
    output.block_size = volume_block_size(volume);
    if (output.json)
        putchar('[');
    else
        printf("%16s %16s  %s\n", "LBA", "BLOCKS", "STATUS");
    error = walk_map(volume, print_extent, &output);
    if (error)
        error = errmsg_set(&err, error, "the map of %s cannot be read: %s", arguments->path,
                           strerror(-error));
    else if (output.json)
        puts("\n]");
    volume_close(volume);
    return error ? failed(error, &err) : EXIT_DONE;
}

/* What check found out. */
struct findings {
    uint64_t extents;
    uint64_t bytes[EXTENT_ANCHORED + 1]; /* by status */
    uint64_t allocated;
    bool tried_holes;
};

static int add_finding(const struct extent *extent, void *context)
{
    struct findings *findings = context;

    findings->extents++;
    findings->bytes[extent->status] += extent->length;
    return 0;
}

/* Opening for writing tries whether holes can be punched; who may not write is told the rest. */
static int open_for_check(const char *path, struct volume **ret, bool *ret_tried_holes,
                          struct errmsg *err)
{
    int error = volume_open(path, false, ret, err);

    *ret_tried_holes = error == 0;
    if (error == -EACCES || error == -EPERM || error == -EROFS)
        error = volume_open(path, true, ret, err);
    return error;
}

static void print_findings_json(const struct volume *volume, const char *path,
                                const struct findings *findings)
{
    struct json_object *object = json_object_new_object();
    char uuid[UUID_STR_LEN];

    uuid_text(volume, uuid);
    add_path(object, path);
    json_object_object_add(object, "ok", json_object_new_boolean(true));
    json_object_object_add(object, "uuid", json_object_new_string(uuid));
    json_object_object_add(object, "block_size", json_object_new_int64(volume_block_size(volume)));
    json_object_object_add(object, "blocks", json_object_new_uint64(volume_blocks(volume)));
    json_object_object_add(object, "holes_tried", json_object_new_boolean(findings->tried_holes));
    json_object_object_add(object, "extents", json_object_new_uint64(findings->extents));
    for (int status = 0; status <= EXTENT_ANCHORED; status++) {
        char name[32];

        snprintf(name, sizeof(name), "%s_bytes", extent_status_name((enum extent_status)status));
        json_object_object_add(object, name, json_object_new_uint64(findings->bytes[status]));
    }
    json_object_object_add(object, "allocated_bytes", json_object_new_uint64(findings->allocated));
    print_json(object);
}

static void print_findings(const struct volume *volume, const char *path,
                           const struct findings *findings)
{
    char uuid[UUID_STR_LEN], mapped[SIZE_TEXT_BYTES], anchored[SIZE_TEXT_BYTES];
    char deallocated[SIZE_TEXT_BYTES], allocated[SIZE_TEXT_BYTES];

    uuid_text(volume, uuid);
    printf("description:  %s.thin is sound, UUID %s, blocks of %u bytes\n", path, uuid,
           volume_block_size(volume));
    printf("size:         %" PRIu64 " bytes, which are whole blocks\n", volume_bytes(volume));
    puts(findings->tried_holes
             ? "holes:        the file system punches them and reports them"
             : "holes:        not tried, for want of permission to write to the file");
    printf("map:          %" PRIu64 " extent%s all blocks: %s mapped, %s anchored, "
           "%s deallocated\n",
           findings->extents, findings->extents == 1 ? " covers" : "s cover",
           size_text(findings->bytes[EXTENT_MAPPED], mapped, sizeof(mapped)),
           size_text(findings->bytes[EXTENT_ANCHORED], anchored, sizeof(anchored)),
           size_text(findings->bytes[EXTENT_DEALLOCATED], deallocated, sizeof(deallocated)));
    printf("storage:      %s taken\n",
           size_text(findings->allocated, allocated, sizeof(allocated)));
    puts("The volume is sound.");
}

static int run_check(const struct arguments *arguments)
{
    struct findings findings = {0};
    struct volume *volume;
    struct errmsg err;
    int error = open_for_check(arguments->path, &volume, &findings.tried_holes, &err);

    if (error)
        return failed(error, &err);
    error = walk_map(volume, add_finding, &findings);
    if (!error)
        error = volume_allocated(volume, &findings.allocated);
    if (error)
        error = errmsg_set(&err, error, "the map of %s cannot be read: %s", arguments->path,
                           strerror(-error));
    else if (arguments->json)
        print_findings_json(volume, arguments->path, &findings);
    else
        print_findings(volume, arguments->path, &findings);
    volume_close(volume);
    return error ? failed(error, &err) : EXIT_DONE;
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
        if (error == -EBUSY)
            strncat(err.text, "; --discard gives them up", sizeof(err.text) - strlen(err.text) - 1);
        return size_failed("resize", error, &err);
    }
    return print_and_close(volume, arguments);
}

static int run_new_id(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    int error = volume_open(arguments->path, false, &volume, &err);

    if (error)
        return failed(error, &err);
    error = volume_renew_uuid(volume, &err);
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
    {"check", run_check, "check [--json] PATH",
     "Verifies that the description is sound and fits the file, that the file system can punch\n"
     "holes in it and reports them, and that the map covers every block. Changes nothing.\n",
     1, info_options},
    {"resize", run_resize, "resize [--discard] [--json] PATH SIZE",
     "Makes the volume longer or shorter. Blocks in use beyond the new end are a reason to "
     "refuse,\n"
     "unless --discard gives them up.\n",
     2, resize_options},
    {"new-id", run_new_id, "new-id [--json] PATH",
     "Gives the volume a new UUID: for one that was made by copying the file and the description\n"
     "of another volume. Two volumes of one UUID are one disk to initiators, so only one of them\n"
     "is served. With the new UUID it is another disk to them, and to thinmirror.\n",
     1, info_options},
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

    if (standard_files_reserve() < 0)
        return EXIT_ERROR;    /* nobody to tell */
    signal(SIGXFSZ, SIG_IGN); /* a file size limit is an error to report, not a reason to die */
    status = dispatch(argc, argv);
    if ((fflush(stdout) != 0 || ferror(stdout)) && status == EXIT_DONE) {
        fprintf(stderr, "thinvol: the output cannot be written: %s\n", strerror(errno));
        return EXIT_ERROR;
    }
    return status;
}
