/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_MEM_H
#define THINMIRROR_STORE_MEM_H

/* A store in memory, for tests: exact bookkeeping of what is mapped, faults on demand. */

#include <stdint.h>

#include "store.h"

/* granularity_bytes: the unit of mapping. -EINVAL, -ENOMEM. */
int store_mem_create(uint64_t bytes, uint32_t granularity_bytes, struct store **ret);

/* The most bytes it will allocate before writes give -ENOSPC; UINT64_MAX: no limit. */
void store_mem_set_quota(struct store *store, uint64_t bytes);

/* The operation named by op ("read", "write", "flush", "punch", "zero", "anchor", "extent",
 * "resize", "space") fails with -error after skip more successes, until called again with error 0.
 * For "extent" each extent counts. */
void store_mem_set_fault(struct store *store, const char *op, unsigned skip, int error);

#endif
