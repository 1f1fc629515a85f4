/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_SIZE_H
#define THINMIRROR_BASE_SIZE_H

/* Sizes as people write and read them. */

#include <stddef.h>
#include <stdint.h>

/* A number with an optional unit and nothing else: K, M, G and T, or KiB, MiB, GiB and TiB, are
 * powers of 1024; KB, MB, GB and TB are powers of 1000 (as in coreutils), in either case. 1.5G is
 * possible. -EINVAL: not that; -EDOM: no whole number of bytes, such as 1.1K; -ERANGE: 2^63 bytes
 * or more. */
int size_parse(const char *text, uint64_t *ret_bytes);

/* "512 bytes", "64 KiB", "1.5 GiB" in buffer; returns buffer. */
const char *size_text(uint64_t bytes, char *buffer, size_t size);

#define SIZE_TEXT_BYTES 32

#endif
