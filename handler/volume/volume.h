/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_VOLUME_H
#define THINMIRROR_VOLUME_H

/* One thin volume over a store: an array of logical blocks, each mapped, deallocated or anchored,
 * with an identity that stays. All mutation goes through volume_write, volume_update, volume_unmap,
 * volume_anchor, volume_zero, volume_copy(_bytes) and volume_resize. Offsets and lengths are bytes
 * and multiples of the block size. Every function may be called from any thread; results are 0 or
 * -errno as in store.h, plus -EROFS and -ESHUTDOWN (volume_sanitize.h). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "errmsg.h"
#include "extents.h"
#include "volume_meta.h"

struct volume;
struct store;

/* The volume in the file at path, with its description in PATH.thin. Locked until volume_close.
 * Errors with a sentence each: those of store_file_open and volume_meta_load, and -EINVAL for a
 * size that is 0 or no multiple of the block size. */
int volume_open(const char *path, bool read_only, struct volume **ret, struct errmsg *err);

/* The same for reading only, beside a user of the volume and without disturbing it: bytes, map and
 * size may change at any time. user: who has it for itself, "process 123 (tcmu-runner)", else "".
 */
int volume_look(const char *path, struct volume **ret, char *user, size_t size, struct errmsg *err);

/* Creates file and description; the volume is open afterwards. -EEXIST when either exists. A
 * failure leaves nothing behind. bytes: a multiple of block_size, not 0. */
int volume_create(const char *path, uint32_t block_size, uint64_t bytes, struct volume **ret,
                  struct errmsg *err);

/* Makes a volume of a raw file that exists: writes the description only. */
int volume_adopt(const char *path, uint32_t block_size, struct volume **ret, struct errmsg *err);

/* A volume over any store, which it owns from then on (also on failure). For tests. */
int volume_over_store(struct store *store, const struct volume_meta *meta, bool read_only,
                      struct volume **ret, struct errmsg *err);

/* Flushes and closes; takes NULL. The flush's result. */
int volume_close(struct volume *volume);

/* What was known at open; the size also changes by volume_resize. */
uint32_t volume_block_size(const struct volume *volume);
uint64_t volume_bytes(const struct volume *volume);
uint64_t volume_blocks(const struct volume *volume);
/* The unit in which storage is given back, in bytes; a multiple of the block size. */
uint32_t volume_granularity(const struct volume *volume);
/* Opened so, or by volume_look. */
bool volume_read_only(const struct volume *volume);
/* The description. The volume's, valid until it is closed. */
const struct volume_meta *volume_get_meta(const struct volume *volume);

/* Deallocated and anchored blocks read as zeros. The range must lie within the volume. */
int volume_read(struct volume *volume, const struct iovec *iov, int iov_count, uint64_t offset);
/* Reads what memory holds already: -EAGAIN when some of it would have to be fetched from the disk,
 * or somebody has the bytes alone, -EOPNOTSUPP when there is no telling. The buffers hold anything
 * then. */
int volume_read_cached(struct volume *volume, const struct iovec *iov, int iov_count,
                       uint64_t offset);
/* fua: durable when it returns. */
int volume_write(struct volume *volume, const struct iovec *iov, int iov_count, uint64_t offset,
                 bool fua);
/* As volume_write, not durable; -EAGAIN, with nothing written, when somebody has the bytes alone.
 */
int volume_try_write(struct volume *volume, const struct iovec *iov, int iov_count,
                     uint64_t offset);
/* Changes bytes in place: 0 to have them written, anything else to leave the volume as it is. */
typedef int volume_change(uint8_t *bytes, size_t length, void *context);
/* Reads, lets change change what was read, and writes that, in one step: no other function of this
 * header reads or changes a byte of the range meanwhile. bytes is room for the length, and holds
 * what the range holds afterwards, or held when change left it. Returns what change returned, if
 * not 0. change must not call functions of this volume. */
int volume_update(struct volume *volume, uint64_t offset, void *bytes, size_t length,
                  volume_change *change, void *context, bool fua);
/* The range reads as zeros and is deallocated as far as granules lie wholly in it. */
int volume_unmap(struct volume *volume, uint64_t offset, uint64_t length);
/* The same for all there is. */
int volume_unmap_all(struct volume *volume);
/* Whether volume_anchor does anything but fail. */
bool volume_can_anchor(const struct volume *volume);
/* The range reads as zeros, and writes into it find their space reserved: its whole granules are
 * anchored afterwards, as are all that were deallocated; a granule only part of which is in the
 * range stays mapped. -EOPNOTSUPP when the storage below cannot promise that. After -ENOSPC a part
 * may be done. */
int volume_anchor(struct volume *volume, uint64_t offset, uint64_t length);
/* The range reads as zeros and has its storage: it is mapped, or anchored where the storage below
 * tells zeros from other data (SBC-4 4.7.3 lets a mapped block of zeros become anchored at any
 * time). */
int volume_zero(struct volume *volume, uint64_t offset, uint64_t length);
/* Copies bytes of from, which may be the same volume, into to: what is deallocated or anchored
 * there is unmapped here, the rest becomes mapped. Ranges that overlap are copied as if all was
 * read before the first byte was written. Another command may come between its parts, as between
 * any read and write. *ret_source_failed: the error is from's. -ERANGE and -EROFS copy nothing, any
 * other error may have left some of it done. The ranges need be multiples of no block size but that
 * of from's. */
int volume_copy(struct volume *to, uint64_t to_offset, struct volume *from, uint64_t from_offset,
                uint64_t length, bool *ret_source_failed);
/* The same for any bytes, multiples of nothing: the rest of the first and of the last block of the
 * destination stays as it is, also beside others who write there. Zeros become deallocated where
 * whole pieces of a copy are zeros. */
int volume_copy_bytes(struct volume *to, uint64_t to_offset, struct volume *from,
                      uint64_t from_offset, uint64_t length, bool *ret_source_failed);
int volume_flush(struct volume *volume);
/* -ENOENT: somebody has deleted the file, and what is written goes with it. */
int volume_kept(const struct volume *volume);
/* Starts to fetch the range into memory. A hint: -ERANGE is the only error. */
int volume_prefetch(struct volume *volume, uint64_t offset, uint64_t length);
/* Drops what is durable of the range from memory, so that reading it asks the medium. The same. */
int volume_drop_cached(struct volume *volume, uint64_t offset, uint64_t length);

/* The longest extent that begins at offset and ends at limit, or with the volume, at the latest
 * (bytes, block-aligned). -ERANGE when offset lies beyond the volume.
 * A block only part of which is deallocated counts as mapped. The time it takes does not depend on
 * the volume's size: an extent that the store hands out in very many pieces is cut short, so two
 * calls in a row may give the same status. */
int volume_extent(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret);
/* The same for up to room extents (never 0) in a row, each beginning where the last one ended; at
 * least one. Many at once cost a fraction of as many calls. */
int volume_extents(struct volume *volume, uint64_t offset, uint64_t limit, struct extent *ret,
                   size_t room, size_t *ret_count);

/* Gives the volume a new random UUID, durably: for one whose file and description are copies of
 * another volume's. -EROFS; else an error with a sentence, and the UUID is the old one, unless only
 * the last step, making it durable, failed. */
int volume_renew_uuid(struct volume *volume, struct errmsg *err);

/* Shrinking over mapped blocks is refused with -EBUSY unless discard. When only the last step,
 * making it durable, fails, the error is returned and the size is the new one all the same. */
int volume_resize(struct volume *volume, uint64_t bytes, bool discard, struct errmsg *err);

/* Storage in bytes: what the volume takes; what all takes that shares its pool (the file system),
 * and what is left there for it. Cheap enough to be asked now and then while commands run. */
struct volume_space {
    uint64_t used_bytes;
    uint64_t pool_used_bytes;
    uint64_t pool_available_bytes;
};
int volume_space(struct volume *volume, struct volume_space *ret);
/* Of that, what the volume takes. */
int volume_allocated(struct volume *volume, uint64_t *ret_bytes);

/* Whether volume_save_mode_pages can succeed: not on a read-only volume. */
bool volume_can_save(const struct volume *volume);
/* Keeps the saved mode pages, opaque bytes, in the volume's description from then on, atomically
 * and durably. length at most VOLUME_META_MODE_MAX_BYTES. -EROFS on a read-only volume. Two calls
 * at a time, or one beside a reader of volume_get_meta's mode pages, are the caller's to order. */
int volume_save_mode_pages(struct volume *volume, const uint8_t *bytes, size_t length,
                           struct errmsg *err);

#endif
