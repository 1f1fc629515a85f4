/* SPDX-License-Identifier: Apache-2.0 */
#include "tables_watch.h"

#include "session.h"

#define SERVE_SECONDS 0.2

/* A secondary that is lost here is found lost by the next request to it. */
static void watch_tables(void *opaque, uint64_t read_bytes)
{
    struct tables_watch *watch = opaque;
    struct session *session = watch->session;
    const struct endpoint_info *info = &session->primary->info;
    double now = copy_now();
    const struct copy_status status = {.phase = PHASE_TABLES,
                                       .lun_bytes = info->blocks * info->block_size,
                                       .done_bytes = read_bytes,
                                       .seconds = now - watch->started};

    if (session->secondary && now - watch->served >= SERVE_SECONDS) {
        watch->served = now;
        endpoint_wait(&session->secondary, 1, 0);
    }
    if (session->options->command != COMMAND_MAP)
        copy_report(&watch->control, &status, false, &watch->shown);
}

struct analyse_params tables_watch_begin(struct tables_watch *watch, struct session *session)
{
    const struct options *options = session->options;
    double now = copy_now();

    /* What is done in no time is not shown. */
    *watch = (struct tables_watch){.session = session,
                                   .control = session_control(session),
                                   .started = now,
                                   .shown = now,
                                   .served = now};
    return (struct analyse_params){.skip_gaps = options->skip_gaps,
                                   .vtoc_lstar = options->vtoc_lstar,
                                   .stop = watch->control.stop,
                                   .watch = watch_tables,
                                   .opaque = watch};
}
