/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_RECORD_REPLY_H
#define THINMIRROR_WIRE_RECORD_REPLY_H

/* The change record of a LUN as an initiator sees it: READ BUFFER(16) in the vendor-specific mode,
 * whose BUFFER ID is a function, and the VPD page that announces it. docs/change-record.md has the
 * bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi_defs.h"

#define RECORD_PAGE_C1_BYTES 44
#define RECORD_HEADER_BYTES  96
#define RECORD_POINT_BYTES   64
#define RECORD_RANGE_BYTES   16
#define RECORD_UUID_BYTES    16

/* BUFFER ID. */
enum record_function {
    RECORD_STATUS = 0x00,
    RECORD_CUT = 0x01,
    RECORD_CHANGED = 0x02,
    RECORD_FORGET = 0x03,
    RECORD_RELEASE = 0x04,
};
#define RECORD_FUNCTIONS 0x001F /* bit n: function n */

enum record_state {
    RECORD_STATE_NONE = 0,
    RECORD_STATE_KEPT = 1,
    RECORD_STATE_LOST = 2,
};

/* The vendor-specific VPD page VPD_CHANGE_RECORD. */
struct record_page {
    uint32_t max_reply_bytes;
    uint32_t granule_bytes;
    bool refused; /* none is begun here */
    uint8_t uuid[RECORD_UUID_BYTES];
};

struct record_header {
    enum record_function function;
    uint32_t count; /* of descriptors */
    uint8_t uuid[RECORD_UUID_BYTES];
    uint64_t lun_bytes;
    uint32_t granule_bytes;
    enum record_state state;
    bool refused;
    uint8_t reason;
    uint8_t incarnation[RECORD_UUID_BYTES];
    /* CHANGED only. */
    uint8_t point[RECORD_UUID_BYTES];
    uint64_t first; /* granule */
    uint64_t next;
};

/* The descriptor of a consistency point. */
struct record_point_entry {
    uint8_t id[RECORD_UUID_BYTES];
    uint32_t consumer;
    uint32_t nonce;
    uint64_t time;         /* seconds of the epoch */
    uint64_t lun_bytes;    /* then */
    uint64_t mapped_bytes; /* UINT64_MAX: not known */
};

size_t record_page_encode(uint8_t to[static RECORD_PAGE_C1_BYTES], const struct record_page *page);
void record_header_encode(uint8_t to[static RECORD_HEADER_BYTES],
                          const struct record_header *header);
void record_point_encode(uint8_t to[static RECORD_POINT_BYTES],
                         const struct record_point_entry *point);
/* blocks: not 0. */
void record_range_encode(uint8_t to[static RECORD_RANGE_BYTES], uint64_t lba, uint32_t blocks,
                         bool suspect);

#endif
