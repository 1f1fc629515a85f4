/* SPDX-License-Identifier: Apache-2.0 */
#include "reservation.h"

#include <errno.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"

#define HEADER_BYTES 8 /* PRGENERATION and ADDITIONAL LENGTH */
#define KEY_BYTES    8

const char *reservation_type_name(uint8_t type)
{
    switch (type) {
    case RESERVATION_WRITE_EXCLUSIVE:
        return "write exclusive";
    case RESERVATION_EXCLUSIVE_ACCESS:
        return "exclusive access";
    case RESERVATION_WRITE_EXCLUSIVE_REGISTRANTS:
        return "write exclusive, registrants only";
    case RESERVATION_EXCLUSIVE_ACCESS_REGISTRANTS:
        return "exclusive access, registrants only";
    case RESERVATION_WRITE_EXCLUSIVE_ALL:
        return "write exclusive, all registrants";
    case RESERVATION_EXCLUSIVE_ACCESS_ALL:
        return "exclusive access, all registrants";
    default:
        return "of an unknown type";
    }
}

size_t cdb_reserve_in(uint8_t cdb[static SCSI_CDB_MAX_BYTES], enum reservation_query query,
                      uint16_t allocation_length)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = SCSI_PERSISTENT_RESERVE_IN;
    cdb[1] = (uint8_t)query;
    put_be16(cdb + 7, allocation_length);
    return 10;
}

size_t cdb_reserve_out(uint8_t cdb[static SCSI_CDB_MAX_BYTES], enum reservation_action action,
                       uint8_t type)
{
    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = SCSI_PERSISTENT_RESERVE_OUT;
    cdb[1] = (uint8_t)action;
    cdb[2] = type & 0x0F; /* SCOPE 0h: the logical unit */
    put_be32(cdb + 5, RESERVATION_LIST_BYTES);
    return 10;
}

void reservation_list_encode(uint8_t to[static RESERVATION_LIST_BYTES], uint64_t key,
                             uint64_t action_key)
{
    memset(to, 0, RESERVATION_LIST_BYTES);
    put_be64(to, key);
    put_be64(to + 8, action_key);
}

/* The bytes behind the header that the reply announces and that came; -EINVAL without a header. */
static int body_length(const uint8_t *reply, size_t length, size_t *ret_came, uint64_t *ret_all)
{
    if (length < HEADER_BYTES)
        return -EINVAL;
    *ret_all = get_be32(reply + 4);
    *ret_came = (size_t)min_u64(*ret_all, length - HEADER_BYTES);
    return 0;
}

int reservation_decode(const uint8_t *reply, size_t length, struct reservation *ret)
{
    uint64_t all;
    size_t came;
    int r = body_length(reply, length, &came, &all);

    *ret = (struct reservation){0};
    if (r < 0 || all == 0)
        return r;
    if (came < RESERVATION_REPLY_BYTES - HEADER_BYTES)
        return -EINVAL;
    *ret = (struct reservation){.held = true,
                                .key = get_be64(reply + HEADER_BYTES),
                                .type = reply[21] & 0x0F};
    return 0;
}

int reservation_keys_decode(const uint8_t *reply, size_t length, uint64_t *keys, size_t count,
                            bool *ret_all)
{
    uint64_t all;
    size_t came, found;
    int r = body_length(reply, length, &came, &all);

    if (r < 0 || all % KEY_BYTES)
        return -EINVAL;
    found = (size_t)min_u64(came / KEY_BYTES, count);
    for (size_t i = 0; i < found; i++)
        keys[i] = get_be64(reply + HEADER_BYTES + i * KEY_BYTES);
    *ret_all = found == all / KEY_BYTES;
    return (int)found;
}
