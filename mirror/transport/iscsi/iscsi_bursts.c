/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_bursts.h"

#include <iscsi/iscsi.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "iscsi_proof.h"

/* The level at which libiscsi 1.19 tells them, and its words: "TargetLoginReply: KEY=VALUE [IQN]".
 */
#define REPLIES_LEVEL     6
#define REPLY_WORDS       "TargetLoginReply: "

#define LEAST_BURST_BYTES 512
#define MOST_BURST_BYTES  ((1U << 24) - 1)
/* Of a target that tells no MaxRecvDataSegmentLength (RFC 7143 13.12). */
#define USUAL_SEGMENT_BYTES 8192

/* The log function gets nothing to tell contexts apart by, but each is served by one thread. */
static _Thread_local struct iscsi_bursts *listening;
static _Thread_local struct iscsi_proof *proving;

static const char *value_of(const char *pair, const char *key)
{
    size_t length = strlen(key);

    return strncmp(pair, key, length) == 0 && pair[length] == '=' ? pair + length + 1 : NULL;
}

/* A numerical value, decimal or with 0x (RFC 7143 6.1). 0 when it is none, or not allowed. */
static uint32_t burst_bytes(const char *value)
{
    bool hex = value[0] == '0' && (value[1] == 'x' || value[1] == 'X');
    char *end;
    unsigned long bytes;

    if (value[0] < '0' || value[0] > '9')
        return 0;
    bytes = strtoul(value, &end, hex ? 16 : 10);
    if ((*end != '\0' && *end != ' ') || bytes < LEAST_BURST_BYTES || bytes > MOST_BURST_BYTES)
        return 0;
    return (uint32_t)bytes;
}

void iscsi_bursts_hear(struct iscsi_bursts *bursts, const char *line)
{
    const char *pair, *value;

    if (strncmp(line, REPLY_WORDS, strlen(REPLY_WORDS)) != 0)
        return;
    pair = line + strlen(REPLY_WORDS);
    if ((value = value_of(pair, "MaxBurstLength"))) {
        bursts->max_bytes = burst_bytes(value);
    } else if ((value = value_of(pair, "FirstBurstLength"))) {
        bursts->first_bytes = burst_bytes(value);
    } else if ((value = value_of(pair, "DataDigest"))) {
        bursts->data_digest = strncmp(value, "None", 4) != 0;
    } else if ((value = value_of(pair, "MaxRecvDataSegmentLength"))) {
        bursts->segment_bytes = burst_bytes(value);
        bursts->forbidden_segment = bursts->segment_bytes == 0;
    } else if ((value = value_of(pair, "InitialR2T"))) {
        bursts->unsolicited = strncmp(value, "No", 2) == 0 && (value[2] == '\0' || value[2] == ' ');
    }
}

uint32_t iscsi_bursts_segment(const struct iscsi_bursts *bursts)
{
    bool heard = bursts->segment_bytes || bursts->max_bytes || bursts->first_bytes;

    return bursts->segment_bytes ? bursts->segment_bytes : heard ? USUAL_SEGMENT_BYTES : 0;
}

/* What the user wants to see of libiscsi's log. */
static int shown_level(void)
{
    const char *level = getenv("LIBISCSI_DEBUG");

    return level ? atoi(level) : 0;
}

static void hear(int level, const char *line)
{
    if (level <= shown_level())
        iscsi_log_to_stderr(level, line);
    if (level != REPLIES_LEVEL || !listening)
        return;
    iscsi_bursts_hear(listening, line);
    if (strncmp(line, REPLY_WORDS, strlen(REPLY_WORDS)) == 0)
        iscsi_proof_hear(proving, line + strlen(REPLY_WORDS));
}

void iscsi_bursts_listen(struct iscsi_bursts *bursts, struct iscsi_proof *proof,
                         struct iscsi_context *context)
{
    int shown = shown_level();

    *bursts = (struct iscsi_bursts){0};
    *proof = (struct iscsi_proof){0};
    listening = bursts;
    proving = proof;
    iscsi_set_log_fn(context, hear);
    iscsi_set_log_level(context, shown > REPLIES_LEVEL ? shown : REPLIES_LEVEL);
}

void iscsi_bursts_unlisten(struct iscsi_context *context)
{
    listening = NULL;
    proving = NULL;
    iscsi_set_log_level(context, shown_level());
}
