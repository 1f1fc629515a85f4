/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BASE_ERRMSG_H
#define THINMIRROR_BASE_ERRMSG_H

/* The sentence for people that goes with a -errno: what failed, which LUN or file, what to do.
 * Functions that open or check something take a struct errmsg and fill it exactly when they fail.
 */

#define ERRMSG_BYTES 1024

struct errmsg {
    char text[ERRMSG_BYTES];
};

/* Stores the formatted sentence (cut at ERRMSG_BYTES) in err, which may be NULL, and returns code,
 * so that a failure reads: return errmsg_set(err, -EINVAL, "..."). */
int errmsg_set(struct errmsg *err, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
