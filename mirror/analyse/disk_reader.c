/* SPDX-License-Identifier: Apache-2.0 */
#include "disk_reader.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "read_trace.h"

#define PAGE_BYTES_MAX ((uint64_t)16 * 1024)
#define CACHE_BYTES    ((size_t)8 << 20)
#define WINDOW_DIVISOR 2 /* a plan may fill this part of the cache at once */
#define RUN_PAGES      32
#define FLIGHT         32 /* requests at once */
#define ALIGNMENT      4096

/* What may be read in all: tables of contents are a small part of a disk. */
#define BUDGET_BYTES   ((uint64_t)1 << 30)
#define BUDGET_DIVISOR 8

#define WAIT_MS        200 /* how long a signal may go unnoticed that came before the waiting began */

#define NONE           SIZE_MAX

struct page {
    uint64_t number; /* of the page on the disk */
    bool valid;
    size_t next; /* with the same hash; NONE: no more */
};

struct run {
    struct endpoint_request request;
    struct iovec iov[RUN_PAGES];
    size_t slots[RUN_PAGES];
    uint64_t first; /* page number */
    size_t count;
    bool busy;
};

struct disk_reader {
    struct endpoint *endpoint;
    uint64_t bytes;
    uint64_t page_bytes;
    uint64_t budget; /* bytes that may still be read */
    uint8_t *memory; /* of all pages */
    struct page *pages;
    size_t *heads; /* hash to slot */
    size_t slots;
    size_t next_slot; /* the one that is given up next */

    struct byte_range *plan;
    size_t plan_count;
    size_t plan_at;       /* the range that is being fetched */
    uint64_t plan_offset; /* within it */

    uint64_t *wanted; /* page numbers of one fetch, at most half of the cache */
    size_t wanted_count;
    size_t wanted_max;
    struct run runs[FLIGHT];
    size_t in_flight;
    struct errmsg error;
    struct read_trace *trace; /* NULL: not wanted */
    const atomic_bool *stop;  /* or NULL */
    bool was_stopped;
    void (*watch)(void *opaque, uint64_t read_bytes); /* or NULL */
    void *opaque;                                     /* watch's */
    uint64_t read_bytes;
};

static uint64_t choose_page_bytes(const struct endpoint_info *info)
{
    uint64_t limit = (uint64_t)info->max_transfer_blocks * info->block_size;
    uint64_t bytes = info->block_size;

    while (bytes * 2 <= limit && bytes * 2 <= PAGE_BYTES_MAX)
        bytes *= 2;
    return bytes;
}

int disk_reader_create(struct endpoint *endpoint, struct disk_reader **ret)
{
    struct disk_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    reader->endpoint = endpoint;
    reader->bytes = endpoint->info.blocks * endpoint->info.block_size;
    reader->page_bytes = choose_page_bytes(&endpoint->info);
    reader->budget = max_u64(BUDGET_BYTES, reader->bytes / BUDGET_DIVISOR);
    reader->slots = max_u64(min_u64(CACHE_BYTES, reader->bytes) / reader->page_bytes, 4);
    reader->wanted_max = reader->slots / WINDOW_DIVISOR;
    reader->pages = calloc(reader->slots, sizeof(*reader->pages));
    reader->heads = calloc(reader->slots, sizeof(*reader->heads));
    reader->wanted = calloc(reader->wanted_max, sizeof(*reader->wanted));
    reader->memory =
        aligned_alloc(ALIGNMENT, align_up(reader->slots * reader->page_bytes, ALIGNMENT));
    if (!reader->pages || !reader->heads || !reader->wanted || !reader->memory) {
        disk_reader_free(reader);
        return -ENOMEM;
    }
    for (size_t i = 0; i < reader->slots; i++)
        reader->heads[i] = NONE;
    *ret = reader;
    return 0;
}

void disk_reader_set_trace(struct disk_reader *reader, struct read_trace *trace)
{
    reader->trace = trace;
}

void disk_reader_set_stop(struct disk_reader *reader, const atomic_bool *stop)
{
    reader->stop = stop;
}

void disk_reader_set_watch(struct disk_reader *reader,
                           void (*watch)(void *opaque, uint64_t read_bytes), void *opaque)
{
    reader->watch = watch;
    reader->opaque = opaque;
}

bool disk_reader_was_stopped(const struct disk_reader *reader)
{
    return reader->was_stopped;
}

void disk_reader_free(struct disk_reader *reader)
{
    if (!reader)
        return;
    free(reader->plan);
    free(reader->wanted);
    free(reader->heads);
    free(reader->pages);
    free(reader->memory);
    free(reader);
}

uint64_t disk_reader_bytes(const struct disk_reader *reader)
{
    return reader->bytes;
}

uint32_t disk_reader_block_bytes(const struct disk_reader *reader)
{
    return reader->endpoint->info.block_size;
}

const char *disk_reader_error(const struct disk_reader *reader)
{
    return reader->error.text;
}

static bool is_stopped(struct disk_reader *reader)
{
    if (reader->stop && *reader->stop)
        reader->was_stopped = true;
    return reader->was_stopped;
}

static size_t find_slot(const struct disk_reader *reader, uint64_t number)
{
    size_t slot = reader->heads[number % reader->slots];

    while (slot != NONE && reader->pages[slot].number != number)
        slot = reader->pages[slot].next;
    return slot;
}

static void drop_slot(struct disk_reader *reader, size_t slot)
{
    size_t *link = &reader->heads[reader->pages[slot].number % reader->slots];

    while (*link != slot)
        link = &reader->pages[*link].next;
    *link = reader->pages[slot].next;
    reader->pages[slot].valid = false;
}

/* The oldest page makes room. */
static size_t take_slot(struct disk_reader *reader)
{
    size_t slot = reader->next_slot;

    reader->next_slot = (slot + 1) % reader->slots;
    if (reader->pages[slot].valid)
        drop_slot(reader, slot);
    return slot;
}

static void keep_page(struct disk_reader *reader, size_t slot, uint64_t number)
{
    size_t *head = &reader->heads[number % reader->slots];

    reader->pages[slot] = (struct page){number, true, *head};
    *head = slot;
}

static void run_done(struct endpoint_request *request)
{
    struct disk_reader *reader = request->opaque;
    struct run *run = (struct run *)((char *)request - offsetof(struct run, request));

    run->busy = false;
    reader->in_flight--;
    if (request->result < 0) {
        reader->error = request->error;
        return;
    }
    for (size_t i = 0; i < run->count; i++)
        keep_page(reader, run->slots[i], run->first + i);
    reader->read_bytes += request->blocks * reader->endpoint->info.block_size;
}

static struct run *idle_run(struct disk_reader *reader)
{
    for (size_t i = 0; i < FLIGHT; i++)
        if (!reader->runs[i].busy)
            return &reader->runs[i];
    return NULL;
}

static int wait_for_run(struct disk_reader *reader)
{
    int r = endpoint_wait(&reader->endpoint, 1, WAIT_MS);

    if (reader->watch)
        reader->watch(reader->opaque, reader->read_bytes);
    return r == -EINTR ? 0 : r;
}

/* Reads the pages wanted[from, from + count), which follow each other. */
static int send_run(struct disk_reader *reader, size_t from, size_t count)
{
    uint32_t block_size = reader->endpoint->info.block_size;
    uint64_t start = reader->wanted[from] * reader->page_bytes;
    uint64_t length = min_u64(count * reader->page_bytes, reader->bytes - start);
    struct run *run = idle_run(reader);
    int r;

    run->first = reader->wanted[from];
    run->count = count;
    for (size_t i = 0; i < count; i++) {
        run->slots[i] = take_slot(reader);
        run->iov[i].iov_base = reader->memory + run->slots[i] * reader->page_bytes;
        run->iov[i].iov_len = min_u64(reader->page_bytes, length - i * reader->page_bytes);
    }
    run->request = (struct endpoint_request){.op = ENDPOINT_READ,
                                             .lba = start / block_size,
                                             .blocks = length / block_size,
                                             .iov = run->iov,
                                             .iov_count = (int)count,
                                             .done = run_done,
                                             .opaque = reader};
    run->busy = true;
    reader->in_flight++;
    r = endpoint_submit(reader->endpoint, &run->request);
    if (r < 0) {
        run->busy = false;
        reader->in_flight--;
    }
    return r;
}

static size_t run_length(const struct disk_reader *reader, size_t from)
{
    uint64_t limit = (uint64_t)reader->endpoint->info.max_transfer_blocks *
                     reader->endpoint->info.block_size / reader->page_bytes;
    size_t count = 1;

    while (from + count < reader->wanted_count && count < limit && count < RUN_PAGES &&
           reader->wanted[from + count] == reader->wanted[from] + count)
        count++;
    return count;
}

/* Reads all wanted pages. An error of the target is seen by what is then still missing; only a lost
 * target is one here, and a stop, for which a target that is away may have been lost, too. */
static int fetch(struct disk_reader *reader)
{
    int r = 0;

    for (size_t at = 0; r == 0 && at < reader->wanted_count && !is_stopped(reader);) {
        size_t count = run_length(reader, at);

        while (r == 0 && reader->in_flight == FLIGHT)
            r = wait_for_run(reader);
        if (r == 0)
            r = send_run(reader, at, count);
        at += count;
    }
    while (reader->in_flight > 0) {
        int waited = wait_for_run(reader);

        r = r < 0 ? r : waited;
    }
    return is_stopped(reader) ? -EINTR : r;
}

static int compare_numbers(const void *a, const void *b)
{
    const uint64_t *x = a, *y = b;

    return (*x > *y) - (*x < *y);
}

static void want(struct disk_reader *reader, uint64_t number)
{
    if (reader->wanted_count < reader->wanted_max && find_slot(reader, number) == NONE)
        reader->wanted[reader->wanted_count++] = number;
}

/* Adds what the plan says comes next. */
static void want_planned(struct disk_reader *reader)
{
    while (reader->plan_at < reader->plan_count && reader->wanted_count < reader->wanted_max) {
        const struct byte_range *range = &reader->plan[reader->plan_at];
        uint64_t at = range->start + reader->plan_offset;

        if (reader->plan_offset >= range->length) {
            reader->plan_at++;
            reader->plan_offset = 0;
            continue;
        }
        want(reader, at / reader->page_bytes);
        reader->plan_offset += reader->page_bytes - at % reader->page_bytes;
    }
}

static void sort_wanted(struct disk_reader *reader)
{
    size_t kept = 0;

    qsort(reader->wanted, reader->wanted_count, sizeof(*reader->wanted), compare_numbers);
    for (size_t i = 0; i < reader->wanted_count; i++)
        if (i == 0 || reader->wanted[i] != reader->wanted[kept - 1])
            reader->wanted[kept++] = reader->wanted[i];
    reader->wanted_count = kept;
}

/* Fetches page first, the pages up to last that this read needs too, and what is planned. */
static int fetch_from(struct disk_reader *reader, uint64_t first, uint64_t last)
{
    uint64_t bytes;

    reader->wanted_count = 0;
    for (uint64_t number = first; number <= last && reader->wanted_count < reader->wanted_max;
         number++)
        want(reader, number);
    want_planned(reader);
    sort_wanted(reader);
    bytes = reader->wanted_count * reader->page_bytes;
    if (bytes > reader->budget)
        return -E2BIG;
    reader->budget -= bytes;
    return fetch(reader);
}

/* A page that a larger request did not bring is asked for alone, so that a bad block elsewhere is
 * no matter. */
static int fetch_alone(struct disk_reader *reader, uint64_t number)
{
    int r;

    reader->wanted[0] = number;
    reader->wanted_count = 1;
    r = fetch(reader);
    if (r < 0)
        return r;
    return find_slot(reader, number) == NONE ? reader->runs[0].request.result : 0;
}

static int get_page(struct disk_reader *reader, uint64_t number, uint64_t last, size_t *ret_slot)
{
    int r;

    *ret_slot = find_slot(reader, number);
    if (*ret_slot != NONE)
        return 0;
    r = fetch_from(reader, number, last);
    if (r == 0 && find_slot(reader, number) == NONE)
        r = fetch_alone(reader, number);
    *ret_slot = find_slot(reader, number);
    if (r < 0)
        return r;
    return *ret_slot == NONE ? -EIO : 0;
}

static int copy_pages(struct disk_reader *reader, uint64_t offset, uint8_t *at, size_t length)
{
    while (length > 0) {
        uint64_t number = offset / reader->page_bytes, within = offset % reader->page_bytes;
        size_t part = min_u64(length, reader->page_bytes - within);
        size_t slot;
        int r = get_page(reader, number, (offset + length - 1) / reader->page_bytes, &slot);

        if (r < 0)
            return r;
        memcpy(at, reader->memory + slot * reader->page_bytes + within, part);
        at += part;
        offset += part;
        length -= part;
    }
    return 0;
}

int disk_reader_read(struct disk_reader *reader, uint64_t offset, void *to, size_t length)
{
    int r;

    if (!range_within(offset, length, reader->bytes))
        return -ERANGE;
    if (is_stopped(reader))
        return -EINTR;
    r = copy_pages(reader, offset, to, length);
    return r < 0 || !reader->trace ? r : read_trace_add(reader->trace, offset, to, length);
}

int disk_reader_plan(struct disk_reader *reader, const struct byte_range *ranges, size_t count)
{
    struct byte_range *plan = reallocarray(reader->plan, count ? count : 1, sizeof(*plan));

    if (!plan)
        return -ENOMEM;
    reader->plan = plan;
    reader->plan_count = 0;
    reader->plan_at = 0;
    reader->plan_offset = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].start >= reader->bytes)
            continue;
        plan[reader->plan_count++] =
            (struct byte_range){ranges[i].start,
                                min_u64(ranges[i].length, reader->bytes - ranges[i].start)};
    }
    return 0;
}
