/* SPDX-License-Identifier: Apache-2.0 */
#include "record_reply.h"

#include <string.h>

#include "byteorder.h"

#define SIGNATURE       "TMRECORD"
#define SIGNATURE_BYTES 8
#define VERSION         1
#define MODE_VENDOR     0x01
#define FLAG_REFUSED    0x01
#define RANGE_CHANGED   1
#define RANGE_SUSPECT   2

size_t record_page_encode(uint8_t to[static RECORD_PAGE_C1_BYTES], const struct record_page *page)
{
    memset(to, 0, RECORD_PAGE_C1_BYTES);
    to[1] = VPD_CHANGE_RECORD;
    put_be16(to + 2, RECORD_PAGE_C1_BYTES - 4);
    memcpy(to + 4, SIGNATURE, SIGNATURE_BYTES);
    to[12] = VERSION;
    to[13] = MODE_VENDOR;
    put_be16(to + 14, RECORD_FUNCTIONS);
    put_be32(to + 16, page->max_reply_bytes);
    put_be32(to + 20, page->granule_bytes);
    to[24] = page->refused ? FLAG_REFUSED : 0;
    memcpy(to + 28, page->uuid, RECORD_UUID_BYTES);
    return RECORD_PAGE_C1_BYTES;
}

void record_header_encode(uint8_t to[static RECORD_HEADER_BYTES],
                          const struct record_header *header)
{
    memset(to, 0, RECORD_HEADER_BYTES);
    memcpy(to, SIGNATURE, SIGNATURE_BYTES);
    to[8] = VERSION;
    to[9] = (uint8_t)header->function;
    put_be16(to + 10, RECORD_HEADER_BYTES);
    put_be32(to + 12, header->count);
    memcpy(to + 16, header->uuid, RECORD_UUID_BYTES);
    put_be64(to + 32, header->lun_bytes);
    put_be32(to + 40, header->granule_bytes);
    to[44] = (uint8_t)header->state;
    to[45] = header->refused ? FLAG_REFUSED : 0;
    to[46] = header->reason;
    to[47] = header->function == RECORD_CHANGED ? RECORD_RANGE_BYTES : RECORD_POINT_BYTES;
    memcpy(to + 48, header->incarnation, RECORD_UUID_BYTES);
    memcpy(to + 64, header->point, RECORD_UUID_BYTES);
    put_be64(to + 80, header->first);
    put_be64(to + 88, header->next);
}

void record_point_encode(uint8_t to[static RECORD_POINT_BYTES],
                         const struct record_point_entry *point)
{
    memset(to, 0, RECORD_POINT_BYTES);
    memcpy(to, point->id, RECORD_UUID_BYTES);
    put_be32(to + 16, point->consumer);
    put_be32(to + 20, point->nonce);
    put_be64(to + 24, point->time);
    put_be64(to + 32, point->lun_bytes);
    put_be64(to + 40, point->mapped_bytes);
}

void record_range_encode(uint8_t to[static RECORD_RANGE_BYTES], uint64_t lba, uint32_t blocks,
                         bool suspect)
{
    memset(to, 0, RECORD_RANGE_BYTES);
    put_be64(to, lba);
    put_be32(to + 8, blocks);
    to[12] = suspect ? RANGE_SUSPECT : RANGE_CHANGED;
}
