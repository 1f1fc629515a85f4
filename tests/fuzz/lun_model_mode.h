/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_MODEL_MODE_H
#define THINMIRROR_FUZZ_LUN_MODEL_MODE_H

/* MODE SELECT for the model. */

#include "fuzz.h"
#include "lun_model.h"

/* What a MODE SELECT that ended with GOOD did. */
void lun_model_mode_select(struct lun_model *model, const struct lun_exchange *exchange);

#define LUN_MODEL_MODE_BYTES 100

/* Makes a MODE SELECT(6) of some of the pages there are, mostly sound, of the input's choice: fills
 * the CDB and data, of LUN_MODEL_MODE_BYTES at least, and returns the list's length. */
size_t lun_model_make_mode_select(struct fuzz_input *input, uint8_t *cdb, uint8_t *data);

#endif
