/* SPDX-License-Identifier: Apache-2.0 */
#include "readback.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "checkpoint.h"

/* Two words that differ never lead to one sum, and more of them hardly ever: each step is one to
 * one in the word and in the sum before it. */
static uint64_t sum_block(const uint8_t *bytes, size_t size)
{
    uint64_t sum = size;

    for (size_t at = 0; at < size; at += sizeof(uint64_t)) {
        uint64_t word = 0;

        memcpy(&word, bytes + at, min_u64(size - at, sizeof(word)));
        sum = ((sum << 29 | sum >> 35) ^ word) * UINT64_C(0x9E3779B97F4A7C15);
    }
    return sum ^ sum >> 32;
}

int readback_init(struct readback *readback, struct endpoint *secondary,
                  const struct copy_control *control, uint64_t chunk_blocks,
                  struct checkpoint *checkpoint)
{
    unsigned depth = READBACK_DEPTH;

    if (control->queue_depth > 0 && control->queue_depth < depth)
        depth = control->queue_depth;
    *readback = (struct readback){.secondary = secondary, .checkpoint = checkpoint};
    readback->slots = calloc(depth, sizeof(*readback->slots));
    if (!readback->slots ||
        buffers_init(&readback->buffers, depth, chunk_blocks * secondary->info.block_size) < 0) {
        readback_free(readback);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < depth; i++) {
        struct readback_slot *slot = &readback->slots[i];

        slot->readback = readback;
        slot->iov.iov_base = buffers_get(&readback->buffers, i);
        slot->next = readback->free_slots;
        readback->free_slots = slot;
    }
    return 0;
}

void readback_free(struct readback *readback)
{
    free(readback->ranges);
    free(readback->sums);
    free(readback->slots);
    readback->ranges = NULL;
    readback->sums = NULL;
    readback->slots = NULL;
    buffers_free(&readback->buffers);
}

/* Room for count more. */
static int grow(void **items, size_t *capacity, size_t needed, size_t size)
{
    size_t more = *capacity > 0 ? *capacity : 1024;
    void *moved;

    while (more < needed)
        more *= 2;
    if (more == *capacity)
        return 0;
    moved = reallocarray(*items, more, size);
    if (!moved)
        return -ENOMEM;
    *items = moved;
    *capacity = more;
    return 0;
}

int readback_note(struct readback *readback, uint64_t lba, uint64_t blocks, const void *data,
                  bool keep)
{
    size_t block_size = readback->secondary->info.block_size;
    void *ranges = readback->ranges, *sums = readback->sums;
    int r = grow(&ranges, &readback->capacity, readback->count + 1, sizeof(*readback->ranges));

    readback->ranges = ranges;
    if (r == 0)
        r = grow(&sums, &readback->sum_capacity, readback->sum_count + blocks,
                 sizeof(*readback->sums));
    readback->sums = sums;
    if (r < 0)
        return r;
    if (readback->count == 0)
        readback->began = copy_now();
    readback->ranges[readback->count++] =
        (struct written_range){lba, blocks, readback->sum_count, keep};
    for (uint64_t i = 0; i < blocks; i++)
        readback->sums[readback->sum_count++] =
            sum_block((const uint8_t *)data + i * block_size, block_size);
    return 0;
}

bool readback_due(const struct readback *readback, bool all_written)
{
    if (readback->phase != READBACK_NOTING)
        return true;
    if (readback->count == 0)
        return false;
    return all_written || readback->count >= READBACK_RANGES ||
           readback->sum_count * readback->secondary->info.block_size >= READBACK_BYTES ||
           copy_now() - readback->began >= READBACK_SECONDS;
}

bool readback_idle(const struct readback *readback)
{
    return readback->in_flight == 0;
}

bool readback_done(const struct readback *readback)
{
    return readback->in_flight == 0 && readback->count == 0;
}

static void fail(struct readback *readback, int error, const char *message)
{
    if (!readback->error)
        readback->error = errmsg_set(&readback->message, error, "%s", message);
}

static void flushed(struct endpoint_request *request)
{
    struct readback *readback = request->opaque;

    readback->in_flight--;
    readback->flush_failed = request->result < 0;
    if (request->result < 0)
        fail(readback, request->result,
             request->error.text[0] ? request->error.text : strerror(-request->result));
}

static void compare(struct readback *readback, const struct written_range *range,
                    const uint8_t *data)
{
    size_t block_size = readback->secondary->info.block_size;
    uint64_t bad = 0;

    for (uint64_t i = 0; i < range->blocks; i++) {
        if (sum_block(data + i * block_size, block_size) == readback->sums[range->sums + i])
            continue;
        differences_add(&readback->differences, range->lba + i, 1);
        bad++;
    }
    readback->read_bytes += (range->blocks - bad) * block_size;
    if (bad == 0 && range->keep && readback->checkpoint)
        checkpoint_add(readback->checkpoint, range->lba, range->blocks);
}

static void read_done(struct endpoint_request *request)
{
    struct readback_slot *slot = request->opaque;
    struct readback *readback = slot->readback;

    readback->in_flight--;
    if (request->result < 0)
        fail(readback, request->result, request->error.text);
    else
        compare(readback, slot->range, slot->iov.iov_base);
    slot->next = readback->free_slots;
    readback->free_slots = slot;
}

static void send(struct readback *readback, struct endpoint_request *request)
{
    int r;

    readback->in_flight++;
    r = endpoint_submit(readback->secondary, request);
    if (r == 0)
        return;
    request->result =
        errmsg_set(&request->error, r, "%s: cannot be read back at block %" PRIu64 ": %s",
                   readback->secondary->info.name, request->lba, strerror(-r));
    request->done(request);
}

static void send_reads(struct readback *readback)
{
    while (readback->next < readback->count && readback->free_slots && !readback->error) {
        struct readback_slot *slot = readback->free_slots;

        readback->free_slots = slot->next;
        slot->range = &readback->ranges[readback->next++];
        slot->iov.iov_len = slot->range->blocks * readback->secondary->info.block_size;
        slot->request = (struct endpoint_request){.op = ENDPOINT_READ,
                                                  .lba = slot->range->lba,
                                                  .blocks = slot->range->blocks,
                                                  .iov = &slot->iov,
                                                  .iov_count = 1,
                                                  .done = read_done,
                                                  .opaque = slot};
        send(readback, &slot->request);
    }
}

/* The batch was read from its beginning to its end, so the lowest difference of it is known. */
static void end_batch(struct readback *readback)
{
    const struct differences *differences = &readback->differences;
    bool one = differences->blocks == 1;

    readback->phase = READBACK_NOTING;
    readback->count = readback->sum_count = readback->next = 0;
    if (differences->blocks == 0 || readback->error)
        return;
    readback->error =
        errmsg_set(&readback->message, -EBADMSG,
                   "%s: %" PRIu64 " block%s back otherwise than %s written, first block %" PRIu64,
                   readback->secondary->info.name, differences->blocks, one ? " reads" : "s read",
                   one ? "it was" : "they were", differences->first[0].start);
}

void readback_pump(struct readback *readback)
{
    int r;

    if (readback->error || (readback->phase == READBACK_FLUSHING && readback->in_flight > 0))
        return;
    switch (readback->phase) {
    case READBACK_NOTING:
        readback->phase = READBACK_FLUSHING;
        readback->flush =
            (struct endpoint_request){.op = ENDPOINT_FLUSH, .done = flushed, .opaque = readback};
        send(readback, &readback->flush);
        return;
    case READBACK_FLUSHING:
        readback->phase = READBACK_READING;
        r = endpoint_forget(readback->secondary, &readback->message);
        if (r < 0) {
            readback->error = r;
            readback->flush_failed = true;
            return;
        }
        break;
    case READBACK_READING:
        break;
    }
    send_reads(readback);
    if (readback->next == readback->count && readback->in_flight == 0)
        end_batch(readback);
}
