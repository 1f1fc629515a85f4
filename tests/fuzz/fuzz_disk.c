/* SPDX-License-Identifier: Apache-2.0 */

/* Analyses a disk that the input describes: its sectors (4 bytes), then pieces that are not zeros,
 * each a sector (4 bytes), a length in bytes (2 bytes) and so many bytes; big-endian. Whatever is
 * on it, the result must cover the disk in order. What is searched for is in the seeds. */

#include "analyse.h"
#include "byteorder.h"
#include "checked.h"
#include "fuzz.h"

#define SECTOR      512
#define PIECE_BYTES 6
#define SECTORS_MAX (1U << 21) /* 1 GiB: large enough for every format */

/* An endpoint that reads from the input and answers at once. */
struct disk {
    struct endpoint endpoint;
    const uint8_t *pieces;
    size_t bytes;
};

/* Copies what a piece has of [offset, offset + length). */
static void overlay(const uint8_t *piece, uint64_t start, uint64_t bytes, uint64_t offset,
                    uint8_t *to, uint64_t length)
{
    uint64_t from = max_u64(start, offset), end = min_u64(start + bytes, offset + length);

    if (from < end)
        memcpy(to + (from - offset), piece + (from - start), end - from);
}

static void read_disk(const struct disk *disk, uint64_t offset, uint8_t *to, uint64_t length)
{
    memset(to, 0, length);
    for (size_t at = 0; at + PIECE_BYTES <= disk->bytes;) {
        uint64_t start = (uint64_t)get_be32(disk->pieces + at) * SECTOR;
        uint64_t bytes = min_u64(get_be16(disk->pieces + at + 4), disk->bytes - at - PIECE_BYTES);

        overlay(disk->pieces + at + PIECE_BYTES, start, bytes, offset, to, length);
        at += PIECE_BYTES + bytes;
    }
}

static int disk_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    const struct disk *disk = (const struct disk *)endpoint;
    uint64_t offset = request->lba * SECTOR;

    FUZZ_CHECK(request->op == ENDPOINT_READ);
    for (int i = 0; i < request->iov_count; i++) {
        read_disk(disk, offset, request->iov[i].iov_base, request->iov[i].iov_len);
        offset += request->iov[i].iov_len;
    }
    request->done(request);
    return 0;
}

static int disk_poll(struct endpoint *endpoint, struct pollfd *ret)
{
    (void)endpoint, (void)ret;
    return 0;
}

static int disk_service(struct endpoint *endpoint, short revents)
{
    (void)endpoint, (void)revents;
    return 0;
}

static const struct endpoint_ops disk_ops = {.submit = disk_submit,
                                             .poll = disk_poll,
                                             .service = disk_service};

static bool is_allocated(const struct analysis *analysis, uint64_t lba)
{
    bool allocated;

    block_set_find(&analysis->allocation.allocated, lba, lba + 1, &allocated);
    return allocated;
}

/* The begin of a free track is copied. Not all of a large disk is looked at. */
static void check_heads(const struct analysis *analysis, uint64_t blocks)
{
    uint64_t end = extent_runs_end(&analysis->heads);

    FUZZ_CHECK(end == 0 || end == blocks);
    for (uint64_t at = 0, looked = 0; at < end && looked < 1000; looked++) {
        const struct extent head = extent_runs_find(&analysis->heads, at);

        FUZZ_CHECK(head.status != EXTENT_MAPPED || is_allocated(analysis, at));
        at = head.start + head.length;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const struct analyse_params params = {.skip_gaps = size % 2, .vtoc_lstar = size / 2 % 2};
    struct disk disk = {.endpoint = {.ops = &disk_ops}};
    struct analysis analysis;
    struct errmsg err = {""};
    uint64_t covered = 0;

    if (size < 4)
        return 0;
    disk.pieces = data + 4;
    disk.bytes = size - 4;
    disk.endpoint.info = (struct endpoint_info){.name = "disk",
                                                .kind = "fuzz",
                                                .blocks = get_be32(data) % SECTORS_MAX + 1,
                                                .block_size = SECTOR,
                                                .max_transfer_blocks = 1024};
    FUZZ_CHECK(analyse_run(&disk.endpoint, &params, &analysis, &err) == 0);
    while (covered < disk.endpoint.info.blocks) {
        uint64_t end;
        bool allocated;

        FUZZ_CHECK(allocation_why(&analysis.allocation, covered, &end));
        FUZZ_CHECK(end > covered && end <= disk.endpoint.info.blocks);
        end = block_set_find(&analysis.allocation.allocated, covered, end, &allocated);
        FUZZ_CHECK(end > covered);
        covered = end;
    }
    FUZZ_CHECK(covered == disk.endpoint.info.blocks);
    check_heads(&analysis, disk.endpoint.info.blocks);
    analysis_free(&analysis);
    return 0;
}
