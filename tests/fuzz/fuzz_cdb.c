/* SPDX-License-Identifier: Apache-2.0 */
#include "cdb.h"
#include "fuzz.h"

/* Decodes a CDB from an allocation of exactly the length that its operation code stands for. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    uint8_t whole[SCSI_CDB_MAX_BYTES], *cdb;
    struct cdb_block_fields fields;
    size_t length;
    char name[40];

    fuzz_bytes(&input, whole, sizeof(whole));
    length = cdb_length(whole[0]);
    FUZZ_CHECK(length <= sizeof(whole));
    if (length == 0)
        return 0;
    cdb = malloc(length);
    FUZZ_CHECK(cdb);
    memcpy(cdb, whole, length);
    if (cdb_decode_block_fields(cdb, &fields) == 0) {
        FUZZ_CHECK(length >= 16 || fields.lba <= UINT32_MAX);
        FUZZ_CHECK(length != 10 || fields.blocks <= UINT16_MAX);
        FUZZ_CHECK(length != 6 || (fields.lba < 1 << 21 && fields.blocks - 1 < 256));
        FUZZ_CHECK(fields.protect <= 7 && fields.bytchk <= 3);
    }
    FUZZ_CHECK(strlen(cdb_name(cdb, name, sizeof(name))) < sizeof(name));
    free(cdb);
    return 0;
}
