/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_MODEL_COPY_H
#define THINMIRROR_FUZZ_LUN_MODEL_COPY_H

/* EXTENDED COPY(LID1) within the modelled LUN, and between it and the other. */

#include "fuzz.h"
#include "lun_model.h"

/* Whether the command is one, whole enough to be looked at. */
bool lun_model_is_copy(const struct lun_exchange *exchange);

/* Checks the answer and copies in the models, as far as the segments before the first that cannot
 * be done go. *ret_undefined as in lun_model_apply; a command that fails leaves as little of the
 * other LUN defined. */
void lun_model_copy(struct lun_model *model, const struct lun_exchange *exchange,
                    struct lun_model_range *ret_undefined);

/* Makes a parameter list, mostly a sound one of up to 3 segments, and the CDB for it. data has room
 * for LUN_MODEL_COPY_BYTES; returns how many of them it takes. */
#define LUN_MODEL_COPY_BYTES 256
size_t lun_model_make_copy(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                           uint8_t *data);

#endif
