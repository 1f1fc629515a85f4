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
