/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <unistd.h>

#include "cleanup.h"
#include "fuzz.h"
#include "volume_meta.h"

static char folder[64], volume[96], description[128];

static void remove_folder(void)
{
    unlink(description);
    rmdir(folder);
}

static void make_folder(void)
{
    snprintf(folder, sizeof(folder), "/dev/shm/thinmirror-fuzz-XXXXXX");
    FUZZ_CHECK(mkdtemp(folder) && atexit(remove_folder) == 0);
    snprintf(volume, sizeof(volume), "%s/volume", folder);
    snprintf(description, sizeof(description), "%s" VOLUME_META_SUFFIX, volume);
}

static void check_loaded(const struct volume_meta *meta)
{
    struct errmsg err = {""};
    struct volume_meta again;

    FUZZ_CHECK(volume_meta_load(volume, &again, &err) == 0 && err.text[0] == 0);
    FUZZ_CHECK(uuid_compare(meta->uuid, again.uuid) == 0 && meta->block_size == again.block_size);
    FUZZ_CHECK(meta->seal == again.seal && meta->mode_pages_bytes == again.mode_pages_bytes);
    FUZZ_CHECK(memcmp(meta->mode_pages, again.mode_pages, meta->mode_pages_bytes) == 0);
}

/* What was read is the same once it has been written, and what is there is not written over. */
static void check_written(const struct volume_meta *meta)
{
    struct errmsg err = {""};

    if (!folder[0])
        make_folder();
    unlink(description);
    FUZZ_CHECK(volume_meta_replace(volume, meta, &err) == -ENOENT && err.text[0]);
    FUZZ_CHECK(volume_meta_create(volume, meta, NULL) == 0);
    check_loaded(meta);
    err.text[0] = 0;
    FUZZ_CHECK(volume_meta_create(volume, meta, &err) == -EEXIST && err.text[0]);
    FUZZ_CHECK(volume_meta_replace(volume, meta, NULL) == 0);
    check_loaded(meta);
}

/* The same text as a file. */
static void check_file(const char *text, size_t size, int parsed)
{
    CLEANUP_FCLOSE FILE *file = NULL;
    struct errmsg err = {""};
    struct volume_meta meta;

    if (!folder[0])
        make_folder();
    file = fopen(description, "w");
    FUZZ_CHECK(file && fwrite(text, 1, size, file) == size && fflush(file) == 0);
    FUZZ_CHECK(volume_meta_load(volume, &meta, &err) == parsed);
    FUZZ_CHECK((parsed == 0) == (err.text[0] == 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    struct errmsg err = {""};
    struct volume_meta meta;

    int parsed = volume_meta_parse(text, size, &meta, &err);

    if (size <= VOLUME_META_MAX_BYTES)
        check_file(text, size, parsed);
    if (parsed) {
        FUZZ_CHECK(err.text[0] != 0);
        return 0;
    }
    FUZZ_CHECK(err.text[0] == 0);
    FUZZ_CHECK(meta.block_size == 512 || meta.block_size == 4096);
    FUZZ_CHECK(!uuid_is_null(meta.uuid));
    FUZZ_CHECK(meta.mode_pages_bytes <= sizeof(meta.mode_pages));
    check_written(&meta);
    return 0;
}
