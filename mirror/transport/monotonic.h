/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MONOTONIC_H
#define THINMIRROR_MONOTONIC_H

/* Milliseconds on a clock that only goes forward. */

#include <stdint.h>
#include <time.h>

static inline uint64_t monotonic_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

#endif
