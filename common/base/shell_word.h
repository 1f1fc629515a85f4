/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_SHELL_WORD_H
#define THINMIRROR_BASE_SHELL_WORD_H

/* Paths in commands that people are told to run. */

#include <stddef.h>

#define SHELL_WORD_BYTES 1024

/* The path as a word for a shell: as it is where that will do, quoted where it has to be, and never
 * taken for an option. Control characters are written as bash's $'\xNN'. Written to buffer (cut at
 * size, which is more than 0) and returned. */
const char *shell_word(const char *path, char *buffer, size_t size);

#endif
