/* SPDX-License-Identifier: Apache-2.0 */

/* How long a logical unit takes to tell its map: the whole of it in replies of 64 KiB, as
 * descriptors and as a bitmap, and one descriptor at several places.
 *
 * usage: bench_native_map VOLUME EXTENTS ROUNDS mapped|anchored
 *
 * Makes the volume, every other 4 KiB of it mapped or anchored; it is the caller's to remove.
 * Prints a line for each measurement: "status|bitmap - NANOSECONDS" of a whole map, "query PERCENT
 * NANOSECONDS" of one descriptor at that percentage of the LUN (the median of many). */

#include <inttypes.h>
#include <string.h>

#include "bench_util.h"
#include "bitmap_reply.h"
#include "cdb.h"
#include "lba_status.h"
#include "lun.h"

#define BLOCK       512
#define EXTENT      4096
#define REPLY_BYTES 65536
#define QUERIES     1000
#define PLACES      5

static uint8_t reply[REPLY_BYTES];

/* Sends the CDB, again after a unit attention. The bytes of the reply. */
static size_t ask(struct lun *lun, const uint8_t *cdb, size_t cdb_length, size_t room)
{
    struct iovec iov = {.iov_base = reply, .iov_len = room};

    for (int attempt = 0; attempt < 4; attempt++) {
        struct lun_command command = {.cdb = cdb,
                                      .cdb_length = cdb_length,
                                      .data_in = &iov,
                                      .data_in_count = 1};

        if (lun_execute(lun, &command) == 0)
            return command.data_in_bytes;
    }
    give_up("a command failed");
    return 0;
}

static struct volume *make_volume(const char *path, uint64_t extents, bool anchored)
{
    static uint8_t bytes[EXTENT] = {1};
    struct iovec iov = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct volume *volume;
    struct errmsg err;

    if (volume_create(path, BLOCK, extents * EXTENT, &volume, &err) < 0)
        give_up(err.text);
    for (uint64_t i = 0; i < extents; i += 2) {
        if ((anchored ? volume_anchor(volume, i * EXTENT, EXTENT)
                      : volume_write(volume, &iov, 1, i * EXTENT, false)) < 0)
            give_up("the volume cannot be written");
    }
    if (volume_flush(volume) < 0)
        give_up("the volume cannot be flushed");
    return volume;
}

static uint64_t whole_status(struct lun *lun, uint64_t blocks, uint64_t extents)
{
    uint64_t start = now_ns(CLOCK_MONOTONIC), lba = 0;
    struct extent_list list = {0};
    enum lba_status_defect defect;
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    while (lba < blocks) {
        size_t length = ask(lun, cdb, cdb_get_lba_status_16(cdb, lba, REPLY_BYTES), REPLY_BYTES);

        if (lba_status_decode(reply, length, lba, blocks, &list, &lba, &defect) < 0 ||
            defect != LBA_STATUS_SOUND)
            give_up("a reply cannot be understood");
    }
    if (list.count != extents)
        give_up("the map is not what was written");
    extent_list_free(&list);
    return now_ns(CLOCK_MONOTONIC) - start;
}

static uint64_t whole_bitmap(struct lun *lun, uint64_t blocks, uint64_t extents)
{
    struct bitmap_geometry geometry = {.block_size = BLOCK, .blocks = blocks};
    uint64_t start = now_ns(CLOCK_MONOTONIC), lba = 0;
    struct extent_list list = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    size_t length = ask(lun, cdb, cdb_inquiry_vpd(cdb, VPD_ALLOCATION_BITMAP, 1024), 1024);

    if (bitmap_page_decode(reply, length, &geometry.page) < 0)
        give_up("the page cannot be understood");
    while (lba < blocks) {
        size_t cdb_length = bitmap_cdb(cdb, bitmap_byte_of(&geometry, lba), REPLY_BYTES);

        length = ask(lun, cdb, cdb_length, REPLY_BYTES);
        if (bitmap_reply_decode(&geometry, reply, length, lba, blocks, &list, &lba) < 0)
            give_up("a reply cannot be understood");
    }
    if (list.count != extents)
        give_up("the bitmap is not what was written");
    extent_list_free(&list);
    return now_ns(CLOCK_MONOTONIC) - start;
}

static int compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

static uint64_t one_descriptor(struct lun *lun, uint64_t lba)
{
    static uint64_t taken[QUERIES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (int i = 0; i < QUERIES; i++) {
        uint64_t start = now_ns(CLOCK_MONOTONIC);

        ask(lun, cdb, cdb_get_lba_status_16(cdb, lba, 24), 24);
        taken[i] = now_ns(CLOCK_MONOTONIC) - start;
    }
    qsort(taken, QUERIES, sizeof(taken[0]), compare);
    return taken[QUERIES / 2];
}

int main(int argc, char *argv[])
{
    uint64_t extents = argc == 5 ? strtoull(argv[2], NULL, 10) & ~UINT64_C(1) : 0;
    int rounds = argc == 5 ? atoi(argv[3]) : 0;
    bool anchored = argc == 5 && strcmp(argv[4], "anchored") == 0;
    struct volume *volume;
    uint64_t blocks;
    struct lun *lun;

    if (extents == 0 || rounds < 1)
        give_up("usage: bench_native_map VOLUME EXTENTS ROUNDS mapped|anchored");
    volume = make_volume(argv[1], extents, anchored);
    blocks = volume_blocks(volume);
    if (lun_open(volume, &lun) < 0)
        give_up("the LUN cannot be opened");
    for (int round = 0; round < rounds; round++) {
        printf("status - %" PRIu64 "\n", whole_status(lun, blocks, extents));
        /* which has no blocks but mapped ones and others */
        printf("bitmap - %" PRIu64 "\n", whole_bitmap(lun, blocks, anchored ? 1 : extents));
        for (unsigned place = 0; place < PLACES; place++)
            printf("query %u %" PRIu64 "\n", place * 100 / (PLACES - 1),
                   one_descriptor(lun, (blocks - 1) / (PLACES - 1) * place));
    }
    lun_close(lun);
    return 0;
}
