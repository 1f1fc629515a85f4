/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_HOST_RING_H
#define THINMIRROR_HOST_RING_H

/* The memory that a kernel would share with the runner, as far as a handler looks at it: what was
 * put on it and has no response yet, with padding now and then. Apart from the rest, as the
 * kernel's header has a struct iovec of its own. The caller serialises, but a handler may look at
 * any time. */

#include <stdint.h>

struct host_ring;

/* Ends the program without memory. Freed with free. */
struct host_ring *host_ring_create(void);

/* One more command; ends the program when there is no room. */
void host_ring_put(struct host_ring *ring);

/* The oldest command gets its response: returns the length of the Data-In as the handler said; 0:
 * it did not. */
uint32_t host_ring_take(struct host_ring *ring);

#endif
