/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RESUME_CHECK_H
#define THINMIRROR_RESUME_CHECK_H

/* Whether what an interrupted copy is said to have done is there, as far as samples tell. */

#include <stdbool.h>
#include <stdint.h>

#include "sync.h"

/* Compares both sides at spots (spread.h) of params->done that are mapped on the primary, and
 * allocated there. *ret_differ: there is a spot that reads otherwise, or cannot be read, and why
 * says which. Nothing may be in flight. -EINTR when stopped, -errno with a sentence. */
int resume_check_run(const struct sync_params *params, uint64_t seed, bool *ret_differ,
                     struct errmsg *why, struct errmsg *err);

#endif
