/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_TOKEN_RECORD_H
#define THINMIRROR_LUN_TOKEN_RECORD_H

/* What POPULATE TOKEN and WRITE USING TOKEN have done, until RECEIVE ROD TOKEN INFORMATION asks.
 * As no I_T nexus is visible here, list identifiers of all initiators are one space. An initiator
 * must never be handed another's token: as long as a token waits to be asked for, and is valid, its
 * identifier is taken. */

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "rod_token.h"

#define TOKEN_RECORDS 32

struct token_record {
    bool used;
    uint32_t list_id;
    uint8_t service_action;
    bool residual; /* fewer blocks were written than asked for, and nothing failed */
    uint64_t serial;
    uint64_t blocks; /* that the token stands for, or that were written */
    bool has_token;
    bool asked_for; /* the token has been handed out */
    uint8_t token[ROD_TOKEN_BYTES];
};

struct token_records {
    pthread_mutex_t lock; /* guards all below; the lock of the tokens is taken under it */
    uint64_t last_serial;
    struct token_record records[TOKEN_RECORDS];
};

void token_records_init(struct token_records *records);
void token_records_destroy(struct token_records *records);

/* False while the identifier is taken. */
bool token_record_is_free(struct token_records *records, uint32_t list_id);
/* Keeps what a command has done; serial and used are set here. False when another's token waits
 * under this identifier by now. */
bool token_record_keep(struct token_records *records, const struct token_record *record);
/* The record, whose token counts as handed out from then on. False: there is none. */
bool token_record_take(struct token_records *records, uint32_t list_id, struct token_record *ret);

#endif
