/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_EXIT_STATUS_H
#define THINMIRROR_EXIT_STATUS_H

/* What the program ends with. */
enum exit_status {
    STATUS_DONE = 0,
    STATUS_FAILED = 1, /* an I/O or target error */
    STATUS_USAGE = 2,  /* the command line makes no sense */
    /* By a safety check, and nothing was written; or a LUN that another initiator has reserved or
     * that is write-protected, and nothing was written after that. */
    STATUS_REFUSED = 3,
    STATUS_DIFFERENT = 4,   /* verify found a difference */
    STATUS_INTERRUPTED = 5, /* by a signal; what was written is flushed, a new sync goes on */
};

#endif
