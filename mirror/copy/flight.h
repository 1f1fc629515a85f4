/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FLIGHT_H
#define THINMIRROR_FLIGHT_H

/* What is in flight on one side of a copy, and what may be.
 *
 * The budget is so many requests, and so many bytes as keep the line busy: what comes at 1 GiB/s in
 * the time of the quickest answer (the others waited for each other), on top of 2 MiB, and 16 MiB
 * at most. More is not only of no use: memory that is used again soon is in the processor's cache
 * still. */

#include <stdbool.h>
#include <stdint.h>

#define FLIGHT_LEAST_BYTES (2 * 1024 * 1024)
#define FLIGHT_MOST_BYTES  (16 * 1024 * 1024)

struct flight {
    unsigned requests;
    uint64_t bytes; /* that they carry */
    unsigned most_requests;
    uint64_t most_bytes;
    double quickest_seconds;
    double bytes_per_second; /* of the large request that got the most of it; 0: none yet */
};

/* fixed: 16 MiB however quick the answers are. */
void flight_init(struct flight *flight, unsigned most_requests, bool fixed);

/* Whether a request with so many bytes may be sent. One may in any case. */
bool flight_has_room(const struct flight *flight, uint64_t bytes);

void flight_begin(struct flight *flight, uint64_t bytes);
void flight_end(struct flight *flight, uint64_t bytes);

/* So long a request took that went well and carried so many bytes. */
void flight_took(struct flight *flight, uint64_t bytes, double seconds);

/* What the line carries in so long a time, by what was seen of it, which is never too much;
 * UINT64_MAX: nothing was seen yet. */
uint64_t flight_carries(const struct flight *flight, double seconds);

#endif
