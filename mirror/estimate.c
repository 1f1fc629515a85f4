/* SPDX-License-Identifier: Apache-2.0 */
#include "estimate.h"

#include <errno.h>

static enum exit_status read_sample(struct session *session, struct endpoint *primary,
                                    const struct sample *sample, struct estimate *ret)
{
    struct copy_control control = session_control(session);
    struct errmsg why;
    int r = sample_read(sample, primary, &control, &ret->sample, &why);

    if (copy_stopped(&control)) {
        errmsg_set(&session->error, 0, "interrupted while a sample of %s was read",
                   primary->info.name);
        return STATUS_INTERRUPTED;
    }
    if (r < 0) {
        message_note(&session->notes, "no estimate of the time: %s", why.text);
        return STATUS_DONE;
    }
    if (ret->sample.bytes == 0 || ret->sample.seconds <= 0)
        return STATUS_DONE;
    ret->basis = ESTIMATE_SAMPLE;
    ret->bytes_per_second = (uint64_t)((double)ret->sample.bytes / ret->sample.seconds) + 1;
    return STATUS_DONE;
}

enum exit_status estimate_make(struct session *session, struct endpoint *primary,
                               const struct sample *sample, uint64_t to_copy_bytes,
                               struct estimate *ret)
{
    const struct copy_control control = session_control(session);
    enum exit_status status = STATUS_DONE;

    *ret = (struct estimate){.basis = ESTIMATE_NONE};
    if (to_copy_bytes == 0)
        return STATUS_DONE;
    if (copy_rate(&control) > 0) {
        ret->basis = ESTIMATE_RATE;
        ret->bytes_per_second = copy_rate(&control);
    } else {
        status = read_sample(session, primary, sample, ret);
    }
    if (ret->basis != ESTIMATE_NONE)
        ret->seconds = (double)to_copy_bytes / (double)ret->bytes_per_second;
    return status;
}
