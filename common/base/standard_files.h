/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_STANDARD_FILES_H
#define THINMIRROR_BASE_STANDARD_FILES_H

/* To be called first in main. Where stdin, stdout or stderr was closed by the caller, its number
 * would go to the next file opened, a volume or a LUN, and every message to the user would be
 * written into it. Each that is missing is made to be one that takes no data: what is printed there
 * fails, and is seen to fail. -errno when that cannot be had. */
int standard_files_reserve(void);

#endif
