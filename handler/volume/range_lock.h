/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RANGE_LOCK_H
#define THINMIRROR_RANGE_LOCK_H

/* Who may touch which bytes of a volume at the same time. Reads, writes, unmaps and the like share
 * the bytes they touch: SCSI orders nothing between them. What must happen in one step, such as a
 * comparison and the write it decides about, has its bytes to itself, and a resize has everything.
 *
 * Bytes are not locked one by one: the volume is cut into regions, the regions are dealt out to a
 * few stripes, and a stripe is what is locked. A set of stripes is one number with a bit for each.
 * Two ranges that don't overlap may thus still wait for each other, for the length of one command.
 *
 * Order, which makes deadlock impossible: stripes are taken by rising number, all at once, by a
 * thread that holds none of this volume. A thread that holds stripes of two volumes takes those of
 * the volume at the lower address first. No thread starves: one that waits for a stripe alone keeps
 * new sharers out, and one that shares goes before the next one that wants it alone. */

#include <stdbool.h>
#include <stdint.h>

struct range_lock;

/* No bytes, but that the volume's size stays as it is. */
#define RANGE_LOCK_SIZE (UINT64_C(1) << 16)
/* Every byte and the size. */
#define RANGE_LOCK_ALL ((UINT64_C(1) << 17) - 1)

/* -ENOMEM. */
int range_lock_create(struct range_lock **ret);
/* No stripe may be held any more. Takes NULL. */
void range_lock_free(struct range_lock *lock);

/* The stripes of a range of bytes, with which its volume's size stays too; never none. */
uint64_t range_lock_stripes(uint64_t offset, uint64_t length);

/* Together with others who share. */
void range_lock_share(struct range_lock *lock, uint64_t stripes);
/* The same without waiting; false when somebody has, or waits for, one of them alone. */
bool range_lock_try_share(struct range_lock *lock, uint64_t stripes);
void range_lock_unshare(struct range_lock *lock, uint64_t stripes);
/* Alone. */
void range_lock_own(struct range_lock *lock, uint64_t stripes);
void range_lock_disown(struct range_lock *lock, uint64_t stripes);

#endif
