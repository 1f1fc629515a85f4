/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_THINVOL_TARGETCLI_H
#define THINMIRROR_THINVOL_TARGETCLI_H

#include <stddef.h>

#include "errmsg.h"

/* Why targetcli cannot make a LUN of the volume at this absolute path, as a part of a sentence:
 * "a space", "the character '{'", "a character that is not ASCII"; NULL when it can. Written to
 * text or constant. */
const char *targetcli_objection(const char *path, char *text, size_t size);

/* Says on stderr, and writes to note, that targetcli cannot, why, and what to do. path: as given,
 * of a volume that exists. */
void targetcli_warn(const char *path, struct errmsg *note);

#endif
