/* SPDX-License-Identifier: Apache-2.0 */
#include "mover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "checkpoint.h"

struct piece {
    struct piece *next;
    struct mover *mover;
    struct endpoint_request request;
    struct iovec iov;
};

static unsigned copies_of(unsigned depth)
{
    return 2 * depth;
}

int mover_init(struct mover *mover, struct endpoint *primary, struct endpoint *secondary,
               const struct copy_control *control, struct checkpoint *checkpoint)
{
    uint32_t block_size = primary->info.block_size;
    unsigned depth = control->queue_depth ? control->queue_depth : COPY_QUEUE_DEPTH;
    unsigned copies = copies_of(depth);

    *mover = (struct mover){.primary = primary,
                            .secondary = secondary,
                            .control = control,
                            .checkpoint = checkpoint,
                            .depth = depth,
                            .chunk_blocks =
                                buffers_chunk_blocks(block_size, primary->info.max_transfer_blocks,
                                                     secondary->info.max_transfer_blocks)};
    mover->pieces = calloc(copies + depth, sizeof(*mover->pieces));
    if (!mover->pieces ||
        buffers_init(&mover->buffers, copies, mover->chunk_blocks * block_size) < 0) {
        mover_free(mover);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < copies + depth; i++) {
        struct piece *piece = &mover->pieces[i];
        struct piece **list = i < copies ? &mover->free_copies : &mover->free_zeros;

        piece->mover = mover;
        if (i < copies)
            piece->iov.iov_base = buffers_get(&mover->buffers, i);
        piece->next = *list;
        *list = piece;
    }
    return 0;
}

void mover_free(struct mover *mover)
{
    job_queue_free(&mover->copies);
    job_queue_free(&mover->zeros);
    buffers_free(&mover->buffers);
    free(mover->pieces);
    mover->pieces = NULL;
}

int mover_add(struct mover *mover, const struct job_list *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        const struct job *job = &jobs->items[i];
        int r = job_queue_push(job->kind == JOB_COPY ? &mover->copies : &mover->zeros, job);

        if (r < 0)
            return r;
    }
    return 0;
}

bool mover_hungry(const struct mover *mover)
{
    return mover->copies.count < JOB_QUEUE_ENOUGH && mover->zeros.count < JOB_QUEUE_ENOUGH;
}

bool mover_idle(const struct mover *mover)
{
    return mover->reading == 0 && mover->writing == 0 && !mover->read_first;
}

bool mover_done(const struct mover *mover)
{
    return mover_idle(mover) && job_queue_empty(&mover->copies) && job_queue_empty(&mover->zeros);
}

static void give_back(struct piece *piece)
{
    struct mover *mover = piece->mover;
    struct piece **list = piece->iov.iov_base ? &mover->free_copies : &mover->free_zeros;

    piece->next = *list;
    *list = piece;
}

static void fail(struct mover *mover, int error, const struct errmsg *message)
{
    if (mover->error)
        return;
    mover->error = error;
    mover->message = *message;
}

static void read_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;

    mover->reading--;
    if (request->result < 0) {
        fail(mover, request->result, &request->error);
        give_back(piece);
        return;
    }
    mover->read_bytes += piece->iov.iov_len;
    piece->next = NULL;
    if (mover->read_last)
        mover->read_last->next = piece;
    else
        mover->read_first = piece;
    mover->read_last = piece;
}

static void tell_done(struct mover *mover, const struct endpoint_request *request)
{
    if (mover->checkpoint)
        checkpoint_add(mover->checkpoint, request->lba, request->blocks);
}

static void write_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;

    mover->writing--;
    if (request->result < 0) {
        fail(mover, request->result, &request->error);
    } else {
        mover->written_bytes += piece->iov.iov_len;
        tell_done(mover, request);
    }
    give_back(piece);
}

static void zero_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;
    uint64_t bytes = request->blocks * mover->secondary->info.block_size;

    mover->writing--;
    if (request->result < 0)
        fail(mover, request->result, &request->error);
    else if (request->deallocated)
        mover->unmapped_bytes += bytes;
    else
        mover->zeroed_bytes += bytes;
    if (request->result == 0)
        tell_done(mover, request);
    give_back(piece);
}

/* Sends the piece's request; in_flight is its budget. A request that is not taken is an error. */
static void send(struct piece *piece, struct endpoint *endpoint, enum endpoint_op op, uint64_t lba,
                 uint64_t blocks, unsigned *in_flight)
{
    static const struct {
        const char *verb;
        void (*done)(struct endpoint_request *request);
    } kinds[] = {
        [ENDPOINT_READ] = {"read", read_done},
        [ENDPOINT_WRITE] = {"write", write_done},
        [ENDPOINT_ZERO] = {"zero", zero_done},
    };
    struct errmsg message;
    int r;

    piece->request = (struct endpoint_request){.op = op,
                                               .lba = lba,
                                               .blocks = blocks,
                                               .iov = op == ENDPOINT_ZERO ? NULL : &piece->iov,
                                               .iov_count = op == ENDPOINT_ZERO ? 0 : 1,
                                               .done = kinds[op].done,
                                               .opaque = piece};
    ++*in_flight;
    r = endpoint_submit(endpoint, &piece->request);
    if (r == 0)
        return;
    --*in_flight;
    errmsg_set(&message, r, "%s: cannot %s block %" PRIu64 ": %s", endpoint->info.name,
               kinds[op].verb, lba, strerror(-r));
    fail(piece->mover, r, &message);
    give_back(piece);
}

static struct piece *take_free(struct piece **list)
{
    struct piece *piece = *list;

    *list = piece->next;
    return piece;
}

static void pump_writes(struct mover *mover)
{
    while (mover->read_first && mover->writing < mover->depth && !mover->error) {
        struct piece *piece = take_free(&mover->read_first);

        if (!mover->read_first)
            mover->read_last = NULL;
        send(piece, mover->secondary, ENDPOINT_WRITE, piece->request.lba, piece->request.blocks,
             &mover->writing);
    }
}

static void pump_zeros(struct mover *mover)
{
    const struct endpoint_info *info = &mover->secondary->info;
    const struct job *job;

    while ((job = job_queue_first(&mover->zeros)) && mover->free_zeros &&
           mover->writing < mover->depth && !mover->error) {
        uint64_t lba = job->lba;
        uint64_t blocks =
            job_piece_blocks(job, info->max_zero_blocks, max_u64(info->unmap_granularity_blocks, 1),
                             info->unmap_alignment_blocks);

        job_queue_take(&mover->zeros, blocks);
        send(take_free(&mover->free_zeros), mover->secondary, ENDPOINT_ZERO, lba, blocks,
             &mover->writing);
    }
}

int mover_delay(const struct mover *mover)
{
    return job_queue_empty(&mover->copies) ? 0 : copy_pacer_delay(&mover->pacer, mover->control);
}

static void pump_reads(struct mover *mover)
{
    const struct job *job;

    while ((job = job_queue_first(&mover->copies)) && mover->free_copies &&
           mover->reading < mover->depth && !mover->error && mover_delay(mover) == 0) {
        struct piece *piece = take_free(&mover->free_copies);
        uint64_t lba = job->lba;
        uint64_t blocks = job_piece_blocks(job, mover->chunk_blocks, mover->chunk_blocks, 0);

        piece->iov.iov_len = blocks * mover->primary->info.block_size;
        job_queue_take(&mover->copies, blocks);
        copy_pacer_spend(&mover->pacer, mover->control, piece->iov.iov_len);
        send(piece, mover->primary, ENDPOINT_READ, lba, blocks, &mover->reading);
    }
}

void mover_pump(struct mover *mover, bool begin)
{
    pump_writes(mover);
    if (begin) {
        pump_reads(mover);
        pump_zeros(mover);
    }
    if (!mover->error)
        return;
    /* What was read is not written any more. */
    while (mover->read_first)
        give_back(take_free(&mover->read_first));
    mover->read_last = NULL;
}
