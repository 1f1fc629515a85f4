/* SPDX-License-Identifier: Apache-2.0 */
#include "control.h"

#include <time.h>

double copy_now(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

void copy_report(const struct copy_control *control, const struct copy_status *status, int force,
                 double *last)
{
    double now;

    if (!control->progress)
        return;
    now = copy_now();
    if (!force && now - *last < 0.1)
        return;
    *last = now;
    control->progress(control->opaque, status);
}

void copy_pacer_spend(struct copy_pacer *pacer, const struct copy_control *control, uint64_t bytes)
{
    uint64_t rate = copy_rate(control);
    double now;

    if (rate == 0)
        return;
    now = copy_now();
    if (pacer->next < now || pacer->rate != rate)
        pacer->next = now;
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
