/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_SYNC_LEDGER_H
#define THINMIRROR_SYNC_LEDGER_H

/* What a sync does with the ledger of its secondary, and what it may do to the secondary by it. */

#include "exit_status.h"
#include "ledger_keeper.h"
#include "safety.h"
#include "session.h"
#include "sync.h"

/* Reads what is known of the secondary. */
enum exit_status sync_ledger_open(struct session *session, struct ledger_keeper *keeper);

/* Whether the secondary holds nothing that may not be lost: it is as an earlier copy of this
 * primary, or of this pair, has left it, or holds no data. */
enum exit_status sync_ledger_check_data(struct session *session, struct ledger_keeper *keeper,
                                        struct safety_data *ret);

/* Whether what an interrupted copy has done counts for the one that params are of, and where it
 * does not: that the copy begins anew. Nothing is written. */
enum exit_status sync_ledger_check_resume(struct session *session, struct ledger_keeper *keeper,
                                          const struct sync_params *params);

/* Notes that the secondary is about to be written to. */
enum exit_status sync_ledger_begin(struct session *session, struct ledger_keeper *keeper);

/* Notes how the copy has ended that sync_ledger_begin was for. STATUS_DONE means that it is
 * complete; returns what the sync has to end with. */
enum exit_status sync_ledger_end(struct session *session, struct ledger_keeper *keeper,
                                 enum exit_status status, const struct sync_result *result);

#endif
