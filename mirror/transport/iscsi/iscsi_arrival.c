/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_arrival.h"

#include <iscsi/iscsi.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "checked.h"

#define SLICES            256
#define LEAST_SLICE_BYTES 4096

static bool is_usual(uint8_t byte)
{
    return byte == 0x00 || byte == 0xFF;
}

/* One that no request before had, without bytes that are usual in data. */
static uint32_t new_mark(void)
{
    static _Atomic uint32_t seed;
    uint32_t mark = atomic_load(&seed);
    uint8_t bytes[sizeof(mark)];

    if (mark == 0 && getrandom(&mark, sizeof(mark), GRND_NONBLOCK) != sizeof(mark))
        mark = (uint32_t)(uintptr_t)&seed;
    mark = mark * 1664525U + 1013904223U;
    atomic_store(&seed, mark);
    mark ^= mark >> 15;
    memcpy(bytes, &mark, sizeof(bytes));
    for (size_t i = 0; i < sizeof(bytes); i++)
        if (is_usual(bytes[i]))
            bytes[i] = (uint8_t)(0x5A + i);
    memcpy(&mark, bytes, sizeof(mark));
    return mark;
}

static void fill(uint8_t *to, size_t length, uint32_t mark)
{
    size_t at = 0;

    for (; at + sizeof(mark) <= length; at += sizeof(mark))
        memcpy(to + at, &mark, sizeof(mark));
    memcpy(to + at, &mark, length - at);
}

static void fill_all(const struct transport_request *request, uint32_t mark)
{
    for (int i = 0; i < request->iov_count; i++)
        fill(request->iov[i].iov_base, request->iov[i].iov_len, mark);
}

/* Quick where nothing is found, which is nearly always. */
static bool has_mark(const uint8_t *data, size_t length, uint32_t mark)
{
    uint32_t found = 0;

    for (size_t at = 0; at + sizeof(mark) <= length; at += sizeof(mark)) {
        uint32_t word;

        memcpy(&word, data + at, sizeof(word));
        found |= word == mark;
    }
    return found;
}

static size_t find_mark(const uint8_t *data, size_t length, uint32_t mark)
{
    for (size_t at = 0; at + sizeof(mark) <= length; at += sizeof(mark))
        if (memcmp(data + at, &mark, sizeof(mark)) == 0)
            return at;
    return length;
}

/* The offset of the first bytes of [0, length) that are still as fill_all left them, as far as
 * whole words of four bytes and the last byte tell; length: there are none. */
static size_t check(const struct transport_request *request, uint32_t mark, size_t length)
{
    size_t offset = 0;

    for (int i = 0; i < request->iov_count && offset < length; i++) {
        const uint8_t *data = request->iov[i].iov_base;
        size_t here = min_u64(request->iov[i].iov_len, length - offset);

        if (has_mark(data, here, mark))
            return offset + find_mark(data, here, mark);
        offset += here;
        if (offset == length && here > 0) {
            const uint8_t *bytes = (const uint8_t *)&mark;

            if (data[here - 1] == bytes[(here - 1) % sizeof(mark)])
                return length - 1;
        }
    }
    return length;
}

/* Zeroes the buffers from offset on. */
static void clear(const struct transport_request *request, size_t offset)
{
    for (int i = 0; i < request->iov_count; i++) {
        size_t length = request->iov[i].iov_len;

        if (offset < length)
            memset((uint8_t *)request->iov[i].iov_base + offset, 0, length - offset);
        offset -= min_u64(offset, length);
    }
}

/* Where one buffer is one piece of memory. */
static void slice(struct iscsi_arrival *arrival, const struct transport_request *request,
                  int *ret_count)
{
    size_t total = transport_data_bytes(request);
    size_t bytes = max_u64((total + SLICES - 1) / SLICES, LEAST_SLICE_BYTES);
    size_t count = (total + bytes - 1) / bytes;

    arrival->slices = calloc(count, sizeof(*arrival->slices));
    if (!arrival->slices)
        return;
    arrival->slice_bytes = bytes;
    *ret_count = (int)count;
    for (size_t at = 0; at < total; at += bytes)
        arrival->slices[at / bytes] =
            (struct iovec){(uint8_t *)request->iov[0].iov_base + at, min_u64(bytes, total - at)};
}

void arrival_prepare(struct iscsi_arrival *arrival, const struct transport_request *request,
                     size_t segment_bytes, struct iovec **ret_iov, int *ret_count)
{
    *ret_count = request->iov_count;
    if (request->direction == TRANSPORT_DATA_IN) {
        arrival->mark = arrival->again ? ~arrival->mark : new_mark();
        fill_all(request, arrival->mark);
    }
    if (request->direction == TRANSPORT_DATA_OUT && request->iov_count == 1 && segment_bytes > 0 &&
        transport_data_bytes(request) > segment_bytes)
        slice(arrival, request, ret_count);
    *ret_iov = arrival->slices ? arrival->slices : request->iov;
}

void arrival_free(struct iscsi_arrival *arrival)
{
    free(arrival->slices);
    arrival->slices = NULL;
}

static void settle_data_in(struct transport_request *request, size_t came)
{
    request->transferred = came;
    if (!request->medium_block_size)
        clear(request, came);
}

bool arrival_settle(struct iscsi_arrival *arrival, struct transport_request *request,
                    size_t segment_bytes, size_t sent)
{
    size_t told = request->transferred, came = 0;
    bool good = request->status == SCSI_STATUS_GOOD;

    if (request->direction == TRANSPORT_DATA_OUT && arrival->slices && good)
        request->transferred = min_u64(told, sent + arrival->slice_bytes - 1 + segment_bytes);
    if (request->direction != TRANSPORT_DATA_IN)
        return true;
    if (good)
        came = check(request, arrival->mark, told);
    if (good && came < told && !arrival->again) {
        arrival->again = true;
        return false;
    }
    settle_data_in(request, came);
    return true;
}

void arrival_give_up(struct iscsi_arrival *arrival, struct transport_request *request)
{
    settle_data_in(request, check(request, arrival->mark, request->transferred));
}
