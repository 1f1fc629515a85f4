/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_MODEL_TRACK_H
#define THINMIRROR_FUZZ_LUN_MODEL_TRACK_H

/* The change record of the modelled logical unit: what it held at each consistency point. What
 * differs now is always among what the record says may have changed. */

#include "fuzz.h"
#include "lun_model.h"

struct volume;

/* More than those whose CDBs are picked; a raw CDB may cut one more. */
#define LUN_MODEL_POINTS 9

struct lun_model_track {
    bool partial; /* there are points that are not in the model */
    size_t count;
    struct lun_model_point {
        uint8_t id[16];
        uint8_t who[8]; /* CONSUMER, NONCE */
        uint64_t size;
        uint8_t bytes[LUN_MODEL_MAX_BYTES];
    } points[LUN_MODEL_POINTS]; /* the oldest one first */
};

/* Begins the record of the volume in a real file, which has no name any more. */
void lun_model_track_begin(struct lun_model *model, struct volume *volume);
/* It has begun anew, and knows no point of before. */
void lun_model_track_anew(struct lun_model *model, struct volume *volume);
/* READ BUFFER(16), with whatever status. */
void lun_model_track_apply(struct lun_model *model, const struct lun_exchange *exchange);
/* A CDB for one of its functions; returns its length. */
size_t lun_model_track_cdb(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb);
/* All that differs from what was there at any of the points has changed by the record. */
void lun_model_track_check(const struct lun_model *model, struct volume *volume);

#endif
