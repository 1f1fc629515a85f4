/* SPDX-License-Identifier: Apache-2.0 */
#include "fingerprint.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "checked.h"
#include "cleanup.h"
#include "copy_wait.h"
#include "map_reader.h"
#include "spread.h"

#define DEPTH 32 /* reads in flight */
/* What is looked at in any case: the beginning of the LUN, and of a partition where
 * partitions begin today, with a superblock, a label or a boot sector. */
#define HEAD_SPOTS 16
static const uint64_t heads[] = {0, 1024 * 1024};

#define HEADS (sizeof(heads) / sizeof(heads[0]))

struct spot_read {
    struct fingerprint *owner;
    struct endpoint_request request;
    struct iovec iov;
    bool busy;
};

struct fingerprint {
    struct endpoint *endpoint;
    const struct copy_control *control;
    double deadline; /* on the clock of copy_now; 0: none */
    struct ledger_left *left;
    uint64_t part_blocks;
    uint64_t spot_blocks;

    /* The extent of one kind that is being put together. */
    uint64_t run_start, run_end;
    bool run_mapped;

    struct spread spread;
    struct spread_spot spots[SPREAD_SPOTS + HEADS * HEAD_SPOTS]; /* to be read */
    size_t count;

    struct spot_read reads[DEPTH];
    uint8_t *buffers;
    unsigned in_flight;
    int error; /* the first */
    struct errmsg message;
};

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t length)
{
    const uint8_t *at = bytes;

    for (size_t i = 0; i < length; i++)
        hash = (hash ^ at[i]) * UINT64_C(0x100000001b3);
    return hash;
}

static uint64_t hash_start(uint64_t lba)
{
    return hash_bytes(UINT64_C(0xcbf29ce484222325), &lba, sizeof(lba));
}

/* Adds a mapped extent to the digests of the parts that it lies in. */
static void add_to_map(struct fingerprint *print, uint64_t start, uint64_t end)
{
    while (start < end) {
        uint64_t part = start / print->part_blocks;
        uint64_t stop = min_u64(end, (part + 1) * print->part_blocks);

        print->left->map[part] += hash_bytes(hash_start(start), &stop, sizeof(stop));
        start = stop;
    }
}

static void end_run(struct fingerprint *print)
{
    if (!print->run_mapped || print->run_start == print->run_end)
        return;
    add_to_map(print, print->run_start, print->run_end);
    spread_add(&print->spread, print->run_start, print->run_end);
}

/* Extents come in order, cut anyhow. */
static void add_extent(struct fingerprint *print, const struct extent *extent)
{
    bool mapped = extent->status == EXTENT_MAPPED;

    if (mapped != print->run_mapped) {
        end_run(print);
        print->run_start = print->run_end;
        print->run_mapped = mapped;
    }
    print->run_end = extent->start + extent->length;
}

static bool is_over(const struct fingerprint *print)
{
    return copy_stopped(print->control) || (print->deadline > 0 && copy_now() > print->deadline);
}

/* left->by_map becomes false when the map is not told soundly. */
static int read_map(struct fingerprint *print, struct errmsg *err)
{
    CLEANUP(map_reader_free) struct map_reader reader;
    int r = map_reader_init(&reader, print->endpoint, print->left->blocks,
                            print->left->by_map ? MAP_ASK : MAP_ALL_MAPPED);
    const struct copy_side sides[2] = {{print->endpoint, true}, {NULL, false}};

    while (r == 0) {
        map_reader_pump(&reader);
        while (map_reader_busy(&reader) && r == 0)
            r = copy_wait(sides, false, 0, err);
        if (reader.error)
            return errmsg_set(err, reader.error, "%s", reader.message.text);
        for (size_t i = 0; i < reader.list.count && r == 0; i++)
            add_extent(print, &reader.list.items[i]);
        map_reader_consume(&reader, reader.covered);
        if (reader.covered == reader.end)
            break;
        if (is_over(print))
            r = errmsg_set(err, -EINTR, "stopped while reading the map of %s",
                           print->endpoint->info.name);
    }
    if (r < 0)
        return r;
    end_run(print);
    print->left->by_map = print->left->by_map && !reader.doubt.text[0];
    return 0;
}

/* Where the spots are. What is not mapped reads as anything, unless zeros are promised. */
static void choose_spots(struct fingerprint *print)
{
    const struct endpoint_info *info = &print->endpoint->info;

    memcpy(print->spots, print->spread.spots, print->spread.count * sizeof(*print->spots));
    print->count = print->spread.count;
    if (print->left->by_map && !info->unmapped_reads_zeros)
        return;
    for (size_t head = 0; head < HEADS; head++) {
        uint64_t at = heads[head] / info->block_size;

        for (size_t i = 0; i < HEAD_SPOTS; i++, at += print->spot_blocks)
            if (at < print->left->blocks)
                print->spots[print->count++] =
                    (struct spread_spot){.lba = at,
                                         .blocks =
                                             min_u64(print->spot_blocks, print->left->blocks - at)};
    }
}

static void spot_done(struct endpoint_request *request)
{
    struct spot_read *read = request->opaque;
    struct fingerprint *print = read->owner;
    struct ledger_left *left = print->left;

    read->busy = false;
    print->in_flight--;
    if (request->result < 0) {
        if (!print->error)
            print->error = errmsg_set(&print->message, request->result, "%s", request->error.text);
        return;
    }
    left->spots[request->lba / print->part_blocks] +=
        hash_bytes(hash_start(request->lba), read->iov.iov_base, read->iov.iov_len);
}

static void send_spot(struct fingerprint *print, struct spot_read *read,
                      const struct spread_spot *spot)
{
    const struct endpoint_info *info = &print->endpoint->info;
    int r;

    read->owner = print;
    read->iov = (struct iovec){print->buffers + (size_t)(read - print->reads) * print->spot_blocks *
                                                    info->block_size,
                               spot->blocks * info->block_size};
    read->request = (struct endpoint_request){.op = ENDPOINT_READ,
                                              .lba = spot->lba,
                                              .blocks = spot->blocks,
                                              .iov = &read->iov,
                                              .iov_count = 1,
                                              .done = spot_done,
                                              .opaque = read};
    read->busy = true;
    print->in_flight++;
    r = endpoint_submit(print->endpoint, &read->request);
    if (r == 0)
        return;
    read->busy = false;
    print->in_flight--;
    if (!print->error)
        print->error =
            errmsg_set(&print->message, r, "%s: cannot read: %s", info->name, strerror(-r));
}

static int read_spots(struct fingerprint *print, struct errmsg *err)
{
    const struct copy_side sides[2] = {{print->endpoint, true}, {NULL, false}};
    size_t next = 0;

    for (;;) {
        bool enough = print->error || is_over(print);
        int r;

        for (size_t i = 0; i < DEPTH && next < print->count && !enough; i++)
            if (!print->reads[i].busy)
                send_spot(print, &print->reads[i], &print->spots[next++]);
        if (print->in_flight == 0 && (enough || print->error || next == print->count))
            break;
        r = copy_wait(sides, print->error != 0, 0, err);
        if (r < 0 && !print->error)
            return r;
    }
    if (print->error)
        return errmsg_set(err, print->error, "%s", print->message.text);
    return next == print->count
               ? 0
               : errmsg_set(err, -EINTR, "stopped while reading %s", print->endpoint->info.name);
}

/* by_map: the map is asked for, and decides where the spots are. */
static int take(struct endpoint *endpoint, bool by_map, uint64_t blocks, uint64_t seed,
                double deadline, const struct copy_control *control, struct ledger_left *ret,
                struct errmsg *err)
{
    CLEANUP_FREE struct fingerprint *print = calloc(1, sizeof(*print));
    CLEANUP_FREE uint8_t *buffers = NULL;
    uint32_t block_size = endpoint->info.block_size;
    int r;

    *ret = (struct ledger_left){.seed = seed, .blocks = blocks, .by_map = by_map};
    if (!print || blocks == 0)
        return print ? 0 : errmsg_set(err, -ENOMEM, "%s", strerror(ENOMEM));
    *print = (struct fingerprint){
        .endpoint = endpoint,
        .control = control,
        .deadline = deadline,
        .left = ret,
        .part_blocks = blocks / LEDGER_PARTS + (blocks % LEDGER_PARTS > 0),
        .spot_blocks =
            min_u64(max_u64(SPREAD_SPOT_BYTES / block_size, 1), endpoint->info.max_transfer_blocks),
    };
    spread_init(&print->spread, seed, print->spot_blocks);
    /* As O_DIRECT wants it. */
    if (posix_memalign((void **)&buffers, 4096, DEPTH * print->spot_blocks * block_size) != 0)
        return errmsg_set(err, -ENOMEM, "%s", strerror(ENOMEM));
    print->buffers = buffers;
    r = read_map(print, err);
    if (r == 0 && ret->by_map == by_map) {
        choose_spots(print);
        r = read_spots(print, err);
        ret->known = r == 0;
    }
    ret->changed_ns = endpoint_last_change(endpoint);
    return r;
}

int fingerprint_take(struct endpoint *endpoint, uint64_t blocks, uint64_t seed, double seconds,
                     const struct copy_control *control, struct ledger_left *ret,
                     struct errmsg *err)
{
    bool by_map = endpoint->info.can_map;
    double deadline = seconds > 0 ? copy_now() + seconds : 0;
    int r = take(endpoint, by_map, blocks, seed, deadline, control, ret, err);

    /* A map that is not told soundly may be told otherwise the next time. */
    if (r == 0 && ret->by_map != by_map)
        r = take(endpoint, false, blocks, seed, deadline, control, ret, err);
    return r;
}

/* The blocks of the first part that is another one. */
static bool find_difference(const uint64_t before[LEDGER_PARTS], const uint64_t now[LEDGER_PARTS],
                            uint64_t blocks, const char *what, char *where, size_t where_bytes)
{
    uint64_t part_blocks = blocks / LEDGER_PARTS + (blocks % LEDGER_PARTS > 0);

    for (uint64_t i = 0; i < LEDGER_PARTS; i++) {
        if (before[i] == now[i])
            continue;
        snprintf(where, where_bytes, "%s between block %" PRIu64 " and %" PRIu64, what,
                 i * part_blocks, min_u64((i + 1) * part_blocks, blocks));
        return true;
    }
    return false;
}

int fingerprint_compare(struct endpoint *endpoint, const struct ledger_left *left,
                        const struct copy_control *control, bool *ret_moved, char *where,
                        size_t where_bytes, struct errmsg *err)
{
    struct ledger_left now;
    uint64_t changed = endpoint_last_change(endpoint);
    int r;

    *ret_moved = false;
    if (!left->known || left->blocks > endpoint->info.blocks)
        return 0;
    /* A time that was not made durable may be older after a crash. */
    if (left->changed_ns > 0 && changed > left->changed_ns) {
        snprintf(where, where_bytes, "the time of its last change is a later one");
        *ret_moved = true;
        return 0;
    }
    r = endpoint_forget(endpoint, err);
    if (r == 0)
        r = take(endpoint, left->by_map, left->blocks, left->seed, 0, control, &now, err);
    /* A map that was sound then and is not now is nothing to go by. */
    if (r < 0 || !now.known)
        return r;
    *ret_moved =
        (left->by_map &&
         find_difference(left->map, now.map, left->blocks, "another map", where, where_bytes)) ||
        find_difference(left->spots, now.spots, left->blocks, "other data", where, where_bytes);
    return 0;
}
