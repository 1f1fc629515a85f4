/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_CRC32C_H
#define THINMIRROR_TESTS_CRC32C_H

/* CRC32C by its definition (RFC 3720, B.4), bit by bit: not by the library that the project uses.
 */

#include <stddef.h>
#include <stdint.h>

static inline uint32_t crc32c(const uint8_t *bytes, size_t length)
{
    uint32_t crc = UINT32_MAX;

    for (size_t i = 0; i < length; i++) {
        crc ^= bytes[i];
        for (int bit = 0; bit < 8; bit++)
            crc = crc >> 1 ^ (crc & 1 ? UINT32_C(0x82F63B78) : 0);
    }
    return ~crc;
}

#endif
