/* SPDX-License-Identifier: Apache-2.0 */
#include "volume.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "checked.h"
#include "cleanup.h"
#include "file_place.h"
#include "iov.h"
#include "shell_word.h"
#include "store.h"
#include "store_file.h"
#include "volume_internal.h"

static void close_store(struct store **store)
{
    store_close(*store);
}

/* Takes the store over, also on failure. */
static int make_volume(struct store *store_given, const struct volume_meta *meta, bool read_only,
                       const char *name, struct volume **ret, struct errmsg *err)
{
    CLEANUP(close_store) struct store *store = store_given;
    uint64_t bytes = store->size_bytes;
    struct volume *volume;

    if (bytes == 0 || bytes % meta->block_size != 0)
        return errmsg_set(err, -EINVAL,
                          "%s is %" PRIu64 " bytes long, which is not a number of whole blocks of "
                          "%u bytes, at least one; make it so with truncate(1)",
                          name, bytes, meta->block_size);
    volume = calloc(1, sizeof(*volume));
    if (!volume)
        return errmsg_set(err, -ENOMEM, "%s cannot be opened: out of memory", name);
    volume->name = strdup(name);
    if (!volume->name || range_lock_create(&volume->ranges)) {
        free(volume->name);
        free(volume);
        return errmsg_set(err, -ENOMEM, "%s cannot be opened: out of memory", name);
    }
    volume->store = TAKE_PTR(store);
    volume->meta = *meta;
    volume->read_only = read_only;
    volume->sealed = meta->seal != VOLUME_WHOLE;
    pthread_mutex_init(&volume->meta_lock, NULL);
    pthread_mutex_init(&volume->watches_lock, NULL);
    *ret = volume;
    return 0;
}

int volume_over_store(struct store *store, const struct volume_meta *meta, bool read_only,
                      struct volume **ret, struct errmsg *err)
{
    return make_volume(store, meta, read_only, "the volume", ret, err);
}

/* Takes the store at path over, also on failure. */
static int open_described(struct store *store_given, const char *path, bool read_only,
                          struct volume **ret, struct errmsg *err)
{
    CLEANUP(close_store) struct store *store = store_given;
    struct volume_meta meta;
    int error = volume_meta_load(path, &meta, err);

    if (!error)
        error = make_volume(TAKE_PTR(store), &meta, read_only, path, ret, err);
    if (!error)
        (*ret)->described = true;
    return error;
}

static int say_how_to_create(const char *path, struct errmsg *err)
{
    char word[SHELL_WORD_BYTES];

    return errmsg_set(err, -ENOENT,
                      "%s does not exist; to make a new volume, run: thinvol create %s SIZE", path,
                      shell_word(path, word, sizeof(word)));
}

int volume_open(const char *path, bool read_only, struct volume **ret, struct errmsg *err)
{
    struct store *store;
    int error = store_file_open(path, read_only, &store, err);

    if (error)
        return error == -ENOENT ? say_how_to_create(path, err) : error;
    error = open_described(store, path, read_only, ret, err);
    if (error)
        return error;
    if (read_only)
        volume_look_at_record(*ret, false);
    else
        error = volume_open_record(*ret, err);
    if (error)
        volume_close(*ret);
    return error;
}

int volume_look(const char *path, struct volume **ret, char *user, size_t size, struct errmsg *err)
{
    struct store *store;
    int error = store_file_look(path, &store, user, size, err);

    if (error)
        return error == -ENOENT ? say_how_to_create(path, err) : error;
    error = open_described(store, path, true, ret, err);
    if (!error)
        volume_look_at_record(*ret, user[0] != '\0');
    return error;
}

static int refuse_second_description(const char *path, struct errmsg *err)
{
    CLEANUP_FREE char *description = NULL;

    if (asprintf(&description, "%s" VOLUME_META_SUFFIX, path) < 0) {
        description = NULL;
        return errmsg_set(err, -ENOMEM, "%s cannot be created: out of memory", path);
    }
    if (faccessat(AT_FDCWD, description, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        return errmsg_set(err, -EEXIST, "%s exists already, so %s is, or was, a volume",
                          description, path);
    return 0;
}

/* Takes back the file that was made at path. */
static void remove_file(const char *path)
{
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;

    if (file_place_open_name(path, &place, NULL) == 0)
        unlinkat(place.folder, place.name, 0);
}

int volume_create(const char *path, uint32_t block_size, uint64_t bytes, struct volume **ret,
                  struct errmsg *err)
{
    struct volume_meta meta;
    struct store *store;
    int error;

    if (bytes == 0 || bytes % block_size != 0)
        return errmsg_set(err, -EINVAL,
                          "a volume of %" PRIu64
                          " bytes is not possible: the size must be a number "
                          "of whole blocks of %u bytes, at least one",
                          bytes, block_size);
    error = refuse_second_description(path, err);
    if (error)
        return error;
    error = store_file_create(path, bytes, &store, err);
    if (error == -EEXIST)
        return errmsg_set(err, error,
                          "%s exists already; 'thinvol create --adopt' makes a volume of a file "
                          "that is there",
                          path);
    if (error)
        return error;
    volume_meta_init(&meta, block_size);
    error = volume_meta_create(path, &meta, err);
    if (error) {
        store_close(store);
        remove_file(path);
        return error;
    }
    error = make_volume(store, &meta, false, path, ret, err);
    if (!error)
        (*ret)->described = true;
    return error;
}

int volume_adopt(const char *path, uint32_t block_size, struct volume **ret, struct errmsg *err)
{
    struct volume *volume;
    struct volume_meta meta;
    struct store *store;
    int error = store_file_open(path, false, &store, err);

    if (error)
        return error;
    volume_meta_init(&meta, block_size);
    error = make_volume(store, &meta, false, path, &volume, err);
    if (error)
        return error;
    error = volume_meta_create(path, &meta, err);
    if (error) {
        volume_close(volume);
        return error;
    }
    volume->described = true;
    *ret = volume;
    return 0;
}

int volume_close(struct volume *volume)
{
    int error;

    if (!volume)
        return 0;
    error = volume_flush(volume);
    volume_close_record(volume, error == 0);
    store_close(volume->store);
    range_lock_free(volume->ranges);
    pthread_mutex_destroy(&volume->meta_lock);
    pthread_mutex_destroy(&volume->watches_lock);
    free(volume->name);
    free(volume);
    return error;
}

uint32_t volume_block_size(const struct volume *volume)
{
    return volume->meta.block_size;
}

uint64_t volume_bytes(const struct volume *volume)
{
    return volume->store->size_bytes;
}

uint64_t volume_blocks(const struct volume *volume)
{
    return volume_bytes(volume) / volume->meta.block_size;
}

uint32_t volume_granularity(const struct volume *volume)
{
    uint32_t of_store = volume->store->granularity_bytes;

    return of_store > volume->meta.block_size ? of_store : volume->meta.block_size;
}

bool volume_read_only(const struct volume *volume)
{
    return volume->read_only;
}

const struct volume_meta *volume_get_meta(const struct volume *volume)
{
    return &volume->meta;
}

int volume_read(struct volume *volume, const struct iovec *iov, int iov_count, uint64_t offset)
{
    SHARES_RANGE(volume, offset, iov_total(iov, iov_count));
    int error = may_read(volume);

    return error ? error : store_read(volume->store, iov, iov_count, offset);
}

int volume_read_cached(struct volume *volume, const struct iovec *iov, int iov_count,
                       uint64_t offset)
{
    uint64_t stripes = range_lock_stripes(offset, iov_total(iov, iov_count));
    int error;

    if (!range_lock_try_share(volume->ranges, stripes))
        return -EAGAIN;
    error = may_read(volume);
    if (!error)
        error = store_read_cached(volume->store, iov, iov_count, offset);
    range_lock_unshare(volume->ranges, stripes);
    return error;
}

int volume_write(struct volume *volume, const struct iovec *iov, int iov_count, uint64_t offset,
                 bool fua)
{
    uint64_t length = iov_total(iov, iov_count);
    SHARES_RANGE(volume, offset, length);
    int error;
    CHANGES_RANGE(volume, offset, length, error);

    return error ? error : store_write(volume->store, iov, iov_count, offset, fua);
}

int volume_try_write(struct volume *volume, const struct iovec *iov, int iov_count, uint64_t offset)
{
    uint64_t length = iov_total(iov, iov_count);
    uint64_t stripes = range_lock_stripes(offset, length);
    struct record_change change;
    int error;

    if (!range_lock_try_share(volume->ranges, stripes))
        return -EAGAIN;
    error = begin_change(volume, offset, length, false, &change);
    if (!error)
        error = store_write(volume->store, iov, iov_count, offset, false);
    end_change(&change);
    range_lock_unshare(volume->ranges, stripes);
    return error;
}

int volume_update(struct volume *volume, uint64_t offset, void *bytes, size_t length,
                  volume_change *change, void *context, bool fua)
{
    struct iovec iov = {.iov_base = bytes, .iov_len = length};
    OWNS_RANGE(volume, offset, length);
    int result;
    CHANGES_RANGE(volume, offset, length, result);

    if (!result)
        result = store_read(volume->store, &iov, 1, offset);
    if (!result)
        result = change(bytes, length, context);
    return result ? result : store_write(volume->store, &iov, 1, offset, fua);
}

int volume_unmap(struct volume *volume, uint64_t offset, uint64_t length)
{
    SHARES_RANGE(volume, offset, length);
    int error;
    CHANGES_RANGE(volume, offset, length, error);

    return error ? error : store_punch(volume->store, offset, length);
}

bool volume_can_anchor(const struct volume *volume)
{
    return volume->store->can_anchor;
}

int volume_anchor(struct volume *volume, uint64_t offset, uint64_t length)
{
    SHARES_RANGE(volume, offset, length);
    int error;
    CHANGES_RANGE(volume, offset, length, error);

    return error ? error : store_anchor(volume->store, offset, length);
}

int volume_unmap_all(struct volume *volume)
{
    CLEANUP(release_shared) struct hold everything = share(volume, RANGE_LOCK_ALL);
    int error;
    CHANGES_RANGE(volume, 0, volume_bytes(volume), error);

    return error ? error : store_punch(volume->store, 0, volume_bytes(volume));
}

int volume_zero(struct volume *volume, uint64_t offset, uint64_t length)
{
    SHARES_RANGE(volume, offset, length);
    int error;
    CHANGES_RANGE(volume, offset, length, error);

    return error ? error : store_zero(volume->store, offset, length);
}

int volume_flush(struct volume *volume)
{
    uint64_t ended = 0;
    int error;

    if (volume->read_only)
        return 0;
    if (volume->record)
        ended = record_flush_begins(volume->record);
    error = store_flush(volume->store);
    if (!error && volume->record)
        record_flushed(volume->record, ended);
    return error;
}

int volume_kept(const struct volume *volume)
{
    return store_kept(volume->store);
}

int volume_prefetch(struct volume *volume, uint64_t offset, uint64_t length)
{
    SHARES_RANGE(volume, offset, length);

    return store_advise(volume->store, offset, length, STORE_WILL_READ);
}

int volume_drop_cached(struct volume *volume, uint64_t offset, uint64_t length)
{
    SHARES_RANGE(volume, offset, length);

    return store_advise(volume->store, offset, length, STORE_RE_READ);
}

/* Whether any block from the byte offset on has storage; *ret_at is where. */
static int find_storage(struct volume *volume, uint64_t offset, bool *ret_found, uint64_t *ret_at)
{
    struct extent extent;

    *ret_found = false;
    for (; offset < volume_bytes(volume); offset += extent.length) {
        int error = volume_extent_held(volume, offset, volume_bytes(volume), &extent);

        if (error)
            return error;
        if (extent.status != EXTENT_DEALLOCATED) {
            *ret_found = true;
            *ret_at = offset;
            break;
        }
    }
    return 0;
}

static int refuse_losing_data(struct volume *volume, uint64_t bytes, struct errmsg *err)
{
    uint64_t at;
    bool found;
    int error = find_storage(volume, bytes, &found, &at);

    if (error)
        return errmsg_set(err, error, "%s: its map cannot be read: %s", volume->name,
                          strerror(-error));
    if (found)
        return errmsg_set(err, -EBUSY,
                          "%s has blocks in use beyond its new end, the first at LBA %" PRIu64
                          ", and would lose what is in them",
                          volume->name, at / volume->meta.block_size);
    return 0;
}

/* What is cut off changes, and what is added, which the record sees to. The change has ended before
 * that, since the record waits for changes. */
static int change_size(struct volume *volume, uint64_t bytes)
{
    uint64_t before = volume_bytes(volume), kept = min_u64(before, bytes);
    struct record_change change;
    int error = begin_change(volume, kept, before - kept, true, &change);

    if (!error)
        volume_notice_change(volume, 0, before);
    if (!error)
        error = store_resize(volume->store, bytes);
    end_change(&change);
    if (!error && volume->record)
        record_resized(volume->record, bytes);
    return error;
}

int volume_resize(struct volume *volume, uint64_t bytes, bool discard, struct errmsg *err)
{
    SIZE_CHANGES(volume);
    int error = 0;

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    if (volume->sealed)
        return errmsg_set(err, -ESHUTDOWN,
                          "a SANITIZE of %s runs or has failed; nothing else can be done with it "
                          "until one succeeds",
                          volume->name);
    if (bytes == 0 || bytes % volume->meta.block_size != 0)
        return errmsg_set(err, -EINVAL,
                          "%s cannot be %" PRIu64 " bytes long: the size must be a number of whole "
                          "blocks of %u bytes, at least one",
                          volume->name, bytes, volume->meta.block_size);
    if (bytes < volume_bytes(volume) && !discard)
        error = refuse_losing_data(volume, bytes, err);
    if (error)
        return error;
    error = change_size(volume, bytes);
    if (!error)
        error = store_flush(volume->store);
    if (error)
        errmsg_set(err, error, "%s cannot be made %" PRIu64 " bytes long: %s", volume->name, bytes,
                   strerror(-error));
    return error;
}

int volume_space(struct volume *volume, struct volume_space *ret)
{
    struct store_space space;
    int error = store_space(volume->store, &space);

    if (!error)
        *ret = (struct volume_space){.used_bytes = space.used_bytes,
                                     .pool_used_bytes = space.pool_used_bytes,
                                     .pool_available_bytes = space.pool_available_bytes};
    return error;
}

int volume_allocated(struct volume *volume, uint64_t *ret_bytes)
{
    return store_allocated(volume->store, ret_bytes);
}

bool volume_can_save(const struct volume *volume)
{
    return !volume->read_only;
}

int volume_save_mode_pages(struct volume *volume, const uint8_t *bytes, size_t length,
                           struct errmsg *err)
{
    SCOPED_LOCK(&volume->meta_lock);
    struct volume_meta meta = volume->meta;
    int error = 0;

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    if (length > sizeof(meta.mode_pages))
        return errmsg_set(err, -EINVAL, "%s: its mode pages take more than %d bytes", volume->name,
                          VOLUME_META_MODE_MAX_BYTES);
    memcpy(meta.mode_pages, bytes, length);
    meta.mode_pages_bytes = length;
    if (volume->described)
        error = volume_meta_replace(volume->name, &meta, err);
    if (error)
        return error;
    memcpy(volume->meta.mode_pages, bytes, length);
    volume->meta.mode_pages_bytes = length;
    return 0;
}

int volume_renew_uuid(struct volume *volume, struct errmsg *err)
{
    SCOPED_LOCK(&volume->meta_lock);
    struct volume_meta meta = volume->meta;
    int error = 0;

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    uuid_generate_random(meta.uuid);
    if (volume->described)
        error = volume_meta_replace(volume->name, &meta, err);
    if (!error)
        uuid_copy(volume->meta.uuid, meta.uuid);
    return error;
}
