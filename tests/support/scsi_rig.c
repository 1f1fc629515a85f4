/* SPDX-License-Identifier: Apache-2.0 */
#include "scsi_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "lba_status.h"
#include "scsi_rig_wire.h"
#include "sense.h"
#include "skip.h"
#include "store_mem.h"
#include "unmap_list.h"
#include "vpd.h"

#define JUNK                 0xEE
#define MAX_PIECES           8
#define MAX_ATTENTIONS       10
#define RIG_BLOCKS           2048
#define RIG_GRANULE          4096

#define SCSI_CDB_SHORT_BYTES 16

const uuid_t rig_uuid = {0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x46, 0x07,
                         0x88, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x0e, 0x0f};

bool rig_is_native(void)
{
    return !getenv("TM_SCSI_LUNS");
}

void rig_needs_native(const char *why)
{
    if (rig_is_native())
        return;
    skip_because("native only, %s", why);
}

void rig_needs_transfer(struct rig *rig, uint64_t bytes)
{
    unsigned long long max_bytes;

    if (!rig->transport || rig->transport->max_transfer_bytes == 0 ||
        rig->transport->max_transfer_bytes >= bytes)
        return;
    max_bytes = rig->transport->max_transfer_bytes;
    rig_close(rig);
    skip_because("this transport takes no more than %llu bytes at a time", max_bytes);
}

static bool is_remote(const struct rig *rig)
{
    return rig->transport && strcmp(rig->transport->ops->kind, "local") != 0;
}

unsigned rig_step(const struct rig *rig, unsigned remote)
{
    return is_remote(rig) ? remote : 1;
}

bool rig_reaches(const struct rig *rig, uint8_t opcode)
{
    /* REPORT LUNS, RESERVE, RELEASE, PERSISTENT RESERVE IN and OUT. */
    static const uint8_t kept[] = {0xA0, 0x16, 0x17, 0x56, 0x57, 0x5E, 0x5F};

    if (!is_remote(rig))
        return true;
    if (cdb_length(opcode) > SCSI_CDB_SHORT_BYTES &&
        strcmp(rig->transport->ops->kind, "iscsi") == 0)
        return false; /* libiscsi sends none so long */
    /* libtcmu knows no length of a CDB in the groups 3 (but 7Fh) and 6 and 7. */
    return !memchr(kept, opcode, sizeof(kept)) && (opcode < 0x60 || opcode > 0x7E) && opcode < 0xC0;
}

/* A new initiator meets the power on, and perhaps unit attentions of the target's own. */
void rig_take_attentions(struct rig *rig)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer = {0};

    cdb_test_unit_ready(cdb);
    for (int i = 0; i < MAX_ATTENTIONS; i++) {
        answer = rig_command(rig, cdb);
        if (answer.key != SENSE_UNIT_ATTENTION)
            break;
    }
    assert_good(answer);
}

static void open_over(struct rig *rig, uint32_t block_size, struct store *store, bool read_only)
{
    struct volume_meta meta = {.block_size = block_size};
    struct errmsg err;

    *rig = (struct rig){.store = store,
                        .block_size = block_size,
                        .blocks = store->size_bytes / block_size};
    memcpy(meta.uuid, rig_uuid, sizeof(uuid_t));
    assert_int_equal(volume_over_store(store, &meta, read_only, &rig->volume, &err), 0);
    assert_int_equal(lun_open(rig->volume, &rig->lun), 0);
    rig_take_attentions(rig);
}

void rig_open(struct rig *rig, uint32_t block_size, uint64_t blocks, uint32_t granularity,
              bool read_only)
{
    struct store *store;

    if (!rig_is_native()) {
        if (rig_wire_open(rig, block_size, blocks, read_only))
            return;
        skip_because("TM_SCSI_LUNS lists no LUN of %llu blocks of %u bytes%s",
                     (unsigned long long)blocks, block_size, read_only ? ", read-only" : "");
    }
    assert_int_equal(store_mem_create(blocks * block_size, granularity, &store), 0);
    open_over(rig, block_size, store, read_only);
}

void rig_open_store(struct rig *rig, uint32_t block_size, struct store *store)
{
    assert_true(rig_is_native());
    open_over(rig, block_size, store, false);
}

void rig_close(struct rig *rig)
{
    rig_wire_close(rig);
    lun_close(rig->lun);
    rig->lun = NULL;
}

static int setup(void **state, uint32_t block_size)
{
    struct rig *rig = malloc(sizeof(*rig));

    assert_non_null(rig);
    *state = rig;
    if (!rig_is_native())
        return rig_wire_open(rig, block_size, RIG_BLOCKS, false) ? 0 : -1;
    rig_open(rig, block_size, RIG_BLOCKS, RIG_GRANULE, false);
    return 0;
}

int rig_setup_512(void **state)
{
    return setup(state, 512);
}

int rig_setup_4096(void **state)
{
    return setup(state, 4096);
}

int rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

/* A scatter list of pieces of its own memory each. */
struct buffers {
    struct iovec iov[MAX_PIECES];
    int count;
};

static void make_buffers(struct buffers *buffers, const void *from, size_t size)
{
    static const size_t odd[MAX_PIECES - 1] = {1, 7, 8, 15, 511, 0, 4099};
    size_t done = 0;

    buffers->count = 0;
    while (done < size) {
        int i = buffers->count++;
        size_t length = i < MAX_PIECES - 1 ? odd[i] : size;

        if (length > size - done)
            length = size - done;
        buffers->iov[i].iov_len = length;
        buffers->iov[i].iov_base = malloc(length ? length : 1);
        assert_non_null(buffers->iov[i].iov_base);
        if (from)
            memcpy(buffers->iov[i].iov_base, (const uint8_t *)from + done, length);
        else
            memset(buffers->iov[i].iov_base, JUNK, length);
        done += length;
    }
}

static void take_buffers(struct buffers *buffers, void *to)
{
    size_t done = 0;

    for (int i = 0; i < buffers->count; i++) {
        if (to && buffers->iov[i].iov_len > 0)
            memcpy((uint8_t *)to + done, buffers->iov[i].iov_base, buffers->iov[i].iov_len);
        done += buffers->iov[i].iov_len;
        free(buffers->iov[i].iov_base);
    }
}

static struct answer execute(struct rig *rig, const uint8_t *cdb, struct buffers *out,
                             struct buffers *in)
{
    size_t length = cdb_length(cdb[0]);
    uint8_t *exact = malloc(length ? length : 1);
    struct lun_command command = {
        .cdb = exact,
        .cdb_length = length,
        .data_out = out->iov,
        .data_out_count = out->count,
        .data_in = in->iov,
        .data_in_count = in->count,
    };
    struct answer answer = {0};
    struct sense sense;

    assert_non_null(exact);
    memcpy(exact, cdb, length);
    memset(command.sense, JUNK, sizeof(command.sense));
    answer.status = lun_execute(rig->lun, &command);
    answer.length = command.data_in_bytes;
    free(exact);
    if (answer.status == SCSI_STATUS_CHECK_CONDITION) {
        assert_int_equal(sense_decode(command.sense, sizeof(command.sense), &sense), 0);
        answer.key = sense.key;
        answer.asc_ascq = sense.asc_ascq;
        answer.information_valid = sense.information_valid;
        answer.information = sense.information;
        answer.response = command.sense[0] & 0x7F;
        memcpy(answer.specific, sense.specific, sizeof(answer.specific));
    } else {
        for (size_t i = 0; i < sizeof(command.sense); i++)
            assert_int_equal(command.sense[i], 0);
    }
    return answer;
}

struct answer rig_command(struct rig *rig, const uint8_t *cdb)
{
    struct buffers none = {0};

    if (rig->transport)
        return rig_wire_execute(rig, cdb, TRANSPORT_NO_DATA, NULL, 0);
    return execute(rig, cdb, &none, &none);
}

struct answer rig_command_in(struct rig *rig, const uint8_t *cdb, void *data_in, size_t size)
{
    struct buffers in, none = {0};
    struct answer answer;

    if (rig->transport) {
        if (size > 0)
            memset(data_in, JUNK, size);
        answer = rig_wire_execute(rig, cdb, TRANSPORT_DATA_IN, data_in, size);
    } else {
        make_buffers(&in, NULL, size);
        answer = execute(rig, cdb, &none, &in);
        take_buffers(&in, data_in);
        for (size_t i = answer.length; i < size; i++)
            assert_int_equal(((uint8_t *)data_in)[i], 0);
    }
    answer.data_in = data_in;
    return answer;
}

struct answer rig_command_out(struct rig *rig, const uint8_t *cdb, const void *data_out,
                              size_t size)
{
    struct buffers out, none = {0};
    struct answer answer;

    if (rig->transport)
        return rig_wire_execute(rig, cdb, TRANSPORT_DATA_OUT, (void *)data_out, size);
    make_buffers(&out, data_out, size);
    answer = execute(rig, cdb, &out, &none);
    take_buffers(&out, NULL);
    return answer;
}

void rig_assert_length(struct answer answer, size_t bytes, const char *file, int line)
{
    if (!answer.padded) {
        _assert_int_equal(answer.length, bytes, file, line);
        return;
    }
    _assert_in_range(bytes, 0, answer.length, file, line);
    for (size_t i = bytes; i < answer.length; i++)
        _assert_int_equal(answer.data_in[i], 0, file, line);
}

void rig_assert_good(struct answer answer, const char *file, int line)
{
    if (answer.status != SCSI_STATUS_GOOD)
        print_error("status %02Xh, sense %X/%02X/%02X\n", answer.status, answer.key,
                    answer.asc_ascq >> 8, answer.asc_ascq & 0xFF);
    _assert_int_equal(answer.status, SCSI_STATUS_GOOD, file, line);
}

void rig_assert_check(struct answer answer, uint8_t key, uint16_t asc_ascq, const char *file,
                      int line)
{
    _assert_int_equal(answer.status, SCSI_STATUS_CHECK_CONDITION, file, line);
    _assert_int_equal(answer.key, key, file, line);
    _assert_int_equal(answer.asc_ascq, asc_ascq, file, line);
    _assert_int_equal(answer.length, 0, file, line);
}

void rig_read(struct rig *rig, uint64_t lba, uint32_t blocks, void *to)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_read_16(cdb, lba, blocks);
    assert_good(rig_command_in(rig, cdb, to, (size_t)blocks * rig->block_size));
}

void rig_write(struct rig *rig, uint64_t lba, uint32_t blocks, const void *from)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_write_16(cdb, lba, blocks, false);
    assert_good(rig_command_out(rig, cdb, from, (size_t)blocks * rig->block_size));
}

void rig_fill(struct rig *rig, uint64_t lba, uint32_t blocks, uint8_t byte)
{
    uint8_t *bytes = malloc((size_t)blocks * rig->block_size);

    assert_non_null(bytes);
    memset(bytes, byte, (size_t)blocks * rig->block_size);
    rig_write(rig, lba, blocks, bytes);
    free(bytes);
}

static struct answer send_unmap(struct rig *rig, const struct rig_range *ranges, size_t count,
                                bool anchor)
{
    size_t length = unmap_list_bytes(count);
    uint8_t *list = malloc(length);
    struct unmap_descriptor *descriptors = calloc(count + 1, sizeof(*descriptors));
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    struct answer answer;

    assert_non_null(list);
    assert_non_null(descriptors);
    for (size_t i = 0; i < count; i++)
        descriptors[i] =
            (struct unmap_descriptor){.lba = ranges[i].lba, .blocks = ranges[i].blocks};
    unmap_list_encode(list, descriptors, count);
    cdb_unmap(cdb, (uint16_t)length);
    cdb[1] = anchor;
    answer = rig_command_out(rig, cdb, list, length);
    free(descriptors);
    free(list);
    return answer;
}

struct answer rig_unmap_ranges(struct rig *rig, const struct rig_range *ranges, size_t count)
{
    return send_unmap(rig, ranges, count, false);
}

struct answer rig_unmap_ranges_anchor(struct rig *rig, const struct rig_range *ranges, size_t count)
{
    return send_unmap(rig, ranges, count, true);
}

bool rig_can_anchor(struct rig *rig)
{
    struct vpd_provisioning provisioning;
    uint8_t page[VPD_PAGE_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry_vpd(cdb, VPD_LOGICAL_BLOCK_PROVISIONING, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(vpd_decode_provisioning(page, sizeof(page), &provisioning), 0);
    return provisioning.anc_sup;
}

void rig_anchor(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    if (!rig_can_anchor(rig))
        skip_because("the file system below this LUN cannot anchor blocks");
    assert_good(rig_unmap_ranges_anchor(rig, &(struct rig_range){lba, blocks}, 1));
}

void rig_unmap(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    assert_good(rig_unmap_ranges(rig, &(struct rig_range){lba, blocks}, 1));
}

void rig_assert_blocks(struct rig *rig, uint64_t lba, uint32_t blocks, uint8_t byte)
{
    size_t length = (size_t)blocks * rig->block_size;
    uint8_t *found = malloc(length);

    assert_non_null(found);
    rig_read(rig, lba, blocks, found);
    for (size_t i = 0; i < length; i++)
        assert_int_equal(found[i], byte);
    free(found);
}

void rig_assert_mapped(struct rig *rig, uint64_t lba, uint32_t blocks, bool mapped)
{
    rig_assert_status(rig, lba, blocks, mapped ? EXTENT_MAPPED : EXTENT_DEALLOCATED);
}

static unsigned status_of(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    uint8_t reply[LBA_STATUS_HEADER_BYTES + LBA_STATUS_DESCRIPTOR_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_get_lba_status_16(cdb, lba, sizeof(reply));
    assert_good(rig_command_in(rig, cdb, reply, sizeof(reply)));
    assert_int_equal(get_be64(reply + 8), lba);
    assert_true(get_be32(reply + 16) >= blocks);
    return reply[20];
}

void rig_assert_status(struct rig *rig, uint64_t lba, uint32_t blocks, enum extent_status status)
{
    assert_int_equal(status_of(rig, lba, blocks), status);
}

void rig_assert_backed(struct rig *rig, uint64_t lba, uint32_t blocks)
{
    assert_int_not_equal(status_of(rig, lba, blocks), EXTENT_DEALLOCATED);
}
