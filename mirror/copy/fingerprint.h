/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FINGERPRINT_H
#define THINMIRROR_FINGERPRINT_H

/* A fingerprint of a secondary, as a copy leaves it, by which is seen later whether something else
 * has written to it since. It is made of
 *   - the secondary's own map (mapped or not), where it tells it;
 *   - what spots of the mapped blocks hold (spread.h), and the places where file systems have what
 *     each mount changes;
 *   - of a file the time of its last change.
 * So what makes the map another one, mounts a file system, or changes much is seen for certain or
 * nearly so; of a LUN, a few changed blocks among very many need not be. Nothing is written. */

#include <stdbool.h>
#include <stdint.h>

#include "control.h"
#include "endpoint.h"
#include "ledger.h"

/* Of the first blocks of the endpoint, which has nothing in flight, with the spots that the seed
 * gives; in seconds seconds at most, 0 for any number. -EINTR when stopped or when it takes longer,
 * -errno with a sentence; *ret is not known then. */
int fingerprint_take(struct endpoint *endpoint, uint64_t blocks, uint64_t seed, double seconds,
                     const struct copy_control *control, struct ledger_left *ret,
                     struct errmsg *err);

/* Whether the endpoint has another fingerprint than that, and then where, in words. A fingerprint
 * that is not known, or is of more blocks than there are, tells nothing: not moved. Errors as
 * above. */
int fingerprint_compare(struct endpoint *endpoint, const struct ledger_left *left,
                        const struct copy_control *control, bool *ret_moved, char *where,
                        size_t where_bytes, struct errmsg *err);

#endif
