/* SPDX-License-Identifier: Apache-2.0 */
#include "store_mem.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bitmap.h"
#include "checked.h"
#include "cleanup.h"
#include "iov.h"

enum op {
    OP_READ,
    OP_WRITE,
    OP_FLUSH,
    OP_PUNCH,
    OP_ZERO,
    OP_ANCHOR,
    OP_EXTENT,
    OP_RESIZE,
    OP_SPACE,
    OP_COUNT
};

static const char *const op_names[OP_COUNT] = {"read",   "write",  "flush",  "punch", "zero",
                                               "anchor", "extent", "resize", "space"};

struct fault {
    unsigned skip;
    int error;
};

/* The bytes are one mapping of memory that is not there until touched, so that stores of many
 * tebibytes can be tried. */
struct store_mem {
    struct store store;
    pthread_mutex_t lock; /* guards everything below, over the whole operation */
    uint8_t *bytes;
    struct bitmap mapped;   /* one bit a granule: there is storage */
    struct bitmap anchored; /* of those, the ones not written since they were reserved */
    uint64_t mapped_granules;
    uint64_t quota_bytes;
    struct fault faults[OP_COUNT];
};

static struct store_mem *mem_of(struct store *store)
{
    return (struct store_mem *)store;
}

static int injected(struct store_mem *mem, enum op op)
{
    struct fault *fault = &mem->faults[op];

    if (fault->error == 0)
        return 0;
    if (fault->skip > 0) {
        fault->skip--;
        return 0;
    }
    return -fault->error;
}

static uint64_t granules_for(const struct store_mem *mem, uint64_t bytes)
{
    return align_up(bytes, mem->store.granularity_bytes) / mem->store.granularity_bytes;
}

static uint64_t count_set(const struct bitmap *bitmap, uint64_t from, uint64_t end)
{
    uint64_t set = 0;

    while (from < end) {
        uint64_t run_end = min_u64(bitmap_run_end(bitmap, from), end);

        if (bitmap_test(bitmap, from))
            set += run_end - from;
        from = run_end;
    }
    return set;
}

/* Maps the granules of the range; -ENOSPC changes nothing. */
static int map_range(struct store_mem *mem, uint64_t offset, uint64_t length)
{
    uint64_t granularity = mem->store.granularity_bytes;
    uint64_t first = offset / granularity;
    uint64_t end = granules_for(mem, offset + length);
    uint64_t fresh = end - first - count_set(&mem->mapped, first, end);

    if (fresh > 0 && (mem->mapped_granules + fresh) > mem->quota_bytes / granularity)
        return -ENOSPC;
    bitmap_set(&mem->mapped, first, end - first);
    mem->mapped_granules += fresh;
    return 0;
}

static int write_range(struct store_mem *mem, uint64_t offset, uint64_t length)
{
    uint64_t first = offset / mem->store.granularity_bytes;
    int error = map_range(mem, offset, length);

    if (!error)
        bitmap_clear(&mem->anchored, first, granules_for(mem, offset + length) - first);
    return error;
}

static void mem_close(struct store *store)
{
    struct store_mem *mem = mem_of(store);

    if (mem->bytes)
        munmap(mem->bytes, store->size_bytes);
    bitmap_free(&mem->mapped);
    bitmap_free(&mem->anchored);
    pthread_mutex_destroy(&mem->lock);
    free(mem);
}

static int mem_read(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset)
{
    struct store_mem *mem = mem_of(store);
    struct iov_cursor cursor = iov_cursor_at_start(iov, iov_count);
    SCOPED_LOCK(&mem->lock);
    int error = injected(mem, OP_READ);

    if (!error)
        iov_cursor_write(&cursor, mem->bytes + offset, iov_total(iov, iov_count));
    return error;
}

static int mem_write(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                     bool fua)
{
    struct store_mem *mem = mem_of(store);
    struct iov_cursor cursor = iov_cursor_at_start(iov, iov_count);
    size_t length = iov_total(iov, iov_count);
    SCOPED_LOCK(&mem->lock);
    int error = injected(mem, OP_WRITE);

    (void)fua;
    if (!error)
        error = write_range(mem, offset, length);
    if (!error)
        iov_cursor_read(&cursor, mem->bytes + offset, length);
    return error;
}

static int mem_flush(struct store *store)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);

    return injected(mem, OP_FLUSH);
}

/* Zeroes without touching pages that whole holes lie on. */
static void clear_bytes(struct store_mem *mem, uint64_t offset, uint64_t length)
{
    uint64_t granularity = mem->store.granularity_bytes;
    uint64_t end = offset + length;

    while (offset < end) {
        uint64_t run_end = bitmap_run_end(&mem->mapped, offset / granularity) * granularity;
        uint64_t stop = min_u64(run_end, end);

        if (bitmap_test(&mem->mapped, offset / granularity))
            memset(mem->bytes + offset, 0, stop - offset);
        offset = stop;
    }
}

static int mem_punch(struct store *store, uint64_t offset, uint64_t length)
{
    struct store_mem *mem = mem_of(store);
    uint64_t granularity = store->granularity_bytes;
    uint64_t end = offset + length;
    uint64_t first = align_up(offset, granularity) / granularity;
    SCOPED_LOCK(&mem->lock);
    uint64_t last = end == store->size_bytes ? granules_for(mem, end) : end / granularity;
    int error = injected(mem, OP_PUNCH);

    if (error)
        return error;
    clear_bytes(mem, offset, length);
    if (first < last) {
        mem->mapped_granules -= count_set(&mem->mapped, first, last);
        bitmap_clear(&mem->mapped, first, last - first);
        bitmap_clear(&mem->anchored, first, last - first);
    }
    return 0;
}

static int mem_zero(struct store *store, uint64_t offset, uint64_t length)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);
    int error = injected(mem, OP_ZERO);

    if (!error)
        error = write_range(mem, offset, length);
    if (!error)
        memset(mem->bytes + offset, 0, length);
    return error;
}

/* Granules that were not mapped become anchored, and whole ones within the range; the rest of a
 * mapped one stays. */
static int mem_anchor(struct store *store, uint64_t offset, uint64_t length)
{
    struct store_mem *mem = mem_of(store);
    uint64_t granularity = store->granularity_bytes;
    SCOPED_LOCK(&mem->lock);
    uint64_t end = granules_for(mem, offset + length);
    int error = injected(mem, OP_ANCHOR);

    for (uint64_t granule = offset / granularity; !error && granule < end; granule++) {
        bool fresh = !bitmap_test(&mem->mapped, granule);
        uint64_t from = max_u64(granule * granularity, offset);
        uint64_t to = min_u64((granule + 1) * granularity, offset + length);

        error = map_range(mem, from, to - from);
        if (error)
            break;
        if (!fresh) /* what is not there is not touched */
            memset(mem->bytes + from, 0, to - from);
        if (fresh || to - from == granularity ||
            (from % granularity == 0 && to == store->size_bytes))
            bitmap_set(&mem->anchored, granule, 1);
    }
    return error;
}

static int mem_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                       size_t room, size_t *ret_count)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);

    for (*ret_count = 0; *ret_count < room && offset < limit; ++*ret_count) {
        uint64_t granule = offset / store->granularity_bytes;
        uint64_t end =
            min_u64(bitmap_run_end(&mem->mapped, granule), bitmap_run_end(&mem->anchored, granule));
        int error = injected(mem, OP_EXTENT);

        if (error)
            return *ret_count > 0 ? 0 : error;
        end = min_u64(end * store->granularity_bytes, limit);
        ret[*ret_count] = (struct extent){
            .start = offset,
            .length = end - offset,
            .status = !bitmap_test(&mem->mapped, granule)    ? EXTENT_DEALLOCATED
                      : bitmap_test(&mem->anchored, granule) ? EXTENT_ANCHORED
                                                             : EXTENT_MAPPED,
        };
        offset = end;
    }
    return 0;
}

static int mem_resize(struct store *store, uint64_t bytes)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);
    uint64_t granules = granules_for(mem, bytes);
    uint64_t old_bytes = store->size_bytes;
    int error = injected(mem, OP_RESIZE);
    void *moved;

    if (error)
        return error;
    if (bytes == 0)
        return -EINVAL;
    if (bytes < old_bytes) {
        clear_bytes(mem, bytes, old_bytes - bytes);
        mem->mapped_granules -= count_set(&mem->mapped, granules, mem->mapped.bits);
    }
    error = bitmap_resize(&mem->anchored, granules);
    if (!error)
        error = bitmap_resize(&mem->mapped, granules);
    if (error)
        return error;
    moved = mremap(mem->bytes, old_bytes, bytes, MREMAP_MAYMOVE);
    if (moved == MAP_FAILED)
        return -errno;
    mem->bytes = moved;
    return 0;
}

/* The pool is the quota; without one, as much as the store could ever take. */
static int mem_space(struct store *store, struct store_space *ret)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);
    uint64_t used = mem->mapped_granules * store->granularity_bytes;
    uint64_t pool = min_u64(mem->quota_bytes, mem->mapped.bits * store->granularity_bytes);

    *ret = (struct store_space){
        .used_bytes = used,
        .pool_used_bytes = used,
        .pool_available_bytes = pool - min_u64(used, pool),
    };
    return injected(mem, OP_SPACE);
}

static const struct store_ops mem_ops = {
    .kind = "memory",
    .close = mem_close,
    .read = mem_read,
    .write = mem_write,
    .flush = mem_flush,
    .punch = mem_punch,
    .zero = mem_zero,
    .anchor = mem_anchor,
    .extents = mem_extents,
    .resize = mem_resize,
    .space = mem_space,
};

int store_mem_create(uint64_t bytes, uint32_t granularity_bytes, struct store **ret)
{
    struct store_mem *mem;
    int error;

    if (bytes == 0 || bytes > INT64_MAX || granularity_bytes < 512 ||
        !is_power_of_two(granularity_bytes))
        return -EINVAL;
    mem = calloc(1, sizeof(*mem));
    if (!mem)
        return -ENOMEM;
    mem->store.ops = &mem_ops;
    mem->store.granularity_bytes = granularity_bytes;
    mem->store.can_anchor = true;
    mem->quota_bytes = UINT64_MAX;
    pthread_mutex_init(&mem->lock, NULL);
    error = bitmap_init(&mem->mapped, granules_for(mem, bytes));
    if (!error)
        error = bitmap_init(&mem->anchored, granules_for(mem, bytes));
    if (!error) {
        mem->bytes = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mem->bytes == MAP_FAILED) {
            mem->bytes = NULL;
            error = -ENOMEM;
        }
    }
    if (error) {
        mem_close(&mem->store);
        return error;
    }
    mem->store.size_bytes = bytes;
    *ret = &mem->store;
    return 0;
}

void store_mem_set_quota(struct store *store, uint64_t bytes)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);

    mem->quota_bytes = bytes;
}

void store_mem_set_fault(struct store *store, const char *op, unsigned skip, int error)
{
    struct store_mem *mem = mem_of(store);
    SCOPED_LOCK(&mem->lock);

    for (int i = 0; i < OP_COUNT; i++) {
        if (strcmp(op_names[i], op) == 0) {
            mem->faults[i] = (struct fault){.skip = skip, .error = error};
            return;
        }
    }
    abort(); /* a test that misspells the operation would test nothing */
}
