/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TM_TEST_JOINED_EXTENT_H
#define TM_TEST_JOINED_EXTENT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "store.h"

/* The extent that begins at offset is length bytes long, in one piece or several: Btrfs lists by
 * themselves parts that were written by themselves. */
static inline void assert_joined_extent(struct store *store, uint64_t offset, uint64_t length,
                                        enum extent_status status)
{
    uint64_t end = offset + length, at = offset;
    struct extent extent;

    while (at < store->size_bytes) {
        assert_int_equal(store_extent(store, at, store->size_bytes, &extent), 0);
        assert_int_equal(extent.start, at);
        if (extent.status != status)
            break;
        at += extent.length;
    }
    assert_int_equal(at, end);
}

#endif
