/* SPDX-License-Identifier: Apache-2.0 */
#include "token_list.h"

#include <errno.h>

#include "byteorder.h"

#define POPULATE_RTV  0x02
#define WRITE_DEL_TKN 0x02

int token_list_decode(const uint8_t *bytes, size_t length, bool writes, struct token_list *ret,
                      uint16_t *ret_field)
{
    size_t header = writes ? TOKEN_LIST_WRITE_BYTES : TOKEN_LIST_POPULATE_BYTES;
    size_t data, ranges;

    *ret = (struct token_list){0};
    if (length < header)
        return -EMSGSIZE;
    data = 2u + get_be16(bytes);
    ranges = get_be16(bytes + header - 2);
    *ret_field = TOKEN_FIELD_DATA_LENGTH;
    if (data > length || data < header)
        return -EINVAL;
    *ret_field = writes ? TOKEN_FIELD_WRITE_RANGES : TOKEN_FIELD_POPULATE_RANGES;
    if (ranges > data - header || ranges < TOKEN_LIST_RANGE_BYTES)
        return -EINVAL;
    ret->ranges = bytes + header;
    ret->range_count = ranges / TOKEN_LIST_RANGE_BYTES;
    if (writes) {
        ret->delete_token = bytes[2] & WRITE_DEL_TKN;
        ret->offset_blocks = get_be64(bytes + TOKEN_FIELD_OFFSET);
        ret->token = bytes + TOKEN_LIST_WRITE_TOKEN_AT;
    } else {
        ret->rod_type_valid = bytes[2] & POPULATE_RTV;
        ret->inactivity_seconds = get_be32(bytes + TOKEN_FIELD_INACTIVITY);
        ret->rod_type = get_be32(bytes + TOKEN_FIELD_ROD_TYPE);
    }
    return 0;
}

struct token_list_range token_list_get(const struct token_list *list, size_t index)
{
    const uint8_t *from = list->ranges + index * TOKEN_LIST_RANGE_BYTES;

    return (struct token_list_range){.lba = get_be64(from), .blocks = get_be32(from + 8)};
}
