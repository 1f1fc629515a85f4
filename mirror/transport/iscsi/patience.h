/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_PATIENCE_H
#define THINMIRROR_PATIENCE_H

/* For how long a target is waited for. */

#include <stdbool.h>

#define RECONNECT_SECONDS_MAX 86400

/* Whether THINMIRROR_RECONNECT_SECONDS makes sense: a whole number up to a day, or nothing. */
bool patience_is_valid(void);

/* After its last answer, when it went away while it was in use: THINMIRROR_RECONNECT_SECONDS, if
 * that makes sense, otherwise 60 s. Milliseconds. */
unsigned patience_reconnect_ms(void);

/* When it does not let anybody in at first: as long as a target takes to be restarted, and no
 * longer than the above. Milliseconds. */
unsigned patience_open_ms(void);

#endif
