/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_DISK_READER_H
#define THINMIRROR_DISK_READER_H

/* Reads small pieces of an untrusted disk through an endpoint: every read is checked against the
 * disk's end, what was read lately is kept, and what will be read next is fetched with it, many
 * requests in flight, once it has been planned. Memory is bounded, and so is the sum of what may
 * be read, so that a loop on the disk comes to an end. */

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "claims.h"
#include "endpoint.h"

struct disk_reader;
struct read_trace;

/* The endpoint stays the caller's and has no other requests in flight. -ENOMEM. */
int disk_reader_create(struct endpoint *endpoint, struct disk_reader **ret);
/* From now on trace is told all that is read; it stays the caller's. */
void disk_reader_set_trace(struct disk_reader *reader, struct read_trace *trace);
/* From now on a read ends early, and any other fails at once, with -EINTR, once *stop is set.
 * What is in flight then is waited for. It stays the caller's; NULL: it never comes to that. */
void disk_reader_set_stop(struct disk_reader *reader, const atomic_bool *stop);
/* From now on watch is called after each wait for the endpoint, with all bytes that were read so
 * far; NULL: not wanted. */
void disk_reader_set_watch(struct disk_reader *reader,
                           void (*watch)(void *opaque, uint64_t read_bytes), void *opaque);
/* Whether a stop has happened to a read, whatever has become of its -EINTR. */
bool disk_reader_was_stopped(const struct disk_reader *reader);
/* Takes NULL. */
void disk_reader_free(struct disk_reader *reader);

/* Of the disk, and of one of its blocks. */
uint64_t disk_reader_bytes(const struct disk_reader *reader);
uint32_t disk_reader_block_bytes(const struct disk_reader *reader);
/* The sentence of the last request that failed. */
const char *disk_reader_error(const struct disk_reader *reader);

/* Copies [offset, offset + length). -ERANGE beyond the disk's end, -E2BIG when more was read than
 * tables of contents can be, -EINTR, or what the endpoint says (see endpoint_request). */
int disk_reader_read(struct disk_reader *reader, uint64_t offset, void *to, size_t length);

/* These ranges will be read next, in this order. It replaces an earlier plan and reads nothing by
 * itself; parts beyond the disk's end are left out. -ENOMEM. */
int disk_reader_plan(struct disk_reader *reader, const struct byte_range *ranges, size_t count);

#endif
