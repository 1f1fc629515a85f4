/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ESTIMATE_H
#define THINMIRROR_ESTIMATE_H

/* How long a sync will take that is not made yet. */

#include <stdint.h>

#include "estimate_result.h"
#include "exit_status.h"
#include "sample.h"
#include "session.h"

/* of sample: what is to be copied, to_copy_bytes in all. A sample that cannot be read is noted.
 * STATUS_INTERRUPTED when a signal came, else STATUS_DONE. */
enum exit_status estimate_make(struct session *session, struct endpoint *primary,
                               const struct sample *sample, uint64_t to_copy_bytes,
                               struct estimate *ret);

#endif
