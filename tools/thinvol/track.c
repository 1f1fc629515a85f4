/* SPDX-License-Identifier: Apache-2.0 */

/* What thinvol does with a volume's change record and its consistency points. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_out.h"
#include "outcome.h"
#include "process_name.h"
#include "size.h"
#include "thinvol.h"
#include "volume_track.h"

/* How often a record that a running LUN changes is read again before that is given up. */
#define TRIES      10

#define TIME_BYTES 32

/* What every verb here tells. */
static struct json_object *begin_members(const struct volume *volume)
{
    struct json_object *object = json_new();

    json_add_number(object, "block_size", volume_block_size(volume));
    json_add_number(object, "lun_bytes", volume_bytes(volume));
    return object;
}

static void add_id(struct json_object *object, const char *name, const uint8_t *id)
{
    char text[UUID_STR_LEN];

    uuid_unparse_lower(id, text);
    json_add_text(object, name, text);
}

static const char *time_text(uint64_t seconds, char text[static TIME_BYTES])
{
    time_t time = (time_t)seconds;
    struct tm parts;

    if (!gmtime_r(&time, &parts) || strftime(text, TIME_BYTES, "%Y-%m-%dT%H:%M:%SZ", &parts) == 0)
        snprintf(text, TIME_BYTES, "%" PRIu64, seconds);
    return text;
}

int run_track(const struct arguments *arguments)
{
    bool on = arguments->operand && strcmp(arguments->operand, "on") == 0;
    struct volume *volume;
    struct errmsg err;
    int error;

    if (!on && (!arguments->operand || strcmp(arguments->operand, "off") != 0))
        return usage_error("track", "track needs 'on' or 'off' after the PATH");
    error = volume_open(arguments->path, false, &volume, &err);
    if (error)
        return failed(arguments, error, &err);
    error = on ? volume_track(volume, &err) : volume_untrack(volume, &err);
    if (error) {
        volume_close(volume);
        return failed(arguments, error, &err);
    }
    arguments->outcome->members = begin_members(volume);
    return close_durably(volume, arguments, EXIT_DONE);
}

int run_point(const struct arguments *arguments)
{
    char text[UUID_STR_LEN];
    struct volume_point point;
    struct volume *volume;
    struct errmsg err;
    uuid_t nonce;
    int error = volume_open(arguments->path, false, &volume, &err);

    if (error)
        return failed(arguments, error, &err);
    uuid_generate_random(nonce);
    error = volume_cut(volume, nonce, &point, &err);
    if (error) {
        volume_close(volume);
        return failed(arguments, error, &err);
    }
    uuid_unparse_lower(point.id, text);
    if (!arguments->json)
        puts(text);
    arguments->outcome->members = begin_members(volume);
    add_id(arguments->outcome->members, "point", point.id);
    return close_durably(volume, arguments, EXIT_DONE);
}

/* The id that was given, or what is wrong with it. */
static int parse_id(const char *verb, const char *text, uuid_t ret)
{
    if (!text)
        return usage_error(verb, "%s needs the ID of a consistency point", verb);
    if (uuid_parse(text, ret) < 0)
        return usage_error(verb, "'%s' is not the ID of a consistency point", text);
    return EXIT_DONE;
}

int run_forget(const struct arguments *arguments)
{
    struct volume *volume;
    struct errmsg err;
    uuid_t id;
    int error, status = parse_id("forget", arguments->operand, id);

    if (status != EXIT_DONE)
        return status;
    error = volume_open(arguments->path, false, &volume, &err);
    if (error)
        return failed(arguments, error, &err);
    error = volume_forget(volume, id, &err);
    if (error) {
        volume_close(volume);
        return failed(arguments, error, &err);
    }
    arguments->outcome->members = begin_members(volume);
    return close_durably(volume, arguments, EXIT_DONE);
}

static void add_points(struct json_object *object, const struct volume_track_status *status)
{
    struct json_object *array = json_add_array(object, "points");

    for (size_t i = 0; i < status->point_count; i++) {
        const struct volume_point *point = &status->points[i];
        struct json_object *item = json_new();

        add_id(item, "id", point->id);
        json_add_number(item, "time", point->time);
        json_add_number(item, "lun_bytes", point->bytes);
        json_add_number_if(item, "allocated_bytes", point->mapped_bytes != UINT64_MAX,
                           point->mapped_bytes);
        json_append(array, item);
    }
}

struct json_object *describe_record(struct volume *volume)
{
    struct volume_track_status status;
    struct json_object *object;

    volume_track_status(volume, &status);
    if (!status.tracked)
        return NULL;
    object = json_new();
    json_add_known_text(object, "lost", status.lost);
    json_add_text(object, "begun", status.begun);
    json_add_number(object, "since", status.since);
    json_add_flag(object, "crashed", status.crashed);
    json_add_number(object, "granule_bytes", status.granule_bytes);
    json_add_number(object, "hot_bytes", status.hot_bytes);
    json_add_number(object, "record_bytes", status.record_bytes);
    add_points(object, &status);
    return object;
}

void print_record(struct volume *volume)
{
    char since[TIME_BYTES], hot[SIZE_TEXT_BYTES], bytes[SIZE_TEXT_BYTES];
    struct volume_track_status status;

    volume_track_status(volume, &status);
    if (!status.tracked)
        return;
    if (status.lost) {
        printf("record:       lost: %s; everything counts as changed\n", status.lost);
        return;
    }
    printf("record:       since %s, when %s; %zu point%s, %s\n", time_text(status.since, since),
           status.begun, status.point_count, status.point_count == 1 ? "" : "s",
           size_text(status.record_bytes, bytes, sizeof(bytes)));
    printf("%s%s\n",
           status.crashed ? "              the machine crashed; suspect is what was written to: "
                          : "              suspect after a crash of the machine now: ",
           size_text(status.hot_bytes, hot, sizeof(hot)));
}

int run_points(const struct arguments *arguments)
{
    char user[PROCESS_NAME_BYTES], id[UUID_STR_LEN], time[TIME_BYTES];
    struct volume_track_status status;
    struct volume *volume;
    struct errmsg err;
    int error = volume_look(arguments->path, &volume, user, sizeof(user), &err);

    if (error)
        return failed(arguments, error, &err);
    volume_track_status(volume, &status);
    arguments->outcome->members = begin_members(volume);
    volume_close(volume);
    if (!status.tracked)
        error = errmsg_set(&err, -ENOENT, "%s has no change record; 'thinvol track' begins one",
                           arguments->path);
    else if (status.lost)
        error = errmsg_set(&err, -ESTALE, "the change record of %s is lost: %s", arguments->path,
                           status.lost);
    if (error)
        return failed(arguments, error, &err);
    add_points(arguments->outcome->members, &status);
    if (arguments->json)
        return EXIT_DONE;
    printf("%-36s  %-20s  %16s\n", "ID", "TIME", "BYTES");
    for (size_t i = 0; i < status.point_count; i++) {
        uuid_unparse_lower(status.points[i].id, id);
        printf("%s  %-20s  %16" PRIu64 "\n", id, time_text(status.points[i].time, time),
               status.points[i].bytes);
    }
    return EXIT_DONE;
}

struct range {
    uint64_t offset;
    uint64_t length;
    bool suspect;
};

/* What changed, kept until it is known to be complete. */
struct ranges {
    struct range *items;
    size_t count;
    size_t room;
};

static int keep_range(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct ranges *ranges = context;

    if (ranges->count == ranges->room) {
        size_t room = ranges->room > 0 ? 2 * ranges->room : 64;
        struct range *items = reallocarray(ranges->items, room, sizeof(*items));

        if (!items)
            return -ENOMEM;
        ranges->items = items;
        ranges->room = room;
    }
    ranges->items[ranges->count++] =
        (struct range){.offset = offset, .length = length, .suspect = suspect};
    return 0;
}

/* Without an id, since the oldest point. */
static int choose_point(struct volume *volume, const struct arguments *arguments, uuid_t ret)
{
    struct volume_track_status status;

    if (arguments->since)
        return parse_id("changed", arguments->since, ret);
    volume_track_status(volume, &status);
    uuid_clear(ret);
    if (status.point_count > 0)
        uuid_copy(ret, status.points[0].id);
    return EXIT_DONE;
}

static void print_ranges(const struct ranges *ranges, uint32_t block_size)
{
    printf("%16s %16s\n", "LBA", "BLOCKS");
    for (size_t i = 0; i < ranges->count; i++) {
        const struct range *range = &ranges->items[i];

        printf("%16" PRIu64 " %16" PRIu64 "%s\n", range->offset / block_size,
               range->length / block_size, range->suspect ? "  suspect" : "");
    }
}

static void add_ranges(struct json_object *object, const struct ranges *ranges, uint32_t block_size)
{
    struct json_object *array = json_add_array(object, "changes");

    for (size_t i = 0; i < ranges->count; i++) {
        const struct range *range = &ranges->items[i];
        struct json_object *item = json_new();

        json_add_number(item, "lba", range->offset / block_size);
        json_add_number(item, "blocks", range->length / block_size);
        json_add_flag(item, "suspect", range->suspect);
        json_append(array, item);
    }
}

/* One look; *ret_status: what came of the command line. */
static int list_changes(const struct arguments *arguments, struct ranges *ranges,
                        uint32_t *ret_block_size, int *ret_status, struct errmsg *err)
{
    char user[PROCESS_NAME_BYTES];
    struct volume *volume;
    uuid_t since;
    int error = volume_look(arguments->path, &volume, user, sizeof(user), err);

    if (error)
        return error;
    ranges->count = 0;
    *ret_block_size = volume_block_size(volume);
    *ret_status = choose_point(volume, arguments, since);
    json_object_put(arguments->outcome->members);
    arguments->outcome->members = begin_members(volume);
    if (*ret_status == EXIT_DONE)
        add_id(arguments->outcome->members, "point", since);
    if (*ret_status == EXIT_DONE)
        error = volume_changed(volume, since, keep_range, ranges, err);
    volume_close(volume);
    return error;
}

int run_changed(const struct arguments *arguments)
{
    struct ranges ranges = {0};
    uint32_t block_size = 512;
    struct errmsg err;
    int status = EXIT_DONE, error = -ESTALE;

    for (int i = 0; error == -ESTALE && i < TRIES; i++)
        error = list_changes(arguments, &ranges, &block_size, &status, &err);
    if (error)
        status = failed(arguments, error, &err);
    else if (status == EXIT_DONE && arguments->json)
        add_ranges(arguments->outcome->members, &ranges, block_size);
    else if (status == EXIT_DONE)
        print_ranges(&ranges, block_size);
    free(ranges.items);
    return status;
}
