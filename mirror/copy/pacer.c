/* SPDX-License-Identifier: Apache-2.0 */
#include "pacer.h"

/* Every wait ends a little late, by a millisecond at least as poll(2) counts them: so much of that
 * may be made up for, or a high rate would never be reached. */
#define CREDIT_SECONDS    0.05

#define PIECES_PER_SECOND 8
#define LEAST_BYTES       4096

uint64_t copy_pacer_blocks(const struct copy_control *control, uint64_t most_blocks,
                           uint32_t block_size)
{
    uint64_t rate = copy_rate(control), blocks = most_blocks;

    /* By halves, which leaves pieces on the boundaries of larger blocks. */
    while (rate > 0 && blocks / 2 * block_size >= LEAST_BYTES &&
           blocks * block_size > rate / PIECES_PER_SECOND)
        blocks /= 2;
    return blocks;
}

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
