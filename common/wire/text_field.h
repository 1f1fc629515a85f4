/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_TEXT_FIELD_H
#define THINMIRROR_WIRE_TEXT_FIELD_H

/* ASCII data fields, SPC-4 4.3.1: 20h to 7Eh, left-aligned, padded with spaces. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

static inline bool text_is_printable(uint8_t byte)
{
    return byte >= 0x20 && byte <= 0x7E;
}

/* Fills size bytes; text that is longer is cut. */
static inline void text_field_put(uint8_t *to, size_t size, const char *text)
{
    size_t length = strnlen(text, size);

    memset(to, ' ', size);
    memcpy(to, text, length);
}

/* How much of the field is left without the spaces and NULs at its end. */
static inline size_t text_field_length(const uint8_t *from, size_t size)
{
    while (size > 0 && (from[size - 1] == ' ' || from[size - 1] == 0))
        size--;
    return size;
}

#endif
