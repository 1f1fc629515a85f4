/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_MODEL_TOKEN_H
#define THINMIRROR_FUZZ_LUN_MODEL_TOKEN_H

/* POPULATE TOKEN and WRITE USING TOKEN within the modelled LUN and from one to the other. The model
 * keeps the data of the newest token as they were when it was made: whatever a token writes later,
 * and where, must be those. */

#include "fuzz.h"
#include "lun_model.h"

/* Whether the command is one of the two, whole enough to be looked at. */
bool lun_model_is_token(const struct lun_exchange *exchange);

/* Checks the answer and writes in the model. *ret_undefined as in lun_model_apply. True: a token
 * was made, which lun_model_keep_token is to be told. */
bool lun_model_token(struct lun_model *model, const struct lun_exchange *exchange,
                     struct lun_model_range *ret_undefined);
void lun_model_keep_token(struct lun_model *model,
                          const uint8_t bytes[static LUN_MODEL_TOKEN_BYTES]);

/* Makes a parameter list of up to 3 ranges for either, as the CDB's service action says, mostly a
 * sound one, and completes the CDB. data has room for LUN_MODEL_TOKEN_LIST_BYTES; returns how many
 * of them it takes. */
#define LUN_MODEL_TOKEN_LIST_BYTES (536 + 3 * 16)
size_t lun_model_make_token_list(const struct lun_model *model, struct fuzz_input *input,
                                 uint8_t *cdb, uint8_t *data);

#endif
