/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_ISCSI_PROGRESS_H
#define THINMIRROR_ISCSI_PROGRESS_H

/* Whether a session moves on, and until when its commands are waited for. It moves on when a
 * command ends, or when the target has taken what there is to send: behind a slow line a long queue
 * is no sign of a dead target. What it takes counts only as far as the commands have data: one that
 * asks for the same again and again gets nowhere. And however the rest moves on, no command is
 * waited for without end. */

#include <stdbool.h>
#include <stdint.h>

struct iscsi_progress {
    uint64_t moved_ms;    /* when the connection last moved on */
    uint64_t looked_ms;   /* when the kernel was last asked what the target has taken */
    uint64_t counted_ms;  /* from when on what it takes counts, as it has not moved on since */
    uint64_t taken_bytes; /* of this session, until then */
    uint64_t owed_bytes;  /* what the target may still take of all commands so far */
    uint64_t stopped_ms;  /* when the user was first seen to want to end; 0: not yet */
};

/* A session begins. */
void progress_begin(struct iscsi_progress *progress);
/* A command with bytes bytes of Data-Out is sent. */
void progress_sends(struct iscsi_progress *progress, uint64_t bytes);
/* A command has ended. */
void progress_ends(struct iscsi_progress *progress);
/* Looks at what was taken of what was written to the socket, about once a second. writable: the
 * socket is; what there is to go by where the kernel does not count. */
void progress_look(struct iscsi_progress *progress, int fd, bool writable);
/* Milliseconds until progress_look has something to do; -1: it has not, for now. */
int progress_look_left(const struct iscsi_progress *progress);

/* When a command that was sent at started_ms and may take timeout_ms is out of time. stopped: the
 * user wants to end, and nothing but this command's end will do (vital). */
uint64_t progress_deadline(const struct iscsi_progress *progress, uint64_t started_ms,
                           unsigned timeout_ms, bool vital);
/* Notes whether the user wants to end. */
void progress_stop(struct iscsi_progress *progress, bool stopped);

#endif
