/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SAFETY_H
#define THINMIRROR_SAFETY_H

/* What must hold before a secondary is written to. Nothing here writes. */

#include <stdbool.h>

#include "control.h"
#include "endpoint.h"
#include "ledger.h"

enum safety_verdict {
    SAFETY_OK,
    SAFETY_REFUSED, /* err says why in one sentence, and what to do */
};

/* What the two must have in common to be copied or compared: different LUNs, one block size (a raw
 * file takes the other's), and a secondary that is not smaller. Before the first request. */
enum safety_verdict safety_check_pair(struct endpoint *primary, struct endpoint *secondary,
                                      struct errmsg *err);

/* Whether it may be written to, and it is not in use on this machine by another name. */
enum safety_verdict safety_check_writable(const struct endpoint *primary,
                                          const struct endpoint *secondary, struct errmsg *err);

/* The side as a ledger notes it. */
void safety_ledger_side(const struct endpoint *endpoint, struct ledger_side *ret);

struct safety_data {
    enum safety_verdict verdict;
    bool is_zero; /* it was read from end to end, and there are only zeros */
};

/* Whether the secondary holds data in blocks that thinmirror did not copy there, which are those
 * from block first to end. known: its ledger, or NULL, for the sentence. A secondary that answers
 * GET LBA STATUS holds data when anything is mapped; any other is read, and holds data when a block
 * is not zeros. 0 with *ret, err filled when refused. -EINTR when stopped, -errno with a sentence.
 */
int safety_check_data(struct endpoint *primary, struct endpoint *secondary, uint64_t first,
                      uint64_t end, const struct ledger *known, const struct copy_control *control,
                      struct safety_data *ret, struct errmsg *err);

/* Whether a secondary that an earlier run copied this primary to is as that run left it, as far as
 * its fingerprint tells (fingerprint.h). known: its ledger. 0 with *ret, err filled when refused.
 * -EINTR when stopped, -errno with a sentence. */
int safety_check_unmoved(struct endpoint *secondary, const struct ledger *known,
                         const struct copy_control *control, enum safety_verdict *ret,
                         struct errmsg *err);

#endif
