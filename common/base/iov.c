/* SPDX-License-Identifier: Apache-2.0 */
#include "iov.h"

#include <stdint.h>
#include <string.h>

size_t iov_total(const struct iovec *iov, int count)
{
    size_t total = 0;

    for (int i = 0; i < count; i++) {
        if (__builtin_add_overflow(total, iov[i].iov_len, &total))
            return SIZE_MAX;
    }
    return total;
}

struct iov_cursor iov_cursor_at_start(const struct iovec *iov, int count)
{
    return (struct iov_cursor){.iov = iov, .count = count};
}

/* The bytes at the position that lie together, at most length; steps over elements that are used
 * up. 0 at the end. */
static size_t next_piece(struct iov_cursor *cursor, size_t length, char **ret)
{
    size_t left;

    while (cursor->count > 0 && cursor->used == cursor->iov->iov_len) {
        cursor->iov++;
        cursor->count--;
        cursor->used = 0;
    }
    if (cursor->count <= 0 || length == 0)
        return 0;
    left = cursor->iov->iov_len - cursor->used;
    *ret = (char *)cursor->iov->iov_base + cursor->used;
    return left < length ? left : length;
}

size_t iov_cursor_skip(struct iov_cursor *cursor, size_t length)
{
    size_t done = 0;
    size_t piece;
    char *at;

    while ((piece = next_piece(cursor, length - done, &at)) > 0) {
        cursor->used += piece;
        done += piece;
    }
    return done;
}

size_t iov_cursor_read(struct iov_cursor *cursor, void *to, size_t length)
{
    size_t done = 0;
    size_t piece;
    char *at;

    while ((piece = next_piece(cursor, length - done, &at)) > 0) {
        memcpy((char *)to + done, at, piece);
        cursor->used += piece;
        done += piece;
    }
    return done;
}

size_t iov_cursor_write(struct iov_cursor *cursor, const void *from, size_t length)
{
    size_t done = 0;
    size_t piece;
    char *at;

    while ((piece = next_piece(cursor, length - done, &at)) > 0) {
        memcpy(at, (const char *)from + done, piece);
        cursor->used += piece;
        done += piece;
    }
    return done;
}

size_t iov_cursor_zero(struct iov_cursor *cursor, size_t length)
{
    size_t done = 0;
    size_t piece;
    char *at;

    while ((piece = next_piece(cursor, length - done, &at)) > 0) {
        memset(at, 0, piece);
        cursor->used += piece;
        done += piece;
    }
    return done;
}

int iov_cursor_batch(const struct iov_cursor *cursor, size_t length, struct iovec *batch, int max,
                     size_t *ret_length)
{
    struct iov_cursor at = *cursor;
    size_t piece;
    char *base;
    int count = 0;

    *ret_length = 0;
    while (count < max && (piece = next_piece(&at, length - *ret_length, &base)) > 0) {
        batch[count++] = (struct iovec){.iov_base = base, .iov_len = piece};
        at.used += piece;
        *ret_length += piece;
    }
    return count;
}
