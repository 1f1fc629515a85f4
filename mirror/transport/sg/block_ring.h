/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BLOCK_RING_H
#define THINMIRROR_BLOCK_RING_H

/* Reads and writes of a block device by io_uring, many at a time, driven by one owner thread that
 * waits on a descriptor like for a socket. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

struct block_ring;

/* fd: the device, opened with O_DIRECT and without O_NONBLOCK; event: of event.h, raised when
 * something has ended. Both stay the caller's. -errno, -ENOSYS or -EPERM where there is no io_uring
 * for this process. */
int block_ring_create(int fd, int event, struct block_ring **ret);
/* With nothing in flight. NULL: ok. */
void block_ring_destroy(struct block_ring *ring);

struct block_ring_io {
    bool write;
    struct iovec *iov; /* it and its buffers stay untouched until the end */
    int iov_count;
    uint64_t offset; /* bytes */
    void *opaque;    /* not NULL */
};

/* -EAGAIN: there is no room; another -errno: it was not taken. */
int block_ring_submit(struct block_ring *ring, const struct block_ring_io *io);

/* Whether the kernel has not taken everything yet: block_ring_next is to be called again in a
 * while. */
bool block_ring_is_held_up(const struct block_ring *ring);

/* Something that has ended, in any order: its opaque, and in *ret the bytes that were moved or
 * -errno. NULL when nothing has; wait: only when nothing is in flight. */
void *block_ring_next(struct block_ring *ring, bool wait, int64_t *ret);

#endif
