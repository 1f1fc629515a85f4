/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_H
#define THINMIRROR_STORE_H

/* Where a volume's bytes live. An implementation is one file with a create function that returns a
 * struct whose first member is this one; the functions below check ranges once for all of them.
 *
 * Contract: offsets and lengths are bytes within the store's size. Every operation may be called
 * from any thread at any time; two that overlap are not ordered here (SCSI orders nothing
 * either). A read sees all writes that returned before it began. Bytes that were never written, or
 * were punched, read as zeros. Nothing is durable before flush (or a write with fua) returns 0.
 * Results: 0 or -errno; -ENOSPC means the storage below is full and nothing else is wrong. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "extents.h"

struct store;

/* What will happen to a range. */
enum store_advice {
    STORE_WILL_READ, /* start to fetch it into memory */
    STORE_RE_READ,   /* drop from memory what is durable, so that reading it asks the medium */
};

/* What a store takes and what it could still take, in bytes. Several stores may share a pool (a
 * file system); who else is in it is not known. */
struct store_space {
    uint64_t used_bytes;           /* storage that this store takes */
    uint64_t pool_used_bytes;      /* and all that is taken from its pool */
    uint64_t pool_available_bytes; /* what the serving process can still take from the pool */
};

/* Which file, in which state. Numbers of another kind of store may be 0 where it has no such
 * thing. */
struct store_identity {
    uint8_t boot[16]; /* of the machine, random; all 0: unknown, and unlike any other */
    /* What the page cache belongs to. */
    uint64_t mount;
    uint64_t device;
    uint64_t disk_sequence;
    /* The file. */
    uint64_t inode;
    uint64_t birth_ns;
    /* Its state. */
    uint64_t modified_ns;
    uint64_t changed_ns;
};

struct store_ops {
    const char *kind;
    void (*close)(struct store *store);
    int (*read)(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset);
    /* Reads what memory holds already. -EAGAIN: some of it would have to be fetched. -EOPNOTSUPP:
     * there is no telling. After either the buffers hold anything. NULL: there is never telling. */
    int (*read_cached)(struct store *store, const struct iovec *iov, int iov_count,
                       uint64_t offset);
    int (*write)(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                 bool fua);
    int (*flush)(struct store *store);
    /* The range reads as zeros afterwards; whole granules in it are deallocated. */
    int (*punch)(struct store *store, uint64_t offset, uint64_t length);
    /* The range reads as zeros afterwards, its storage stays or becomes allocated: it is mapped or
     * anchored. */
    int (*zero)(struct store *store, uint64_t offset, uint64_t length);
    /* The range reads as zeros afterwards and its storage is reserved, so that no later write into
     * it fails for want of space. What was mapped there may stay so. Called only where can_anchor
     * is set. */
    int (*anchor)(struct store *store, uint64_t offset, uint64_t length);
    /* The extents from offset on in order, each beginning where the last one ended and none past
     * limit: at least one, at most room (never 0). They need not be the longest ones possible, nor
     * reach limit, but are never empty. */
    int (*extents)(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                   size_t room, size_t *ret_count);
    /* Copies from another store of the same kind, or within this one between ranges that don't
     * overlap, without the bytes passing through memory here. -EOPNOTSUPP: not between these two,
     * the caller has to read and write. A failure may leave any part done. NULL: never. */
    int (*copy)(struct store *store, uint64_t offset, struct store *from, uint64_t from_offset,
                uint64_t length);
    /* New bytes are deallocated. */
    int (*resize)(struct store *store, uint64_t bytes);
    int (*space)(struct store *store, struct store_space *ret);
    /* -ENOENT: the name by which others find the store is gone, and what is written will be so too.
     * NULL: that cannot be. */
    int (*kept)(struct store *store);
    /* as_opened: before this store changed anything; otherwise now, all of it durable. NULL: there
     * is no such thing. */
    int (*identify)(struct store *store, bool as_opened, struct store_identity *ret);
    /* A hint, which may do nothing. NULL: there is nothing to prepare. */
    void (*advise)(struct store *store, uint64_t offset, uint64_t length, enum store_advice advice);
};

/* First member of every implementation. size_bytes changes only in store_resize. */
struct store {
    const struct store_ops *ops;
    _Atomic uint64_t size_bytes;
    uint32_t granularity_bytes; /* the unit of deallocation, a power of two, at least 512 */
    bool can_anchor;            /* found out at open; otherwise store_anchor gives -EOPNOTSUPP */
};

/* Each checks its range against the size (-ERANGE) and passes on. iov's total length is the length;
 * store_close takes NULL. */
void store_close(struct store *store);
int store_read(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset);
int store_read_cached(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset);
int store_write(struct store *store, const struct iovec *iov, int iov_count, uint64_t offset,
                bool fua);
int store_flush(struct store *store);
int store_punch(struct store *store, uint64_t offset, uint64_t length);
int store_zero(struct store *store, uint64_t offset, uint64_t length);
int store_anchor(struct store *store, uint64_t offset, uint64_t length);
int store_extents(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret,
                  size_t room, size_t *ret_count);
/* The first of them. */
int store_extent(struct store *store, uint64_t offset, uint64_t limit, struct extent *ret);
int store_copy(struct store *store, uint64_t offset, struct store *from, uint64_t from_offset,
               uint64_t length);
int store_resize(struct store *store, uint64_t bytes);
/* Cheap enough to be asked now and then while commands run. */
int store_space(struct store *store, struct store_space *ret);
/* Of that, what the store takes. */
int store_allocated(struct store *store, uint64_t *ret_bytes);
int store_kept(struct store *store);
int store_advise(struct store *store, uint64_t offset, uint64_t length, enum store_advice advice);
/* -EOPNOTSUPP where there is no such thing. */
int store_identify(struct store *store, bool as_opened, struct store_identity *ret);

#endif
