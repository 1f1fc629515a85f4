/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_VPD_COPY_H
#define THINMIRROR_WIRE_VPD_COPY_H

/* The third-party copy VPD page, 8Fh (SPC-4 7.8.17). */

#include <stddef.h>
#include <stdint.h>

/* What an operation code's service actions are. */
struct vpd_copy_commands {
    uint8_t opcode;
    const uint8_t *service_actions;
    uint8_t count;
};

/* Block device ROD token limits (SBC-4 6.6.6) and what else the page tells of ROD tokens. */
struct vpd_copy_tokens {
    uint16_t max_range_descriptors;
    uint32_t max_inactivity_seconds;
    uint32_t default_inactivity_seconds;
    uint64_t max_transfer_blocks;
    uint64_t optimal_transfer_blocks;
    uint32_t block_size;
    uint32_t rod_type; /* of the tokens that are made here */
};

struct vpd_copy {
    const struct vpd_copy_commands *commands;
    size_t command_count;
    uint16_t max_cscds;
    uint16_t max_segments;
    uint32_t max_descriptor_bytes;
    uint32_t max_concurrent;
    uint32_t max_segment_bytes;
    uint8_t segment_granularity_exponent;
    const struct vpd_copy_tokens *tokens; /* NULL: no ROD tokens */
};

/* Writes the whole page, at most VPD_PAGE_MAX_BYTES; returns its length. It lists the segment and
 * CSCD descriptors of copy_list.h and the CSCD DESCRIPTOR ID FFFFh. */
size_t vpd_encode_copy(uint8_t *to, const struct vpd_copy *copy);

#endif
