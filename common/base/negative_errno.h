/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_NEGATIVE_ERRNO_H
#define THINMIRROR_BASE_NEGATIVE_ERRNO_H

#include <errno.h>

/* -errno of a call that writes to a file. A quota that is used up is a full file system to the one
 * who writes. */
static inline int negative_errno(void)
{
    return errno == EDQUOT ? -ENOSPC : -errno;
}

#endif
