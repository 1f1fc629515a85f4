/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_MESSAGES_H
#define THINMIRROR_MESSAGES_H

/* What is said on stderr, and kept for the report. */

#include <stdbool.h>
#include <stddef.h>

struct progress;

#define NOTES_MAX 16

struct notes {
    char *texts[NOTES_MAX];
    size_t count;
    struct progress *progress; /* wiped off first; may be NULL */
    bool quiet;                /* notes are kept only */
};

/* "thinmirror: SENTENCE" on stderr. */
void message_error(const struct notes *notes, const char *sentence);

/* "thinmirror: note: SENTENCE" on stderr, and kept. */
void message_note(struct notes *notes, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

void notes_free(struct notes *notes);

#endif
