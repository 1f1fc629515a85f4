/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_READBACK_H
#define THINMIRROR_READBACK_H

/* Reads back what a copy has written, and compares it with what was written.
 *
 * That goes in batches. Of what is written only a sum of each block is kept. When a batch is full,
 * or old enough, the copy holds still until nothing is in flight; then the secondary is flushed,
 * what this machine has cached of it is dropped, and the batch is read. A flush that says that
 * writes were lost (-ESTALE) ends it before anything is compared: they are written again.
 *
 * What reads back as it was written, and only that, is told to the checkpoint. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "buffers.h"
#include "comparer.h"
#include "control.h"
#include "endpoint.h"

/* A batch is full with this number of bytes or ranges. What was in flight then comes on top. */
#define READBACK_BYTES   (64 * 1024 * 1024)
#define READBACK_RANGES  16384
#define READBACK_SECONDS 5.0
#define READBACK_DEPTH   16

struct checkpoint;

struct written_range {
    uint64_t lba;
    uint64_t blocks;
    size_t sums; /* where those of its blocks begin */
    bool keep;   /* for the checkpoint */
};

struct readback_slot {
    struct readback_slot *next;
    struct readback *readback;
    const struct written_range *range;
    struct endpoint_request request;
    struct iovec iov;
};

enum readback_phase { READBACK_NOTING, READBACK_FLUSHING, READBACK_READING };

struct readback {
    struct endpoint *secondary;
    struct checkpoint *checkpoint; /* may be NULL */
    enum readback_phase phase;
    struct written_range *ranges;
    size_t count, capacity;
    uint64_t *sums;
    size_t sum_count, sum_capacity;
    size_t next;  /* range to be read */
    double began; /* when the first range was noted */
    struct endpoint_request flush;
    struct buffers buffers;
    struct readback_slot *slots, *free_slots;
    unsigned in_flight;

    uint64_t read_bytes; /* that were as they were written */
    struct differences differences;
    int error; /* the first; -EBADMSG: differences were found */
    bool flush_failed;
    struct errmsg message;
};

/* readback stays at its address until readback_free. chunk_blocks: of a range at most. -ENOMEM. */
int readback_init(struct readback *readback, struct endpoint *secondary,
                  const struct copy_control *control, uint64_t chunk_blocks,
                  struct checkpoint *checkpoint);
/* Only with nothing in flight. A zeroed one may be freed. */
void readback_free(struct readback *readback);

/* These blocks were written, with this data. keep: they are as on the primary, and the checkpoint
 * may be told. -ENOMEM. */
int readback_note(struct readback *readback, uint64_t lba, uint64_t blocks, const void *data,
                  bool keep);

/* The copy has to hold still, so that the batch can be read; until it is. all_written: nothing is
 * left to be written. */
bool readback_due(const struct readback *readback, bool all_written);
/* When it is due and nothing else is in flight. */
void readback_pump(struct readback *readback);

/* Nothing is in flight. */
bool readback_idle(const struct readback *readback);
/* Idle, and everything that was noted was read. */
bool readback_done(const struct readback *readback);

#endif
