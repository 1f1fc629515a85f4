/* SPDX-License-Identifier: Apache-2.0 */
#include "assumed_zeros.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "zeros.h"

#define DEPTH 16
/* When this number of passes have found something, whatever the unit does, all is written. */
#define MAX_PASSES 3

int assumed_init(struct assumed_zeros *assumed, struct endpoint *secondary,
                 const struct copy_control *control, struct block_set *set)
{
    const struct endpoint_info *info = &secondary->info;
    unsigned depth = DEPTH;

    if (control->queue_depth > 0 && control->queue_depth < depth)
        depth = control->queue_depth;
    *assumed = (struct assumed_zeros){.secondary = secondary, .set = set};
    assumed->chunk_blocks =
        min_u64(buffers_chunk_blocks(info->block_size, buffers_limit_blocks(info),
                                     buffers_write_limit_blocks(info), depth),
                info->max_zero_blocks);
    assumed->slots = calloc(depth, sizeof(*assumed->slots));
    if (!assumed->slots ||
        buffers_init(&assumed->buffers, depth, assumed->chunk_blocks * info->block_size) < 0) {
        assumed_free(assumed);
        return -ENOMEM;
    }
    for (unsigned i = 0; i < depth; i++) {
        struct assumed_slot *slot = &assumed->slots[i];

        slot->assumed = assumed;
        slot->iov.iov_base = buffers_get(&assumed->buffers, i);
        slot->next = assumed->free_slots;
        assumed->free_slots = slot;
    }
    return 0;
}

void assumed_free(struct assumed_zeros *assumed)
{
    free(assumed->slots);
    assumed->slots = NULL;
    buffers_free(&assumed->buffers);
}

int assumed_add(struct assumed_zeros *assumed, uint64_t lba, uint64_t blocks)
{
    return block_set_add(assumed->set, lba, blocks);
}

int assumed_remove(struct assumed_zeros *assumed, uint64_t lba, uint64_t blocks)
{
    return block_set_remove(assumed->set, lba, blocks);
}

bool assumed_idle(const struct assumed_zeros *assumed)
{
    return assumed->in_flight == 0;
}

bool assumed_done(const struct assumed_zeros *assumed)
{
    return assumed->in_flight == 0 && assumed->phase == ASSUMED_DONE;
}

static void fail(struct assumed_zeros *assumed, int error, const char *message)
{
    if (!assumed->error)
        assumed->error = errmsg_set(&assumed->message, error, "%s", message);
}

static void send(struct assumed_zeros *assumed, struct endpoint_request *request)
{
    int r;

    assumed->in_flight++;
    r = endpoint_submit(assumed->secondary, request);
    if (r == 0)
        return;
    request->result = errmsg_set(&request->error, r, "%s: cannot be looked at again: %s",
                                 assumed->secondary->info.name, strerror(-r));
    request->done(request);
}

static void flushed(struct endpoint_request *request)
{
    struct assumed_zeros *assumed = request->opaque;

    assumed->in_flight--;
    assumed->flush_failed = request->result < 0;
    if (request->result < 0)
        fail(assumed, request->result,
             request->error.text[0] ? request->error.text : strerror(-request->result));
}

static void give_back(struct assumed_slot *slot)
{
    struct assumed_zeros *assumed = slot->assumed;

    slot->next = assumed->free_slots;
    assumed->free_slots = slot;
}

static void zeroed(struct endpoint_request *request);

static void zero(struct assumed_slot *slot, uint64_t lba, uint64_t blocks)
{
    slot->request = (struct endpoint_request){
        .op = ENDPOINT_ZERO, .lba = lba, .blocks = blocks, .done = zeroed, .opaque = slot};
    slot->assumed->found = true;
    send(slot->assumed, &slot->request);
}

static bool block_is_zero(const struct assumed_slot *slot, uint64_t block)
{
    size_t block_size = slot->assumed->secondary->info.block_size;

    return bytes_are_zero((const uint8_t *)slot->iov.iov_base + block * block_size, block_size);
}

/* The next run of blocks in the piece that are not zeros; what lies between two of them may not be
 * allocated. */
static void zero_next(struct assumed_slot *slot)
{
    uint64_t first = slot->at, end;

    while (first < slot->blocks && block_is_zero(slot, first))
        first++;
    end = first;
    while (end < slot->blocks && !block_is_zero(slot, end))
        end++;
    slot->at = end;
    if (first < end && !slot->assumed->error)
        zero(slot, slot->lba + first, end - first);
    else
        give_back(slot);
}

static void zeroed(struct endpoint_request *request)
{
    struct assumed_slot *slot = request->opaque;
    struct assumed_zeros *assumed = slot->assumed;

    assumed->in_flight--;
    if (request->result < 0)
        fail(assumed, request->result, request->error.text);
    else
        assumed->zeroed_blocks += request->blocks;
    zero_next(slot);
}

static void read_done(struct endpoint_request *request)
{
    struct assumed_slot *slot = request->opaque;
    struct assumed_zeros *assumed = slot->assumed;

    assumed->in_flight--;
    if (request->result < 0) {
        fail(assumed, request->result, request->error.text);
        give_back(slot);
        return;
    }
    assumed->looked_blocks += request->blocks;
    if (bytes_are_zero(slot->iov.iov_base, slot->iov.iov_len))
        give_back(slot);
    else
        zero_next(slot);
}

static void look(struct assumed_slot *slot)
{
    slot->iov.iov_len = slot->blocks * slot->assumed->secondary->info.block_size;
    slot->request = (struct endpoint_request){.op = ENDPOINT_READ,
                                              .lba = slot->lba,
                                              .blocks = slot->blocks,
                                              .iov = &slot->iov,
                                              .iov_count = 1,
                                              .done = read_done,
                                              .opaque = slot};
    send(slot->assumed, &slot->request);
}

/* The next piece of the set. False: there is none. */
static bool take_piece(struct assumed_zeros *assumed, uint64_t *ret_lba, uint64_t *ret_blocks)
{
    uint64_t end = assumed->set->blocks, until;
    bool member = false;

    while (!member && assumed->next < end) {
        *ret_lba = assumed->next;
        until = min_u64(end, (assumed->next / assumed->chunk_blocks + 1) * assumed->chunk_blocks);
        assumed->next = block_set_find(assumed->set, *ret_lba, end, &member);
        if (member)
            assumed->next = min_u64(assumed->next, until);
    }
    *ret_blocks = assumed->next - *ret_lba;
    return member;
}

static void send_pieces(struct assumed_zeros *assumed)
{
    uint64_t lba, blocks;

    while (assumed->free_slots && !assumed->error && take_piece(assumed, &lba, &blocks)) {
        struct assumed_slot *slot = assumed->free_slots;

        assumed->free_slots = slot->next;
        slot->lba = lba;
        slot->blocks = blocks;
        slot->at = assumed->passes == MAX_PASSES ? blocks : 0;
        if (assumed->passes == MAX_PASSES)
            zero(slot, lba, blocks);
        else
            look(slot);
    }
}

static void begin_pass(struct assumed_zeros *assumed)
{
    assumed->phase = ASSUMED_FLUSHING;
    assumed->next = assumed->looked_blocks = 0;
    assumed->found = false;
    assumed->flush =
        (struct endpoint_request){.op = ENDPOINT_FLUSH, .done = flushed, .opaque = assumed};
    send(assumed, &assumed->flush);
}

static void begin_reading(struct assumed_zeros *assumed)
{
    int r = endpoint_forget(assumed->secondary, &assumed->message);

    assumed->phase = ASSUMED_READING;
    assumed->flush_failed = r < 0;
    if (r < 0)
        assumed->error = r;
}

static void end_pass(struct assumed_zeros *assumed)
{
    if (!assumed->found) {
        assumed->phase = ASSUMED_DONE;
        return;
    }
    if (assumed->passes++ <= MAX_PASSES) {
        begin_pass(assumed);
        return;
    }
    assumed->error = errmsg_set(&assumed->message, -EIO,
                                "%s: zeros were written to it, and it reads as something else; "
                                "does anything else write to it?",
                                assumed->secondary->info.name);
}

void assumed_pump(struct assumed_zeros *assumed)
{
    bool any;
    int r;

    if (assumed->error || (assumed->phase == ASSUMED_FLUSHING && assumed->in_flight > 0))
        return;
    if (assumed->phase == ASSUMED_GATHERING) {
        r = block_set_settle(assumed->set);
        if (r < 0)
            fail(assumed, r, strerror(-r));
        else if (block_set_find(assumed->set, 0, assumed->set->blocks, &any) <
                     assumed->set->blocks ||
                 any)
            begin_pass(assumed);
        else
            assumed->phase = ASSUMED_DONE;
        return;
    }
    if (assumed->phase == ASSUMED_FLUSHING)
        begin_reading(assumed);
    if (assumed->phase != ASSUMED_READING)
        return;
    send_pieces(assumed);
    if (assumed->next == assumed->set->blocks && assumed->in_flight == 0 && !assumed->error)
        end_pass(assumed);
}
