/* SPDX-License-Identifier: Apache-2.0 */
#include "pacer.h"

/* Every wait ends a little late, by a millisecond at least as poll(2) counts them: so much of that
 * may be made up for, or a high rate would never be reached. */
#define CREDIT_SECONDS 0.05

void copy_pacer_spend(struct copy_pacer *pacer, const struct copy_control *control, uint64_t bytes)
{
    uint64_t rate = copy_rate(control);
    double now;

    if (rate == 0)
        return;
    now = copy_now();
    if (pacer->rate != rate)
        pacer->next = now;
    if (pacer->next < now - CREDIT_SECONDS)
        pacer->next = now - CREDIT_SECONDS;
    pacer->rate = rate;
    pacer->next += (double)bytes / (double)rate;
}

int copy_pacer_delay(const struct copy_pacer *pacer, const struct copy_control *control)
{
    double wait;

    /* With another rate the waiting begins anew. */
    if (copy_rate(control) == 0 || copy_rate(control) != pacer->rate)
        return 0;
    wait = pacer->next - copy_now();
    if (wait <= 0)
        return 0;
    return wait > 60 ? 60000 : (int)(wait * 1000) + 1;
}
