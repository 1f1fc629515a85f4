/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_MODEL_MEDIUM_H
#define THINMIRROR_TESTS_MODEL_MEDIUM_H

/* A medium for a change record that knows what is durable, sector by sector. */

#include <stdbool.h>
#include <stdint.h>

#include "record_medium.h"

/* A random number below n. */
typedef unsigned model_random(unsigned n);
/* Lets others go on. */
typedef void model_step(void);

struct record_medium *model_medium_create(model_random *any, model_step *step);
/* What a machine finds there after the power was cut (any subset of the sectors that were not
 * durable has come) or after the process was killed (all of them), as a medium of its own. */
struct record_medium *model_medium_after(struct record_medium *medium, bool power_cut);
/* The next so many calls of write and sync succeed, later ones fail with this error; 0: none. */
void model_medium_fail(struct record_medium *medium, unsigned after, int error);
/* The same for hold. */
void model_medium_fail_hold(struct record_medium *medium, int error);
bool model_medium_removed(const struct record_medium *medium);
/* The bytes as they lie there now, for looking at and damaging. */
uint8_t *model_medium_bytes(struct record_medium *medium);

#endif
