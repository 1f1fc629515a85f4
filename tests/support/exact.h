/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_EXACT_H
#define THINMIRROR_TESTS_EXACT_H

/* A copy of the bytes in an allocation of exactly that length, so that AddressSanitizer sees the
 * first byte read behind them. NULL for length 0. The caller frees it. */

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

static inline uint8_t *exact_copy(const uint8_t *bytes, size_t length)
{
    uint8_t *copy;

    if (length == 0)
        return NULL;
    copy = malloc(length);
    if (!copy)
        abort();
    return memcpy(copy, bytes, length);
}

#endif
