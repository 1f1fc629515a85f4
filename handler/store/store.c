/* SPDX-License-Identifier: Apache-2.0 */
#include "store.h"

#include <errno.h>

#include "checked.h"
#include "iov.h"

static bool within(const struct store *store, uint64_t offset, uint64_t length)
{
    return range_within(offset, length, store->size_bytes);
}

void store_close(struct store *store)
{
    if (store)
        store->ops->close(store);
}

int store_read(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset)
{
    size_t length = iov_total(iov, iov_count);

    if (!within(store, offset, length))
        return -ERANGE;
    return length == 0 ? 0 : store->ops->read(store, iov, iov_count, offset);
}

int store_read_cached(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset)
{
    if (!within(store, offset, iov_total(iov, iov_count)))
        return -ERANGE;
    if (!store->ops->read_cached)
        return -EOPNOTSUPP;
    return store->ops->read_cached(store, iov, iov_count, offset);
}

int store_write(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                bool fua)
{
    size_t length = iov_total(iov, iov_count);

    if (!within(store, offset, length))
        return -ERANGE;
    return length == 0 ? 0 : store->ops->write(store, iov, iov_count, offset, fua);
}

int store_flush(struct store *store)
{
    return store->ops->flush(store);
}

int store_punch(struct store *store, uint64_t offset, uint64_t length)
{
    if (!within(store, offset, length))
        return -ERANGE;
    return length == 0 ? 0 : store->ops->punch(store, offset, length);
}

int store_zero(struct store *store, uint64_t offset, uint64_t length)
{
    if (!within(store, offset, length))
        return -ERANGE;
    return length == 0 ? 0 : store->ops->zero(store, offset, length);
}

int store_anchor(struct store *store, uint64_t offset, uint64_t length)
{
    if (!within(store, offset, length))
        return -ERANGE;
    if (!store->can_anchor)
        return -EOPNOTSUPP;
    return length == 0 ? 0 : store->ops->anchor(store, offset, length);
}

int store_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                  size_t room, size_t *ret_count)
{
    if (offset >= limit || limit > store->size_bytes)
        return -ERANGE;
    return store->ops->extents(store, offset, limit, ret, room, ret_count);
}

int store_extent(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret)
{
    size_t count;

    return store_extents(store, offset, limit, ret, 1, &count);
}

int store_copy(struct store *store, uint64_t offset, struct store *from, uint64_t from_offset,
               uint64_t length)
{
    if (!within(store, offset, length) || !within(from, from_offset, length))
        return -ERANGE;
    if (store->ops != from->ops || !store->ops->copy)
        return -EOPNOTSUPP;
    return length == 0 ? 0 : store->ops->copy(store, offset, from, from_offset, length);
}

int store_resize(struct store *store, uint64_t bytes)
{
    int error;

    if (bytes > INT64_MAX)
        return -EFBIG;
    error = store->ops->resize(store, bytes);
    if (!error)
        store->size_bytes = bytes;
    return error;
}

int store_space(struct store *store, struct store_space *ret)
{
    return store->ops->space(store, ret);
}

int store_allocated(struct store *store, uint64_t *ret_bytes)
{
    struct store_space space;
    int error = store_space(store, &space);

    if (!error)
        *ret_bytes = space.used_bytes;
    return error;
}

int store_kept(struct store *store)
{
    return store->ops->kept ? store->ops->kept(store) : 0;
}

int store_advise(struct store *store, uint64_t offset, uint64_t length, enum store_advice advice)
{
    if (!within(store, offset, length))
        return -ERANGE;
    if (length > 0 && store->ops->advise)
        store->ops->advise(store, offset, length, advice);
    return 0;
}

int store_identify(struct store *store, bool as_opened, struct store_identity *ret)
{
    return store->ops->identify ? store->ops->identify(store, as_opened, ret) : -EOPNOTSUPP;
}
