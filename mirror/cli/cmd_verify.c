/* SPDX-License-Identifier: Apache-2.0 */
#include <inttypes.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "checker.h"
#include "commands.h"
#include "report.h"
#include "safety.h"
#include "session.h"
#include "track_view.h"
#include "verify.h"

/* What one comparison does not look at another one may. */
static uint64_t new_seed(void)
{
    uint64_t seed = 0;

    if (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
        seed = (uint64_t)time(NULL);
    return seed | 1;
}

/* Than with --trust-maps, by what a target calls unmapped. */
static bool reads_more(const struct session *session, bool only_used)
{
    const struct endpoint_info *from = &session->primary->info, *to = &session->secondary->info;

    return !session->options->trust_maps && session->source.ask && !only_used && to->can_map &&
           to->unmapped_reads_zeros && !(from->unmapped_is_certain && to->unmapped_is_certain);
}

enum exit_status session_verify(struct session *session, bool only_used,
                                struct verify_result *ret_result)
{
    const struct verify_params params = {.primary = source_map_primary(session),
                                         .secondary = session->secondary,
                                         .copy_all = !session->source.ask,
                                         .allocated = source_map_allocated(&session->source),
                                         .only_used = only_used,
                                         .need_map = session->source.ask && session->source.chosen,
                                         .trust_maps = session->options->trust_maps,
                                         .seed = new_seed(),
                                         .control = session_control(session)};

    int r = endpoint_forget(session->secondary, &session->error);

    if (r == 0)
        r = verify_run(&params, ret_result, &session->error);
    if (session_gave_up(r)) {
        struct errmsg why = session->error;

        ret_result->interrupted = true;
        errmsg_set(&session->error, 0,
                   "interrupted while a LUN was away (%s): the comparison of %s with %s is not "
                   "complete",
                   why.text, session->secondary->info.name, session->primary->info.name);
        return STATUS_INTERRUPTED;
    }
    if (r < 0)
        return session_status(r);
    session_note_doubt(session, &ret_result->primary_doubt, &ret_result->secondary_doubt);
    if (ret_result->differences.blocks > 0) {
        errmsg_set(&session->error, 0,
                   "%s differs from %s in %" PRIu64 " block%s, first at block %" PRIu64 "%s",
                   session->secondary->info.name, session->primary->info.name,
                   ret_result->differences.blocks, ret_result->differences.blocks == 1 ? "" : "s",
                   ret_result->differences.first[0].start,
                   ret_result->interrupted ? " (interrupted: the rest was not compared)" : "");
        return STATUS_DIFFERENT;
    }
    if (ret_result->interrupted) {
        errmsg_set(&session->error, 0,
                   "interrupted: the comparison of %s with %s is not complete%s",
                   session->secondary->info.name, session->primary->info.name,
                   reads_more(session, only_used) ? "; --trust-maps reads less" : "");
        return STATUS_INTERRUPTED;
    }
    return STATUS_DONE;
}

/* Tables that were not asked for say nothing about what a copy made by other means has where they
 * call the primary free, be it on a track that is. */
static enum exit_status compare(struct session *session, struct report *report)
{
    bool anyhow = session->source.analysed && !session->source.chosen;
    struct endpoint *secondary = session->secondary;
    enum exit_status status;

    if (anyhow && session->source.view) {
        int r = track_view_create(secondary, &session->source.analysis.heads, &session->secondary);

        if (r < 0) {
            errmsg_set(&session->error, r, "%s", strerror(-r));
            return STATUS_FAILED;
        }
    }
    report->only_used = session->options->allocated || anyhow;
    status = session_verify(session, report->only_used, &report->verify);
    if (session->secondary != secondary)
        endpoint_close(session->secondary);
    session->secondary = secondary;
    return status;
}

static enum exit_status run(struct session *session, struct report *report)
{
    enum exit_status status;

    if (safety_check_pair(session->primary, session->secondary, &session->error) != SAFETY_OK)
        return STATUS_REFUSED;
    status = source_map_choose(session);
    if (status != STATUS_DONE)
        return status;
    report->source_map = session->source.name;
    report->compared = true;
    session_note_tail(session, "are not compared");
    status = compare(session, report);
    if (status != STATUS_DONE || !session->options->allocated || !session->source.analysed)
        return status;
    report->checked = true;
    return checker_run(session, &report->checks);
}

enum exit_status command_verify(const struct options *options)
{
    struct session session;
    struct report report = {.options = options};

    report.status = session_open(&session, options, false);
    if (report.status == STATUS_DONE)
        report.status = run(&session, &report);
    if (report.status != STATUS_DONE)
        message_error(&session.notes, session.error.text);
    progress_clear(&session.progress);
    if (report.status == STATUS_DIFFERENT)
        report_differences(&report);
    session_fill_report(&session, &report);
    report_verify(&report);
    session_close(&session);
    return report.status;
}
