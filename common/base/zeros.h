/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_ZEROS_H
#define THINMIRROR_BASE_ZEROS_H

#include <stdbool.h>
#include <stddef.h>

/* True when all length bytes are zero. */
bool bytes_are_zero(const void *bytes, size_t length);

#endif
