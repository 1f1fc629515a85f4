/* SPDX-License-Identifier: Apache-2.0 */
#include "analyse.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format_registry.h"
#include "other_contents.h"
#include "read_trace.h"
#include "region_internal.h"

void analyser_note(struct analyser *analyser, const char *sentence)
{
    struct analysis *result = analyser->result;
    char *copy = result->note_count < ANALYSIS_NOTES_MAX ? strdup(sentence) : NULL;

    if (copy)
        result->notes[result->note_count++] = copy;
    else
        result->notes_lost++;
}

/* Failures that are not one of this region alone. */
static bool is_fatal(int r)
{
    switch (r) {
    case 0:
    case -EUCLEAN: /* region_refuse */
    case -ERANGE:
    case -E2BIG:
    case -EINVAL:
    case -EIO:
    case -EPROTO:
    case -EOPNOTSUPP:
        return false;
    default:
        return r < 0;
    }
}

/* Says why a format gave up, where it has not done so itself. */
static void note_failure(struct region *region, int r)
{
    if (region->refused)
        return;
    if (r == -ERANGE)
        region_refuse(region, "it points beyond its end");
    else if (r == -E2BIG)
        region_refuse(region, "its tables are larger or more deeply nested than is believable");
    else if (r == -EIO || r == -EPROTO || r == -EOPNOTSUPP)
        region_refuse(region, "it cannot be read (%s)",
                      disk_reader_error(region->analyser->reader));
    else
        region_refuse(region, "its tables contradict each other");
}

/* Whether nothing else is in a region of this format; a note tells what. What is wrapped may look
 * like anything that it is. */
static int check_alone(struct region *region, const struct format *format)
{
    char name[OTHER_CONTENTS_NAME_MAX];
    int r = other_contents_find(region, name);

    if (r > 0)
        return region_refuse(region, "it looks like %s and like %s", format->name, name);
    return r;
}

/* The format of the region, NULL when there is none, or more than one, of which a note tells. */
static int find_format(struct region *region, const struct format **ret)
{
    const struct format *found = NULL, *other = NULL;

    *ret = NULL;
    for (const struct format *const *format = format_registry; *format; format++) {
        int r = (*format)->probe(region);

        if (is_fatal(r))
            return r;
        /* A region too small for a format's mark does not hold it. */
        if (r == -ERANGE || r == 0)
            continue;
        if (r < 0) {
            region->format = *format;
            note_failure(region, r);
            return 0;
        }
        if (!found || ((*format)->wraps && !found->wraps)) {
            other = found;
            found = *format;
        } else {
            other = *format;
        }
    }
    if (found && other && !found->wraps) {
        region_refuse(region, "it looks like %s and like %s", found->name, other->name);
        return 0;
    }
    if (found && found != &format_foreign) {
        int r = check_alone(region, found);

        if (is_fatal(r))
            return r;
        if (r < 0) {
            region->format = found;
            note_failure(region, r);
            return 0;
        }
    }
    *ret = found;
    return 0;
}

bool analyse_knows(struct region *region)
{
    for (const struct format *const *format = format_registry; *format; format++)
        if ((*format)->probe(region) > 0)
            return true;
    return false;
}

/* What there is no room for is not told. */
static void add_found(const struct region *region, size_t at)
{
    struct analysis *result = region->analyser->result;
    struct analysis_found *found = &result->found[at];

    *found = (struct analysis_found){.format = region->format->name, .bytes = region->bytes};
    found->one_piece = region_place(region, &found->start);
    if (asprintf(&found->what, "%s%s%s", region->path, region->path[0] ? ", " : "",
                 region->format->name) < 0)
        found->what = NULL;
    else
        result->found_count = at + 1;
}

/* What was found in it does not count when it itself does not. */
static void forget_found(struct analysis *result, size_t count)
{
    while (result->found_count > count)
        free(result->found[--result->found_count].what);
}

static int analyse_with(struct region *region, const struct format *format)
{
    struct claims *claims = &region->analyser->claims;
    struct analysis *result = region->analyser->result;
    size_t found_before = result->found_count;
    int r = claims_begin(claims);

    region->format = format;
    if (r < 0)
        return region_refuse(region, "it is nested too deeply");
    r = region_name(region, 0, region->bytes, format->name);
    if (r == 0)
        r = format->analyse(region);
    if (r == 0) {
        r = claims_commit(claims);
        if (r < 0)
            return r;
        result->understood = true;
        if (result->found_count < ANALYSIS_FOUND_MAX)
            add_found(region, result->found_count);
        return 0;
    }
    claims_rollback(claims);
    forget_found(result, found_before);
    note_failure(region, r);
    return r;
}

/* Room for names may be out; that is no reason to fail, as they only explain. */
static int name_region(struct region *region, const char *what)
{
    int r = region_name(region, 0, region->bytes, what);

    return is_fatal(r) ? r : 0;
}

int analyse_region(struct region *region)
{
    const struct format *format;
    int r;

    if (region->depth > REGION_DEPTH_MAX || ++region->analyser->regions > REGION_COUNT_MAX)
        return name_region(region, "nested too deeply");
    r = find_format(region, &format);
    if (r < 0)
        return r;
    if (format) {
        r = analyse_with(region, format);
        if (r == 0 || is_fatal(r))
            return r;
    }
    return name_region(region, region->format ? region->format->name : "unknown contents");
}

static int analyse_disk(struct analyser *analyser)
{
    struct region disk = {.analyser = analyser, .bytes = disk_reader_bytes(analyser->reader)};
    int r = analyse_region(&disk);

    return is_fatal(r) ? r : 0;
}

/* What is cut too finely to be remembered. */
static void note_grain(struct analyser *analyser, uint32_t block_size)
{
    const struct block_set *set = &analyser->result->allocation.allocated;
    char sentence[128];

    if (set->grain_shift == 0)
        return;
    snprintf(sentence, sizeof(sentence),
             "its free space is in too many pieces: where they are smallest, those below %" PRIu64
             " KiB may count as allocated",
             ((uint64_t)block_size << (set->grain_shift + set->unit_shift)) / 512);
    analyser_note(analyser, sentence);
}

static int sum_up(struct analyser *analyser, struct read_trace *trace,
                  const struct endpoint_info *info)
{
    struct analysis *result = analyser->result;
    int r = claims_build(&analyser->claims, &result->allocation);

    block_set_init(&result->tables, info->blocks);
    if (r == 0)
        r = claims_build_heads(&analyser->claims, &result->heads);
    if (r == 0)
        r = read_trace_build(trace, info->block_size, &result->tables);
    note_grain(analyser, info->block_size);
    result->read_digest = trace->digest;
    result->digest = read_trace_digest(trace, &result->allocation.allocated);
    return r;
}

/* Reads the tables, and claims what they call free. */
static int read_tables(struct analyser *analyser, struct endpoint *endpoint,
                       struct read_trace *trace, struct errmsg *err)
{
    int r = disk_reader_create(endpoint, &analyser->reader);

    if (r == 0) {
        disk_reader_set_trace(analyser->reader, trace);
        disk_reader_set_stop(analyser->reader, analyser->params->stop);
        disk_reader_set_watch(analyser->reader, analyser->params->watch, analyser->params->opaque);
        r = analyse_disk(analyser);
    }
    if (analyser->reader && disk_reader_was_stopped(analyser->reader)) {
        r = errmsg_set(err, -EINTR,
                       "interrupted: the tables of contents of %s were not read to their end",
                       endpoint->info.name);
    } else if (r < 0) {
        const char *error = analyser->reader ? disk_reader_error(analyser->reader) : "";

        errmsg_set(err, r, "%s", error[0] ? error : strerror(-r));
    }
    disk_reader_free(analyser->reader);
    return r;
}

int analyse_run(struct endpoint *endpoint, const struct analyse_params *params,
                struct analysis *ret, struct errmsg *err)
{
    struct analyser analyser = {.params = params, .result = ret};
    struct read_trace trace = {0};
    int r;

    *ret = (struct analysis){0};
    claims_init(&analyser.claims, endpoint->info.blocks, endpoint->info.block_size);
    r = read_tables(&analyser, endpoint, &trace, err);
    if (r == 0) {
        r = sum_up(&analyser, &trace, &endpoint->info);
        if (r < 0)
            errmsg_set(err, r, "%s", strerror(-r));
    }
    claims_free(&analyser.claims);
    read_trace_free(&trace);
    return r;
}

int analyse_look(struct endpoint *endpoint, const struct analyse_params *params,
                 uint64_t *ret_read_digest, struct errmsg *err)
{
    struct analysis result = {0};
    struct analyser analyser = {.params = params, .result = &result};
    struct read_trace trace = {0};
    int r;

    claims_init(&analyser.claims, endpoint->info.blocks, endpoint->info.block_size);
    analyser.claims.forgets_free = true;
    r = read_tables(&analyser, endpoint, &trace, err);
    *ret_read_digest = trace.digest;
    claims_free(&analyser.claims);
    read_trace_free(&trace);
    analysis_free(&result);
    return r;
}

void analysis_free(struct analysis *analysis)
{
    allocation_free(&analysis->allocation);
    extent_runs_free(&analysis->heads);
    block_set_free(&analysis->tables);
    forget_found(analysis, 0);
    for (size_t i = 0; i < analysis->note_count; i++)
        free(analysis->notes[i]);
    *analysis = (struct analysis){0};
}
