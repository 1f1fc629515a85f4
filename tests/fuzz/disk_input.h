/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_DISK_INPUT_H
#define THINMIRROR_DISK_INPUT_H

/* Analyses a disk that the input describes: its sectors (4 bytes), then pieces that are not zeros,
 * each a sector (4 bytes), a length in bytes (2 bytes) and so many bytes; big-endian. */

#include <stddef.h>
#include <stdint.h>

/* Whatever is on it, the result must cover the disk in order. Returns 0. */
int fuzz_disk(const uint8_t *data, size_t size);

#endif
