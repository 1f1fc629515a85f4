/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BITMAP_SCAN_H
#define THINMIRROR_BITMAP_SCAN_H

/* Runs of clear bits in an allocation bitmap as file systems keep it: bit n is bit n % 8 of byte
 * n / 8. */

#include <stdbool.h>
#include <stdint.h>

struct bit_run {
    uint64_t from;
    uint64_t count;
};

/* The first run of clear bits at or after from, of bits in all. False: there is none. */
bool bitmap_scan_clear(const uint8_t *bytes, uint64_t bits, uint64_t from, struct bit_run *ret);

#endif
