/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_BTRFS_H
#define THINMIRROR_BTRFS_H

/* What the parts of the btrfs analyser share. All numbers on disk are little-endian. Addresses
 * ("logical") are those of one space that chunks map to places on the disk. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

#define BTRFS_KEY_BYTES  17
#define BTRFS_COPIES_MAX 2
#define BTRFS_LEVELS_MAX 8

/* Objects that own trees. */
#define BTRFS_ROOT_TREE   1
#define BTRFS_EXTENT_TREE 2
#define BTRFS_CHUNK_TREE  3

struct btrfs_key {
    uint64_t object;
    uint8_t type;
    uint64_t offset;
};

struct btrfs_chunk {
    uint64_t logical;
    uint64_t length;
    uint64_t places[BTRFS_COPIES_MAX]; /* bytes in the region */
    unsigned copies;
    uint64_t used; /* the sum of its extents */
    uint64_t told; /* the same as its block group has it */
    bool has_group;
};

/* In the order of their addresses, which do not overlap. */
struct btrfs_chunks {
    struct btrfs_chunk *items;
    size_t count;
    size_t capacity;
};

struct btrfs {
    struct region *region;
    uint8_t fsid[16]; /* the one in the nodes */
    uint32_t node_bytes, sector_bytes;
    uint64_t device_bytes;
    uint64_t device_id;
    uint8_t device_uuid[16];
    struct btrfs_chunks chunks;
};

/* Where a tree begins. */
struct btrfs_root {
    uint64_t tree; /* the object that owns it */
    uint64_t logical;
    uint64_t generation;
    uint8_t level;
};

struct btrfs_key btrfs_get_key(const uint8_t *bytes);

/* Whether the CRC32C at the begin of a superblock or node is that of what follows its 32 bytes. */
bool btrfs_checksum_ok(const uint8_t *bytes, size_t length);

/* Calls item for all of a tree's items, in the order of their keys; its first failure ends the
 * walk. Every node is checked: its checksum, that it is what its parent says, that keys ascend. */
typedef int btrfs_item(void *context, const struct btrfs_key *key, const uint8_t *data,
                       size_t length);
int btrfs_walk(struct btrfs *btrfs, const struct btrfs_root *root, btrfs_item *item, void *context);

/* Adds one that is described by a chunk item of at least length bytes; refuses what is not on this
 * one disk in one piece, once or twice. *ret_bytes (may be NULL): of the item. */
int btrfs_add_chunk(const struct btrfs *btrfs, struct btrfs_chunks *chunks, uint64_t logical,
                    const uint8_t *item, size_t length, size_t *ret_bytes);
void btrfs_free_chunks(struct btrfs_chunks *chunks);

/* The chunk in which all of the range lies; NULL: none. */
struct btrfs_chunk *btrfs_find_chunk(const struct btrfs_chunks *chunks, uint64_t logical,
                                     uint64_t length);

/* Claims what belongs to no chunk, behind the first MiB and before the end of the disk as btrfs has
 * it, but for the superblock's copies. Refuses chunks that share a place. */
int btrfs_claim_unassigned(const struct btrfs *btrfs);

/* Claims what is free within the chunks, as the extent tree has it. */
int btrfs_claim_free(struct btrfs *btrfs, const struct btrfs_root *extent_tree);

#endif
