/* SPDX-License-Identifier: Apache-2.0 */

/* Analyses the disk that the input describes (disk_pieces.h). Whatever is on it, the result must
 * cover the disk in order. What is searched for is in the seeds, and so is the answer, as another
 * program than ours gave it: behind the pieces of the disk one at sector DISK_ANSWER with the hash
 * of all before it (8 bytes; another one, or none: nothing is known of this disk), options (1 byte:
 * bit 0 skip_gaps, bit 1 vtoc_lstar), how many sectors more than needed may be allocated (4), and
 * the needed ranges, each a sector and a count (4 and 4). */

#include <errno.h>

#include "analyse.h"
#include "byteorder.h"
#include "checked.h"
#include "disk_pieces.h"
#include "fuzz.h"

#define ANSWER_HEAD 13

/* An endpoint that reads from the input and answers at once. */
struct disk {
    struct endpoint endpoint;
    const uint8_t *input;
    size_t size;
    unsigned failing; /* so many requests on one fails; 0: none */
};

struct answer {
    bool known;
    uint8_t options;
    uint64_t slack;
    const uint8_t *ranges;
    size_t count;
};

static int disk_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct disk *disk = (struct disk *)endpoint;
    uint64_t offset = request->lba * DISK_SECTOR;

    FUZZ_CHECK(request->op == ENDPOINT_READ);
    if (disk->failing > 0 && --disk->failing == 0) {
        request->result = errmsg_set(&request->error, -EIO, "this one fails");
        request->done(request);
        return 0;
    }
    for (int i = 0; i < request->iov_count; i++) {
        disk_read(disk->input, disk->size, offset, request->iov[i].iov_base,
                  request->iov[i].iov_len);
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

/* FNV-1a. */
static uint64_t hash_of(const uint8_t *bytes, size_t length)
{
    uint64_t hash = UINT64_C(0xCBF29CE484222325);

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ bytes[i]) * UINT64_C(0x100000001B3);
    return hash;
}

static struct answer find_answer(const uint8_t *data, size_t size)
{
    struct answer answer = {.options = (uint8_t)(size % 4)};
    struct disk_piece piece;
    size_t begin = DISK_HEAD_BYTES;

    for (size_t at = begin; disk_next_piece(data, size, &at, &piece); begin = at)
        if (piece.sector == DISK_ANSWER && piece.bytes >= ANSWER_HEAD &&
            get_be64(data + piece.at) == hash_of(data, begin))
            return (struct answer){.known = true,
                                   .options = data[piece.at + 8],
                                   .slack = get_be32(data + piece.at + 9),
                                   .ranges = data + piece.at + ANSWER_HEAD,
                                   .count = (piece.bytes - ANSWER_HEAD) / 8};
    return answer;
}

/* Nothing that the other program needs is left out, and not much more is taken. */
static void check_answer(const struct analysis *analysis, const struct answer *answer,
                         uint64_t blocks)
{
    const struct block_set *set = &analysis->allocation.allocated;
    uint64_t needed = 0, allocated = 0;

    FUZZ_CHECK(analysis->understood);
    for (size_t i = 0; i < answer->count; i++) {
        uint64_t start = get_be32(answer->ranges + 8 * i);
        uint64_t end = start + get_be32(answer->ranges + 8 * i + 4);
        bool is_needed;

        FUZZ_CHECK(start < end && end <= blocks);
        FUZZ_CHECK(block_set_find(set, start, end, &is_needed) == end && is_needed);
        needed += end - start;
    }
    for (uint64_t at = 0; at < blocks;) {
        bool is_allocated;
        uint64_t end = block_set_find(set, at, blocks, &is_allocated);

        allocated += is_allocated ? end - at : 0;
        at = end;
    }
    FUZZ_CHECK(allocated <= needed + answer->slack);
}

static void check_cover(const struct analysis *analysis, uint64_t blocks)
{
    uint64_t covered = 0;

    while (covered < blocks) {
        uint64_t end;
        bool allocated;

        FUZZ_CHECK(allocation_why(&analysis->allocation, covered, &end));
        FUZZ_CHECK(end > covered && end <= blocks);
        end = block_set_find(&analysis->allocation.allocated, covered, end, &allocated);
        FUZZ_CHECK(end > covered);
        covered = end;
    }
    FUZZ_CHECK(covered == blocks);
    check_heads(analysis, blocks);
}

static void analyse_disk(const uint8_t *data, size_t size, unsigned failing)
{
    struct disk disk = {.endpoint = {.ops = &disk_ops},
                        .input = data,
                        .size = size,
                        .failing = failing};
    const struct answer answer = find_answer(data, size);
    const struct analyse_params params = {.skip_gaps = answer.options & 1,
                                          .vtoc_lstar = answer.options & 2};
    struct analysis analysis;
    struct errmsg err = {""};

    disk.endpoint.info = (struct endpoint_info){.name = "disk",
                                                .kind = "fuzz",
                                                .blocks = disk_sectors(data, size),
                                                .block_size = DISK_SECTOR,
                                                .max_transfer_blocks = 1024};
    FUZZ_CHECK(analyse_run(&disk.endpoint, &params, &analysis, &err) == 0);
    check_cover(&analysis, disk.endpoint.info.blocks);
    if (answer.known)
        check_answer(&analysis, &answer, disk.endpoint.info.blocks);
    analysis_free(&analysis);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    unsigned failing;
    uint8_t *owned;

    if (size < DISK_HEAD_BYTES)
        return 0;
    data = disk_expand(data, &size, &owned, &failing);
    analyse_disk(data, size, failing);
    free(owned);
    return 0;
}
