/* SPDX-License-Identifier: Apache-2.0 */

/* Runs a fuzz target over the files of a corpus, with any compiler: replay DIRECTORY.
 * One TAP line; a corpus without files fails. */

#include <dirent.h>
#include <errno.h>

#include "cleanup.h"
#include "fuzz.h"

static void cleanup_closedir(DIR **directory)
{
    if (*directory)
        closedir(*directory);
}

static int replay_file(const char *path)
{
    CLEANUP_FCLOSE FILE *file = fopen(path, "rb");
    CLEANUP_FREE uint8_t *bytes = NULL;
    long size;

    if (!file || fseek(file, 0, SEEK_END) != 0 || (size = ftell(file)) < 0)
        return -errno;
    rewind(file);
    bytes = malloc(size ? (size_t)size : 1);
    if (!bytes || fread(bytes, 1, (size_t)size, file) != (size_t)size)
        return -EIO;
    /* Named first, so that the input is known when the target dies of it. */
    fprintf(stderr, "# %s\n", path);
    return LLVMFuzzerTestOneInput(bytes, (size_t)size);
}

int main(int argc, char **argv)
{
    CLEANUP(cleanup_closedir) DIR *directory = argc == 2 ? opendir(argv[1]) : NULL;
    unsigned count = 0;
    struct dirent *entry;

    if (!directory) {
        printf("not ok - no corpus %s\n", argc == 2 ? argv[1] : "named");
        return 1;
    }
    while ((entry = readdir(directory))) {
        char path[4096];

        if (entry->d_name[0] == '.')
            continue;
        snprintf(path, sizeof(path), "%s/%s", argv[1], entry->d_name);
        if (replay_file(path)) {
            printf("not ok - cannot read %s\n", path);
            return 1;
        }
        count++;
    }
    printf("%s - replayed %u inputs of %s\n", count ? "ok" : "not ok", count, argv[1]);
    return count ? 0 : 1;
}
