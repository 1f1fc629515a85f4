/* SPDX-License-Identifier: Apache-2.0 */
#include "sync_ledger.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <sys/random.h>

#include "checked.h"
#include "fingerprint.h"
#include "resume_check.h"

/* After an interrupt. */
#define FINGERPRINT_SECONDS 2

static enum exit_status ledger_status(int r)
{
    if (r == 0)
        return STATUS_DONE;
    return r == -EBADE ? STATUS_REFUSED : STATUS_FAILED;
}

static void take_note(void *opaque, const char *sentence)
{
    message_note(opaque, "%s", sentence);
}

enum exit_status sync_ledger_open(struct session *session, struct ledger_keeper *keeper)
{
    const struct options *options = session->options;
    struct ledger_params params = {.pair = options->pair,
                                   .chosen = options->ledger,
                                   .resume = options->resume,
                                   .note = take_note,
                                   .opaque = &session->notes};

    safety_ledger_side(session->primary, &params.primary);
    safety_ledger_side(session->secondary, &params.secondary);
    return ledger_status(ledger_keeper_open(keeper, &params, &session->error));
}

/* What lies behind the end that the primary had then was not copied there, if it was there. */
static enum exit_status check_tail(struct session *session, const struct ledger *known,
                                   const struct copy_control *control, struct safety_data *ret)
{
    uint64_t first = known->primary.blocks;
    uint64_t end = min_u64(session->primary->info.blocks, known->secondary.blocks);
    int r;

    if (first >= end || session->options->overwrite)
        return STATUS_DONE;
    r = safety_check_data(session->primary, session->secondary, first, end, known, control, ret,
                          &session->error);
    if (r < 0)
        return session_status(r);
    return ret->verdict == SAFETY_OK ? STATUS_DONE : STATUS_REFUSED;
}

/* The secondary is not as it was left. One that was emptied or made anew since holds nothing that
 * could be lost. */
static enum exit_status check_moved(struct session *session, const struct ledger *known,
                                    const struct copy_control *control, struct safety_data *ret)
{
    struct errmsg moved = session->error;
    int r =
        safety_check_data(session->primary, session->secondary, 0, session->secondary->info.blocks,
                          known, control, ret, &session->error);

    if (r < 0)
        return session_status(r);
    if (ret->verdict == SAFETY_OK)
        return STATUS_DONE;
    session->error = moved;
    return STATUS_REFUSED;
}

static enum exit_status check_own(struct session *session, struct ledger_keeper *keeper,
                                  const struct copy_control *control, struct safety_data *ret)
{
    const struct ledger *known = &keeper->ledger;
    bool overwrite = session->options->overwrite;
    enum safety_verdict verdict = SAFETY_OK;
    enum exit_status status = STATUS_DONE;
    int r = 0;

    if (!overwrite || keeper->resumed)
        r = safety_check_unmoved(session->secondary, known, control, &verdict, &session->error);
    if (r < 0)
        return session_status(r);
    if (verdict != SAFETY_OK && !overwrite)
        status = check_moved(session, known, control, ret);
    if (status != STATUS_DONE)
        return status;
    if (verdict != SAFETY_OK)
        ledger_keeper_distrust(keeper, "something else has written to it since");
    return check_tail(session, known, control, ret);
}

enum exit_status sync_ledger_check_data(struct session *session, struct ledger_keeper *keeper,
                                        struct safety_data *ret)
{
    struct endpoint *primary = session->primary, *secondary = session->secondary;
    const struct ledger *known = keeper->found ? &keeper->ledger : NULL;
    struct copy_control control = session_control(session);
    struct errmsg why = {""};
    int r;

    *ret = (struct safety_data){0};
    control.rate_bytes = 0;
    control.rate_now = NULL;
    if (ledger_keeper_is_own(keeper, &why))
        return check_own(session, keeper, &control, ret);
    if (session->options->overwrite)
        return STATUS_DONE;
    if (!secondary->info.can_map)
        message_note(&session->notes,
                     "%s does not tell which of its blocks are in use, so it is read to see "
                     "whether it holds data; --overwrite saves that",
                     secondary->info.name);
    r = safety_check_data(primary, secondary, 0, secondary->info.blocks, known, &control, ret,
                          &session->error);
    if (r < 0)
        return session_status(r);
    if (ret->verdict == SAFETY_OK)
        return STATUS_DONE;
    if (why.text[0])
        session->error = why;
    return STATUS_REFUSED;
}

/* Of the tables of contents, as the ledger holds it. */
static void digest_text(const struct source_map *source, char ret[static LEDGER_TABLES_BYTES])
{
    ret[0] = '\0';
    if (source->analysed)
        snprintf(ret, LEDGER_TABLES_BYTES, "%016" PRIx64, source->analysis.digest);
}

static uint64_t random_seed(void)
{
    uint64_t seed = 0;

    return getrandom(&seed, sizeof(seed), 0) == sizeof(seed) ? seed : 1;
}

enum exit_status sync_ledger_check_resume(struct session *session, struct ledger_keeper *keeper,
                                          const struct sync_params *params)
{
    struct sync_params resumed = *params;
    char tables[LEDGER_TABLES_BYTES];
    struct errmsg why;
    bool differ;
    int r;

    digest_text(&session->source, tables);
    r = ledger_keeper_check_source(keeper, session->source.ledger_name, tables, &session->error);
    if (r < 0 || !keeper->resumed)
        return ledger_status(r);
    resumed.done = &keeper->ledger.done;
    r = resume_check_run(&resumed, random_seed(), &differ, &why, &session->error);
    if (r < 0)
        return session_status(r);
    if (differ)
        ledger_keeper_distrust(keeper, why.text);
    return STATUS_DONE;
}

enum exit_status sync_ledger_begin(struct session *session, struct ledger_keeper *keeper)
{
    char tables[LEDGER_TABLES_BYTES];

    digest_text(&session->source, tables);
    return ledger_status(
        ledger_keeper_begin(keeper, session->source.ledger_name, tables, &session->error));
}

/* How the secondary is left; not known when that cannot be had. */
static struct ledger_left take_fingerprint(struct session *session)
{
    struct copy_control control = session_control(session);
    struct ledger_left left;
    double seconds = 0;

    if (copy_stopped(&control)) {
        control.stop = NULL;
        seconds = FINGERPRINT_SECONDS;
    }
    if (fingerprint_take(session->secondary, session->primary->info.blocks, random_seed(), seconds,
                         &control, &left, NULL) < 0)
        left = (struct ledger_left){0};
    return left;
}

enum exit_status sync_ledger_end(struct session *session, struct ledger_keeper *keeper,
                                 enum exit_status status, const struct sync_result *result)
{
    struct ledger_left left;

    if (!keeper->keep || (status != STATUS_DONE && (!result->settled || !keeper->resumable)))
        return status;
    left = take_fingerprint(session);
    if (status != STATUS_DONE) {
        ledger_keeper_interrupted(keeper, &left);
        return status;
    }
    if (!left.known)
        message_note(&session->notes,
                     "how %s was left could not be read, so the next sync cannot tell whether "
                     "something else has written to it meanwhile",
                     session->secondary->info.name);
    return ledger_status(ledger_keeper_complete(keeper, &left, &session->error));
}
