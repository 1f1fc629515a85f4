/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_LUN_MODEL_H
#define THINMIRROR_FUZZ_LUN_MODEL_H

/* What a logical unit must hold and answer, told a second time and as simply as can be: an array of
 * bytes, and what each command may do to it. Breaches end the program (FUZZ_CHECK). */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define LUN_MODEL_MAX_BYTES   (128 * 1024)

#define LUN_MODEL_TOKEN_BYTES 512

/* The newest ROD token, and the data it stands for. */
struct lun_model_token {
    bool valid;
    uint8_t bytes[LUN_MODEL_TOKEN_BYTES];
    uint64_t length;
    uint8_t data[LUN_MODEL_MAX_BYTES];
};

struct lun_model {
    uint8_t bytes[LUN_MODEL_MAX_BYTES];
    uint64_t size; /* of the LUN, in bytes */
    uint32_t block_size;
    uint8_t naa[16]; /* its designator */
    bool read_only;
    bool software_protected;       /* SWP of the control mode page */
    struct lun_model_token *token; /* of both logical units */
    struct lun_model *other;       /* which may be named in copies */
    struct lun_model_track *track; /* NULL: it has no change record */
};

static inline bool lun_model_is_protected(const struct lun_model *model)
{
    return model->read_only || model->software_protected;
}

/* One command as it was answered. */
struct lun_exchange {
    const uint8_t *cdb;
    size_t cdb_length;
    const uint8_t *data_out;
    size_t data_out_bytes;
    const uint8_t *data_in; /* after the command */
    size_t data_in_bytes;   /* of the buffer */
    size_t data_in_filled;  /* of the reply */
    uint8_t status;
    uint8_t sense_key; /* of CHECK CONDITION */
};

/* A range of bytes; length 0: none. */
struct lun_model_range {
    uint64_t start;
    uint64_t length;
    bool even_without_fault;
};

/* Checks the answer and does to the model what the command did. On a failed command that writes,
 * *ret_undefined is what it may have changed before it failed: adopt it from the volume, where a
 * fault is set or the failure explains itself. True: a token was made (lun_model_token.h). */
bool lun_model_apply(struct lun_model *model, const struct lun_exchange *exchange,
                     struct lun_model_range *ret_undefined);

#endif
