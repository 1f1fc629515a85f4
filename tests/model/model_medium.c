/* SPDX-License-Identifier: Apache-2.0 */
#include "model_medium.h"

#include <assert.h>
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "cleanup.h"
#include "record_layout.h"

#define SECTOR_BYTES 512
#define MAX_PAGES    4096

/* A page that was ever written or held. */
struct page {
    uint64_t offset;
    bool held;
    uint8_t durable[RECORD_PAGE_BYTES];
    uint8_t syncing[RECORD_PAGE_BYTES];
};

struct model_medium {
    struct record_medium medium;
    model_random *any;
    model_step *step;
    pthread_mutex_t lock; /* guards pages and count; not held over a step */
    struct page *pages[MAX_PAGES];
    unsigned count;
    unsigned fail_after;
    int error;
    int hold_error;
    bool removed;
};

static struct model_medium *model_of(struct record_medium *medium)
{
    return (struct model_medium *)medium;
}

static struct page *page_at(struct model_medium *model, uint64_t offset)
{
    SCOPED_LOCK(&model->lock);
    struct page *page;

    for (unsigned i = 0; i < model->count; i++)
        if (model->pages[i]->offset == offset)
            return model->pages[i];
    assert(model->count < MAX_PAGES);
    page = calloc(1, sizeof(*page));
    assert(page);
    page->offset = offset;
    model->pages[model->count++] = page;
    return page;
}

static int fails(struct model_medium *model)
{
    if (model->error == 0)
        return 0;
    if (model->fail_after > 0) {
        model->fail_after--;
        return 0;
    }
    return model->error;
}

static int model_read(struct record_medium *medium, void *bytes, size_t length, uint64_t offset)
{
    memcpy(bytes, medium->mapping + offset, length);
    return 0;
}

/* Page by page, since that is how much of a write a process that is killed has done. */
static int model_write(struct record_medium *medium, const void *bytes, size_t length,
                       uint64_t offset)
{
    struct model_medium *model = model_of(medium);
    int error = fails(model);

    if (error)
        return error;
    assert(offset % RECORD_PAGE_BYTES == 0 && length % RECORD_PAGE_BYTES == 0);
    for (uint64_t at = 0; at < length; at += RECORD_PAGE_BYTES) {
        page_at(model, offset + at);
        memcpy(medium->mapping + offset + at, (const uint8_t *)bytes + at, RECORD_PAGE_BYTES);
        model->step();
    }
    return 0;
}

/* What is stored while it goes on may or may not become durable with it. */
static int model_sync(struct record_medium *medium)
{
    struct model_medium *model = model_of(medium);
    unsigned count = model->count;
    int error = fails(model);

    if (error)
        return error;
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < count; i++)
        memcpy(model->pages[i]->syncing, medium->mapping + model->pages[i]->offset,
               RECORD_PAGE_BYTES);
    pthread_mutex_unlock(&model->lock);
    model->step();
    pthread_mutex_lock(&model->lock);
    for (unsigned i = 0; i < count; i++) {
        struct page *page = model->pages[i];

        for (unsigned at = 0; at < RECORD_PAGE_BYTES; at += SECTOR_BYTES)
            memcpy(page->durable + at,
                   model->any(2) ? page->syncing + at : medium->mapping + page->offset + at,
                   SECTOR_BYTES);
    }
    pthread_mutex_unlock(&model->lock);
    model->step();
    return 0;
}

static int model_hold(struct record_medium *medium, uint64_t offset, uint64_t length,
                      bool has_storage)
{
    struct model_medium *model = model_of(medium);

    (void)has_storage;
    if (model->hold_error)
        return model->hold_error;
    for (uint64_t at = 0; at < length; at += RECORD_PAGE_BYTES)
        page_at(model, offset + at)->held = true;
    return 0;
}

static int model_give_back(struct record_medium *medium, uint64_t offset, uint64_t length)
{
    struct model_medium *model = model_of(medium);
    SCOPED_LOCK(&model->lock);

    for (unsigned i = 0; i < model->count; i++) {
        struct page *page = model->pages[i];

        if (page->offset < offset || page->offset >= offset + length)
            continue;
        page->held = false;
        memset(medium->mapping + page->offset, 0, RECORD_PAGE_BYTES);
    }
    return 0;
}

static int model_next_data(struct record_medium *medium, uint64_t offset, uint64_t limit,
                           uint64_t *ret_start, uint64_t *ret_end)
{
    struct model_medium *model = model_of(medium);

    *ret_start = *ret_end = limit;
    for (unsigned i = 0; i < model->count; i++) {
        const struct page *page = model->pages[i];

        if (!page->held || page->offset < offset || page->offset >= *ret_start)
            continue;
        *ret_start = page->offset;
        *ret_end = page->offset + RECORD_PAGE_BYTES;
    }
    return 0;
}

static int model_remove(struct record_medium *medium)
{
    model_of(medium)->removed = true;
    return 0;
}

static void model_close(struct record_medium *medium)
{
    struct model_medium *model = model_of(medium);

    for (unsigned i = 0; i < model->count; i++)
        free(model->pages[i]);
    munmap(medium->mapping, RECORD_FILE_BYTES);
    free(model);
}

static const struct record_medium_ops model_ops = {
    .read = model_read,
    .write = model_write,
    .sync = model_sync,
    .hold = model_hold,
    .give_back = model_give_back,
    .next_data = model_next_data,
    .remove = model_remove,
    .close = model_close,
};

struct record_medium *model_medium_create(model_random *any, model_step *step)
{
    struct model_medium *model = calloc(1, sizeof(*model));

    assert(model);
    model->medium.ops = &model_ops;
    pthread_mutex_init(&model->lock, NULL);
    model->any = any;
    model->step = step;
    model->medium.mapping = mmap(NULL, RECORD_FILE_BYTES, PROT_READ | PROT_WRITE,
                                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert(model->medium.mapping != MAP_FAILED);
    return &model->medium;
}

/* How much of what was not durable has come: nothing, all, or sector by sector. One write of the
 * control record is often there as a whole, or not at all. */
enum come { COME_NOT, COME_ALL, COME_SOME };

static void leave_page(const struct page *page, const uint8_t *now, enum come come,
                       model_random *any, uint8_t *to)
{
    for (unsigned at = 0; at < RECORD_PAGE_BYTES; at += SECTOR_BYTES) {
        bool durable = come == COME_NOT || (come == COME_SOME && any(2));

        memcpy(to + at, durable ? page->durable + at : now + at, SECTOR_BYTES);
    }
}

struct record_medium *model_medium_after(struct record_medium *medium, bool power_cut)
{
    struct model_medium *model = model_of(medium);
    struct record_medium *after = model_medium_create(model->any, model->step);
    enum come copies[2] = {(enum come)model->any(3), (enum come)model->any(3)};

    for (unsigned i = 0; i < model->count; i++) {
        const struct page *page = model->pages[i];
        struct page *copy = page_at(model_of(after), page->offset);
        enum come come = (enum come)model->any(3);

        if (page->offset < 2 * RECORD_CONTROL_BYTES)
            come = copies[page->offset / RECORD_CONTROL_BYTES];
        if (!power_cut)
            come = COME_ALL;
        leave_page(page, medium->mapping + page->offset, come, model->any,
                   after->mapping + page->offset);
        memcpy(copy->durable, power_cut ? after->mapping + page->offset : page->durable,
               RECORD_PAGE_BYTES);
        copy->held = true;
    }
    return after;
}

void model_medium_fail(struct record_medium *medium, unsigned after, int error)
{
    model_of(medium)->fail_after = after;
    model_of(medium)->error = error;
}

void model_medium_fail_hold(struct record_medium *medium, int error)
{
    model_of(medium)->hold_error = error;
}

bool model_medium_removed(const struct record_medium *medium)
{
    return ((const struct model_medium *)medium)->removed;
}

uint8_t *model_medium_bytes(struct record_medium *medium)
{
    return medium->mapping;
}
