/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_UTF8_H
#define THINMIRROR_BASE_UTF8_H

#include <stdio.h>

/* A copy to print as JSON, which is UTF-8: a path may hold any bytes, and those that are no UTF-8
 * become '?'. The caller frees it; NULL without memory. */
char *utf8_copy(const char *text);

/* A copy to show to people, on one line: what a terminal might obey (control characters, C1 too,
 * and bytes that are no UTF-8) becomes \xNN. The caller frees it; NULL without memory. */
char *utf8_printable(const char *text);

/* Prints that copy. Errors stay in out. */
void utf8_print(FILE *out, const char *text);

#endif
