/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PACER_H
#define THINMIRROR_PACER_H

#include <stdint.h>

#include "control.h"

/* Keeps reads of the primary at the rate: when the next one may begin. Zero-initialise. Idle time
 * is not saved up, but for a twentieth of a second. */
struct copy_pacer {
    double next;   /* when what was spent is paid for */
    uint64_t rate; /* that next was reckoned with */
};

/* How many blocks, of most_blocks at most, to read at a time: so few that a low rate is no row of
 * bursts, but no less than 4 KiB. */
uint64_t copy_pacer_blocks(const struct copy_control *control, uint64_t most_blocks,
                           uint32_t block_size);
/* bytes bytes are about to be read. */
void copy_pacer_spend(struct copy_pacer *pacer, const struct copy_control *control, uint64_t bytes);
/* Milliseconds to wait; 0: go on. */
int copy_pacer_delay(const struct copy_pacer *pacer, const struct copy_control *control);

#endif
