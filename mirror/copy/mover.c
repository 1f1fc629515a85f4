/* SPDX-License-Identifier: Apache-2.0 */
#include "mover.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "buffers.h"
#include "checked.h"
#include "checkpoint.h"
#include "join.h"
#include "log.h"
#include "readback.h"
#include "zeros.h"

/* How many bad blocks are listed one by one. */
#define BAD_TOLD 16
/* The piece with control->detect_zeroes: what is emptied is a whole piece. */
#define DETECT_BYTES (64 * 1024)

/* For each request in flight, on either side, the number of extents that were read by one command.
 */
#define PIECES_A_REQUEST 4

/* A gap is worth reading that the line carries in this time, which a command of its own costs at
 * the least. How quick the line is shows only with large reads, so now and then one is made. */
#define COMMAND_SECONDS  25e-6
#define READS_TO_A_TRIAL 64

/* An extent, or a part of one. A request may be about several: then it is the first one's, and the
 * others follow by next. */
struct piece {
    struct piece *next;
    struct mover *mover;
    struct endpoint_request request;
    struct iovec carried; /* the request's */
    struct span *span;
    struct iovec iov;      /* its part of the span */
    double sent;           /* the request in hand, on the clock of copy_now */
    uint64_t lba, blocks;  /* what it is about */
    uint64_t zeros_before; /* as in struct job */
    uint64_t careful_at;   /* the block in hand, when it is read block by block */
    bool copies;           /* or zeroes */
    bool careful;
    bool has_bad;
};

static uint64_t chunk_of(const struct endpoint_info *primary, const struct endpoint_info *secondary,
                         const struct copy_control *control)
{
    size_t copies = 2 * (size_t)(control->queue_depth ? control->queue_depth : COPY_FULL_PIECES);
    uint64_t blocks = buffers_chunk_blocks(primary->block_size, buffers_limit_blocks(primary),
                                           buffers_write_limit_blocks(secondary), copies);

    if (control->detect_zeroes)
        blocks = min_u64(blocks, max_u64(DETECT_BYTES / primary->block_size, 1));
    return buffers_align_blocks(blocks, primary, secondary);
}

int mover_init(struct mover *mover, struct endpoint *primary, struct endpoint *secondary,
               const struct copy_control *control, struct checkpoint *checkpoint)
{
    uint32_t block_size = primary->info.block_size;
    unsigned depth = control->queue_depth ? control->queue_depth : COPY_QUEUE_DEPTH;
    unsigned copies = 2 * PIECES_A_REQUEST * depth;

    *mover = (struct mover){.primary = primary,
                            .secondary = secondary,
                            .control = control,
                            .checkpoint = checkpoint,
                            .chunk_blocks = chunk_of(&primary->info, &secondary->info, control)};
    flight_init(&mover->reading, depth, control->queue_depth > 0);
    flight_init(&mover->writing, depth, control->queue_depth > 0);
    mover->pieces = calloc(copies + depth, sizeof(*mover->pieces));
    if (!mover->pieces ||
        span_pool_init(&mover->spans, copies,
                       max_u64(BUFFERS_BYTES, mover->chunk_blocks * block_size)) < 0) {
        mover_free(mover);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < copies + depth; i++) {
        struct piece *piece = &mover->pieces[i];
        struct piece **list = i < copies ? &mover->free_copies : &mover->free_zeros;

        piece->mover = mover;
        piece->copies = i < copies;
        piece->next = *list;
        *list = piece;
    }
    mover->free_copy_count = copies;
    return 0;
}

void mover_free(struct mover *mover)
{
    job_queue_free(&mover->copies);
    job_queue_free(&mover->zeros);
    span_pool_free(&mover->spans);
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
    return mover->reading.requests == 0 && mover->writing.requests == 0 && !mover->read_first &&
           !mover->again;
}

bool mover_done(const struct mover *mover)
{
    return mover_idle(mover) && job_queue_empty(&mover->copies) && job_queue_empty(&mover->zeros);
}

static void give_back(struct piece *piece)
{
    struct mover *mover = piece->mover;
    struct piece **list = piece->copies ? &mover->free_copies : &mover->free_zeros;

    if (piece->copies) {
        span_leave(&mover->spans, piece->span);
        mover->free_copy_count++;
    }
    piece->next = *list;
    *list = piece;
}

/* The piece and those behind it. */
static void give_back_all(struct piece *piece)
{
    while (piece) {
        struct piece *next = piece->next;

        give_back(piece);
        piece = next;
    }
}

static void fail(struct mover *mover, int error, const struct errmsg *message)
{
    if (mover->error)
        return;
    mover->error = error;
    mover->message = *message;
}

static uint64_t carried_bytes(const struct endpoint_request *request)
{
    return request->iov_count ? request->iov->iov_len : 0;
}

static void take_off(struct flight *flight, struct piece *piece)
{
    piece->sent = copy_now();
    flight_begin(flight, carried_bytes(&piece->request));
}

static void land(struct flight *flight, const struct piece *piece)
{
    const struct endpoint_request *request = &piece->request;

    flight_end(flight, carried_bytes(request));
    if (request->result == 0 && request->op != ENDPOINT_ZERO)
        flight_took(flight, carried_bytes(request), copy_now() - piece->sent);
}

static void queue_for_writing(struct piece *piece)
{
    struct mover *mover = piece->mover;

    mover->read_bytes += piece->iov.iov_len;
    piece->next = NULL;
    if (mover->read_last)
        mover->read_last->next = piece;
    else
        mover->read_first = piece;
    mover->read_last = piece;
}

static void queue_again(struct piece *piece)
{
    piece->next = piece->mover->again;
    piece->mover->again = piece;
}

/* The block in hand cannot be read. False: one too many. */
static bool pass_over(struct piece *piece)
{
    struct mover *mover = piece->mover;
    uint64_t lba = piece->lba + piece->careful_at;

    if (mover->bad_blocks == mover->control->skip_bad)
        return false;
    if (mover->bad_blocks == 0 || lba < mover->first_bad)
        mover->first_bad = lba;
    if (mover->bad_blocks++ < BAD_TOLD)
        log_warning("block %" PRIu64 " cannot be read, zeros are written in its place: %s", lba,
                    piece->request.error.text);
    memset(piece->carried.iov_base, 0, piece->carried.iov_len);
    piece->has_bad = true;
    return true;
}

/* What a READ of several pieces came to. The block that it failed on may lie between them, or spoil
 * one of them only: each is read alone then. */
static void joined_read_done(struct piece *piece)
{
    struct mover *mover = piece->mover;
    int result = piece->request.result;

    if (result < 0 && result != -EIO) {
        fail(mover, result, &piece->request.error);
        give_back_all(piece);
        return;
    }
    if (result == 0)
        mover->gap_bytes += piece->carried.iov_len;
    while (piece) {
        struct piece *next = piece->next;

        if (result == 0) {
            mover->gap_bytes -= piece->iov.iov_len;
            queue_for_writing(piece);
        } else {
            queue_again(piece);
        }
        piece = next;
    }
}

static void read_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;
    bool may_skip = request->unreadable && mover->control->skip_bad > 0;

    land(&mover->reading, piece);
    if (piece->next) {
        joined_read_done(piece);
    } else if (may_skip && !piece->careful) {
        piece->careful = true;
        piece->careful_at = 0;
        queue_again(piece);
    } else if (request->result < 0 && !(may_skip && pass_over(piece))) {
        mover->unreadable = request->unreadable && !mover->error;
        fail(mover, request->result, &request->error);
        give_back(piece);
    } else if (piece->careful && ++piece->careful_at < piece->blocks) {
        queue_again(piece);
    } else {
        queue_for_writing(piece);
    }
}

static void tell_done(const struct piece *piece)
{
    if (piece->mover->checkpoint && !piece->has_bad)
        checkpoint_add(piece->mover->checkpoint, piece->lba, piece->blocks);
}

/* What is to be read back is finished only then. */
static void tell_written(struct piece *piece)
{
    struct mover *mover = piece->mover;
    struct errmsg message;
    int r;

    if (!mover->readback) {
        tell_done(piece);
        return;
    }
    r = readback_note(mover->readback, piece->lba, piece->blocks, piece->iov.iov_base,
                      !piece->has_bad);
    if (r == 0)
        return;
    errmsg_set(&message, r, "%s", strerror(-r));
    fail(mover, r, &message);
}

static void write_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;
    int result = request->result;

    land(&mover->writing, piece);
    if (result < 0)
        fail(mover, result, &request->error);
    while (piece) {
        struct piece *next = piece->next;

        if (result == 0) {
            mover->written_bytes += piece->iov.iov_len;
            tell_written(piece);
        }
        give_back(piece);
        piece = next;
    }
}

static void zero_done(struct endpoint_request *request)
{
    struct piece *piece = request->opaque;
    struct mover *mover = piece->mover;
    uint64_t bytes = request->blocks * mover->secondary->info.block_size;

    land(&mover->writing, piece);
    if (request->result < 0)
        fail(mover, request->result, &request->error);
    else if (request->deallocated)
        mover->unmapped_bytes += bytes;
    else
        mover->zeroed_bytes += bytes;
    if (request->result == 0) {
        tell_done(piece);
        mover->detected_bytes += piece->copies ? bytes : 0;
    }
    give_back(piece);
}

/* Sends a request about these blocks, which begin in the piece. A request that is not taken is an
 * error. */
static void send(struct piece *piece, struct endpoint *endpoint, enum endpoint_op op, uint64_t lba,
                 uint64_t blocks, struct flight *flight)
{
    static const struct {
        const char *verb;
        void (*done)(struct endpoint_request *request);
    } kinds[] = {
        [ENDPOINT_READ] = {"read", read_done},
        [ENDPOINT_WRITE] = {"write", write_done},
        [ENDPOINT_ZERO] = {"zero", zero_done},
    };
    size_t block_size = endpoint->info.block_size;
    struct errmsg message;
    int r;

    piece->request = (struct endpoint_request){
        .op = op, .lba = lba, .blocks = blocks, .done = kinds[op].done, .opaque = piece};
    if (op != ENDPOINT_ZERO) {
        uint8_t *base = piece->iov.iov_base;

        piece->carried =
            (struct iovec){base + (lba - piece->lba) * block_size, blocks * block_size};
        piece->request.iov = &piece->carried;
        piece->request.iov_count = 1;
    }
    take_off(flight, piece);
    r = endpoint_submit(endpoint, &piece->request);
    if (r == 0)
        return;
    piece->request.result = r;
    land(flight, piece);
    errmsg_set(&message, r, "%s: cannot %s block %" PRIu64 ": %s", endpoint->info.name,
               kinds[op].verb, piece->request.lba, strerror(-r));
    fail(piece->mover, r, &message);
    give_back_all(piece);
}

static struct piece *take_first(struct piece **list)
{
    struct piece *piece = *list;

    *list = piece->next;
    piece->next = NULL;
    return piece;
}

static enum endpoint_op how_to_write(const struct mover *mover, const struct piece *piece)
{
    if (mover->control->detect_zeroes && piece->blocks <= mover->secondary->info.max_zero_blocks &&
        bytes_are_zero(piece->iov.iov_base, piece->iov.iov_len))
        return ENDPOINT_ZERO;
    return ENDPOINT_WRITE;
}

static struct piece *take_read(struct mover *mover)
{
    struct piece *piece = take_first(&mover->read_first);

    if (!mover->read_first)
        mover->read_last = NULL;
    return piece;
}

/* Takes what was read in one piece with this one and may be written so: zeros come between. Ends
 * where the last of them ends. What is compared with zeros or read back stays as it was planned. */
static uint64_t join_writes(struct mover *mover, struct piece *piece)
{
    uint64_t end = piece->lba + piece->blocks;
    size_t block_size = mover->secondary->info.block_size;
    struct piece *last = piece, *next;

    if (mover->control->detect_zeroes || mover->readback)
        return end;
    while ((next = mover->read_first) && next->span == piece->span && next->zeros_before > 0 &&
           next->lba == end + next->zeros_before &&
           flight_has_room(&mover->writing, (next->lba + next->blocks - piece->lba) * block_size)) {
        size_t gap = next->zeros_before * block_size;

        memset((uint8_t *)next->iov.iov_base - gap, 0, gap);
        last->next = take_read(mover);
        last = next;
        end = next->lba + next->blocks;
    }
    return end;
}

static void pump_writes(struct mover *mover)
{
    while (mover->read_first && !mover->error &&
           flight_has_room(&mover->writing, mover->read_first->iov.iov_len)) {
        struct piece *piece = take_read(mover);
        uint64_t blocks = join_writes(mover, piece) - piece->lba;

        send(piece, mover->secondary, how_to_write(mover, piece), piece->lba, blocks,
             &mover->writing);
    }
}

static void pump_zeros(struct mover *mover)
{
    const struct endpoint_info *info = &mover->secondary->info;
    const struct job *job;

    while ((job = job_queue_first(&mover->zeros)) && mover->free_zeros &&
           flight_has_room(&mover->writing, 0) && !mover->error) {
        struct piece *piece = take_first(&mover->free_zeros);

        piece->lba = job->lba;
        piece->blocks =
            job_piece_blocks(job, info->max_zero_blocks, max_u64(info->unmap_granularity_blocks, 1),
                             info->unmap_alignment_blocks);

        job_queue_take(&mover->zeros, piece->blocks);
        send(piece, mover->secondary, ENDPOINT_ZERO, piece->lba, piece->blocks, &mover->writing);
    }
}

int mover_delay(const struct mover *mover)
{
    return job_queue_empty(&mover->copies) ? 0 : copy_pacer_delay(&mover->pacer, mover->control);
}

/* Memory for the next READ, when the budgets have room for it, too. */
static struct span *take_span(struct mover *mover, uint64_t bytes)
{
    if (!mover->free_copies || !flight_has_room(&mover->reading, bytes))
        return NULL;
    return span_take(&mover->spans, bytes, mover->reading.most_bytes + mover->writing.most_bytes);
}

/* What may be read between two extents. With a rate, what it allows is not spent on that. */
static uint64_t longest_gap_blocks(const struct mover *mover)
{
    uint64_t bytes = JOIN_GAP_BYTES;

    if (copy_rate(mover->control) > 0)
        return 0;
    if (mover->reads % READS_TO_A_TRIAL > 0)
        bytes = min_u64(bytes, flight_carries(&mover->reading, COMMAND_SECONDS));
    return bytes / mover->primary->info.block_size;
}

/* The first blocks of the first job become a piece; start is the LBA at which the span begins. */
static struct piece *cut_piece(struct mover *mover, struct span *span, uint64_t start,
                               uint64_t blocks)
{
    const struct job *job = job_queue_first(&mover->copies);
    size_t block_size = mover->primary->info.block_size;
    struct piece *piece = take_first(&mover->free_copies);

    mover->free_copy_count--;
    span->users++;
    piece->span = span;
    piece->lba = job->lba;
    piece->blocks = blocks;
    piece->zeros_before = job->zeros_before;
    piece->careful = piece->has_bad = false;
    piece->iov =
        (struct iovec){span->memory + (job->lba - start) * block_size, blocks * block_size};
    job_queue_take(&mover->copies, blocks);
    return piece;
}

/* False: there is no room for it. */
static bool read_next(struct mover *mover, const struct job *job)
{
    uint32_t block_size = mover->primary->info.block_size;
    uint64_t most = copy_pacer_blocks(mover->control, mover->chunk_blocks, block_size);
    const struct join_limits limits = {
        .max_blocks = most,
        .max_gap_blocks = longest_gap_blocks(mover),
        .max_jobs = mover->free_copy_count,
    };
    uint64_t first = job_piece_blocks(job, most, most, 0), blocks;
    size_t count = join_reads(job, mover->copies.count, first, &limits, &blocks);
    struct span *span = take_span(mover, blocks * block_size);
    uint64_t start = job->lba;
    struct piece *piece, *last;

    if (!span)
        return false;
    piece = last = cut_piece(mover, span, start, first);
    while (--count > 0) {
        last->next = cut_piece(mover, span, start, job_queue_first(&mover->copies)->blocks);
        last = last->next;
    }
    mover->reads++;
    copy_pacer_spend(&mover->pacer, mover->control, blocks * block_size);
    send(piece, mover->primary, ENDPOINT_READ, start, blocks, &mover->reading);
    return true;
}

static void pump_reads(struct mover *mover)
{
    const struct job *job;

    while ((job = job_queue_first(&mover->copies)) && !mover->error && mover_delay(mover) == 0 &&
           read_next(mover, job))
        ;
}

static void pump_again(struct mover *mover)
{
    size_t block_size = mover->primary->info.block_size;

    while (mover->again && !mover->error) {
        uint64_t blocks = mover->again->careful ? 1 : mover->again->blocks;
        struct piece *piece;

        if (!flight_has_room(&mover->reading, blocks * block_size))
            return;
        piece = take_first(&mover->again);
        send(piece, mover->primary, ENDPOINT_READ,
             piece->lba + (piece->careful ? piece->careful_at : 0), blocks, &mover->reading);
    }
}

void mover_pump(struct mover *mover, bool begin)
{
    pump_writes(mover);
    pump_again(mover);
    if (begin) {
        pump_reads(mover);
        pump_zeros(mover);
    }
    if (!mover->error)
        return;
    /* What was read is not written any more. */
    while (mover->again)
        give_back(take_first(&mover->again));
    while (mover->read_first)
        give_back(take_read(mover));
}
