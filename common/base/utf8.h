/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_UTF8_H
#define THINMIRROR_BASE_UTF8_H

/* A copy to print as JSON, which is UTF-8: a path may hold any bytes, and those that are no UTF-8
 * become '?'. The caller frees it; NULL without memory. */
char *utf8_copy(const char *text);

#endif
