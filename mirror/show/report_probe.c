/* SPDX-License-Identifier: Apache-2.0 */
#include "report.h"

#include <inttypes.h>
#include <stdio.h>

#include "report_json.h"
#include "size.h"
#include "utf8.h"

static void text_row(const char *name, const char *text)
{
    if (!text[0])
        return;
    printf("%-22s ", name);
    utf8_print(stdout, text);
    putchar('\n');
}

static void flag_row(const char *name, bool flag)
{
    printf("%-22s %s\n", name, flag ? "yes" : "no");
}

static void blocks_row(const char *name, uint64_t blocks, const struct endpoint_info *info)
{
    char text[SIZE_TEXT_BYTES];
    uint64_t most = UINT64_MAX / info->block_size;

    printf("%-22s %s (%" PRIu64 " block%s)\n", name,
           size_text((blocks > most ? most : blocks) * info->block_size, text, sizeof(text)),
           blocks, blocks == 1 ? "" : "s");
}

/* Nothing where there is no such thing. */
static void bytes_row(const char *name, uint64_t bytes)
{
    char text[SIZE_TEXT_BYTES];

    if (bytes > 0)
        printf("%-22s %s\n", name, size_text(bytes, text, sizeof(text)));
}

static void probe_table(const struct endpoint_info *info)
{
    text_row("name", info->name);
    text_row("kind", info->kind);
    text_row("data moved by", info->data_by ? info->data_by : "");
    text_row("vendor", info->vendor);
    text_row("product", info->product);
    text_row("serial", info->serial);
    text_row("identity", info->identity[0] ? info->identity : "none (it cannot be told apart)");
    blocks_row("capacity", info->blocks, info);
    printf("%-22s %u bytes\n", "block size", info->block_size);
    flag_row("thin", info->thin);
    flag_row("answers GET LBA STATUS", info->can_map);
    flag_row("has a bitmap", info->can_bitmap);
    flag_row("unmapped reads zeros", info->unmapped_reads_zeros);
    flag_row("can unmap", info->can_unmap);
    blocks_row("largest transfer", info->max_transfer_blocks, info);
    bytes_row("longest burst", info->max_burst_bytes);
    bytes_row("unsolicited data", info->unsolicited_bytes);
    blocks_row("largest unmap or zero", info->max_zero_blocks, info);
    blocks_row("unmap granularity", info->unmap_granularity_blocks, info);
}

void report_probe(const struct report *report)
{
    if (report->options->json)
        report_probe_json(report);
    else if (report->status == STATUS_DONE)
        probe_table(&report->primary->info);
}
