/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "commands.h"
#include "copy_wait.h"
#include "map_picture.h"
#include "map_reader.h"
#include "report_json.h"
#include "session.h"
#include "size.h"

/* One side's map on its way to who prints or draws it. */
struct walk {
    struct endpoint *endpoint;
    struct copy_control control;         /* for its stop */
    bool ask;                            /* the endpoint; otherwise all is mapped */
    const struct block_set *limit;       /* see map_reader_limit */
    const struct allocation *allocation; /* says why; NULL: not told */
    void (*take)(void *opaque, const struct extent *piece, const char *why);
    void *opaque;
    struct errmsg *doubt; /* gets what was not told soundly, if nothing is there yet */
};

/* Prints extents as they become known. */
struct printer {
    const struct endpoint_info *info;
    bool json;
    int width;           /* of an LBA */
    bool any;            /* extent was printed */
    uint64_t extents[3]; /* by enum extent_status */
    uint64_t blocks[3];
};

static void print_begin(struct printer *printer)
{
    char last[24];

    printer->width = snprintf(last, sizeof(last), "%" PRIu64, printer->info->blocks);
    if (printer->width < 6)
        printer->width = 6;
    if (printer->json)
        fputs("[", stdout);
    else
        printf("%*s  %*s  %s\n", printer->width, "LBA", printer->width, "BLOCKS", "STATUS");
}

/* Reasons are sentences of ours with names from the disk in them, which are plain ASCII without
 * quotes by the time they come here. */
static void print_piece(void *opaque, const struct extent *extent, const char *why)
{
    struct printer *printer = opaque;
    const char *name = extent_status_name(extent->status);

    if (printer->json) {
        printf("%s\n    {\"lba\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"status\": \"%s\"",
               printer->any ? "," : "", extent->start, extent->length, name);
        if (why)
            printf(", \"why\": \"%s\"", why);
        putchar('}');
    } else {
        printf("%*" PRIu64 "  %*" PRIu64 "  %s%*s%s\n", printer->width, extent->start,
               printer->width, extent->length, name, why ? (int)(13 - strlen(name)) : 0, "",
               why ? why : "");
    }
    printer->any = true;
    printer->extents[extent->status]++;
    printer->blocks[extent->status] += extent->length;
}

static void print_end(struct printer *printer)
{
    char text[SIZE_TEXT_BYTES];

    if (printer->json) {
        fputs("\n  ]", stdout);
        return;
    }
    putchar('\n');
    for (int status = 0; status < 3; status++) {
        uint64_t blocks = printer->blocks[status];

        if (blocks == 0 && status != EXTENT_MAPPED)
            continue;
        printf("%-12s %12s  %5.1f%%, %" PRIu64 " extent%s\n",
               extent_status_name((enum extent_status)status),
               size_text(blocks * printer->info->block_size, text, sizeof(text)),
               100 * (double)blocks / (double)printer->info->blocks, printer->extents[status],
               printer->extents[status] == 1 ? "" : "s");
    }
    printf("%-12s %12s  blocks of %u bytes\n", "LUN",
           size_text(printer->info->blocks * printer->info->block_size, text, sizeof(text)),
           printer->info->block_size);
}

/* In pieces of one reason each, where there are reasons. */
static void take_extent(const struct walk *walk, const struct extent *extent)
{
    uint64_t end = extent->start + extent->length, next = end;
    const char *why = NULL;

    for (uint64_t lba = extent->start; lba < end; lba = next) {
        if (walk->allocation) {
            why = allocation_why(walk->allocation, lba, &next);
            next = min_u64(next, end);
        }
        walk->take(walk->opaque, &(struct extent){lba, next - lba, extent->status}, why);
    }
}

/* Hands on what is certain, and forgets it; the last known extent may still grow and waits.
 * Returns how many blocks that were. */
static uint64_t take_known(const struct walk *walk, struct map_reader *reader)
{
    size_t known = reader->list.count;
    uint64_t blocks = 0;

    if (known == 0)
        return 0;
    if (reader->covered < reader->end)
        known--;
    for (size_t i = 0; i < known && !copy_stopped(&walk->control); i++) {
        take_extent(walk, &reader->list.items[i]);
        blocks += reader->list.items[i].length;
    }
    map_reader_consume(reader, known < reader->list.count ? reader->list.items[known].start
                                                          : reader->covered);
    return blocks;
}

/* An error in the middle is one: a made-up rest would not be the target's map. */
static int walk_map(const struct walk *walk, struct errmsg *err)
{
    CLEANUP(map_reader_free) struct map_reader reader;
    const struct copy_side sides[2] = {{walk->endpoint, true}, {NULL, false}};
    uint64_t end = walk->endpoint->info.blocks, taken = 0;
    int r = map_reader_init(&reader, walk->endpoint, end, walk->ask ? MAP_ASK : MAP_ALL_MAPPED);

    if (r < 0)
        return errmsg_set(err, r, "%s", strerror(-r));
    map_reader_limit(&reader, walk->limit);
    /* What is in flight is waited for in any case. */
    while (taken < end && (!copy_stopped(&walk->control) || map_reader_busy(&reader))) {
        if (!copy_stopped(&walk->control))
            map_reader_pump(&reader);
        if (map_reader_busy(&reader))
            r = copy_wait(sides, false, 0, err);
        if (map_reader_busy(&reader) && r == 0)
            continue;
        if (reader.error || reader.gave_up)
            return errmsg_set(err, reader.error ? reader.error : -EIO, "%s",
                              reader.error ? reader.message.text : reader.doubt.text);
        if (r < 0 || (ferror(stdout) && !copy_stopped(&walk->control)))
            return r;
        taken += take_known(walk, &reader);
    }
    if (taken < end)
        return errmsg_set(err, -EINTR, "interrupted: the map of %s is not complete",
                          walk->endpoint->info.name);
    if (!walk->doubt->text[0])
        *walk->doubt = reader.doubt;
    return 0;
}

/* The primary's map as it was chosen, the secondary's as its target tells it. */
static struct walk walk_of(struct session *session, size_t side)
{
    const struct source_map *source = &session->source;

    if (side > 0)
        return (struct walk){.endpoint = session->secondary,
                             .control = session_control(session),
                             .doubt = &session->doubt,
                             .ask = session->secondary->info.can_map};
    return (struct walk){.endpoint = session->primary,
                         .control = session_control(session),
                         .doubt = &session->doubt,
                         .ask = source->ask,
                         .limit = source_map_allocated(source),
                         .allocation = source->analysed ? &source->analysis.allocation : NULL};
}

static int print_side(struct session *session, size_t side, bool json)
{
    struct walk walk = walk_of(session, side);
    struct printer printer = {.info = &walk.endpoint->info, .json = json};
    int r;

    walk.take = print_piece;
    walk.opaque = &printer;
    print_begin(&printer);
    r = walk_map(&walk, &session->error);
    if (r == 0 || json)
        print_end(&printer);
    return r;
}

/* An array of each side, behind what is known before: the maps may be long, and are printed while
 * they are read. */
static int print_json(struct session *session, const struct report *report)
{
    int r;

    report_map_begin(report);
    fputs(",\n  \"extents\": ", stdout);
    r = print_side(session, 0, true);
    fputs(",\n  \"secondary_extents\": ", stdout);
    if (r == 0 && session->secondary)
        r = print_side(session, 1, true);
    else
        fputs("null", stdout);
    return r;
}

/* The same when there is no map to print. */
static void print_no_maps(const struct report *report)
{
    report_map_begin(report);
    fputs(",\n  \"extents\": null,\n  \"secondary_extents\": null", stdout);
}

/* Draws one side. */
struct draughtsman {
    struct map_picture *picture;
    unsigned block_size;
};

static void draw_piece(void *opaque, const struct extent *piece, const char *why)
{
    struct draughtsman *draughtsman = opaque;

    map_picture_add(draughtsman->picture, piece->start * draughtsman->block_size,
                    piece->length * draughtsman->block_size, piece->status, why);
}

static int draw_side(struct session *session, size_t side, uint64_t scale_bytes, size_t cells,
                     struct map_picture *picture)
{
    struct walk walk = walk_of(session, side);
    const struct endpoint_info *info = &walk.endpoint->info;
    struct draughtsman draughtsman = {picture, info->block_size};
    int r = map_picture_init(picture, info->name, info->blocks * info->block_size, scale_bytes,
                             session->primary->info.block_size, cells);

    if (r < 0)
        return errmsg_set(&session->error, r, "%s", strerror(-r));
    walk.take = draw_piece;
    walk.opaque = &draughtsman;
    return walk_map(&walk, &session->error);
}

static int draw_maps(struct session *session, bool svg)
{
    const struct endpoint *ends[2] = {session->primary, session->secondary};
    struct map_picture pictures[2] = {{0}};
    size_t sides = session->secondary ? 2 : 1, columns = terminal_columns(STDOUT_FILENO);
    size_t cells = svg ? map_svg_cells(sides) : map_text_cells(columns, sides);
    uint64_t scale = 0;
    int r = 0;

    for (size_t side = 0; side < sides; side++)
        scale = max_u64(scale, ends[side]->info.blocks * ends[side]->info.block_size);
    for (size_t side = 0; side < sides && r == 0; side++)
        r = draw_side(session, side, scale, cells, &pictures[side]);
    if (r == 0 && svg)
        map_svg_print(stdout, pictures, sides);
    else if (r == 0)
        map_text_print(stdout, pictures, sides, columns);
    for (size_t side = 0; side < sides; side++)
        map_picture_free(&pictures[side]);
    return r;
}

static void note_no_map(struct session *session, const struct endpoint *endpoint)
{
    if (!endpoint->info.can_map)
        message_note(&session->notes,
                     "%s does not tell which of its blocks are in use: all of them count as mapped",
                     endpoint->info.name);
}

/* Without a choice of the user's it is the target that is asked, whatever it says. */
static enum exit_status choose_map(struct session *session)
{
    if (session->secondary)
        note_no_map(session, session->secondary);
    if (session->options->source != SOURCE_BEST)
        return source_map_choose(session);
    session->source.ask = true;
    note_no_map(session, session->primary);
    return STATUS_DONE;
}

static int show_map(struct session *session, const struct report *report)
{
    switch (session->options->format) {
    case FORMAT_TEXT:
        return draw_maps(session, false);
    case FORMAT_SVG:
        return draw_maps(session, true);
    case FORMAT_JSON:
        return print_json(session, report);
    case FORMAT_LIST:
        break;
    }
    return print_side(session, 0, false);
}

/* As it will be, for what is printed before the map is. */
static const char *source_name(const struct session *session)
{
    if (session->source.name)
        return session->source.name;
    return session->primary->info.can_map ? "lba-status" : "full";
}

static enum exit_status run(struct session *session, struct report *report)
{
    enum exit_status status = choose_map(session);
    int r;

    if (status != STATUS_DONE)
        return status;
    report->source_map = source_name(session);
    report->shown = true;
    r = show_map(session, report);
    if (r < 0)
        return session_status(r);
    if (!session->doubt.text[0])
        return STATUS_DONE;
    errmsg_set(&session->error, 0, "%s; what it does not tell soundly is shown as mapped",
               session->doubt.text);
    return STATUS_FAILED;
}

enum exit_status command_map(const struct options *options)
{
    struct session session;
    struct report report = {.options = options};
    bool json = options->format == FORMAT_JSON;

    report.status = session_open(&session, options, false);
    session_fill_report(&session, &report);
    if (report.status == STATUS_DONE)
        report.status = run(&session, &report);
    if (report.status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    if (json && !report.shown)
        print_no_maps(&report);
    if (json)
        report_map_end(&report);
    session_close(&session);
    return report.status;
}
