/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_UNMAP_LIST_H
#define THINMIRROR_WIRE_UNMAP_LIST_H

/* The UNMAP parameter list, SBC-4 5.35.2. */

#include <stddef.h>
#include <stdint.h>

#define UNMAP_HEADER_BYTES     8
#define UNMAP_DESCRIPTOR_BYTES 16

struct unmap_descriptor {
    uint64_t lba;
    uint32_t blocks;
};

/* A received parameter list; it points into the caller's bytes. */
struct unmap_list {
    const uint8_t *descriptors;
    /* Whole descriptors that the list's own two lengths and the bytes received all hold. */
    size_t count;
};

/* length: the bytes of parameter list there really are, at most the PARAMETER LIST LENGTH. 0 is a
 * list of no descriptors; 1 to 7 is -EINVAL (5/1A/00). A descriptor that is cut is ignored. */
int unmap_list_decode(const uint8_t *bytes, size_t length, struct unmap_list *ret);

struct unmap_descriptor unmap_list_get(const struct unmap_list *list, size_t index);

/* The bytes a list of count descriptors takes. */
size_t unmap_list_bytes(size_t count);

/* Writes unmap_list_bytes(count) bytes; count is at most 4095. */
void unmap_list_encode(uint8_t *to, const struct unmap_descriptor *descriptors, size_t count);

#endif
