/* SPDX-License-Identifier: Apache-2.0 */

/* Views in the model: the volume as a store that is read step by step, a store for what is saved,
 * and a reader that knows what must be there. */

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "record_model.h"
#include "record_view.h"

#define GRANULE 4096

/* Only granules that are written have storage, as soon as they have been. */
struct model_store {
    struct store store;
    const int *content;
    int saved[GRANULES];
};

static int store_content(const struct store *store, uint64_t granule)
{
    const struct model_store *model = (const void *)store;
    unsigned at = granule_at(granule);

    return at < GRANULES ? model->content[at] : 0;
}

static int model_read(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset)
{
    uint8_t *to = iov->iov_base;

    (void)iov_count;
    for (size_t done = 0; done < iov->iov_len; done += GRANULE) {
        int content;

        record_step();
        content = store_content(store, (offset + done) / GRANULE);
        memcpy(to + done, &content, sizeof(content));
    }
    return 0;
}

static int model_write(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                       bool fua)
{
    struct model_store *model = (void *)store;
    const uint8_t *from = iov->iov_base;

    (void)iov_count, (void)fua;
    for (size_t done = 0; done < iov->iov_len; done += GRANULE) {
        unsigned at = granule_at((offset + done) / GRANULE);

        record_step();
        if (at == GRANULES)
            fail("a granule is saved that no one writes to");
        memcpy(&model->saved[at], from + done, sizeof(model->saved[at]));
    }
    m.saved++;
    return 0;
}

static int model_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                         size_t room, size_t *ret_count)
{
    uint64_t at = offset / GRANULE;
    bool mapped;

    (void)room;
    record_step();
    mapped = store_content(store, at) != 0;
    for (at++; at * GRANULE < limit; at++)
        if (mapped || granule_at(at) < GRANULES)
            break;
    *ret = (struct extent){.start = offset,
                           .length = min_u64(at * GRANULE, limit) - offset,
                           .status = mapped ? EXTENT_MAPPED : EXTENT_DEALLOCATED};
    *ret_count = 1;
    return 0;
}

static void model_close(struct store *store)
{
    free(store);
}

static void keep(struct store *store)
{
    (void)store;
}

static const struct store_ops saved_ops = {
    .kind = "saved",
    .close = model_close,
    .read = model_read,
    .write = model_write,
    .extents = model_extents,
};
static const struct store_ops live_ops = {
    .kind = "live",
    .close = keep,
    .read = model_read,
    .extents = model_extents,
};

struct store *model_live_store(void)
{
    static struct model_store live;

    live = (struct model_store){.store = {.ops = &live_ops, .granularity_bytes = GRANULE},
                                .content = m.now};
    atomic_store(&live.store.size_bytes, BYTES);
    return &live.store;
}

static struct store *make_saved_store(void)
{
    struct model_store *saved = calloc(1, sizeof(*saved));

    saved->store.ops = &saved_ops;
    saved->store.granularity_bytes = GRANULE;
    saved->content = saved->saved;
    atomic_store(&saved->store.size_bytes, BYTES);
    return &saved->store;
}

/* One granule that is written, as the view has it, and as it must be. since: what it was when the
 * view begins. -ESTALE: the view was given up. */
static int check_granule(struct record_view *view, unsigned granule, const int *content,
                         const int *since)
{
    uint64_t offset = place_of(granule) * GRANULE;
    struct record_view_extent extent;
    uint8_t bytes[GRANULE] = {0};
    int found, error = record_view_extent(view, offset, offset + GRANULE, &extent);

    if (error)
        return error;
    if (extent.kind == RECORD_VIEW_SAME) {
        if (!since)
            fail("a view of everything has not granule %u", granule);
        if (since[granule] != content[granule])
            fail("a view says that granule %u is the same", granule);
        return 0;
    }
    if ((extent.kind == RECORD_VIEW_DATA) != (content[granule] != 0))
        fail("a view says that granule %u is %smapped", granule,
             extent.kind == RECORD_VIEW_DATA ? "" : "un");
    error = record_view_read(view, bytes, sizeof(bytes), offset);
    memcpy(&found, bytes, sizeof(found));
    if (!error && found != content[granule])
        fail("a view has %d in granule %u, where %d was", found, granule, content[granule]);
    return error;
}

static void read_view(struct record_view *view, const int *content, const int *since, bool may_end)
{
    struct record_view_status status;
    int error = 0;

    for (unsigned granule = 0; !error && granule < GRANULES; granule++) {
        error = check_granule(view, granule, content, since);
        if (!error && any(3) == 0)
            record_view_acknowledge(view, (place_of(granule) + 1) * GRANULE);
        record_step();
    }
    record_view_get_status(view, &status);
    if (error && (error != -ESTALE || !status.lost || !may_end))
        fail("a view cannot be read: %d", error);
    m.views_lost += error != 0;
}

void try_view(void)
{
    uint8_t consumer[RECORD_ID_BYTES] = {2}, nonce[RECORD_ID_BYTES], base[RECORD_ID_BYTES];
    int content[GRANULES], since[GRANULES];
    bool small = any(3) == 0, all = any(3) == 0;
    struct record_view_parts parts = {.live = m.live,
                                      .saved = make_saved_store(),
                                      .limit = small ? any(2) * GRANULE : UINT64_MAX,
                                      .since = all ? NULL : base};
    struct record_point point;
    struct record_view *view;
    int error;

    for (unsigned i = 0; i < RECORD_ID_BYTES; i++)
        nonce[i] = (uint8_t)any(256);
    if (!all && m.point_count == 0) {
        store_close(parts.saved);
        return;
    }
    if (!all) {
        const struct point *from = &m.points[any(m.point_count)];

        memcpy(base, from->id, sizeof(base));
        memcpy(since, from->content, sizeof(since));
    }
    error = record_cut_view(m.record, consumer, nonce, 0, &parts, &point, &view);
    if (error == -ENOENT && !all) /* forgotten meanwhile */
        return;
    if (error || !view)
        fail("no view can be cut: %d", error);
    content_at(point.interval, content);
    m.views++;
    read_view(view, content, all ? NULL : since, small);
    record_view_close(view);
    if (record_forget(m.record, point.id))
        fail("the point of a view cannot be forgotten");
}
