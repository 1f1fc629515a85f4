/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_track.h"

#include <errno.h>
#include <string.h>

#include "log.h"
#include "record.h"
#include "record_file.h"
#include "record_layout.h"
#include "store.h"
#include "volume_internal.h"

_Static_assert(VOLUME_POINT_ID_BYTES == RECORD_ID_BYTES && VOLUME_POINTS == RECORD_POINTS,
               "a point is a point");

/* How often a look at a record that is being changed is repeated. */
#define LOOKS 5

void volume_keep_record(struct volume *volume, struct record *record)
{
    volume->record = record;
}

static int describe_subject(struct volume *volume, struct record_subject *ret, struct errmsg *err)
{
    int error = store_identify(volume->store, true, &ret->identity);

    memcpy(ret->volume, volume->meta.uuid, RECORD_ID_BYTES);
    ret->bytes = volume->store->size_bytes;
    ret->name = volume->name;
    ret->in_use = false;
    if (error)
        return errmsg_set(err, error, "%s cannot have a change record: %s", volume->name,
                          strerror(-error));
    return 0;
}

/* Points are about what is durable. */
static int flush_first(struct volume *volume, struct errmsg *err)
{
    int error = store_flush(volume->store);

    return error ? errmsg_set(err, error, "%s cannot be made durable: %s", volume->name,
                              strerror(-error))
                 : 0;
}

static int keep_again(struct volume *volume, struct errmsg *err)
{
    struct record_medium *medium;
    struct record *record;
    struct record_subject subject;
    int error = describe_subject(volume, &subject, err);

    if (!error)
        error = flush_first(volume, err);
    if (!error)
        error = record_file_open(volume->name, &medium, err);
    if (error)
        return error;
    error = record_open(medium, &subject, &record);
    if (error)
        return errmsg_set(err, error, "%s" RECORD_FILE_SUFFIX " cannot be used: %s", volume->name,
                          strerror(-error));
    volume->record = record;
    if (volume->sealed)
        record_sanitize(record);
    return 0;
}

int volume_open_record(struct volume *volume, struct errmsg *err)
{
    struct errmsg why;
    int found = record_file_find(volume->name, err);
    int error;

    if (found <= 0)
        return found;
    error = keep_again(volume, &why);
    if (!error)
        return 0;
    /* One that is there, and is not kept, would be believed later. */
    if (record_file_remove(volume->name, NULL))
        return errmsg_set(err, error, "%s, and it cannot be removed", why.text);
    log_warning("%s; the change record is given up, everything counts as changed", why.text);
    return 0;
}

void volume_look_at_record(struct volume *volume, bool in_use)
{
    struct record_medium *medium;
    struct record_subject subject;
    struct record_status status;
    struct record *record;

    for (int i = 0; i < LOOKS && record_file_find(volume->name, NULL) == 1; i++) {
        if (describe_subject(volume, &subject, NULL))
            return;
        subject.in_use = in_use;
        if (record_file_look(volume->name, &medium, NULL))
            return;
        record_close(volume->record, NULL);
        volume->record = NULL;
        if (record_look(medium, &subject, &record))
            return;
        volume->record = record;
        record_get_status(volume->record, &status);
        if (!in_use || status.lost == RECORD_KEPT)
            return;
    }
}

void volume_close_record(struct volume *volume, bool durable)
{
    struct store_identity identity;

    if (!volume->record)
        return;
    if (durable && !volume->read_only && store_identify(volume->store, false, &identity) == 0)
        record_close(volume->record, &identity);
    else
        record_close(volume->record, NULL);
    volume->record = NULL;
}

void volume_refuse_track(struct volume *volume)
{
    volume->track_refused = true;
}

bool volume_track_refused(const struct volume *volume)
{
    return volume->track_refused || volume->read_only || !volume->described;
}

/* Everything of the volume is held. */
static int begin_record(struct volume *volume, struct errmsg *err)
{
    struct record_medium *medium;
    struct record_subject subject;
    struct record *record;
    int error = describe_subject(volume, &subject, err);
    if (!error)
        error = flush_first(volume, err);
    if (!error)
        error = record_file_create(volume->name, &medium, err);
    if (error)
        return error;
    error = record_create(medium, &subject, &record);
    if (!error) {
        volume->record = record;
        return 0;
    }
    record_file_remove(volume->name, NULL);
    return errmsg_set(err, error, "%s" RECORD_FILE_SUFFIX " cannot be written: %s", volume->name,
                      strerror(-error));
}

/* One that was lost begins anew in the file it has; without that there would be none later.
 * Everything of the volume is held. */
static int begin_again(struct volume *volume, struct errmsg *err)
{
    int error = flush_first(volume, err);
    int found;

    if (error)
        return error;
    found = volume->described ? record_file_find(volume->name, err) : 1;
    if (found < 0)
        return found;
    if (found == 0)
        return errmsg_set(err, -ESTALE,
                          "%s" RECORD_FILE_SUFFIX " is gone; a change record begins when the "
                          "volume is opened again",
                          volume->name);
    error = record_restart(volume->record, RECORD_BEGUN);
    if (error)
        return errmsg_set(err, error, "%s" RECORD_FILE_SUFFIX " cannot be written: %s",
                          volume->name, strerror(-error));
    log_warning("%s: the change record, which was lost, begins anew; everything before counts as "
                "changed",
                volume->name);
    return 0;
}

/* Whether what there is, if anything, says nothing. */
static bool has_none(struct volume *volume)
{
    struct record_status status;

    if (!volume->record)
        return true;
    record_get_status(volume->record, &status);
    return status.lost != RECORD_KEPT;
}

int volume_track(struct volume *volume, struct errmsg *err)
{
    SIZE_CHANGES(volume);

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    if (volume->sealed)
        return errmsg_set(err, -ESHUTDOWN, "a SANITIZE of %s runs or has failed", volume->name);
    if (!has_none(volume))
        return 0;
    if (volume->record)
        return begin_again(volume, err);
    if (volume->track_refused)
        return errmsg_set(err, -EPERM, "%s is to have no change record", volume->name);
    if (!volume->described)
        return errmsg_set(err, -EOPNOTSUPP, "%s is no file, so that it has no change record",
                          volume->name);
    return begin_record(volume, err);
}

int volume_untrack(struct volume *volume, struct errmsg *err)
{
    SIZE_CHANGES(volume);

    if (volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    record_close(volume->record, NULL);
    volume->record = NULL;
    return record_file_remove(volume->name, err);
}

uint32_t volume_track_granule(const struct volume *volume)
{
    return (uint32_t)record_granule_bytes(volume_bytes(volume));
}

static void tell_point(const struct record_point *from, struct volume_point *ret)
{
    *ret = (struct volume_point){.bytes = from->bytes,
                                 .mapped_bytes = from->mapped_bytes,
                                 .time = from->time};
    memcpy(ret->id, from->id, sizeof(ret->id));
    memcpy(ret->consumer, from->consumer, sizeof(ret->consumer));
    memcpy(ret->nonce, from->nonce, sizeof(ret->nonce));
}

void volume_track_status(struct volume *volume, struct volume_track_status *ret)
{
    struct record_status status;

    *ret = (struct volume_track_status){.refused = volume_track_refused(volume)};
    if (!volume->record)
        return;
    record_get_status(volume->record, &status);
    ret->tracked = true;
    ret->lost = status.lost == RECORD_KEPT ? NULL : record_loss_text(status.lost);
    ret->begun = record_loss_text(status.begun);
    ret->reason = status.lost == RECORD_KEPT ? status.begun : status.lost;
    memcpy(ret->incarnation, status.incarnation, sizeof(ret->incarnation));
    ret->since = status.since;
    ret->crashed = status.crashed;
    ret->granule_bytes = status.granule_bytes;
    ret->hot_bytes = status.hot_bytes;
    ret->record_bytes = status.bitmap_bytes;
    for (; ret->point_count < status.point_count; ret->point_count++)
        tell_point(&status.points[ret->point_count], &ret->points[ret->point_count]);
}

/* The sentence for what the record gave. */
static int explain(const struct volume *volume, int error, struct errmsg *err)
{
    struct record_status status;

    switch (error) {
    case 0:
        return 0;
    case -ENOENT:
        return errmsg_set(err, error, "%s has no such consistency point", volume->name);
    case -ENOSPC:
        return errmsg_set(err, error, "%s has %d consistency points already; forget one first",
                          volume->name, VOLUME_POINTS);
    case -ESTALE:
        record_get_status(volume->record, &status);
        if (status.lost == RECORD_KEPT)
            return errmsg_set(err, error, "the change record of %s has changed meanwhile",
                              volume->name);
        return errmsg_set(err, error,
                          "the change record of %s is lost: %s; everything counts as changed",
                          volume->name, record_loss_text(status.lost));
    default:
        return errmsg_set(err, error, "the change record of %s cannot be used: %s", volume->name,
                          strerror(-error));
    }
}

static int need_record(const struct volume *volume, bool for_writing, struct errmsg *err)
{
    if (for_writing && volume->read_only)
        return errmsg_set(err, -EROFS, "%s is open for reading only", volume->name);
    if (!volume->record)
        return errmsg_set(err, -ENOENT, "%s has no change record; 'thinvol track' begins one",
                          volume->name);
    return 0;
}

static int cut(struct volume *volume, const uint8_t *consumer, const uint8_t *nonce,
               struct volume_point *ret, struct errmsg *err)
{
    struct record_point point;
    uint64_t mapped;
    int error = need_record(volume, true, err);

    if (error)
        return error;
    if (store_allocated(volume->store, &mapped))
        mapped = UINT64_MAX;
    error = record_cut(volume->record, consumer, nonce, mapped, &point);
    if (!error)
        tell_point(&point, ret);
    return explain(volume, error, err);
}

int volume_cut(struct volume *volume, const uint8_t nonce[VOLUME_POINT_ID_BYTES],
               struct volume_point *ret, struct errmsg *err)
{
    static const uint8_t by_hand[RECORD_ID_BYTES];

    return cut(volume, by_hand, nonce, ret, err);
}

/* The point that the record began with is no one's: no other has an empty nonce. */
static void forget_first(struct volume *volume)
{
    static const uint8_t none[VOLUME_POINT_ID_BYTES];
    struct volume_track_status status;

    volume_track_status(volume, &status);
    if (status.point_count > 0 && memcmp(status.points[0].consumer, none, sizeof(none)) == 0 &&
        memcmp(status.points[0].nonce, none, sizeof(none)) == 0)
        record_forget(volume->record, status.points[0].id);
}

/* Most of what is to be made durable is so before the others have to wait. */
static int begin_for(struct volume *volume, struct errmsg *err)
{
    bool had_none = !volume->record; /* not: one that was lost */
    int error = volume_flush(volume);

    if (error)
        return errmsg_set(err, error, "%s cannot be made durable: %s", volume->name,
                          strerror(-error));
    error = volume_track(volume, err);
    if (!error && had_none)
        log_info("%s: an initiator asks what changes; the change record begins", volume->name);
    return error;
}

int volume_cut_for(struct volume *volume, const uint8_t consumer[VOLUME_POINT_ID_BYTES],
                   const uint8_t nonce[VOLUME_POINT_ID_BYTES], struct volume_point *ret,
                   struct errmsg *err)
{
    bool begins = !volume->read_only && has_none(volume);
    int error = begins ? begin_for(volume, err) : 0;

    if (!error)
        error = cut(volume, consumer, nonce, ret, err);
    if (!error && begins)
        forget_first(volume);
    return error;
}

int volume_release(struct volume *volume, const uint8_t id[VOLUME_POINT_ID_BYTES],
                   struct errmsg *err)
{
    int error = need_record(volume, true, err);

    return error ? error : explain(volume, record_release(volume->record, id), err);
}

int volume_forget(struct volume *volume, const uint8_t id[VOLUME_POINT_ID_BYTES],
                  struct errmsg *err)
{
    int error = need_record(volume, true, err);

    return error ? error : explain(volume, record_forget(volume->record, id), err);
}

int volume_changed_from(struct volume *volume, const uint8_t since[VOLUME_POINT_ID_BYTES],
                        uint64_t from, volume_changed_range *each, void *context,
                        struct errmsg *err)
{
    int error = need_record(volume, false, err);

    if (error)
        return error;
    return explain(volume, record_changed_from(volume->record, since, from, each, context), err);
}

int volume_changed(struct volume *volume, const uint8_t since[VOLUME_POINT_ID_BYTES],
                   volume_changed_range *each, void *context, struct errmsg *err)
{
    return volume_changed_from(volume, since, 0, each, context, err);
}
