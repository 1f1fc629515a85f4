/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_SCSI_RIG_H
#define THINMIRROR_TESTS_SCSI_RIG_H

/* A logical unit over the memory store and a way to talk to it: CDB in, bytes and sense out. Every
 * buffer lies in memory of exactly its length, cut into pieces of odd sizes, so that a byte too far
 * is seen by the sanitizer; every Data-In buffer is full of junk beforehand, so that a byte left
 * there is seen too.
 *
 * The same tests run against logical units behind a transport: TM_SCSI_LUNS names them, separated
 * by spaces, each with its geometry: BLOCK_SIZExBLOCKS=TARGET, or BLOCK_SIZExBLOCKSro=TARGET for a
 * read-only one, TARGET being iscsi://..., a device node or thin:VOLUME. Then `store`, `volume` and
 * `lun` are NULL; a test that looks at them, or makes them fail, says rig_needs_native first. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "lun.h"
#include "store.h"
#include "volume.h"

struct transport;

struct rig {
    struct transport *transport; /* NULL: native */
    struct lun *lun;
    struct store *store; /* the volume's; for faults and quotas */
    struct volume *volume;
    uint32_t block_size;
    uint64_t blocks;
};

/* UUID 00010203-0405-4607-8809-0a0b0c0d0e0f. */
extern const uuid_t rig_uuid;

/* No TM_SCSI_LUNS: lun_execute is called directly. */
bool rig_is_native(void);
/* Otherwise the test ends here, skipped, and why ("it makes the store fail") is told. */
void rig_needs_native(const char *why);
/* The same where the transport does not take that number of bytes in one command. */
void rig_needs_transfer(struct rig *rig, uint64_t bytes);

/* How far a loop over many cases that are alike goes at a time: 1, or `remote` where a command is a
 * round trip to another program. */
unsigned rig_step(const struct rig *rig, unsigned remote);
/* False for the commands that a kernel target, or the library between it and us, answers itself. */
bool rig_reaches(const struct rig *rig, uint8_t opcode);

/* granularity: the unit of mapping in bytes; a LUN behind a transport has what it has. Where
 * TM_SCSI_LUNS lists none of this geometry the test ends, skipped. */
void rig_open(struct rig *rig, uint32_t block_size, uint64_t blocks, uint32_t granularity,
              bool read_only);
/* Over a store of any kind, which belongs to the rig from then on. */
void rig_open_store(struct rig *rig, uint32_t block_size, struct store *store);
void rig_close(struct rig *rig);
/* Sends TEST UNIT READY until no unit attention is left. What opens a rig has done that. */
void rig_take_attentions(struct rig *rig);

/* For cmocka: state is a struct rig of 2048 blocks. rig_setup_512: blocks of 512 bytes, granules of
 * 4096; rig_setup_4096: both 4096. */
int rig_setup_512(void **state);
int rig_setup_4096(void **state);
int rig_teardown(void **state);

/* A row of struct CMUnitTest for each block size. */
#define BOTH(test)                                               \
    {"512: " #test, test, rig_setup_512, rig_teardown, NULL},    \
    {                                                            \
        "4096: " #test, test, rig_setup_4096, rig_teardown, NULL \
    }

struct answer {
    uint8_t status;
    uint8_t key;       /* of the sense data; 0 when there is none */
    uint16_t asc_ascq; /* the same */
    bool information_valid;
    uint64_t information; /* of the sense data, if valid */
    uint8_t response;     /* the sense data's RESPONSE CODE */
    uint8_t specific[3];  /* their SENSE KEY SPECIFIC; zeros when it is not valid */
    size_t length;        /* bytes of Data-In that mean something */
    bool padded;          /* or that the kernel's target filled up: it reports no residual */
    const uint8_t *data_in;
};

/* The CDB's length is that of its group. data_in receives size bytes. */
struct answer rig_command(struct rig *rig, const uint8_t *cdb);
struct answer rig_command_in(struct rig *rig, const uint8_t *cdb, void *data_in, size_t size);
struct answer rig_command_out(struct rig *rig, const uint8_t *cdb, const void *data_out,
                              size_t size);

#define assert_good(answer) rig_assert_good((answer), __FILE__, __LINE__)
#define assert_check(answer, key, asc_ascq) \
    rig_assert_check((answer), (key), (asc_ascq), __FILE__, __LINE__)

/* The reply has this number of bytes; where it may be padded, the rest is zeros. */
#define assert_length(answer, bytes) rig_assert_length((answer), (bytes), __FILE__, __LINE__)

void rig_assert_length(struct answer answer, size_t bytes, const char *file, int line);
void rig_assert_good(struct answer answer, const char *file, int line);
void rig_assert_check(struct answer answer, uint8_t key, uint16_t asc_ascq, const char *file,
                      int line);

/* Whole commands, which must succeed; blocks as many as fit. */
void rig_read(struct rig *rig, uint64_t lba, uint32_t blocks, void *to);
void rig_write(struct rig *rig, uint64_t lba, uint32_t blocks, const void *from);
/* Writes blocks full of byte. */
void rig_fill(struct rig *rig, uint64_t lba, uint32_t blocks, uint8_t byte);
void rig_unmap(struct rig *rig, uint64_t lba, uint32_t blocks);

struct rig_range {
    uint64_t lba;
    uint32_t blocks;
};
/* UNMAP with a sound list of these ranges; with ANCHOR set. */
struct answer rig_unmap_ranges(struct rig *rig, const struct rig_range *ranges, size_t count);
struct answer rig_unmap_ranges_anchor(struct rig *rig, const struct rig_range *ranges,
                                      size_t count);
/* ANC_SUP of VPD page B2h. */
bool rig_can_anchor(struct rig *rig);
/* Anchors the blocks. Where the unit does not support that (ANC_SUP) the test ends, skipped. */
void rig_anchor(struct rig *rig, uint64_t lba, uint32_t blocks);

/* Every byte of the blocks is this one. */
void rig_assert_blocks(struct rig *rig, uint64_t lba, uint32_t blocks, uint8_t byte);
/* By GET LBA STATUS all of them are mapped, or none; all have this status. */
void rig_assert_mapped(struct rig *rig, uint64_t lba, uint32_t blocks, bool mapped);
void rig_assert_status(struct rig *rig, uint64_t lba, uint32_t blocks, enum extent_status status);
/* All of them are mapped, or all anchored: a store may know that mapped blocks are zeros. */
void rig_assert_backed(struct rig *rig, uint64_t lba, uint32_t blocks);

#endif
