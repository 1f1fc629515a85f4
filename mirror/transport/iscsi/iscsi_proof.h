/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_PROOF_H
#define THINMIRROR_ISCSI_PROOF_H

/* What a login has proved, by the keys of the target's replies (RFC 7143 12.1.3). libiscsi 1.19
 * does not demand CHAP of a target that leaves it out, takes mutual CHAP for done when the target
 * answers for another stage of the login, and compares a CHAP_R that comes before its own challenge
 * with zeros. */

#include <stdbool.h>

struct iscsi_proof {
    bool challenged; /* CHAP_C: we had to prove who we are */
    bool proved;     /* CHAP_R: the target did; libiscsi has found it right before it is told */
};

/* Notes one reply, "KEY=VALUE" with more behind a space; any text. */
void iscsi_proof_hear(struct iscsi_proof *proof, const char *pair);

#endif
