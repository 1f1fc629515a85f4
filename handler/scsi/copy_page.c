/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_page.h"

#include "copy_limits.h"
#include "lun_internal.h"
#include "rod_token.h"
#include "vpd_copy.h"

#define MAX_ACTIONS 32

/* The service actions of the opcode that are served, as the table of commands has them. */
static struct vpd_copy_commands commands_of(uint8_t opcode, uint8_t actions[static MAX_ACTIONS])
{
    struct vpd_copy_commands commands = {.opcode = opcode, .service_actions = actions};
    size_t count;
    const struct operation *rows = operations(&count);

    for (size_t i = 0; i < count; i++)
        if (rows[i].opcode == opcode && commands.count < MAX_ACTIONS)
            actions[commands.count++] = (uint8_t)rows[i].service_action;
    return commands;
}

size_t copy_page_encode(const struct volume *volume, uint8_t *to)
{
    uint8_t out_actions[MAX_ACTIONS], in_actions[MAX_ACTIONS];
    const struct vpd_copy_commands commands[] = {
        commands_of(SCSI_THIRD_PARTY_COPY_OUT, out_actions),
        commands_of(SCSI_THIRD_PARTY_COPY_IN, in_actions),
    };
    uint32_t block_size = volume_block_size(volume);
    const struct vpd_copy_tokens tokens = {
        .max_range_descriptors = ROD_TOKEN_MAX_RANGES,
        .max_inactivity_seconds = ROD_TOKEN_MAX_INACTIVE_SECONDS,
        .default_inactivity_seconds = ROD_TOKEN_DEFAULT_INACTIVE_SECONDS,
        .max_transfer_blocks = ROD_TOKEN_MAX_BYTES / block_size,
        .optimal_transfer_blocks = ROD_TOKEN_OPTIMAL_BYTES / block_size,
        .block_size = block_size,
        .rod_type = ROD_TYPE_POINT_IN_TIME_CHANGE_VULNERABLE,
    };
    const struct vpd_copy copy = {
        .commands = commands,
        .command_count = sizeof(commands) / sizeof(commands[0]),
        .max_cscds = COPY_MAX_CSCDS,
        .max_segments = COPY_MAX_SEGMENTS,
        .max_descriptor_bytes = COPY_MAX_DESCRIPTOR_BYTES,
        .max_concurrent = COPY_MAX_CONCURRENT,
        .max_segment_bytes = COPY_MAX_SEGMENT_BYTES,
        .tokens = &tokens,
        .segment_granularity_exponent = COPY_SEGMENT_GRANULARITY_EXPONENT,
    };

    return vpd_encode_copy(to, &copy);
}
