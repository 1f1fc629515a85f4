/* SPDX-License-Identifier: Apache-2.0 */

/* Reading views: from what was saved, and else from the volume, if it is not saved afterwards
 * either (V3). */

#include <errno.h>

#include "checked.h"
#include "record_view_internal.h"

uint64_t record_view_bytes(const struct record_view *view)
{
    return view->bytes;
}

static bool is_saved(const struct record_view *view, uint64_t granule)
{
    return atomic_load(&view->is_saved[granule / 64]) >> granule % 64 & 1;
}

static bool has(const struct record_view *view, uint64_t granule)
{
    return record_view_word(view, granule / 64) >> granule % 64 & 1;
}

static int check(const struct record_view *view, uint64_t offset)
{
    if (atomic_load(&view->lost))
        return -ESTALE;
    return offset >> view->record->granule_shift < atomic_load(&view->acknowledged) ? -ERANGE : 0;
}

/* Up to where, before end, granules are like the first one: the view has them or not, and has saved
 * them or not. */
static uint64_t run_of(const struct record_view *view, uint64_t first, uint64_t end, bool had,
                       bool saved)
{
    uint64_t at = first;

    while (at < end) {
        uint64_t alike = record_view_word(view, at / 64), others;
        unsigned left = 64 - at % 64, count;

        if (had)
            alike &= saved ? atomic_load(&view->is_saved[at / 64])
                           : ~atomic_load(&view->is_saved[at / 64]);
        else
            alike = ~alike;
        others = ~alike >> at % 64;
        count = others ? (unsigned)__builtin_ctzll(others) : 64;
        if (count < left)
            return min_u64(at + count, end);
        at += left;
    }
    return end;
}

static void set_extent(struct record_view_extent *ret, uint64_t offset, uint64_t length,
                       enum record_view_kind kind)
{
    *ret = (struct record_view_extent){.offset = offset, .length = length, .kind = kind};
}

int record_view_extent(struct record_view *view, uint64_t offset, uint64_t limit,
                       struct record_view_extent *ret)
{
    unsigned shift = view->record->granule_shift;
    uint64_t first = offset >> shift, last, end;
    struct extent extent;
    bool saved;
    int error = check(view, offset);

    limit = min_u64(limit, view->bytes);
    if (error || offset >= limit)
        return error ? error : -ERANGE;
    last = ((limit - 1) >> shift) + 1;
    if (!has(view, first)) {
        end = min_u64(run_of(view, first, last, false, false) << shift, limit);
        set_extent(ret, offset, end - offset, RECORD_VIEW_SAME);
        return 0;
    }
    saved = is_saved(view, first);
    end = min_u64(run_of(view, first, last, true, saved) << shift, limit);
    error = store_extent(saved ? view->saved : view->live, offset, end, &extent);
    record_step();
    if (!error && !saved && !record_fault(RECORD_FAULT_VIEW_NOT_AGAIN)) {
        if (is_saved(view, first)) /* meanwhile: what was saved tells */
            return record_view_extent(view, offset, limit, ret);
        end = run_of(view, first, ((offset + extent.length - 1) >> shift) + 1, true, false);
        extent.length = min_u64(extent.length, (end << shift) - offset);
    }
    if (!error)
        error = check(view, offset);
    if (!error)
        set_extent(ret, offset, extent.length,
                   extent.status == EXTENT_MAPPED ? RECORD_VIEW_DATA : RECORD_VIEW_UNMAPPED);
    return error;
}

static int read_from(struct store *store, uint8_t *to, uint64_t length, uint64_t offset)
{
    struct iovec iov = {.iov_base = to, .iov_len = (size_t)length};

    return store_read(store, &iov, 1, offset);
}

/* Of one kind; *ret_length: how many bytes of it are right. */
static int read_run(struct record_view *view, uint8_t *to, uint64_t length, uint64_t offset,
                    uint64_t *ret_length)
{
    unsigned shift = view->record->granule_shift;
    uint64_t first = offset >> shift, last = ((offset + length - 1) >> shift) + 1, end;
    bool saved = is_saved(view, first);
    int error;

    end = run_of(view, first, last, true, saved);
    *ret_length = min_u64(length, (end << shift) - offset);
    error = read_from(saved ? view->saved : view->live, to, *ret_length, offset);
    record_step();
    if (error || saved || record_fault(RECORD_FAULT_VIEW_NOT_AGAIN))
        return error;
    end = run_of(view, first, end, true, false);
    *ret_length = end == first ? 0 : min_u64(*ret_length, (end << shift) - offset);
    return 0;
}

int record_view_read(struct record_view *view, void *to, size_t length, uint64_t offset)
{
    uint8_t *bytes = to;
    int error = check(view, offset);

    if (!error && !range_within(offset, length, view->bytes))
        error = -ERANGE;
    while (!error && length > 0) {
        uint64_t done = 0;

        if (!has(view, offset >> view->record->granule_shift))
            return -ERANGE;
        error = read_run(view, bytes, length, offset, &done);
        bytes += done;
        offset += done;
        length -= (size_t)done;
    }
    return error ? error : check(view, offset > 0 ? offset - 1 : 0);
}

void record_view_acknowledge(struct record_view *view, uint64_t offset)
{
    uint64_t granule = min_u64(offset, view->bytes) >> view->record->granule_shift;
    uint64_t before = atomic_load(&view->acknowledged);

    if (offset >= view->bytes)
        granule = view->granules;
    while (before < granule && !atomic_compare_exchange_weak(&view->acknowledged, &before, granule))
        ;
}

void record_view_get_status(const struct record_view *view, struct record_view_status *ret)
{
    *ret = (struct record_view_status){
        .lost = atomic_load(&view->lost),
        .saved_bytes = atomic_load(&view->saved_bytes),
        .limit = view->limit,
        .acknowledged =
            min_u64(atomic_load(&view->acknowledged) << view->record->granule_shift, view->bytes),
    };
}
