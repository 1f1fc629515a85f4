/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_NTFS_H
#define THINMIRROR_NTFS_H

/* What the parts of the NTFS analyser share. All numbers on disk are little-endian; a cluster is
 * counted from the region's begin. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "region.h"

/* Of the first records of the master file table ($MFT), whose places are fixed. */
enum ntfs_file_number {
    NTFS_FILE_MFT = 0,
    NTFS_FILE_MIRROR = 1,
    NTFS_FILE_LOG = 2,
    NTFS_FILE_VOLUME = 3,
    NTFS_FILE_ROOT = 5,
    NTFS_FILE_BITMAP = 6,
    NTFS_FILE_BAD = 8,
};

enum ntfs_attribute_type {
    NTFS_ATTRIBUTE_LIST = 0x20,
    NTFS_VOLUME_INFORMATION = 0x70,
    NTFS_DATA = 0x80,
    NTFS_INDEX_ROOT = 0x90,
    NTFS_INDEX_ALLOCATION = 0xA0,
    NTFS_BITMAP = 0xB0,
};

#define NTFS_RECORD_BYTES_MAX 65536

struct ntfs {
    struct region *region;
    uint64_t cluster_bytes;
    uint64_t clusters;
    uint32_t record_bytes;    /* of an entry of the master file table */
    uint64_t table_start;     /* where the table begins, in bytes */
    uint64_t mirror_start;    /* where the copy of its first records is */
    struct byte_ranges table; /* the table's places, in order */
    struct byte_ranges used;  /* everything that was followed */
};

/* A file: its record and, when its attributes do not all fit that, the list of where they are.
 * Zero-initialise; ntfs_close gives it back, also after a failure. */
struct ntfs_file {
    uint64_t number;
    uint8_t *record;
    uint8_t *other; /* the other record in which an attribute was found last */
    uint8_t *list;  /* NULL: all of it is in the record */
    size_t list_bytes;
};

/* An attribute of a file; it points into the file, and is good until the next one is looked for. */
struct ntfs_attribute {
    uint32_t type;
    const char *name; /* what was asked for */
    const uint8_t *header;
    size_t length;
    bool resident;
    const uint8_t *value; /* of a resident one */
    size_t value_bytes;
    uint64_t bytes;             /* of what is in it, wherever that is */
    uint64_t initialised_bytes; /* how many of them were written; the others count as zeros */
};

/* Undoes the protection of a structure that was written in several sectors. Refuses, naming what,
 * when its first four bytes are not magic or one of the sectors is from another time. */
int ntfs_undo_fixups(const struct ntfs *ntfs, uint8_t *bytes, size_t length, const char *magic,
                     const char *what);

/* The record of the master file table into to, of record_bytes. Refuses when it is damaged or not
 * in use. */
int ntfs_read_record(struct ntfs *ntfs, uint64_t number, uint8_t *to);

/* Whether UTF-16 of letters letters at an offset in bytes is a name in ASCII. */
bool ntfs_is_name(const uint8_t *bytes, size_t length, size_t offset, size_t letters,
                  const char *name);

/* The first attribute of this type and of this name (ASCII, "" for none) in a record that
 * ntfs_read_record gave; with first (NULL: any) that piece of it which begins with this cluster of
 * the attribute. 1: found. 0: there is none. Refuses what is out of bounds. */
int ntfs_find_in_record(const struct ntfs *ntfs, const uint8_t *record, uint32_t type,
                        const char *name, const uint64_t *first, struct ntfs_attribute *ret);

/* Where the clusters of a piece of a nonresident attribute are, in their order, appended to ret
 * (-ENOMEM) and noted as used; *clusters, the attribute's clusters before it, grows by
 * them. Refuses what is compressed, encrypted, sparse, does not follow on, or is out of bounds. */
int ntfs_add_piece(struct ntfs *ntfs, const struct ntfs_attribute *piece, struct byte_ranges *ret,
                   uint64_t *clusters);

/* The file of this number. Refuses when its record is damaged, not in use, or only a part of
 * another file, or its list of attributes is damaged. -ENOMEM. */
int ntfs_open(struct ntfs *ntfs, uint64_t number, struct ntfs_file *file);
void ntfs_close(struct ntfs_file *file);

/* The attribute of this type and of this name (ASCII, "" for none; it stays the caller's), from its
 * begin, in whichever record of the file it is. 1: found. 0: there is none. Refuses what is out of
 * bounds, and a list of attributes that is wrong. */
int ntfs_find_attribute(struct ntfs *ntfs, struct ntfs_file *file, uint32_t type, const char *name,
                        struct ntfs_attribute *ret);

/* Where all of a nonresident attribute's bytes are, in their order, appended to ret, which is empty
 * or the table's (-ENOMEM), and noted as used. Refuses as ntfs_add_piece does. */
int ntfs_places(struct ntfs *ntfs, struct ntfs_file *file, const struct ntfs_attribute *attribute,
                struct byte_ranges *ret);

/* The same for a file that is nothing but clusters among holes, whatever its flags say; they are
 * noted as used and not told. */
int ntfs_note_scattered(struct ntfs *ntfs, const struct ntfs_attribute *attribute);

/* Copies [offset, offset + length) of a file with these places. -ERANGE beyond its end. */
int ntfs_read_places(const struct ntfs *ntfs, const struct byte_ranges *places, uint64_t offset,
                     void *to, size_t length);

/* Notes as used all clusters that a record of the file table tells of, as it is on disk; it is
 * changed. One that is not in use tells of none. Refuses a damaged one. */
int ntfs_note_record(struct ntfs *ntfs, uint8_t *record);

/* The bytes of an attribute, wherever they are: the first length of them. -ERANGE: it has fewer. */
int ntfs_read_attribute(struct ntfs *ntfs, struct ntfs_file *file,
                        const struct ntfs_attribute *attribute, void *to, size_t length);

/* 0: nothing is waiting to be written to the file system: its log is closed, the volume is not
 * marked as in use, and no suspended Windows holds it. Refuses otherwise. */
int ntfs_check_clean(struct ntfs *ntfs);

/* Refuses when a suspended Windows holds it: its memory is in the file hiberfil.sys. */
int ntfs_check_hibernation(struct ntfs *ntfs);

#endif
