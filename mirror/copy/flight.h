/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FLIGHT_H
#define THINMIRROR_FLIGHT_H

/* What is in flight on one side of a copy, and what may be.
 *
 * The budget is a number of requests, and the number of bytes that keep the line busy: what comes
 * at 1 GiB/s in the time of the quickest answer (the others waited for each other), on top of 2
 * MiB, and 16 MiB at most. More is not only of no use: memory that is used again soon is in the
 * processor's cache still. */

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

/* Whether a request that carries bytes more may be sent. One may in any case. */
bool flight_has_room(const struct flight *flight, uint64_t bytes);

/* A request with this number of bytes of data was sent; it has ended, well or not. */
void flight_begin(struct flight *flight, uint64_t bytes);
void flight_end(struct flight *flight, uint64_t bytes);

/* A request that carried bytes ended well after seconds. */
void flight_took(struct flight *flight, uint64_t bytes, double seconds);

/* How many bytes the line carries in seconds, as measured so far, which is never too much;
 * UINT64_MAX: nothing was measured yet. */
uint64_t flight_carries(const struct flight *flight, double seconds);

#endif
