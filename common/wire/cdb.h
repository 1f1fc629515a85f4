/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_WIRE_CDB_H
#define THINMIRROR_WIRE_CDB_H

/* CDBs, built and parsed purely. Encoders write the whole CDB (16 bytes at most) and return its
 * length; decoders expect at least cdb_length() bytes. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "scsi_defs.h"

/* The length in bytes that the operation code's group stands for (SPC-4 4.2.5.1): 6, 10, 12 or 16;
 * for 7Fh 32; 0 for reserved and vendor-specific groups. */
size_t cdb_length(uint8_t opcode);

/* The fields that READ, WRITE, VERIFY, WRITE AND VERIFY, COMPARE AND WRITE, ORWRITE, WRITE SAME,
 * PRE-FETCH and SYNCHRONIZE CACHE share, whatever their length. A READ(6)/WRITE(6) transfer length
 * of 0 is given as 256 (SBC-4 5.15). Flags that the CDB in question has no room for are false. */
struct cdb_block_fields {
    uint64_t lba;
    uint32_t blocks;
    uint8_t protect; /* RDPROTECT, WRPROTECT or VRPROTECT */
    bool dpo;
    bool fua;
    uint8_t bytchk; /* VERIFY, WRITE AND VERIFY: 0 to 3 */
    bool immed;     /* SYNCHRONIZE CACHE, PRE-FETCH */
    bool anchor;    /* WRITE SAME */
    bool unmap;     /* WRITE SAME */
    bool ndob;      /* WRITE SAME(16) */
    bool obsolete;  /* WRITE SAME(10)/(16): PBDATA or LBDATA set */
};

/* 0, or -EINVAL when the operation code is none of those. */
int cdb_decode_block_fields(const uint8_t *cdb, struct cdb_block_fields *ret);

/* Commands of SPC-4: TEST UNIT READY, INQUIRY (with a page: EVPD=1), MODE SENSE(6) (current values,
 * with block descriptors). Allocation lengths are in bytes. */
size_t cdb_test_unit_ready(uint8_t cdb[static SCSI_CDB_MAX_BYTES]);
size_t cdb_inquiry(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint16_t allocation_length);
size_t cdb_inquiry_vpd(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint8_t page,
                       uint16_t allocation_length);
size_t cdb_mode_sense_6(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint8_t page,
                        uint8_t allocation_length);
/* Commands of SBC-4: READ CAPACITY (5.20, 5.21), GET LBA STATUS(16) (5.9); READ(16) and WRITE(16)
 * of blocks from lba on. */
size_t cdb_read_capacity_10(uint8_t cdb[static SCSI_CDB_MAX_BYTES]);
size_t cdb_read_capacity_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint32_t allocation_length);
size_t cdb_get_lba_status_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba,
                             uint32_t allocation_length);
/* SBC-4 5.10. scan_blocks: how far is looked for blocks of that type (enum lba_status_type); 0: up
 * to the end. */
size_t cdb_get_lba_status_32(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba,
                             uint32_t scan_blocks, uint8_t report_type, uint32_t allocation_length);
size_t cdb_read_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks);
size_t cdb_write_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks,
                    bool fua);
/* unmap: the UNMAP bit. One block of Data-Out follows. */
size_t cdb_write_same_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint64_t lba, uint32_t blocks,
                         bool unmap);
/* SBC-4 5.33: of all blocks, IMMED=0. */
size_t cdb_synchronize_cache_10(uint8_t cdb[static SCSI_CDB_MAX_BYTES]);
size_t cdb_synchronize_cache_16(uint8_t cdb[static SCSI_CDB_MAX_BYTES]);
/* SBC-4 5.35, ANCHOR=0. The list (unmap_list.h) follows as Data-Out; its length is in bytes. */
size_t cdb_unmap(uint8_t cdb[static SCSI_CDB_MAX_BYTES], uint16_t parameter_list_length);

/* A name for messages: "READ(16)", "GET LBA STATUS(16)"; "opcode 5Fh" style text for unknown ones
 * is written to buffer (size bytes) and returned. */
const char *cdb_name(const uint8_t *cdb, char *buffer, size_t size);

#endif
