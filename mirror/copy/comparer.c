/* SPDX-License-Identifier: Apache-2.0 */
#include "comparer.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "zeros.h"

/* One side of a piece being read. */
struct half {
    struct endpoint_request request;
    struct iovec iov;
    unsigned *in_flight; /* the side's count in the comparer */
};

struct pair_piece {
    struct pair_piece *next;
    struct comparer *comparer;
    struct half primary;
    struct half secondary;
    uint64_t lba;
    uint64_t blocks;
    const struct half *only; /* this one is read alone, and must be zeros; NULL: both */
    unsigned waiting;        /* for how many reads */
    bool failed;
};

int comparer_init(struct comparer *comparer, struct endpoint *primary, struct endpoint *secondary,
                  const struct copy_control *control)
{
    const struct endpoint_info *info = &secondary->info;
    unsigned depth = control->queue_depth ? control->queue_depth : COPY_FULL_PIECES;

    *comparer =
        (struct comparer){.primary = primary,
                          .secondary = secondary,
                          .control = control,
                          .chunk_blocks =
                              buffers_chunk_blocks(info->block_size, buffers_limit_blocks(info),
                                                   primary ? buffers_limit_blocks(&primary->info)
                                                           : UINT32_MAX,
                                                   2 * (size_t)depth)};
    comparer->pieces = calloc(depth, sizeof(*comparer->pieces));
    if (!comparer->pieces || buffers_init(&comparer->buffers, 2 * (size_t)depth,
                                          comparer->chunk_blocks * info->block_size) < 0) {
        comparer_free(comparer);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < depth; i++) {
        struct pair_piece *piece = &comparer->pieces[i];

        piece->comparer = comparer;
        piece->primary.iov.iov_base = buffers_get(&comparer->buffers, 2 * i);
        piece->primary.in_flight = &comparer->reading_primary;
        piece->secondary.iov.iov_base = buffers_get(&comparer->buffers, 2 * i + 1);
        piece->secondary.in_flight = &comparer->reading_secondary;
        piece->next = comparer->free_pieces;
        comparer->free_pieces = piece;
    }
    return 0;
}

void comparer_free(struct comparer *comparer)
{
    job_queue_free(&comparer->jobs);
    buffers_free(&comparer->buffers);
    free(comparer->pieces);
    comparer->pieces = NULL;
}

int comparer_add(struct comparer *comparer, const struct job_list *jobs)
{
    for (size_t i = 0; i < jobs->count; i++) {
        int r = job_queue_push(&comparer->jobs, &jobs->items[i]);

        if (r < 0)
            return r;
    }
    return 0;
}

bool comparer_hungry(const struct comparer *comparer)
{
    return comparer->jobs.count < JOB_QUEUE_ENOUGH;
}

bool comparer_idle(const struct comparer *comparer)
{
    return comparer->reading_primary == 0 && comparer->reading_secondary == 0;
}

bool comparer_done(const struct comparer *comparer)
{
    return comparer_idle(comparer) && job_queue_empty(&comparer->jobs);
}

/* Joins the range at index with the one after it where they touch. */
static void join(struct differences *differences, size_t index)
{
    struct extent *range = &differences->first[index];

    if (index + 1 >= differences->count || range->start + range->length != range[1].start)
        return;
    range->length += range[1].length;
    memmove(range + 1, range + 2, (differences->count - index - 2) * sizeof(*range));
    differences->count--;
}

void differences_add(struct differences *differences, uint64_t lba, uint64_t blocks)
{
    struct extent *first = differences->first;
    size_t at = differences->count;

    differences->blocks += blocks;
    while (at > 0 && first[at - 1].start > lba)
        at--;
    memmove(first + at + 1, first + at, (differences->count - at) * sizeof(*first));
    first[at] = (struct extent){lba, blocks, EXTENT_MAPPED};
    differences->count++;
    join(differences, at);
    if (at > 0)
        join(differences, at - 1);
    if (differences->count > DIFFERENCES_KEPT)
        differences->count = DIFFERENCES_KEPT;
}

static bool block_differs(const struct pair_piece *piece, uint64_t block, size_t block_size)
{
    size_t offset = block * block_size;

    if (piece->only)
        return !bytes_are_zero((const uint8_t *)piece->only->iov.iov_base + offset, block_size);
    return memcmp((const uint8_t *)piece->primary.iov.iov_base + offset,
                  (const uint8_t *)piece->secondary.iov.iov_base + offset, block_size) != 0;
}

static bool piece_differs(const struct pair_piece *piece)
{
    if (piece->only)
        return !bytes_are_zero(piece->only->iov.iov_base, piece->only->iov.iov_len);
    return memcmp(piece->primary.iov.iov_base, piece->secondary.iov.iov_base,
                  piece->secondary.iov.iov_len) != 0;
}

static void note_differences(struct comparer *comparer, const struct pair_piece *piece)
{
    size_t block_size = comparer->secondary->info.block_size;
    uint64_t run = 0;

    if (!piece_differs(piece))
        return;
    for (uint64_t block = 0; block < piece->blocks; block++) {
        if (block_differs(piece, block, block_size)) {
            run++;
            continue;
        }
        if (run > 0)
            differences_add(&comparer->differences, piece->lba + block - run, run);
        run = 0;
    }
    if (run > 0)
        differences_add(&comparer->differences, piece->lba + piece->blocks - run, run);
}

static void piece_finished(struct pair_piece *piece)
{
    struct comparer *comparer = piece->comparer;

    if (!piece->failed) {
        note_differences(comparer, piece);
        comparer->done_blocks += piece->blocks;
        comparer->read_blocks += piece->blocks * (piece->only ? 1 : 2);
    }
    piece->next = comparer->free_pieces;
    comparer->free_pieces = piece;
}

static void half_finished(struct pair_piece *piece, const struct half *half)
{
    struct comparer *comparer = piece->comparer;

    --*half->in_flight;
    if (half->request.result < 0) {
        piece->failed = true;
        if (!comparer->error) {
            comparer->error = half->request.result;
            comparer->message = half->request.error;
        }
    }
    if (--piece->waiting == 0)
        piece_finished(piece);
}

static void primary_read(struct endpoint_request *request)
{
    struct pair_piece *piece = request->opaque;

    half_finished(piece, &piece->primary);
}

static void secondary_read(struct endpoint_request *request)
{
    struct pair_piece *piece = request->opaque;

    half_finished(piece, &piece->secondary);
}

static void read_half(struct pair_piece *piece, struct half *half, struct endpoint *endpoint,
                      void (*done)(struct endpoint_request *request))
{
    int r;

    half->iov.iov_len = piece->blocks * endpoint->info.block_size;
    half->request = (struct endpoint_request){.op = ENDPOINT_READ,
                                              .lba = piece->lba,
                                              .blocks = piece->blocks,
                                              .iov = &half->iov,
                                              .iov_count = 1,
                                              .done = done,
                                              .opaque = piece};
    ++*half->in_flight;
    r = endpoint_submit(endpoint, &half->request);
    if (r == 0)
        return;
    half->request.result =
        errmsg_set(&half->request.error, r, "%s: cannot read block %" PRIu64 ": %s",
                   endpoint->info.name, piece->lba, strerror(-r));
    half_finished(piece, half);
}

int comparer_delay(const struct comparer *comparer)
{
    return job_queue_empty(&comparer->jobs) ? 0
                                            : copy_pacer_delay(&comparer->pacer, comparer->control);
}

void comparer_pump(struct comparer *comparer)
{
    const struct job *job;

    while ((job = job_queue_first(&comparer->jobs)) && comparer->free_pieces && !comparer->error &&
           comparer_delay(comparer) == 0) {
        struct pair_piece *piece = comparer->free_pieces;
        const struct half *only;
        uint64_t most = copy_pacer_blocks(comparer->control, comparer->chunk_blocks,
                                          comparer->secondary->info.block_size);

        comparer->free_pieces = piece->next;
        piece->lba = job->lba;
        piece->blocks = job_piece_blocks(job, most, most, 0);
        piece->only = job->kind == JOB_EXPECT_ZEROS           ? &piece->secondary
                      : job->kind == JOB_EXPECT_PRIMARY_ZEROS ? &piece->primary
                                                              : NULL;
        piece->waiting = piece->only ? 1 : 2;
        piece->failed = false;
        job_queue_take(&comparer->jobs, piece->blocks);
        copy_pacer_spend(&comparer->pacer, comparer->control,
                         piece->blocks * comparer->secondary->info.block_size);
        only = piece->only; /* the piece may be another job's once its reads have ended */
        if (only != &piece->secondary)
            read_half(piece, &piece->primary, comparer->primary, primary_read);
        if (only != &piece->primary)
            read_half(piece, &piece->secondary, comparer->secondary, secondary_read);
    }
}
