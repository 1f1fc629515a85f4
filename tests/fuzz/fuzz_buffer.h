/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_BUFFER_H
#define THINMIRROR_FUZZ_BUFFER_H

/* Buffers that AddressSanitizer watches to the byte. */

#include <stdlib.h>
#include <string.h>
#include <sys/uio.h>

#include "checked.h"
#include "fuzz.h"

enum { BUFFER_MAX_PIECES = 3 };

/* One buffer in separate allocations, each of exactly its size. */
struct buffer {
    struct iovec pieces[BUFFER_MAX_PIECES];
    int count;
    size_t bytes;
};

static inline void buffer_make(struct buffer *buffer, size_t bytes, uint8_t cut)
{
    size_t left = bytes;

    *buffer = (struct buffer){.bytes = bytes};
    while (left > 0) {
        bool last = buffer->count == BUFFER_MAX_PIECES - 1 || cut == 0;
        size_t size = last ? left : min_u64(left, 1 + left * cut / 256);
        struct iovec *piece = &buffer->pieces[buffer->count++];

        *piece = (struct iovec){malloc(size), size};
        FUZZ_CHECK(piece->iov_base);
        left -= size;
    }
}

static inline void buffer_free(struct buffer *buffer)
{
    for (int i = 0; i < buffer->count; i++)
        free(buffer->pieces[i].iov_base);
}

static inline void buffer_set(struct buffer *buffer, const uint8_t *bytes)
{
    for (int i = 0; i < buffer->count; i++) {
        memcpy(buffer->pieces[i].iov_base, bytes, buffer->pieces[i].iov_len);
        bytes += buffer->pieces[i].iov_len;
    }
}

static inline void buffer_get(const struct buffer *buffer, uint8_t *bytes)
{
    for (int i = 0; i < buffer->count; i++) {
        memcpy(bytes, buffer->pieces[i].iov_base, buffer->pieces[i].iov_len);
        bytes += buffer->pieces[i].iov_len;
    }
}

#endif
