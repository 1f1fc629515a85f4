/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_HOST_RING_H
#define THINMIRROR_HOST_RING_H

/* The memory that a kernel would share with the runner, as far as a handler looks at it: behind
 * padding there always is one command. Apart from the rest, as the kernel's header has a struct
 * iovec of its own. */

#include <stdint.h>

struct host_ring;

/* Ends the program without memory. Freed with free. */
struct host_ring *host_ring_create(void);

/* What a kernel takes out of the response: the length of the Data-In as the handler said; 0: it did
 * not. */
uint32_t host_ring_take_read_bytes(struct host_ring *ring);

#endif
