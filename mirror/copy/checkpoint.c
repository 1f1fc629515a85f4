/* SPDX-License-Identifier: Apache-2.0 */
#include "checkpoint.h"

#include <errno.h>
#include <string.h>

/* A flush may hold up the writes behind it: no more than this share of the time is spent so. */
#define FLUSH_SHARE 0.1

int checkpoint_init(struct checkpoint *checkpoint, const struct sync_params *params)
{
    int r;

    *checkpoint =
        (struct checkpoint){.params = params, .due = copy_now() + params->checkpoint_seconds};
    r = range_set_copy(&checkpoint->done, params->done);
    return r < 0 ? r : range_set_copy(&checkpoint->flushed, params->done);
}

void checkpoint_free(struct checkpoint *checkpoint)
{
    range_set_free(&checkpoint->done);
    range_set_free(&checkpoint->flushing);
    range_set_free(&checkpoint->flushed);
}

void checkpoint_add(struct checkpoint *checkpoint, uint64_t lba, uint64_t blocks)
{
    /* A range that there is no room for is forgotten: it would only be done once more. */
    (void)range_set_add(&checkpoint->done, lba, blocks);
}

static void fail(struct checkpoint *checkpoint, int error, const char *message)
{
    if (!checkpoint->error)
        checkpoint->error = errmsg_set(&checkpoint->message, error, "%s", message);
}

/* A flush went well. */
static int hand_over(struct checkpoint *checkpoint)
{
    const struct sync_params *params = checkpoint->params;
    struct range_set before = checkpoint->flushed;

    checkpoint->flushed = checkpoint->flushing;
    checkpoint->flushing = before; /* its memory is used again */
    if (!params->checkpoint)
        return 0;
    return params->checkpoint(params->checkpoint_opaque, &checkpoint->flushed,
                              &checkpoint->message);
}

static void flushed(struct endpoint_request *request)
{
    struct checkpoint *checkpoint = request->opaque;
    double now = copy_now(), took = now - checkpoint->began;
    double wait = checkpoint->params->checkpoint_seconds;
    int r;

    checkpoint->busy = false;
    checkpoint->due = now + (took / FLUSH_SHARE > wait ? took / FLUSH_SHARE : wait);
    if (request->result < 0) {
        fail(checkpoint, request->result,
             request->error.text[0] ? request->error.text : strerror(-request->result));
        return;
    }
    r = hand_over(checkpoint);
    if (r < 0 && !checkpoint->error)
        checkpoint->error = r;
}

static bool is_due(const struct checkpoint *checkpoint)
{
    return checkpoint->params->checkpoint && !checkpoint->params->dry_run && !checkpoint->busy &&
           !checkpoint->error && checkpoint->done.total > checkpoint->flushed.total &&
           copy_now() >= checkpoint->due;
}

static void begin(struct checkpoint *checkpoint)
{
    struct endpoint *secondary = checkpoint->params->secondary;
    /* What is done by now was answered before the flush is sent, so the flush covers it. */
    int r = range_set_copy(&checkpoint->flushing, &checkpoint->done);

    if (r < 0) {
        fail(checkpoint, r, strerror(-r));
        return;
    }
    checkpoint->request =
        (struct endpoint_request){.op = ENDPOINT_FLUSH, .done = flushed, .opaque = checkpoint};
    checkpoint->began = copy_now();
    checkpoint->busy = true;
    r = endpoint_submit(secondary, &checkpoint->request);
    if (r == 0)
        return;
    checkpoint->busy = false;
    errmsg_set(&checkpoint->message, r, "%s: cannot flush: %s", secondary->info.name, strerror(-r));
    checkpoint->error = r;
}

void checkpoint_pump(struct checkpoint *checkpoint)
{
    if (is_due(checkpoint))
        begin(checkpoint);
}

void checkpoint_finish(struct checkpoint *checkpoint)
{
    begin(checkpoint);
}
