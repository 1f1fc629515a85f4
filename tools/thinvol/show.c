/* SPDX-License-Identifier: Apache-2.0 */

/* What thinvol shows of a volume: itself, its map, whether it is sound. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "process_name.h"
#include "size.h"
#include "thinvol.h"
#include "utf8.h"

/* Extents asked for at once. */
#define BATCH 512

static void uuid_text(const struct volume *volume, char text[static UUID_STR_LEN])
{
    uuid_unparse_lower(volume_get_meta(volume)->uuid, text);
}

static struct json_object *describe(struct volume *volume, uint64_t allocated, const char *user)
{
    struct json_object *object = json_new();
    char uuid[UUID_STR_LEN];

    uuid_text(volume, uuid);
    json_add_text(object, "uuid", uuid);
    json_add_number(object, "block_size", volume_block_size(volume));
    json_add_number(object, "blocks", volume_blocks(volume));
    json_add_number(object, "lun_bytes", volume_bytes(volume));
    json_add_number(object, "allocated_bytes", allocated);
    json_add_number(object, "unmap_granularity_bytes", volume_granularity(volume));
    json_add_flag(object, "sanitize_failed", volume_get_meta(volume)->seal != VOLUME_WHOLE);
    json_add_known_text(object, "holder", user);
    json_object_object_add(object, "record", describe_record(volume));
    return object;
}

/* Of an error that has no sentence yet. */
static int failed_to(const struct arguments *arguments, int error, const char *what)
{
    struct errmsg err;

    errmsg_set(&err, error, "%.700s %s: %s", arguments->path, what, strerror(-error));
    return failed(arguments, error, &err);
}

int print_volume(struct volume *volume, const struct arguments *arguments, const char *user)
{
    char uuid[UUID_STR_LEN], size[SIZE_TEXT_BYTES], used[SIZE_TEXT_BYTES];
    bool sealed = volume_get_meta(volume)->seal != VOLUME_WHOLE;
    uint64_t bytes = volume_bytes(volume);
    uint64_t allocated;
    int error = volume_allocated(volume, &allocated);

    if (error)
        return failed_to(arguments, error, "cannot be examined");
    uuid_text(volume, uuid);
    if (arguments->json) {
        arguments->outcome->members = describe(volume, allocated, user);
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
    if (user && user[0]) {
        fputs("in use:       by ", stdout);
        utf8_print(stdout, user);
        putchar('\n');
    }
    print_record(volume);
    if (sealed)
        printf("sanitize:     one broke off; no block can be used until another succeeds\n");
    return EXIT_DONE;
}

int run_info(const struct arguments *arguments)
{
    char user[PROCESS_NAME_BYTES];
    struct volume *volume;
    struct errmsg err;
    int error = volume_look(arguments->path, &volume, user, sizeof(user), &err);
    int status;

    if (error)
        return failed(arguments, error, &err);
    status = print_volume(volume, arguments, user);
    volume_close(volume);
    return status;
}

/* What walk_map does with each extent; 0, or an error that ends the walk. */
typedef int extent_function(const struct extent *extent, void *context);

/* Joins the extent to the pending one, or hands that out and keeps this one. */
static int join(struct extent *pending, const struct extent *extent, extent_function *each,
                void *context)
{
    int error;

    if (pending->length > 0 && pending->status == extent->status) {
        pending->length += extent->length;
        return 0;
    }
    error = pending->length > 0 ? each(pending, context) : 0;
    *pending = *extent;
    return error;
}

/* Hands out the map extent by extent, neighbours of one status as one. */
static int walk_map(struct volume *volume, extent_function *each, void *context)
{
    uint64_t bytes = volume_bytes(volume);
    struct extent batch[BATCH], pending = {0};
    size_t count;

    for (uint64_t at = 0; at < bytes; at = batch[count - 1].start + batch[count - 1].length) {
        int error = volume_extents(volume, at, bytes, batch, BATCH, &count);

        for (size_t i = 0; i < count && !error; i++)
            error = join(&pending, &batch[i], each, context);
        if (error)
            return error;
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
        printf("%s\n    {\"lba\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"status\": \"%s\"}",
               output->started ? "," : "", lba, blocks, status);
    else
        printf("%16" PRIu64 " %16" PRIu64 "  %s\n", lba, blocks, status);
    output->started = true;
    return 0;
}

static void begin_map(const struct arguments *arguments, const struct volume *volume,
                      const char *user)
{
    struct json_object *object = json_new();

    json_add_number(object, "block_size", volume_block_size(volume));
    json_add_number(object, "lun_bytes", volume_bytes(volume));
    json_add_known_text(object, "holder", user);
    arguments->outcome->members = object;
    outcome_begin_map(arguments);
}

int run_map(const struct arguments *arguments)
{
    struct map_output output = {.json = arguments->json};
    char user[PROCESS_NAME_BYTES];
    struct volume *volume;
    struct errmsg err;
    int error = volume_look(arguments->path, &volume, user, sizeof(user), &err);

    if (error)
        return failed(arguments, error, &err);
    output.block_size = volume_block_size(volume);
    if (output.json)
        begin_map(arguments, volume, user);
    else
        printf("%16s %16s  %s\n", "LBA", "BLOCKS", "STATUS");
    error = walk_map(volume, print_extent, &output);
    if (error)
        error = errmsg_set(&err, error, "the map of %s cannot be read: %s", arguments->path,
                           strerror(-error));
    volume_close(volume);
    return error ? failed(arguments, error, &err) : EXIT_DONE;
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

static struct json_object *findings_json(const struct volume *volume,
                                         const struct findings *findings)
{
    struct json_object *object = json_new();
    char uuid[UUID_STR_LEN];

    uuid_text(volume, uuid);
    json_add_text(object, "uuid", uuid);
    json_add_number(object, "block_size", volume_block_size(volume));
    json_add_number(object, "blocks", volume_blocks(volume));
    json_add_number(object, "lun_bytes", volume_bytes(volume));
    json_add_flag(object, "holes_tried", findings->tried_holes);
    json_add_number(object, "extents", findings->extents);
    for (int status = 0; status <= EXTENT_ANCHORED; status++) {
        char name[32];

        snprintf(name, sizeof(name), "%s_bytes", extent_status_name((enum extent_status)status));
        json_add_number(object, name, findings->bytes[status]);
    }
    json_add_number(object, "allocated_bytes", findings->allocated);
    return object;
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

int run_check(const struct arguments *arguments)
{
    struct findings findings = {0};
    struct volume *volume;
    struct errmsg err;
    int error = open_for_check(arguments->path, &volume, &findings.tried_holes, &err);

    if (error)
        return failed(arguments, error, &err);
    error = walk_map(volume, add_finding, &findings);
    if (!error)
        error = volume_allocated(volume, &findings.allocated);
    if (error)
        error = errmsg_set(&err, error, "the map of %s cannot be read: %s", arguments->path,
                           strerror(-error));
    else if (arguments->json)
        arguments->outcome->members = findings_json(volume, &findings);
    else
        print_findings(volume, arguments->path, &findings);
    volume_close(volume);
    return error ? failed(arguments, error, &err) : EXIT_DONE;
}
