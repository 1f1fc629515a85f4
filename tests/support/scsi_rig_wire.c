/* SPDX-License-Identifier: Apache-2.0 */
#include "scsi_rig_wire.h"

#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "capacity.h"
#include "cdb.h"
#include "lba_status.h"
#include "sense.h"

#define MAX_ATTEMPTS       4
#define MAX_KEPT           16
#define MAX_UNMAP_BLOCKS   (1u << 20)
#define MAX_TARGET_BYTES   1024
#define STATUS_REPLY_BYTES 4096

/* The target of the list's entry for this geometry: "512x2048=TARGET", "512x64ro=TARGET". */
static bool find_target(uint32_t block_size, uint64_t blocks, bool read_only,
                        char target[MAX_TARGET_BYTES])
{
    const char *at = getenv("TM_SCSI_LUNS");
    char key[64];
    size_t length = (size_t)snprintf(key, sizeof(key), "%" PRIu32 "x%" PRIu64 "%s=", block_size,
                                     blocks, read_only ? "ro" : "");

    while (at && *at) {
        size_t entry;

        at += strspn(at, " \n");
        entry = strcspn(at, " \n");
        if (entry > length && entry - length < MAX_TARGET_BYTES && strncmp(at, key, length) == 0) {
            memcpy(target, at + length, entry - length);
            target[entry - length] = 0;
            return true;
        }
        at += entry;
    }
    return false;
}

/* Opening a disk for oneself takes Linux long, so a device node stays open from test to test. */
static struct {
    char target[MAX_TARGET_BYTES];
    struct transport *transport;
} kept[MAX_KEPT];

static struct transport **place_for(const char *target)
{
    for (size_t i = 0; i < MAX_KEPT && strncmp(target, "/dev/", 5) == 0; i++) {
        if (!kept[i].target[0])
            snprintf(kept[i].target, sizeof(kept[i].target), "%s", target);
        if (strcmp(kept[i].target, target) == 0)
            return &kept[i].transport;
    }
    return NULL;
}

void rig_wire_close(struct rig *rig)
{
    struct transport *transport = rig->transport;

    rig->transport = NULL;
    for (size_t i = 0; transport && i < MAX_KEPT; i++) {
        if (kept[i].transport == transport)
            return;
    }
    transport_close(transport);
}

static struct transport *open_target(const char *target, bool writable)
{
    struct transport **place = place_for(target), *transport = NULL;
    struct errmsg err = {0};
    int r;

    if (place && *place)
        return *place;
    if (strncmp(target, "iscsi://", 8) == 0)
        r = transport_iscsi_open(target, NULL, &transport, &err);
    else if (strncmp(target, "thin:", 5) == 0)
        r = transport_local_open(target + 5, writable, &transport, &err);
    else
        r = transport_sg_open(target, writable, &transport, &err);
    if (r < 0)
        fail_msg("%s", err.text);
    if (place)
        *place = transport;
    return transport;
}

static void check_geometry(struct rig *rig)
{
    struct capacity capacity;
    uint8_t bytes[32];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_read_capacity_16(cdb, sizeof(bytes));
    assert_good(rig_command_in(rig, cdb, bytes, sizeof(bytes)));
    assert_int_equal(capacity_decode_16(bytes, sizeof(bytes), &capacity), 0);
    assert_int_equal(capacity.blocks, rig->blocks);
    assert_int_equal(capacity.block_size, rig->block_size);
}

static void unmap_extent(struct rig *rig, uint64_t lba, uint64_t blocks)
{
    while (blocks > 0) {
        uint32_t step = blocks < MAX_UNMAP_BLOCKS ? (uint32_t)blocks : MAX_UNMAP_BLOCKS;

        rig_unmap(rig, lba, step);
        lba += step;
        blocks -= step;
    }
}

/* Deallocates what an earlier test left. */
static void clear(struct rig *rig)
{
    uint8_t reply[STATUS_REPLY_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint64_t lba = 0;

    while (lba < rig->blocks) {
        uint64_t before = lba;

        cdb_get_lba_status_16(cdb, lba, sizeof(reply));
        assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
        for (size_t at = 8; at + 16 <= sizeof(reply) && at + 12 <= get_be32(reply); at += 16) {
            uint32_t blocks = get_be32(reply + at + 8);

            assert_int_equal(get_be64(reply + at), lba);
            if (reply[at + 12] != EXTENT_DEALLOCATED)
                unmap_extent(rig, lba, blocks);
            lba += blocks;
        }
        assert_true(lba > before);
    }
}

bool rig_wire_open(struct rig *rig, uint32_t block_size, uint64_t blocks, bool read_only)
{
    char target[MAX_TARGET_BYTES];

    if (!find_target(block_size, blocks, read_only, target))
        return false;
    *rig = (struct rig){.block_size = block_size, .blocks = blocks};
    rig->transport = open_target(target, !read_only);
    rig_take_attentions(rig);
    check_geometry(rig);
    if (!read_only)
        clear(rig);
    return true;
}

/* A session that was replaced under a command has it sent again. */
static void run(struct rig *rig, struct transport_request *request)
{
    int r = -ERESTART;

    for (int i = 0; i < MAX_ATTEMPTS && r == -ERESTART; i++)
        r = transport_run(rig->transport, request);
    if (r < 0)
        fail_msg("opcode %02Xh over %s: %s", request->cdb[0], rig->transport->ops->kind,
                 strerror(-r));
}

struct answer rig_wire_execute(struct rig *rig, const uint8_t *cdb,
                               enum transport_direction direction, void *data, size_t size)
{
    struct iovec iov = {.iov_base = data, .iov_len = size};
    struct transport_request request = {.cdb_length = cdb_length(cdb[0]), .direction = direction};
    struct answer answer = {0};
    struct sense sense;

    memcpy(request.cdb, cdb, request.cdb_length);
    if (size > 0) {
        request.iov = &iov;
        request.iov_count = 1;
    } else {
        request.direction = TRANSPORT_NO_DATA;
    }
    run(rig, &request);
    answer.status = request.status;
    if (answer.status == SCSI_STATUS_CHECK_CONDITION) {
        assert_int_equal(sense_decode(request.sense, request.sense_length, &sense), 0);
        answer.key = sense.key;
        answer.asc_ascq = sense.asc_ascq;
        answer.information_valid = sense.information_valid;
        answer.information = sense.information;
        answer.response = request.sense[0] & 0x7F;
        memcpy(answer.specific, sense.specific, sizeof(answer.specific));
    } else if (direction == TRANSPORT_DATA_IN && size > 0) {
        answer.length = request.transferred;
        answer.padded = answer.length == size && strcmp(rig->transport->ops->kind, "local") != 0;
    }
    return answer;
}
