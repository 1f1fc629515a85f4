/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_COPY_PAGE_H
#define THINMIRROR_LUN_COPY_PAGE_H

#include <stddef.h>
#include <stdint.h>

struct volume;

/* VPD 8Fh, what this logical unit can copy. Writes VPD_PAGE_MAX_BYTES at most; the length. */
size_t copy_page_encode(const struct volume *volume, uint8_t *to);

#endif
