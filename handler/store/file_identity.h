/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FILE_IDENTITY_H
#define THINMIRROR_FILE_IDENTITY_H

#include "store.h"

/* Which file is open as fd, and in which state (struct store_identity). 0 or -errno. */
int file_identity(int fd, struct store_identity *ret);
/* The same, not before a later change would have another time. */
int file_identity_now(int fd, struct store_identity *ret);

#endif
