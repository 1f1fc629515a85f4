/* SPDX-License-Identifier: Apache-2.0 */
#include "image_format.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "byteorder.h"
#include "shell_word.h"

#define HEAD_BYTES 4608 /* up to a GPT in the second block of 4096 bytes */
#define FOOT_BYTES 512
#define SECTOR     512

/* What is looked at. What lies beyond a small file's end is zeros. */
struct sample {
    uint64_t bytes; /* of the file */
    uint8_t head[HEAD_BYTES];
    uint8_t foot[FOOT_BYTES]; /* its last bytes */
};

static bool begins(const struct sample *sample, const char *mark, size_t length)
{
    return memcmp(sample->head, mark, length) == 0;
}

/* qemu: docs/interop/qcow2.txt. Version 1 has its own header, with the size at 24 as well. */
static bool is_qcow2(const struct sample *sample)
{
    uint32_t version = get_be32(sample->head + 4), cluster_bits = get_be32(sample->head + 20);
    uint64_t table = get_be64(sample->head + 40);

    return begins(sample, "QFI\xfb", 4) && (version == 2 || version == 3) && cluster_bits >= 9 &&
           cluster_bits <= 21 && table % (UINT64_C(1) << cluster_bits) == 0;
}

static bool is_qcow(const struct sample *sample)
{
    return begins(sample, "QFI\xfb", 4) && get_be32(sample->head + 4) == 1 &&
           sample->head[32] >= 9 && sample->head[32] <= 16;
}

static bool is_qed(const struct sample *sample)
{
    uint32_t cluster = get_le32(sample->head + 4);

    return begins(sample, "QED", 4) && cluster >= 4096 && (cluster & (cluster - 1)) == 0;
}

/* VMware: Virtual Disk Format 5.0, hosted sparse extents; COWD is what ESX 3 had. */
static bool is_vmdk(const struct sample *sample)
{
    uint32_t version = get_le32(sample->head + 4);
    uint64_t grain = get_le64(sample->head + 20);

    if (begins(sample, "KDMV", 4))
        return version >= 1 && version <= 3 && grain >= 1 && (grain & (grain - 1)) == 0;
    return begins(sample, "COWD", 4) && version == 1;
}

/* The extents of the disk are other files. */
static bool is_vmdk_descriptor(const struct sample *sample)
{
    static const char mark[] = "# Disk DescriptorFile";

    return begins(sample, mark, sizeof(mark) - 1);
}

static bool is_vdi(const struct sample *sample)
{
    return get_le32(sample->head + 64) == 0xBEDA107F && get_le32(sample->head + 68) == 0x00010001;
}

/* MS-VHDX 2.2.1. */
static bool is_vhdx(const struct sample *sample)
{
    return begins(sample, "vhdxfile", 8);
}

/* Virtual Hard Disk Image Format 1.0: the footer, by its checksum. */
static bool is_vhd_footer(const uint8_t *footer)
{
    uint32_t sum = 0;

    for (size_t i = 0; i < FOOT_BYTES; i++)
        sum += i >= 64 && i < 68 ? 0 : footer[i];
    return memcmp(footer, "conectix", 8) == 0 && get_be32(footer + 64) == ~sum;
}

static bool is_vhd(const struct sample *sample)
{
    return is_vhd_footer(sample->head);
}

static bool is_fixed_vhd(const struct sample *sample)
{
    return sample->bytes > FOOT_BYTES && is_vhd_footer(sample->foot);
}

static bool is_parallels(const struct sample *sample)
{
    return (begins(sample, "WithoutFreeSpace", 16) || begins(sample, "WithouFreSpacExt", 16)) &&
           get_le32(sample->head + 16) == 2;
}

/* RFC 1952 2.3: deflate, and no reserved flag. */
static bool is_gzip(const struct sample *sample)
{
    return begins(sample, "\x1f\x8b\x08", 3) && (sample->head[3] & 0xE0) == 0;
}

/* The .xz File Format 2.1.1: stream flags. */
static bool is_xz(const struct sample *sample)
{
    return begins(sample,
                  "\xfd"
                  "7zXZ\0",
                  7) &&
           sample->head[7] <= 0x0F;
}

/* RFC 8878 3.1.1.1.1: the reserved bit. A skippable frame may come first (pzstd). */
static bool is_zstd(const struct sample *sample)
{
    uint32_t mark = get_le32(sample->head), skipped = get_le32(sample->head + 4);

    if (mark >= 0x184D2A50 && mark <= 0x184D2A5F && skipped <= 64)
        return get_le32(sample->head + 8 + skipped) == 0xFD2FB528;
    return mark == 0xFD2FB528 && (sample->head[4] & 0x08) == 0;
}

/* A block, or the end of what was empty. */
static bool is_bzip2(const struct sample *sample)
{
    return begins(sample, "BZh", 3) && sample->head[3] >= '1' && sample->head[3] <= '9' &&
           (memcmp(sample->head + 4, "\x31\x41\x59\x26\x53\x59", 6) == 0 ||
            memcmp(sample->head + 4, "\x17\x72\x45\x38\x50\x90", 6) == 0);
}

/* LZ4 Frame Format: version 01, reserved bit 0. */
static bool is_lz4(const struct sample *sample)
{
    return get_le32(sample->head) == 0x184D2204 && (sample->head[4] & 0xC2) == 0x40 &&
           (sample->head[5] & 0x8F) == 0;
}

static bool is_zip(const struct sample *sample)
{
    return begins(sample, "PK\x03\x04", 4) && sample->head[5] == 0 && sample->head[4] >= 10 &&
           sample->head[4] <= 63;
}

static bool is_7z(const struct sample *sample)
{
    return begins(sample, "7z\xbc\xaf\x27\x1c", 6) && sample->head[6] == 0;
}

static bool is_partclone(const struct sample *sample)
{
    return begins(sample, "partclone-image", 16);
}

static bool is_ntfsclone(const struct sample *sample)
{
    return begins(sample, "\0ntfsclone-image", 16);
}

static bool is_ewf(const struct sample *sample)
{
    return begins(sample, "EVF\x09\x0d\x0a\xff", 8);
}

static const struct {
    struct image_format format;
    bool (*is)(const struct sample *sample);
} formats[] = {
    {{"a qcow2 image", "qcow2", NULL}, is_qcow2},
    {{"a qcow image", "qcow", NULL}, is_qcow},
    {{"a QED image", "qed", NULL}, is_qed},
    {{"a VMDK image", "vmdk", NULL}, is_vmdk},
    {{"the description of a VMDK image", "vmdk", NULL}, is_vmdk_descriptor},
    {{"a VDI image", "vdi", NULL}, is_vdi},
    {{"a VHDX image", "vhdx", NULL}, is_vhdx},
    {{"a VHD image", "vpc", NULL}, is_vhd},
    {{"a VHD image of fixed size", "vpc", NULL}, is_fixed_vhd},
    {{"a Parallels image", "parallels", NULL}, is_parallels},
    {{"compressed by gzip", NULL, "gzip -dc"}, is_gzip},
    {{"compressed by xz", NULL, "xz -dc"}, is_xz},
    {{"compressed by zstd", NULL, "zstd -dc"}, is_zstd},
    {{"compressed by bzip2", NULL, "bzip2 -dc"}, is_bzip2},
    {{"compressed by lz4", NULL, "lz4 -dc"}, is_lz4},
    {{"a zip archive", NULL, "unzip -p"}, is_zip},
    {{"a 7z archive", NULL, "7z x -so"}, is_7z},
    {{"an image of partclone", NULL, NULL}, is_partclone},
    {{"an image of ntfsclone", NULL, NULL}, is_ntfsclone},
    {{"an EWF (E01) image", NULL, NULL}, is_ewf},
};

/* One that makes sense, of a disk of that many bytes. */
static bool is_partition(const uint8_t *entry, uint64_t bytes)
{
    uint64_t start = get_le32(entry + 8), sectors = get_le32(entry + 12);

    return entry[4] != 0 && start > 0 && sectors > 0 && start * SECTOR < bytes;
}

/* A boot sector or partition table was written after anything else that begins there. */
static bool has_partitions(const struct sample *sample)
{
    bool any = false;

    if (memcmp(sample->head + SECTOR, "EFI PART", 8) == 0 ||
        memcmp(sample->head + 4096, "EFI PART", 8) == 0)
        return true;
    if (sample->head[510] != 0x55 || sample->head[511] != 0xAA)
        return false;
    for (int i = 0; i < 4; i++) {
        const uint8_t *entry = sample->head + 446 + 16 * i;

        if (entry[0] != 0 && entry[0] != 0x80)
            return false;
        any |= is_partition(entry, sample->bytes);
    }
    return any;
}

const struct image_format *image_format_of(int fd, uint64_t bytes)
{
    struct sample sample = {.bytes = bytes};

    if (pread(fd, sample.head, sizeof(sample.head), 0) <= 0)
        return NULL;
    if (bytes >= FOOT_BYTES &&
        pread(fd, sample.foot, FOOT_BYTES, (off_t)(bytes - FOOT_BYTES)) != FOOT_BYTES)
        return NULL;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        /* The footer stands behind the disk, whatever is on that. */
        if (formats[i].is(&sample) && (formats[i].is == is_fixed_vhd || !has_partitions(&sample)))
            return &formats[i].format;
    }
    return NULL;
}

const char *image_format_advice(const struct image_format *format, const char *path, char *to,
                                size_t size)
{
    char word[SHELL_WORD_BYTES];

    shell_word(path, word, sizeof(word));
    if (format->qemu)
        snprintf(to, size,
                 "qemu-nbd --format=%s --connect=/dev/nbd0 %.400s (after modprobe nbd) makes it "
                 "/dev/nbd0",
                 format->qemu, word);
    else if (format->unpack)
        snprintf(to, size, "unpack it first: %s %.400s > RAW-FILE", format->unpack, word);
    else
        snprintf(to, size, "restore it to a raw file first");
    return to;
}
