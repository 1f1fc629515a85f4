/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_IOV_H
#define THINMIRROR_BASE_IOV_H

/* Walking a scatter list that belongs to someone else, without changing or copying it. */

#include <stddef.h>
#include <sys/uio.h>

/* A position in a scatter list. */
struct iov_cursor {
    const struct iovec *iov; /* the element the position is in */
    int count;               /* elements left, this one included */
    size_t used;             /* bytes of this element that lie behind the position */
};

/* The summed length of all elements; saturates at SIZE_MAX. */
size_t iov_total(const struct iovec *iov, int count);

/* The list's first byte; iov must outlive the cursor. */
struct iov_cursor iov_cursor_at_start(const struct iovec *iov, int count);

/* Each moves the position on by up to length bytes and returns how many there were. */
size_t iov_cursor_skip(struct iov_cursor *cursor, size_t length);
size_t iov_cursor_read(struct iov_cursor *cursor, void *to, size_t length);
size_t iov_cursor_write(struct iov_cursor *cursor, const void *from, size_t length);
size_t iov_cursor_zero(struct iov_cursor *cursor, size_t length);

/* Describes up to length bytes from the position on with up to max elements in batch, and does not
 * move. Returns the number of elements; *ret_length is the bytes they hold. */
int iov_cursor_batch(const struct iov_cursor *cursor, size_t length, struct iovec *batch, int max,
                     size_t *ret_length);

#endif
