/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_TOKEN_LIST_H
#define THINMIRROR_WIRE_TOKEN_LIST_H

/* The parameter lists of POPULATE TOKEN and WRITE USING TOKEN, SBC-4 5.15.2 and 5.49.2. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TOKEN_LIST_POPULATE_BYTES 16  /* before the range descriptors */
#define TOKEN_LIST_WRITE_BYTES    536 /* the same */
#define TOKEN_LIST_RANGE_BYTES    16
#define TOKEN_LIST_WRITE_TOKEN_AT 16

enum token_list_field {
    TOKEN_FIELD_DATA_LENGTH = 0,
    TOKEN_FIELD_INACTIVITY = 4,
    TOKEN_FIELD_ROD_TYPE = 8,
    TOKEN_FIELD_OFFSET = 8,
    TOKEN_FIELD_POPULATE_RANGES = 14,
    TOKEN_FIELD_WRITE_RANGES = 534,
};

/* A received list; it points into the caller's bytes. */
struct token_list {
    bool delete_token;           /* DEL_TKN; WRITE USING TOKEN */
    bool rod_type_valid;         /* RTV; POPULATE TOKEN, as the next two */
    uint32_t inactivity_seconds; /* 0: the default */
    uint32_t rod_type;
    uint64_t offset_blocks; /* OFFSET INTO ROD; WRITE USING TOKEN, as the next */
    const uint8_t *token;
    const uint8_t *ranges;
    size_t range_count;
};

struct token_list_range {
    uint64_t lba;
    uint32_t blocks;
};

/* length: the bytes there are. 0; -EMSGSIZE: cut before the range descriptors (5/1A/00); -EINVAL:
 * *ret_field is at fault (5/26/00). Fuzzed. */
int token_list_decode(const uint8_t *bytes, size_t length, bool writes, struct token_list *ret,
                      uint16_t *ret_field);

struct token_list_range token_list_get(const struct token_list *list, size_t index);

#endif
