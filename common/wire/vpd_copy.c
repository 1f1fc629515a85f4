/* SPDX-License-Identifier: Apache-2.0 */
#include "vpd_copy.h"

#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "copy_list.h"
#include "scsi_defs.h"
#include "vpd.h"

/* Third-party copy descriptors */
enum {
    DESCRIPTOR_ROD_TOKEN_LIMITS = 0x0000,
    DESCRIPTOR_COMMANDS = 0x0001,
    DESCRIPTOR_PARAMETERS = 0x0004,
    DESCRIPTOR_DESCRIPTORS = 0x0008,
    DESCRIPTOR_CSCD_IDS = 0x000C,
    DESCRIPTOR_ROD_FEATURES = 0x0106,
    DESCRIPTOR_ROD_TYPES = 0x0108,
    DESCRIPTOR_GENERAL = 0x8001,
};

#define DESCRIPTOR_HEADER   4

#define ROD_TYPE_BYTES      64
#define ROD_TYPE_ZERO       0xFFFF0001
#define ROD_TOKEN_OUT       0x01
#define ROD_TOKEN_IN        0x02
#define BLOCK_FEATURE_BYTES 48

/* Zeroes a descriptor of this many parameter bytes, a multiple of 4 with the header, and returns
 * where the next one begins. */
static uint8_t *start(uint8_t *at, uint16_t type, size_t parameter_bytes)
{
    size_t length = align_up(parameter_bytes, 4);

    memset(at, 0, DESCRIPTOR_HEADER + length);
    put_be16(at, type);
    put_be16(at + 2, (uint16_t)length);
    return at + DESCRIPTOR_HEADER + length;
}

static uint8_t *put_commands(uint8_t *at, const struct vpd_copy *copy)
{
    size_t length = 0;
    uint8_t *next, *to = at + DESCRIPTOR_HEADER + 1;

    for (size_t i = 0; i < copy->command_count; i++)
        length += 2u + copy->commands[i].count;
    next = start(at, DESCRIPTOR_COMMANDS, 1 + length);
    at[DESCRIPTOR_HEADER] = (uint8_t)length;
    for (size_t i = 0; i < copy->command_count; i++) {
        const struct vpd_copy_commands *commands = &copy->commands[i];

        to[0] = commands->opcode;
        to[1] = commands->count;
        memcpy(to + 2, commands->service_actions, commands->count);
        to += 2 + commands->count;
    }
    return next;
}

static uint8_t *put_parameters(uint8_t *at, const struct vpd_copy *copy)
{
    uint8_t *next = start(at, DESCRIPTOR_PARAMETERS, 28);

    put_be16(at + 8, copy->max_cscds);
    put_be16(at + 10, copy->max_segments);
    put_be32(at + 12, copy->max_descriptor_bytes);
    /* MAXIMUM INLINE DATA LENGTH 0 */
    return next;
}

static uint8_t *put_descriptors(uint8_t *at)
{
    uint8_t *next = start(at, DESCRIPTOR_DESCRIPTORS, 1 + COPY_DESCRIPTOR_CODES);

    at[4] = COPY_DESCRIPTOR_CODES;
    memcpy(at + 5, copy_descriptor_codes, COPY_DESCRIPTOR_CODES);
    return next;
}

static uint8_t *put_cscd_ids(uint8_t *at)
{
    uint8_t *next = start(at, DESCRIPTOR_CSCD_IDS, 4);

    put_be16(at + 4, 2);
    put_be16(at + 6, COPY_CSCD_ID_SELF);
    return next;
}

static uint8_t *put_general(uint8_t *at, const struct vpd_copy *copy)
{
    uint8_t *next = start(at, DESCRIPTOR_GENERAL, 32);

    put_be32(at + 4, copy->max_concurrent); /* TOTAL CONCURRENT COPIES */
    put_be32(at + 8, copy->max_concurrent); /* MAXIMUM IDENTIFIED CONCURRENT COPIES */
    put_be32(at + 12, copy->max_segment_bytes);
    at[16] = copy->segment_granularity_exponent;
    return next;
}

static uint8_t *put_token_limits(uint8_t *at, const struct vpd_copy_tokens *tokens)
{
    uint8_t *next = start(at, DESCRIPTOR_ROD_TOKEN_LIMITS, 32);

    put_be16(at + 10, tokens->max_range_descriptors);
    put_be32(at + 12, tokens->max_inactivity_seconds);
    put_be32(at + 16, tokens->default_inactivity_seconds);
    put_be64(at + 20, tokens->max_transfer_blocks);
    put_be64(at + 28, tokens->optimal_transfer_blocks);
    return next;
}

/* REMOTE TOKENS 0: tokens of other copy managers are not taken. */
static uint8_t *put_rod_features(uint8_t *at, const struct vpd_copy_tokens *tokens)
{
    uint8_t *next = start(at, DESCRIPTOR_ROD_FEATURES, 44 + BLOCK_FEATURE_BYTES);
    uint8_t *block = at + 48;

    put_be32(at + 16, 1);                              /* MINIMUM TOKEN LIFETIME */
    put_be32(at + 20, tokens->max_inactivity_seconds); /* MAXIMUM TOKEN LIFETIME */
    put_be32(at + 24, tokens->max_inactivity_seconds);
    put_be16(at + 46, BLOCK_FEATURE_BYTES);
    put_be16(block + 2, BLOCK_FEATURE_BYTES - 4); /* block devices; the type is 0 */
    put_be16(block + 6, 1);                       /* OPTIMAL BLOCK ROD LENGTH GRANULARITY */
    put_be64(block + 8, tokens->max_transfer_blocks * tokens->block_size);
    put_be64(block + 16, tokens->optimal_transfer_blocks * tokens->block_size);
    return next;
}

static uint8_t *put_rod_types(uint8_t *at, const struct vpd_copy_tokens *tokens)
{
    uint8_t *next = start(at, DESCRIPTOR_ROD_TYPES, 4 + 2 * ROD_TYPE_BYTES);
    uint8_t *type = at + 8;

    put_be16(at + 6, 2 * ROD_TYPE_BYTES);
    put_be32(type, tokens->rod_type);
    type[4] = ROD_TOKEN_OUT | ROD_TOKEN_IN;
    type += ROD_TYPE_BYTES;
    put_be32(type, ROD_TYPE_ZERO);
    type[4] = ROD_TOKEN_IN;
    return next;
}

size_t vpd_encode_copy(uint8_t *to, const struct vpd_copy *copy)
{
    uint8_t *at = to + VPD_HEADER_BYTES;

    memset(to, 0, VPD_HEADER_BYTES);
    to[1] = VPD_THIRD_PARTY_COPY;
    if (copy->tokens)
        at = put_token_limits(at, copy->tokens);
    at = put_commands(at, copy);
    at = put_parameters(at, copy);
    at = put_descriptors(at);
    at = put_cscd_ids(at);
    if (copy->tokens) {
        at = put_rod_features(at, copy->tokens);
        at = put_rod_types(at, copy->tokens);
    }
    at = put_general(at, copy);
    put_be16(to + 2, (uint16_t)(at - to - VPD_HEADER_BYTES));
    return (size_t)(at - to);
}
