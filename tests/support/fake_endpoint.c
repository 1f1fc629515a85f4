/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_endpoint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "checked.h"

#define RANGES_BYTES 65536
#define GARBAGE      0xA5

static void *checked(void *memory)
{
    if (!memory)
        abort();
    return memory;
}

static uint8_t *block(const struct fake_endpoint *fake, uint64_t lba)
{
    return fake->data + lba * fake->base.info.block_size;
}

/* What a deallocated block reads as. */
static int unmapped_byte(const struct fake_endpoint *fake)
{
    return fake->base.info.unmapped_reads_zeros ? 0 : GARBAGE;
}

static void extent_at(const struct fake_endpoint *fake, uint64_t lba, uint64_t end,
                      struct extent *ret)
{
    if (fake->map_extent) {
        fake->map_extent(lba, ret);
        ret->length = min_u64(ret->start + ret->length, end) - lba;
        ret->start = lba;
        return;
    }
    *ret = (struct extent){lba, 1, fake->status[lba]};
    while (lba + ret->length < end && fake->status[lba + ret->length] == fake->status[lba])
        ret->length++;
}

static int answer_map(struct fake_endpoint *fake, struct endpoint_request *request)
{
    uint64_t end = request->lba + request->blocks, lba = request->lba;
    struct extent extent;

    if (!fake->base.info.can_map)
        return extent_list_append(request->map, lba, request->blocks, EXTENT_MAPPED);
    if (fake->defect == FAKE_MAP_UNSOUND && end > fake->defect_lba) {
        request->unsound = true;
        errmsg_set(&request->error, 0, "%s: about block %" PRIu64, fake->base.info.name, lba);
    } else if (fake->defect && end > fake->defect_lba) {
        if (lba >= fake->defect_lba && fake->defect == FAKE_MAP_EMPTY)
            return 0;
        if (lba >= fake->defect_lba)
            lba++;
        else
            end = fake->defect_lba;
    }
    for (unsigned i = 0; lba < end && (!fake->extents_per_map || i < fake->extents_per_map); i++) {
        int r;

        extent_at(fake, lba, end, &extent);
        r = extent_list_append(request->map, extent.start, extent.length, extent.status);
        if (r < 0)
            return r;
        lba += extent.length;
    }
    return 0;
}

static void allocate(struct fake_endpoint *fake, uint64_t lba, uint64_t blocks)
{
    uint64_t unit = fake->unit_blocks;

    if (!unit)
        return;
    for (uint64_t i = lba / unit; i <= (lba + blocks - 1) / unit; i++) {
        uint64_t length = min_u64(unit, fake->base.info.blocks - i * unit);

        if (!fake->allocated[i])
            memset(block(fake, i * unit), GARBAGE, length * fake->base.info.block_size);
        fake->allocated[i] = true;
    }
}

static void move(struct fake_endpoint *fake, struct endpoint_request *request)
{
    uint8_t *at = fake->data ? block(fake, request->lba) : NULL;

    if (request->op == ENDPOINT_WRITE)
        allocate(fake, request->lba, request->blocks);
    for (int i = 0; at && i < request->iov_count; i++) {
        const struct iovec *iov = &request->iov[i];

        if (request->op == ENDPOINT_READ)
            memcpy(iov->iov_base, at, iov->iov_len);
        else
            memcpy(at, iov->iov_base, iov->iov_len);
        at += iov->iov_len;
    }
    if (request->op == ENDPOINT_WRITE && fake->status)
        memset(fake->status + request->lba, EXTENT_MAPPED, request->blocks);
}

static void zero(struct fake_endpoint *fake, struct endpoint_request *request)
{
    const struct endpoint_info *info = &fake->base.info;

    request->deallocated = info->can_unmap && info->unmapped_reads_zeros;
    allocate(fake, request->lba, request->blocks);
    if (fake->data)
        memset(block(fake, request->lba), 0, request->blocks * info->block_size);
    if (fake->status)
        memset(fake->status + request->lba,
               request->deallocated ? EXTENT_DEALLOCATED : EXTENT_MAPPED, request->blocks);
}

static int execute(struct fake_endpoint *fake, struct endpoint_request *request)
{
    struct fake_fault *fault = &fake->fault;

    if (fault->error && fault->op == request->op) {
        if (fault->skip == 0)
            return fault->error;
        fault->skip--;
    }
    for (const uint64_t *bad = fake->bad; bad && *bad != UINT64_MAX; bad++)
        if (request->op == ENDPOINT_READ && *bad >= request->lba &&
            *bad - request->lba < request->blocks) {
            request->unreadable = true;
            return -EIO;
        }
    switch (request->op) {
    case ENDPOINT_MAP:
        return answer_map(fake, request);
    case ENDPOINT_ZERO:
        zero(fake, request);
        return 0;
    case ENDPOINT_READ:
    case ENDPOINT_WRITE:
        move(fake, request);
        return 0;
    case ENDPOINT_FLUSH:
    case ENDPOINT_RESERVE:
        break;
    }
    return 0;
}

static void answer(struct fake_endpoint *fake, struct endpoint_request *request, int gone)
{
    request->result = gone ? gone : execute(fake, request);
    if (request->result < 0)
        errmsg_set(&request->error, 0, "%s: op %d at %" PRIu64 " failed: %s", fake->base.info.name,
                   request->op, request->lba, strerror(-request->result));
    fake->in_flight[request->op]--;
    if (fake->on_answer)
        fake->on_answer(fake, request);
    request->done(request);
}

static struct endpoint_request *next_pending(struct fake_endpoint *fake)
{
    size_t at = fake->shuffle ? (size_t)random() % fake->pending_count : 0;
    struct endpoint_request *request = fake->pending[at];

    fake->pending_count--;
    memmove(fake->pending + at, fake->pending + at + 1,
            (fake->pending_count - at) * sizeof(*fake->pending));
    return request;
}

static int fake_service(struct endpoint *endpoint, short revents)
{
    struct fake_endpoint *fake = (struct fake_endpoint *)endpoint;
    size_t count = fake->pending_count;
    eventfd_t ignored;

    (void)revents;
    if (fake->answers_per_wait && fake->gone_after != 0)
        count = min_u64(count, fake->answers_per_wait);
    while (count-- > 0 && fake->pending_count > 0) {
        answer(fake, next_pending(fake), fake->gone_after == 0 ? -ENOTCONN : 0);
        if (fake->gone_after > 0)
            fake->gone_after--;
    }
    if (fake->pending_count == 0)
        eventfd_read(fake->event_fd, &ignored);
    return fake->gone_after == 0 ? -ENOTCONN : 0;
}

static int fake_poll(struct endpoint *endpoint, struct pollfd *ret)
{
    struct fake_endpoint *fake = (struct fake_endpoint *)endpoint;

    *ret = (struct pollfd){.fd = fake->event_fd, .events = POLLIN};
    return -1;
}

static int fake_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct fake_endpoint *fake = (struct fake_endpoint *)endpoint;

    if (fake->pending_count == fake->pending_capacity) {
        fake->pending_capacity = fake->pending_capacity * 2 + 16;
        fake->pending =
            checked(reallocarray(fake->pending, fake->pending_capacity, sizeof(*fake->pending)));
    }
    if (fake->log_count == fake->log_capacity) {
        fake->log_capacity = fake->log_capacity * 2 + 64;
        fake->log = checked(reallocarray(fake->log, fake->log_capacity, sizeof(*fake->log)));
    }
    fake->log[fake->log_count++] = (struct fake_io){request->op, request->lba, request->blocks};
    fake->pending[fake->pending_count++] = request;
    if (++fake->in_flight[request->op] > fake->high_water[request->op])
        fake->high_water[request->op] = fake->in_flight[request->op];
    if (request->op == ENDPOINT_MAP)
        endpoint->counters.maps++;
    if (fake->on_submit)
        fake->on_submit(fake, request);
    eventfd_write(fake->event_fd, 1);
    return 0;
}

static void fake_close(struct endpoint *endpoint)
{
    struct fake_endpoint *fake = (struct fake_endpoint *)endpoint;

    if (fake->pending_count > 0)
        abort();
    close(fake->event_fd);
    free(fake->data);
    free(fake->status);
    free(fake->allocated);
    free(fake->log);
    free(fake->pending);
    free(fake);
}

static const struct endpoint_ops fake_ops = {
    .close = fake_close,
    .submit = fake_submit,
    .poll = fake_poll,
    .service = fake_service,
};

struct fake_endpoint *fake_create_huge(const char *name, uint64_t blocks,
                                       void (*map_extent)(uint64_t lba, struct extent *ret))
{
    struct fake_endpoint *fake = checked(calloc(1, sizeof(*fake)));

    fake->base = (struct endpoint){.ops = &fake_ops,
                                   .info = {.name = name,
                                            .kind = "fake",
                                            .blocks = blocks,
                                            .block_size = 512,
                                            .writable = true,
                                            .thin = true,
                                            .unmapped_reads_zeros = true,
                                            .can_map = true,
                                            .can_unmap = true,
                                            .max_transfer_blocks = 64,
                                            .max_zero_blocks = 1000,
                                            .unmap_granularity_blocks = 1}};
    snprintf(fake->base.info.identity, sizeof(fake->base.info.identity), "fake.%s", name);
    fake->map_extent = map_extent;
    fake->gone_after = -1;
    fake->event_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (fake->event_fd < 0)
        abort();
    return fake;
}

struct fake_endpoint *fake_create(const char *name, uint64_t blocks)
{
    struct fake_endpoint *fake = fake_create_huge(name, blocks, NULL);

    fake->data = checked(calloc(blocks, fake->base.info.block_size));
    fake->status = checked(malloc(blocks));
    memset(fake->status, EXTENT_DEALLOCATED, blocks);
    return fake;
}

void fake_fill(struct fake_endpoint *fake, uint64_t lba, uint64_t blocks, uint8_t seed)
{
    memset(fake->status + lba, EXTENT_MAPPED, blocks);
    for (uint64_t i = lba; i < lba + blocks; i++)
        for (size_t byte = 0; byte < fake->base.info.block_size; byte++)
            block(fake, i)[byte] = (uint8_t)(i * 31 + byte * 7 + seed + (i >> 8) + 1);
}

void fake_set_status(struct fake_endpoint *fake, uint64_t lba, uint64_t blocks,
                     enum extent_status status)
{
    memset(fake->status + lba, (int)status, blocks);
    if (status != EXTENT_MAPPED)
        memset(block(fake, lba), unmapped_byte(fake), blocks * fake->base.info.block_size);
}

void fake_forget_storage(struct fake_endpoint *fake, unsigned unit_blocks)
{
    struct endpoint_info *info = &fake->base.info;

    info->thin = true;
    info->can_map = info->can_unmap = info->unmapped_reads_zeros = false;
    memset(fake->data, 0, info->blocks * info->block_size);
    fake->unit_blocks = unit_blocks;
    free(fake->allocated);
    fake->allocated = checked(calloc(info->blocks / unit_blocks + 1, sizeof(bool)));
}

bool fake_same_data(const struct fake_endpoint *a, const struct fake_endpoint *b, uint64_t blocks)
{
    return memcmp(a->data, b->data, blocks * a->base.info.block_size) == 0;
}

static int by_lba(const void *a, const void *b)
{
    const struct fake_io *x = a, *y = b;

    return x->lba < y->lba ? -1 : x->lba > y->lba;
}

const char *fake_ranges(struct fake_endpoint *fake, enum endpoint_op op)
{
    static char text[RANGES_BYTES];
    struct fake_io *sorted = checked(calloc(fake->log_count + 1, sizeof(*sorted)));
    size_t count = 0, used = 0;

    for (size_t i = 0; i < fake->log_count; i++)
        if (fake->log[i].op == op)
            sorted[count++] = fake->log[i];
    qsort(sorted, count, sizeof(*sorted), by_lba);
    text[0] = '\0';
    for (size_t i = 0; i < count;) {
        uint64_t end = sorted[i].lba + sorted[i].blocks;
        size_t first = i;

        for (i++; i < count && sorted[i].lba <= end; i++) {
            if (sorted[i].lba < end)
                abort();
            end += sorted[i].blocks;
        }
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%" PRIu64 "+%" PRIu64,
                                 used ? " " : "", sorted[first].lba, end - sorted[first].lba);
        if (used >= sizeof(text))
            abort();
    }
    free(sorted);
    return text;
}

size_t fake_count(const struct fake_endpoint *fake, enum endpoint_op op)
{
    size_t count = 0;

    for (size_t i = 0; i < fake->log_count; i++)
        count += fake->log[i].op == op;
    return count;
}
