/* SPDX-License-Identifier: Apache-2.0 */
#include "flight.h"

#include <math.h>

#define BYTES_PER_SECOND (1024.0 * 1024 * 1024)
/* A shorter request says more about what a request costs than about the line. */
#define LARGE_BYTES (64 * 1024)

void flight_init(struct flight *flight, unsigned most_requests, bool fixed)
{
    *flight = (struct flight){
        .most_requests = most_requests,
        .most_bytes = fixed ? FLIGHT_MOST_BYTES : FLIGHT_LEAST_BYTES,
        .quickest_seconds = fixed ? 0 : INFINITY,
    };
}

bool flight_has_room(const struct flight *flight, uint64_t bytes)
{
    return flight->requests == 0 || (flight->requests < flight->most_requests &&
                                     flight->bytes + bytes <= flight->most_bytes);
}

void flight_begin(struct flight *flight, uint64_t bytes)
{
    flight->requests++;
    flight->bytes += bytes;
}

void flight_end(struct flight *flight, uint64_t bytes)
{
    flight->requests--;
    flight->bytes -= bytes;
}

void flight_took(struct flight *flight, uint64_t bytes, double seconds)
{
    double more = seconds * BYTES_PER_SECOND;

    if (bytes >= LARGE_BYTES && (double)bytes > seconds * flight->bytes_per_second)
        flight->bytes_per_second = seconds > 0 ? (double)bytes / seconds : INFINITY;
    if (seconds >= flight->quickest_seconds)
        return;
    flight->quickest_seconds = seconds;
    flight->most_bytes = more < FLIGHT_MOST_BYTES - FLIGHT_LEAST_BYTES
                             ? FLIGHT_LEAST_BYTES + (uint64_t)more
                             : FLIGHT_MOST_BYTES;
}

uint64_t flight_carries(const struct flight *flight, double seconds)
{
    double bytes = flight->bytes_per_second * seconds;

    return bytes > 0 && bytes < (double)INT64_MAX ? (uint64_t)bytes : UINT64_MAX;
}
