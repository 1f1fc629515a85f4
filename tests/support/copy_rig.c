/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "vpd.h"

void copy_rig_start(struct copy_rig_list *list, uint8_t id, unsigned usage)
{
    memset(list, 0, sizeof(*list));
    list->bytes[0] = id;
    list->bytes[1] = (uint8_t)(usage << 3);
    list->length = COPY_LIST_HEADER_BYTES;
}

/* NAA designator of a LUN by its page 83h. */
static void get_naa(struct rig *rig, uint8_t naa[16])
{
    uint8_t page[VPD_PAGE_MAX_BYTES], cdb[SCSI_CDB_MAX_BYTES];

    cdb_inquiry_vpd(cdb, VPD_DEVICE_IDENTIFICATION, sizeof(page));
    assert_good(rig_command_in(rig, cdb, page, sizeof(page)));
    assert_int_equal(page[5], 0x03);
    memcpy(naa, page + 8, 16);
}

void copy_rig_add_cscd(struct copy_rig_list *list, struct rig *rig)
{
    uint8_t naa[16];

    get_naa(rig, naa);
    copy_cscd_encode(list->bytes + list->length, naa, rig->block_size);
    list->length += COPY_CSCD_BYTES;
    put_be16(list->bytes + 2, (uint16_t)(get_be16(list->bytes + 2) + COPY_CSCD_BYTES));
}

uint8_t *copy_rig_add_segment(struct copy_rig_list *list, uint16_t source, uint64_t source_lba,
                              uint16_t destination, uint64_t destination_lba, uint16_t blocks)
{
    uint8_t *segment = list->bytes + list->length;

    segment[0] = COPY_SEGMENT_BLOCK_TO_BLOCK;
    put_be16(segment + 2, COPY_SEGMENT_BYTES - 4);
    put_be16(segment + 4, source);
    put_be16(segment + 6, destination);
    put_be16(segment + 10, blocks);
    put_be64(segment + 12, source_lba);
    put_be64(segment + 20, destination_lba);
    list->length += COPY_SEGMENT_BYTES;
    put_be32(list->bytes + 8, get_be32(list->bytes + 8) + COPY_SEGMENT_BYTES);
    return segment;
}

struct answer copy_rig_send(struct rig *rig, const struct copy_rig_list *list)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_THIRD_PARTY_COPY_OUT, SCSI_SA_EXTENDED_COPY_LID1};

    put_be32(cdb + 10, (uint32_t)list->length);
    return rig_command_out(rig, cdb, list->bytes, list->length);
}

struct answer copy_rig_receive(struct rig *rig, uint8_t action, uint8_t list_id, void *to,
                               size_t size)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_THIRD_PARTY_COPY_IN, action, list_id};

    put_be32(cdb + 10, (uint32_t)size);
    return rig_command_in(rig, cdb, to, size);
}

static struct copy_rig_blame read_blame(const uint8_t *sense)
{
    struct copy_rig_blame blame = {
        .segment = get_be16(sense + 10),
        .has_field = sense[15] & 0x80,
        .field = get_be16(sense + 16),
        .by_source = sense[8] != 0,
        .by_destination = sense[9] != 0,
    };
    size_t at = sense[8] + sense[9];

    assert_int_equal(sense[0] & 0x7F, 0x70);
    if (blame.has_field)
        assert_int_equal(sense[15], 0xA0); /* of the segment descriptor */
    if (at)
        blame.status = sense[at];
    if (blame.status == SCSI_STATUS_CHECK_CONDITION)
        assert_int_equal(sense_decode(sense + at + 1, 8u + sense[7] - at - 1, &blame.told), 0);
    else if (at)
        assert_int_equal(8u + sense[7], at + 1);
    return blame;
}

/* The sense data of the copy with this identifier, as FAILURE DETAILS keeps it. */
struct copy_rig_blame copy_rig_failure(struct rig *rig, uint8_t list_id)
{
    uint8_t reply[200];

    assert_good(copy_rig_receive(rig, SCSI_SA_RECEIVE_COPY_FAILURE_DETAILS_LID1, list_id, reply,
                                 sizeof(reply)));
    assert_int_equal(get_be32(reply) + 4, 60 + get_be16(reply + 58));
    assert_int_equal(reply[56], SCSI_STATUS_CHECK_CONDITION);
    assert_int_equal(reply[62] & 0x0F, SENSE_COPY_ABORTED);
    return read_blame(reply + 60);
}
