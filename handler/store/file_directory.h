/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_STORE_FILE_DIRECTORY_H
#define THINMIRROR_STORE_FILE_DIRECTORY_H

/* Makes durable that a file of this path exists, or no longer does. 0 or -errno. */
int file_sync_directory(const char *path);

#endif
