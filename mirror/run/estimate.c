/* SPDX-License-Identifier: Apache-2.0 */
#include "estimate.h"

#include <errno.h>

/* The sample from one side; a rate of 0: there is none. What cannot be read is noted. */
static enum exit_status read_sample(struct session *session, struct endpoint *endpoint,
                                    const struct sample *sample, struct sample_result *ret,
                                    uint64_t *ret_rate)
{
    struct copy_control control = session_control(session);
    struct errmsg why;
    int r = sample_read(sample, endpoint, &control, ret, &why);

    *ret_rate = 0;
    if (copy_stopped(&control)) {
        errmsg_set(&session->error, 0, "interrupted while a sample of %s was read",
                   endpoint->info.name);
        return STATUS_INTERRUPTED;
    }
    if (r < 0)
        message_note(&session->notes, "the estimate of the time does without %s: %s",
                     endpoint->info.name, why.text);
    else if (ret->bytes > 0 && ret->seconds > 0)
        *ret_rate = (uint64_t)((double)ret->bytes / ret->seconds) + 1;
    return STATUS_DONE;
}

/* The same blocks are read from both sides, one after the other: reading the secondary shows the
 * way there, if not how fast it writes. */
static enum exit_status read_samples(struct session *session, struct endpoint *primary,
                                     const struct sample *sample, struct estimate *ret)
{
    struct sample_result of_secondary;
    enum exit_status status =
        read_sample(session, primary, sample, &ret->sample, &ret->primary_rate);

    if (status != STATUS_DONE || ret->primary_rate == 0)
        return status;
    status = read_sample(session, session->secondary, sample, &of_secondary, &ret->secondary_rate);
    ret->basis = ESTIMATE_SAMPLE;
    ret->bytes_per_second = ret->primary_rate;
    if (ret->secondary_rate > 0 && ret->secondary_rate < ret->primary_rate) {
        ret->bytes_per_second = ret->secondary_rate;
        ret->sample = of_secondary;
    }
    return status;
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
        status = read_samples(session, primary, sample, ret);
    }
    if (ret->basis != ESTIMATE_NONE)
        ret->seconds = (double)to_copy_bytes / (double)ret->bytes_per_second;
    return status;
}
