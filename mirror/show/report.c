/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "report_json.h"
#include "size.h"

bool report_is_verified(const struct report *report)
{
    return report->compared && !report->verify.interrupted &&
           report->verify.differences.blocks == 0 && report->status == STATUS_DONE;
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

/* Zeros that are written are no bytes that were copied, and go at another speed. */
static void copy_speed_row(const struct sync_result *sync)
{
    char copied[SIZE_TEXT_BYTES], zeroed[SIZE_TEXT_BYTES];
    double seconds = sync->seconds;

    if (sync->zeroed_bytes == 0 || seconds <= 0) {
        speed_row("time", seconds, sync->written_bytes);
        return;
    }
    size_text((uint64_t)((double)sync->written_bytes / seconds), copied, sizeof(copied));
    size_text((uint64_t)((double)sync->zeroed_bytes / seconds), zeroed, sizeof(zeroed));
    printf("%-12s %10.1f s  (%s/s copied, %s/s zeroed)\n", "time", seconds, copied, zeroed);
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
    copy_speed_row(sync);
    if (report_is_verified(report))
        speed_row("verified", report->verify.seconds, report->verify.compared_bytes);
    if (report_is_verified(report) && report->verify.spot_bytes > 0)
        row("spot checks", report->verify.spot_bytes, "  (of what is unmapped on both sides)");
}

void report_sync(const struct report *report)
{
    if (report->options->json)
        report_sync_json(report);
    else if (!report->options->quiet)
        sync_table(report);
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
        report_verify_json(report);
        return;
    }
    if (!report_is_verified(report) || report->options->quiet)
        return;
    row("LUN", report->verify.lun_bytes, "");
    row("compared", report->verify.compared_bytes, rest_of(report));
    if (report->verify.spot_bytes > 0)
        row("spot checks", report->verify.spot_bytes, "  (of that rest)");
    speed_row("time", report->verify.seconds, report->verify.compared_bytes);
    for (size_t i = 0; i < report->checks.count; i++)
        printf("%-12s %12s  (%s)\n", report->checks.items[i].checker,
               report_check_name(report->checks.items[i].result), report->checks.items[i].what);
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
