/* SPDX-License-Identifier: Apache-2.0 */
#include "report_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "json_out.h"
#include "target_url.h"

static const char *const result_words[] = {
    [STATUS_DONE] = "done",           [STATUS_FAILED] = "failed",
    [STATUS_USAGE] = "failed",        [STATUS_REFUSED] = "refused",
    [STATUS_DIFFERENT] = "different", [STATUS_INTERRUPTED] = "interrupted",
};

const char *report_check_name(enum checker_result result)
{
    static const char *const names[] = {
        [CHECKER_CLEAN] = "clean", [CHECKER_FAULTY] = "faulty", [CHECKER_NOT_RUN] = "not run"};

    return names[result];
}

void report_json_name(struct json_object *object, const char *key, const char *name)
{
    size_t size = strlen(name) + 1;
    char *shown = malloc(size);

    if (shown)
        target_url_without_secret(name, shown, size);
    json_add_text(object, key, shown ? shown : "");
    free(shown);
}

static void add_seconds_if(struct json_object *object, const char *key, bool known, double seconds)
{
    if (known)
        json_add_seconds(object, key, seconds);
    else
        json_add_null(object, key);
}

static void add_identity(struct json_object *object, const char *key,
                         const struct endpoint *endpoint)
{
    json_add_known_text(object, key, endpoint ? endpoint->info.identity : NULL);
}

void report_json_head(struct json_object *object, const struct report *report)
{
    const struct options *options = report->options;
    bool has_luns = options->command != COMMAND_FORGET || options->name_count > 1;

    json_add_number(object, "schema", JSON_SCHEMA);
    json_add_text(object, "command", options_command_name(options->command));
    if (has_luns && options->name_count > 0)
        report_json_name(object, "primary", options->names[0]);
    else
        json_add_null(object, "primary");
    add_identity(object, "primary_identity", report->primary);
    if (options->name_count > 1)
        report_json_name(object, "secondary", options->names[1]);
    else
        json_add_null(object, "secondary");
    add_identity(object, "secondary_identity", report->secondary);
    json_add_number(object, "started", (uint64_t)report->started);
}

void report_json_end(struct json_object *object, const struct report *report)
{
    struct json_object *notes;

    json_add_number(object, "ended", (uint64_t)time(NULL));
    json_add_text(object, "result", result_words[report->status]);
    json_add_number(object, "exit_status", report->status);
    json_add_known_text(object, "error",
                        report->status == STATUS_DONE ? NULL : report->error->text);
    notes = json_add_array(object, "notes");
    for (size_t i = 0; i < report->notes->count; i++)
        json_append(notes, json_text(report->notes->texts[i]));
}

static uint64_t lun_bytes(const struct endpoint *endpoint)
{
    return endpoint ? endpoint->info.blocks * endpoint->info.block_size : 0;
}

static void add_queries(struct json_object *object, const char *key,
                        const struct endpoint *endpoint)
{
    json_add_number_if(object, key, endpoint, endpoint ? endpoint->counters.maps : 0);
}

static uint64_t reconnects(const struct report *report)
{
    const struct endpoint *sides[] = {report->primary, report->secondary};
    uint64_t sum = 0;

    for (int i = 0; i < 2; i++)
        sum += sides[i] ? sides[i]->counters.reconnects : 0;
    return sum;
}

static struct json_object *begin_json(const struct report *report)
{
    struct json_object *object = json_new();

    report_json_head(object, report);
    report_json_end(object, report);
    json_add_known_text(object, "source_map", report->source_map);
    json_add_number(object, "reconnects", reconnects(report));
    json_add_number_if(object, "lun_bytes", report->primary, lun_bytes(report->primary));
    add_queries(object, "status_queries", report->primary);
    add_queries(object, "secondary_status_queries", report->secondary);
    return object;
}

static void add_differences(struct json_object *object, const struct report *report)
{
    const struct differences *differences = &report->verify.differences;
    bool known = report->compared;
    struct json_object *array;

    json_add_flag(object, "verified", report_is_verified(report));
    json_add_number_if(object, "compared_bytes", known, report->verify.compared_bytes);
    json_add_number_if(object, "spot_bytes", known, report->verify.spot_bytes);
    json_add_number_if(object, "different_blocks", known, differences->blocks);
    if (!known) {
        json_add_null(object, "first_differences");
        return;
    }
    array = json_add_array(object, "first_differences");
    for (size_t i = 0; i < differences->count; i++) {
        struct json_object *range = json_new();

        json_add_number(range, "lba", differences->first[i].start);
        json_add_number(range, "blocks", differences->first[i].length);
        json_append(array, range);
    }
}

static void add_estimate(struct json_object *object, const struct estimate *estimate)
{
    static const char *const words[] = {
        [ESTIMATE_NONE] = NULL, [ESTIMATE_SAMPLE] = "sample", [ESTIMATE_RATE] = "rate"};
    bool known = estimate->basis != ESTIMATE_NONE, sample = estimate->basis == ESTIMATE_SAMPLE;

    json_add_known_text(object, "estimate_from", words[estimate->basis]);
    add_seconds_if(object, "estimated_seconds", known, estimate->seconds);
    json_add_number_if(object, "estimated_bytes_per_second", known, estimate->bytes_per_second);
    json_add_number_if(object, "sample_bytes", sample, estimate->sample.bytes);
    json_add_number_if(object, "primary_bytes_per_second", sample, estimate->primary_rate);
    json_add_number_if(object, "secondary_bytes_per_second", sample && estimate->secondary_rate > 0,
                       estimate->secondary_rate);
}

/* What was found out of the primary is not known before it is asked; what was done is, always. */
static void add_copied(struct json_object *object, const struct report *report)
{
    const struct sync_result *sync = &report->sync;
    const struct {
        const char *key;
        uint64_t number;
    } found[] =
        {
            {"mapped_bytes", sync->mapped_bytes},
            {"extents", sync->extents},
            {"to_copy_bytes", sync->to_copy_bytes},
            {"to_empty_bytes", sync->to_empty_bytes},
        },
      done[] = {
          {"resumed_bytes", sync->resumed_bytes},
          {"read_bytes", sync->read_bytes},
          {"gap_bytes", sync->gap_bytes},
          {"written_bytes", sync->written_bytes},
          {"unmapped_bytes", sync->unmapped_bytes},
          {"zeroed_bytes", sync->zeroed_bytes},
          {"detected_zero_bytes", sync->detected_bytes},
          {"read_back_bytes", sync->read_back_bytes},
          {"bad_blocks", sync->bad_blocks},
          {"rollbacks", sync->rollbacks},
      };

    for (size_t i = 0; i < sizeof(found) / sizeof(found[0]); i++)
        json_add_number_if(object, found[i].key, report->synced, found[i].number);
    for (size_t i = 0; i < sizeof(done) / sizeof(done[0]); i++)
        json_add_number(object, done[i].key, done[i].number);
    json_add_number_if(object, "first_bad_lba", sync->bad_blocks > 0, sync->first_bad);
    add_seconds_if(object, "seconds", report->synced, sync->seconds);
}

void report_sync_json(const struct report *report)
{
    struct json_object *object = begin_json(report);

    json_add_flag(object, "dry_run", report->dry_run);
    json_add_flag(object, "reserved", report->reserved);
    add_copied(object, report);
    add_estimate(object, &report->estimate);
    add_differences(object, report);
    json_print(object);
}

static void add_checks(struct json_object *object, const struct checker_reports *checks)
{
    struct json_object *array = json_add_array(object, "checks");

    for (size_t i = 0; i < checks->count; i++) {
        const struct checker_report *check = &checks->items[i];
        struct json_object *item = json_new();

        json_add_text(item, "what", check->what);
        json_add_text(item, "checker", check->checker);
        json_add_text(item, "result", report_check_name(check->result));
        json_add_text(item, "says", check->says);
        json_append(array, item);
    }
}

void report_verify_json(const struct report *report)
{
    struct json_object *object = begin_json(report);

    json_add_number_if(object, "read_bytes", report->compared, report->verify.read_bytes);
    add_seconds_if(object, "seconds", report->compared, report->verify.seconds);
    add_differences(object, report);
    if (report->checked)
        add_checks(object, &report->checks);
    else
        json_add_null(object, "checks");
    json_print(object);
}

void report_map_begin(const struct report *report)
{
    const struct endpoint *primary = report->primary;
    struct json_object *object = json_new();

    report_json_head(object, report);
    json_add_known_text(object, "source_map", report->source_map);
    json_add_number_if(object, "lun_bytes", primary, lun_bytes(primary));
    json_add_number_if(object, "block_size", primary, primary ? primary->info.block_size : 0);
    fputs("{\n", stdout);
    json_print_members(object);
}

void report_map_end(const struct report *report)
{
    struct json_object *object = json_new();

    report_json_end(object, report);
    fputs(",\n", stdout);
    json_print_members(object);
    fputs("\n}\n", stdout);
}

static const struct endpoint_info nothing = {.name = ""};

void report_probe_json(const struct report *report)
{
    const struct endpoint_info *info = report->primary ? &report->primary->info : &nothing;
    struct json_object *object = json_new();
    bool known = report->primary;
    const struct {
        const char *key;
        uint64_t number;
    } numbers[] = {
        {"lun_bytes", lun_bytes(report->primary)},
        {"blocks", info->blocks},
        {"block_size", info->block_size},
        {"max_transfer_blocks", info->max_transfer_blocks},
        {"max_burst_bytes", info->max_burst_bytes},
        {"unsolicited_bytes", info->unsolicited_bytes},
        {"max_zero_blocks", info->max_zero_blocks},
        {"unmap_granularity_blocks", info->unmap_granularity_blocks},
        {"unmap_alignment_blocks", info->unmap_alignment_blocks},
    };
    const struct {
        const char *key;
        bool flag;
    } flags[] = {
        {"thin", info->thin},
        {"unmapped_reads_zeros", info->unmapped_reads_zeros},
        {"answers_lba_status", info->can_map},
        {"has_bitmap", info->can_bitmap},
        {"can_unmap", info->can_unmap},
    };

    report_json_head(object, report);
    report_json_end(object, report);
    json_add_known_text(object, "kind", info->kind);
    json_add_known_text(object, "data_by", info->data_by);
    json_add_known_text(object, "vendor", info->vendor);
    json_add_known_text(object, "product", info->product);
    json_add_known_text(object, "serial", info->serial);
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        json_add_number_if(object, numbers[i].key, known, numbers[i].number);
    for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
        if (known)
            json_add_flag(object, flags[i].key, flags[i].flag);
        else
            json_add_null(object, flags[i].key);
    json_print(object);
}
