/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_SIZE_H
#define THINMIRROR_BASE_SIZE_H

/* Sizes as people write and read them. */

#include <stddef.h>
#include <stdint.h>

/* A decimal number with an optional suffix K, M, G or T (powers of 1024, either case) and nothing
 * else. -EINVAL: not that; -ERANGE: 2^63 bytes or more. */
int size_parse(const char *text, uint64_t *ret_bytes);

/* "512 bytes", "64 KiB", "1.5 GiB" in buffer; returns buffer. */
const char *size_text(uint64_t bytes, char *buffer, size_t size);

#define SIZE_TEXT_BYTES 32

#endif
