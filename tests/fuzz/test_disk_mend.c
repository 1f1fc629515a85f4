/* SPDX-License-Identifier: Apache-2.0 */

/* The mutator's checksums are those of the tools that made the seeds: test_disk_mend CORPUS */

#include "byteorder.h"
#include "cleanup.h"
#include "disk_pieces.h"
#include "fuzz.h"

struct seed {
    const char *file;
    uint64_t offset; /* where there is a checksum or a fixup */
    size_t bytes;
};

static const struct seed seeds[] = {
    {"disk_xfs/v5", 224, 4},
    {"disk_xfs/v5", 512 + 216, 4},
    {"disk_btrfs/dup", 65536, 4},
    {"disk_btrfs/inner", 65536, 4},
    {"disk_gpt/two", 512 + 16, 4},
    {"disk_gpt/two", 512 + 88, 4},
    {"disk_lvm/plain", 512 + 16, 4},
    {"disk_lvm/plain", 4096, 4},
    {"disk_lvm/plain", 4096 + 56, 4},
    {"disk_ntfs/plain", 16384 + 510, 2},
    {"disk_ntfs/woken", 16384 + 1022, 2},
    {"disk_exfat/plain", 11 * 512 + 8, 4},
    {"disk_md/1.2", 4096 + 216, 4},
    {"disk_ext/ext4", 1024 + 1020, 4}, /* the superblock */
    {"disk_ext/ext4", 2048 + 30, 2},   /* a group's descriptor */
    {"disk_ext/ext4", 2048 + 24, 2},   /* its block bitmap, low and high */
    {"disk_ext/ext4", 2048 + 56, 2},
    {"disk_ext/ext4", 2048 + 26, 2}, /* its inode bitmap */
    {"disk_ext/ext4", 2048 + 58, 2},
    {"disk_ext/ext4", 66 * 1024 + 256 + 124, 2}, /* inode 2 */
    {"disk_ext/ext4", 66 * 1024 + 256 + 130, 2},
    {"disk_ext/bigalloc", 1024 + 1020, 4},
    {"disk_ext/bigalloc", 4096 + 24, 2},
    {"disk_ext/uninit", 2048 + 30, 2},
    {"disk_ext/uninit", 2048 + 64 + 30, 2},
};

static uint8_t *read_seed(const char *corpus, const char *name, size_t *ret_size)
{
    char path[4096];
    CLEANUP_FCLOSE FILE *file = NULL;
    uint8_t *bytes;
    long size;

    snprintf(path, sizeof(path), "%s/%s", corpus, name);
    file = fopen(path, "rb");
    FUZZ_CHECK(file && fseek(file, 0, SEEK_END) == 0 && (size = ftell(file)) > 0);
    rewind(file);
    bytes = malloc((size_t)size);
    FUZZ_CHECK(bytes && fread(bytes, 1, (size_t)size, file) == (size_t)size);
    *ret_size = (size_t)size;
    return bytes;
}

static bool is_mended(const char *corpus, const struct seed *seed)
{
    uint8_t before[4], wrong[4];
    size_t size;
    CLEANUP_FREE uint8_t *sound = read_seed(corpus, seed->file, &size);
    CLEANUP_FREE uint8_t *copy = read_seed(corpus, seed->file, &size);

    disk_mend(copy, size);
    if (memcmp(sound, copy, size) != 0)
        return false;
    disk_read(copy, size, seed->offset, before, seed->bytes);
    for (size_t i = 0; i < seed->bytes; i++)
        wrong[i] = before[i] ^ 0x5A;
    disk_write(copy, size, seed->offset, wrong, seed->bytes);
    if (memcmp(sound, copy, size) == 0)
        return false;
    disk_mend(copy, size);
    return memcmp(sound, copy, size) == 0;
}

int main(int argc, char **argv)
{
    bool all = argc == 2;

    for (size_t i = 0; argc == 2 && i < sizeof(seeds) / sizeof(seeds[0]); i++) {
        bool mended = is_mended(argv[1], &seeds[i]);

        printf("%s - the checksum at byte %llu of %s is mended to what it was\n",
               mended ? "ok" : "not ok", (unsigned long long)seeds[i].offset, seeds[i].file);
        all = all && mended;
    }
    return all ? 0 : 1;
}
