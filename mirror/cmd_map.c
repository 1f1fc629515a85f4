/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "commands.h"
#include "copy_wait.h"
#include "map_reader.h"
#include "session.h"
#include "size.h"

/* Prints extents as they become known; the last known one may still grow and waits. */
struct printer {
    const struct endpoint_info *info;
    const struct allocation *allocation; /* says why; NULL: nobody does */
    bool json;
    int width; /* of an LBA */
    uint64_t extents;
    uint64_t blocks[3]; /* by enum extent_status */
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
static void print_piece(struct printer *printer, const struct extent *extent, const char *why)
{
    const char *name = extent_status_name(extent->status);

    if (printer->json) {
        printf("%s\n  {\"lba\": %" PRIu64 ", \"blocks\": %" PRIu64 ", \"status\": \"%s\"",
               printer->extents > 0 ? "," : "", extent->start, extent->length, name);
        if (why)
            printf(", \"why\": \"%s\"", why);
        putchar('}');
    } else {
        printf("%*" PRIu64 "  %*" PRIu64 "  %s%*s%s\n", printer->width, extent->start,
               printer->width, extent->length, name, why ? (int)(13 - strlen(name)) : 0, "",
               why ? why : "");
    }
    printer->extents++;
    printer->blocks[extent->status] += extent->length;
}

/* In pieces of one reason each, where there are reasons. */
static void print_extent(struct printer *printer, const struct extent *extent)
{
    struct extent piece = *extent;
    const char *why = NULL;

    for (uint64_t lba = extent->start; lba < extent->start + extent->length; lba += piece.length) {
        if (printer->allocation)
            allocation_piece(printer->allocation, lba, &piece, &why);
        piece.length = min_u64(piece.length, extent->start + extent->length - lba);
        piece.status = extent->status;
        print_piece(printer, &piece, why);
    }
}

static void print_end(struct printer *printer)
{
    char text[SIZE_TEXT_BYTES];

    if (printer->json) {
        fputs("\n]\n", stdout);
        return;
    }
    putchar('\n');
    for (int status = 0; status < 3; status++) {
        uint64_t blocks = printer->blocks[status];

        if (blocks == 0 && status != EXTENT_MAPPED)
            continue;
        printf("%-12s %12s  %5.1f%%\n", extent_status_name((enum extent_status)status),
               size_text(blocks * printer->info->block_size, text, sizeof(text)),
               100 * (double)blocks / (double)printer->info->blocks);
    }
    printf("%-12s %12s  %" PRIu64 " extent%s, blocks of %u bytes\n", "LUN",
           size_text(printer->info->blocks * printer->info->block_size, text, sizeof(text)),
           printer->extents, printer->extents == 1 ? "" : "s", printer->info->block_size);
}

/* Prints what is certain, and forgets it. */
static void print_known(struct printer *printer, struct map_reader *reader)
{
    size_t known = reader->list.count;

    if (known == 0)
        return;
    if (reader->covered < reader->end)
        known--;
    for (size_t i = 0; i < known; i++)
        print_extent(printer, &reader->list.items[i]);
    map_reader_consume(reader, known < reader->list.count ? reader->list.items[known].start
                                                          : reader->covered);
}

/* An error in the middle is one: a made-up rest would not be the target's map. */
static int print_map(struct endpoint *endpoint, const struct source_map *source, bool json,
                     struct errmsg *err)
{
    CLEANUP(map_reader_free) struct map_reader reader;
    struct printer printer = {.info = &endpoint->info,
                              .allocation = source->analysed ? &source->analysis.allocation : NULL,
                              .json = json};
    const struct copy_side sides[2] = {{endpoint, true}, {NULL, false}};
    int r = map_reader_init(&reader, endpoint, endpoint->info.blocks,
                            source->ask ? MAP_ASK : MAP_ALL_MAPPED);

    if (r < 0)
        return errmsg_set(err, r, "%s", strerror(-r));
    map_reader_limit(&reader, source_map_allocated(source));
    print_begin(&printer);
    while (printer.blocks[0] + printer.blocks[1] + printer.blocks[2] < endpoint->info.blocks) {
        map_reader_pump(&reader);
        if (map_reader_busy(&reader))
            r = copy_wait(sides, false, 0, err);
        if (map_reader_busy(&reader) && r == 0)
            continue;
        if (reader.error || reader.gave_up)
            return errmsg_set(err, reader.error ? reader.error : -EIO, "%s", reader.message.text);
        if (r < 0 || ferror(stdout))
            return r;
        print_known(&printer, &reader);
    }
    print_end(&printer);
    return 0;
}

/* Without a choice of the user's it is the target that is asked, whatever it says. */
static enum exit_status choose_map(struct session *session)
{
    if (session->options->source != SOURCE_BEST)
        return source_map_choose(session);
    session->source.ask = true;
    if (!session->primary->info.can_map)
        message_note(&session->notes,
                     "%s does not tell which of its blocks are in use: all of them count as mapped",
                     session->primary->info.name);
    return STATUS_DONE;
}

enum exit_status command_map(const struct options *options)
{
    struct session session;
    enum exit_status status = session_open(&session, options, false);

    if (status == STATUS_DONE)
        status = choose_map(&session);
    if (status == STATUS_DONE &&
        print_map(session.primary, &session.source, options->json, &session.error) < 0)
        status = STATUS_FAILED;
    if (status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    session_close(&session);
    return status;
}
