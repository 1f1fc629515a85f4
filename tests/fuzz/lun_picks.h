/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_PICKS_H
#define THINMIRROR_FUZZ_LUN_PICKS_H

/* Commands for the modelled LUN, as the input decides: mostly sound ones. */

#include "fuzz.h"
#include "lun_model.h"

#define LUN_PICK_MAX_BYTES (32 * 1024)

/* A CDB of one of the operation codes that move or describe blocks, in SCSI_CDB_MAX_BYTES of zeros.
 * Returns its length. */
size_t lun_pick_cdb(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb);

/* Data-Out bytes for the CDB, in LUN_PICK_MAX_BYTES; returns how many, as often as not just what it
 * takes. It may complete the CDB. */
size_t lun_pick_data(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb,
                     uint8_t *data);

#endif
