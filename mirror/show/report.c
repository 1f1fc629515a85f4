/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "json_out.h"
#include "progress.h"
#include "size.h"
#include "target_url.h"

static const char *const result_words[] = {
    [STATUS_DONE] = "done",           [STATUS_FAILED] = "failed",
    [STATUS_USAGE] = "failed",        [STATUS_REFUSED] = "refused",
    [STATUS_DIFFERENT] = "different", [STATUS_INTERRUPTED] = "interrupted",
};

static const char *checker_result_name(enum checker_result result)
{
    static const char *const names[] = {
        [CHECKER_CLEAN] = "clean", [CHECKER_FAULTY] = "faulty", [CHECKER_NOT_RUN] = "not run"};

    return names[result];
}

static bool is_verified(const struct report *report)
{
    return report->compared && !report->verify.interrupted &&
           report->verify.differences.blocks == 0 && report->status == STATUS_DONE;
}

static uint64_t maps_asked(const struct endpoint *endpoint)
{
    return endpoint ? endpoint->counters.maps : 0;
}

static uint64_t reconnects(const struct report *report)
{
    const struct endpoint *sides[] = {report->primary, report->secondary};
    uint64_t sum = 0;

    for (int i = 0; i < 2; i++)
        sum += sides[i] ? sides[i]->counters.reconnects : 0;
    return sum;
}

void report_add_name(struct json_object *object, const char *key, const char *name)
{
    size_t size = strlen(name) + 1;
    char *shown = malloc(size);

    if (shown)
        target_url_without_secret(name, shown, size);
    json_add_text(object, key, shown ? shown : "");
    free(shown);
}

static struct json_object *begin_json(const struct report *report)
{
    struct json_object *object = json_new();
    struct json_object *notes;

    report_add_name(object, "primary", report->options->names[0]);
    report_add_name(object, "secondary", report->options->names[1]);
    json_add_text(object, "result", result_words[report->status]);
    if (report->status != STATUS_DONE)
        json_add_text(object, "error", report->error->text);
    notes = json_add_array(object, "notes");
    for (size_t i = 0; i < report->notes->count; i++)
        json_append(notes, json_text(report->notes->texts[i]));
    if (report->source_map)
        json_add_text(object, "source_map", report->source_map);
    else
        json_add_null(object, "source_map"); /* it did not come to that */
    json_add_number(object, "reconnects", reconnects(report));
    return object;
}

static void add_differences(struct json_object *object, const struct report *report)
{
    const struct differences *differences = &report->verify.differences;
    struct json_object *array;

    json_add_flag(object, "verified", is_verified(report));
    if (!report->compared)
        return;
    json_add_number(object, "compared_bytes", report->verify.compared_bytes);
    json_add_number(object, "spot_bytes", report->verify.spot_bytes);
    json_add_number(object, "different_blocks", differences->blocks);
    array = json_add_array(object, "first_differences");
    for (size_t i = 0; i < differences->count; i++) {
        struct json_object *range = json_new();

        json_add_number(range, "lba", differences->first[i].start);
        json_add_number(range, "blocks", differences->first[i].length);
        json_append(array, range);
    }
}

static uint64_t lun_bytes(const struct report *report)
{
    const struct endpoint *primary = report->primary;

    return primary ? primary->info.blocks * primary->info.block_size : 0;
}

static void add_estimate(struct json_object *object, const struct estimate *estimate)
{
    static const char *const words[] = {[ESTIMATE_SAMPLE] = "sample", [ESTIMATE_RATE] = "rate"};

    if (estimate->basis == ESTIMATE_NONE) {
        json_add_null(object, "estimate_from");
        return;
    }
    json_add_text(object, "estimate_from", words[estimate->basis]);
    json_add_seconds(object, "estimated_seconds", estimate->seconds);
    json_add_number(object, "estimated_bytes_per_second", estimate->bytes_per_second);
    if (estimate->basis != ESTIMATE_SAMPLE)
        return;
    json_add_number(object, "sample_bytes", estimate->sample.bytes);
    json_add_number(object, "primary_bytes_per_second", estimate->primary_rate);
    if (estimate->secondary_rate > 0)
        json_add_number(object, "secondary_bytes_per_second", estimate->secondary_rate);
}

static void sync_json(const struct report *report)
{
    const struct sync_result *sync = &report->sync;
    struct json_object *object = begin_json(report);

    json_add_flag(object, "dry_run", report->dry_run);
    json_add_flag(object, "reserved", report->reserved);
    json_add_number(object, "lun_bytes", lun_bytes(report));
    json_add_number(object, "mapped_bytes", sync->mapped_bytes);
    json_add_number(object, "extents", sync->extents);
    json_add_number(object, "resumed_bytes", sync->resumed_bytes);
    json_add_number(object, "to_copy_bytes", sync->to_copy_bytes);
    json_add_number(object, "to_empty_bytes", sync->to_empty_bytes);
    if (report->dry_run)
        add_estimate(object, &report->estimate);
    json_add_number(object, "read_bytes", sync->read_bytes);
    json_add_number(object, "gap_bytes", sync->gap_bytes);
    json_add_number(object, "written_bytes", sync->written_bytes);
    json_add_number(object, "unmapped_bytes", sync->unmapped_bytes);
    json_add_number(object, "zeroed_bytes", sync->zeroed_bytes);
    json_add_number(object, "status_queries", maps_asked(report->primary));
    json_add_number(object, "secondary_status_queries", maps_asked(report->secondary));
    json_add_number(object, "detected_zero_bytes", sync->detected_bytes);
    json_add_number(object, "read_back_bytes", sync->read_back_bytes);
    json_add_number(object, "bad_blocks", sync->bad_blocks);
    if (sync->bad_blocks > 0)
        json_add_number(object, "first_bad_lba", sync->first_bad);
    json_add_number(object, "rollbacks", sync->rollbacks);
    json_add_seconds(object, "seconds", sync->seconds);
    add_differences(object, report);
    json_print(object);
}

static void row(const char *name, uint64_t bytes, const char *more)
{
    char text[SIZE_TEXT_BYTES];

    printf("%-12s %12s%s\n", name, size_text(bytes, text, sizeof(text)), more);
}

static void speed_row(const char *name, double seconds, uint64_t bytes)
{
    char text[SIZE_TEXT_BYTES];
    double rate = seconds > 0 ? (double)bytes / seconds : 0;

    printf("%-12s %10.1f s", name, seconds);
    if (rate >= 1)
        printf("  (%s/s)", size_text((uint64_t)rate, text, sizeof(text)));
    putchar('\n');
}

static void mapped_row(const struct sync_result *sync)
{
    char more[96];

    snprintf(more, sizeof(more), "  (%.1f%%, %" PRIu64 " extent%s)",
             sync->lun_bytes ? 100 * (double)sync->mapped_bytes / (double)sync->lun_bytes : 0,
             sync->extents, sync->extents == 1 ? "" : "s");
    row("mapped", sync->mapped_bytes, more);
}

/* What it will take, and how that is known. */
static void estimate_row(const struct report *report)
{
    const struct estimate *estimate = &report->estimate;
    bool by_secondary =
        estimate->secondary_rate > 0 && estimate->secondary_rate < estimate->primary_rate;
    char time[PROGRESS_TIME_BYTES], rate[SIZE_TEXT_BYTES], sample[SIZE_TEXT_BYTES];

    if (estimate->basis == ESTIMATE_NONE)
        return;
    progress_time(estimate->seconds, time);
    size_text(estimate->bytes_per_second, rate, sizeof(rate));
    printf("%-12s %12s  ", "time", estimate->seconds < 1 ? "under 1 s" : time);
    if (estimate->basis == ESTIMATE_RATE)
        printf("(estimated: at the %s/s of --rate, if both sides keep up)\n", rate);
    else
        printf("(estimated: the %s was read at %s/s,\n%28sa sample of %s; writing may be slower)\n",
               by_secondary ? "secondary" : "primary", rate, "",
               size_text(estimate->sample.bytes, sample, sizeof(sample)));
}

static void bad_row(const struct report *report)
{
    uint64_t blocks = report->sync.bad_blocks;
    char text[64];

    snprintf(text, sizeof(text), "  (%" PRIu64 " block%s, zeros in %s place)", blocks,
             blocks == 1 ? "" : "s", blocks == 1 ? "its" : "their");
    row("not read", blocks * report->primary->info.block_size, text);
}

static void sync_table(const struct report *report)
{
    const struct sync_result *sync = &report->sync;

    /* What failed has no result, unless it is but for some blocks; the error stands on stderr. */
    if (!report->synced || report->status == STATUS_REFUSED ||
        (report->status == STATUS_FAILED && !(sync->complete && sync->bad_blocks > 0)))
        return;
    row("LUN", sync->lun_bytes, "");
    mapped_row(sync);
    if (sync->resumed_bytes > 0)
        row("done before", sync->resumed_bytes, "");
    if (report->dry_run) {
        row("to copy", sync->to_copy_bytes, "");
        row("to empty", sync->to_empty_bytes, "");
        estimate_row(report);
        puts("Dry run: nothing was written.");
        return;
    }
    row("copied", sync->written_bytes, "");
    row("unmapped", sync->unmapped_bytes, "");
    if (sync->zeroed_bytes > 0)
        row("zeroed", sync->zeroed_bytes, "");
    if (sync->bad_blocks > 0)
        bad_row(report);
    if (report->options->verify_inline)
        row("read back", sync->read_back_bytes, "");
    speed_row("time", sync->seconds, sync->written_bytes);
    if (is_verified(report))
        speed_row("verified", report->verify.seconds, report->verify.compared_bytes);
    if (is_verified(report) && report->verify.spot_bytes > 0)
        row("spot checks", report->verify.spot_bytes, "  (of what is unmapped on both sides)");
}

void report_sync(const struct report *report)
{
    if (report->options->json)
        sync_json(report);
    else
        sync_table(report);
}

static void add_checks(struct json_object *object, const struct checker_reports *checks)
{
    struct json_object *array = json_add_array(object, "checks");

    for (size_t i = 0; i < checks->count; i++) {
        const struct checker_report *check = &checks->items[i];
        struct json_object *item = json_new();

        json_add_text(item, "what", check->what);
        json_add_text(item, "checker", check->checker);
        json_add_text(item, "result", checker_result_name(check->result));
        json_add_text(item, "says", check->says);
        json_append(array, item);
    }
}

static void verify_json(const struct report *report)
{
    struct json_object *object = begin_json(report);

    json_add_number(object, "lun_bytes", lun_bytes(report));
    json_add_number(object, "read_bytes", report->verify.read_bytes);
    json_add_number(object, "status_queries", maps_asked(report->primary));
    json_add_number(object, "secondary_status_queries", maps_asked(report->secondary));
    json_add_seconds(object, "seconds", report->verify.seconds);
    add_differences(object, report);
    if (report->checked)
        add_checks(object, &report->checks);
    json_print(object);
}

static const char *rest_of(const struct report *report)
{
    if (report->verify.compared_bytes == report->verify.lun_bytes)
        return "";
    return report->only_used ? "  (the rest is not in use on the primary, and was not looked at)"
                             : "  (the rest is unmapped on both sides)";
}

void report_verify(const struct report *report)
{
    if (report->options->json) {
        verify_json(report);
        return;
    }
    if (!is_verified(report))
        return;
    row("LUN", report->verify.lun_bytes, "");
    row("compared", report->verify.compared_bytes, rest_of(report));
    if (report->verify.spot_bytes > 0)
        row("spot checks", report->verify.spot_bytes, "  (of that rest)");
    speed_row("time", report->verify.seconds, report->verify.compared_bytes);
    for (size_t i = 0; i < report->checks.count; i++)
        printf("%-12s %12s  (%s)\n", report->checks.items[i].checker,
               checker_result_name(report->checks.items[i].result), report->checks.items[i].what);
    puts("No difference.");
}

void report_differences(const struct report *report)
{
    const struct differences *differences = &report->verify.differences;

    for (size_t i = 0; i < differences->count; i++) {
        const struct extent *range = &differences->first[i];

        if (range->length == 1)
            fprintf(stderr, "  block %" PRIu64 " differs\n", range->start);
        else
            fprintf(stderr, "  blocks %" PRIu64 " to %" PRIu64 " differ\n", range->start,
                    range->start + range->length - 1);
    }
    if (differences->count == DIFFERENCES_KEPT)
        fputs("  only the first ranges are listed\n", stderr);
}
