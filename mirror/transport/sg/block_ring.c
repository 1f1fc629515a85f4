/* SPDX-License-Identifier: Apache-2.0 */
#include "block_ring.h"

#include <errno.h>
#include <liburing.h>
#include <limits.h>
#include <stdlib.h>

#define RING_ENTRIES 256

struct block_ring {
    struct io_uring ring;
    int fd;
    unsigned in_flight;
};

/* A ring may be had and yet be of no use, when a filter of system calls knows only half of it. */
static int try(struct io_uring *ring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    struct io_uring_cqe *cqe;
    int r;

    if (!sqe)
        return -EAGAIN;
    io_uring_prep_nop(sqe);
    r = io_uring_submit_and_wait(ring, 1);
    if (r >= 0)
        r = io_uring_peek_cqe(ring, &cqe);
    if (r < 0)
        return r;
    io_uring_cqe_seen(ring, cqe);
    return 0;
}

int block_ring_create(int fd, int event, struct block_ring **ret)
{
    struct block_ring *ring = calloc(1, sizeof(*ring));
    int r;

    if (!ring)
        return -ENOMEM;
    ring->fd = fd;
    r = io_uring_queue_init(RING_ENTRIES, &ring->ring, 0);
    if (r < 0) {
        free(ring);
        return r;
    }
    r = try(&ring->ring);
    if (r == 0)
        r = io_uring_register_eventfd(&ring->ring, event);
    if (r < 0) {
        block_ring_destroy(ring);
        return r;
    }
    *ret = ring;
    return 0;
}

void block_ring_destroy(struct block_ring *ring)
{
    if (!ring)
        return;
    io_uring_queue_exit(&ring->ring);
    free(ring);
}

/* What the kernel does not take now stays in the queue. */
static void push(struct block_ring *ring)
{
    int r;

    do
        r = io_uring_submit(&ring->ring);
    while (r == -EINTR);
}

int block_ring_submit(struct block_ring *ring, const struct block_ring_io *io)
{
    struct io_uring_sqe *sqe;

    if (io->offset > INT64_MAX || io->iov_count <= 0)
        return -EINVAL;
    /* No more than the completion queue has room for, so that none is ever left out of it. */
    sqe = ring->in_flight < RING_ENTRIES ? io_uring_get_sqe(&ring->ring) : NULL;
    if (!sqe)
        return -EAGAIN;
    if (io->write)
        io_uring_prep_writev(sqe, ring->fd, io->iov, (unsigned)io->iov_count, io->offset);
    else
        io_uring_prep_readv(sqe, ring->fd, io->iov, (unsigned)io->iov_count, io->offset);
    io_uring_sqe_set_data(sqe, io->opaque);
    ring->in_flight++;
    push(ring);
    return 0;
}

bool block_ring_is_held_up(const struct block_ring *ring)
{
    return io_uring_sq_ready(&ring->ring) > 0;
}

void *block_ring_next(struct block_ring *ring, bool wait, int64_t *ret)
{
    struct io_uring_cqe *cqe = NULL;
    void *opaque;
    int r;

    if (ring->in_flight == 0)
        return NULL;
    if (block_ring_is_held_up(ring))
        push(ring);
    do
        r = wait ? io_uring_wait_cqe(&ring->ring, &cqe) : io_uring_peek_cqe(&ring->ring, &cqe);
    while (r == -EINTR);
    if (r < 0 || !cqe)
        return NULL;
    opaque = io_uring_cqe_get_data(cqe);
    *ret = cqe->res;
    io_uring_cqe_seen(&ring->ring, cqe);
    ring->in_flight--;
    return opaque;
}
