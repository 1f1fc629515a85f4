/* SPDX-License-Identifier: Apache-2.0 */
#include "lun_model_track.h"

#include <unistd.h>

#include "byteorder.h"
#include "checked.h"
#include "record.h"
#include "record_file.h"
#include "record_reply.h"
#include "scsi_defs.h"
#include "volume.h"
#include "volume_track.h"

#define GRANULE 4096

static void add_point(struct lun_model *model, const uint8_t *id, const uint8_t *who)
{
    struct lun_model_track *track = model->track;
    struct lun_model_point *point = &track->points[track->count];

    if (track->count == LUN_MODEL_POINTS) {
        track->partial = true;
        return;
    }
    track->count++;
    memcpy(point->id, id, sizeof(point->id));
    memcpy(point->who, who, sizeof(point->who));
    point->size = model->size;
    memcpy(point->bytes, model->bytes, model->size);
}

/* The point that the record has begun with. */
static void add_first(struct lun_model *model, struct volume *volume)
{
    static const uint8_t none[8];
    struct volume_track_status status;

    volume_track_status(volume, &status);
    FUZZ_CHECK(status.tracked && !status.lost && status.point_count == 1);
    for (size_t i = 0; i < model->track->count; i++)
        FUZZ_CHECK(memcmp(model->track->points[i].id, status.points[0].id, 16) != 0);
    model->track->count = 0;
    model->track->partial = false;
    add_point(model, status.points[0].id, none);
}

void lun_model_track_begin(struct lun_model *model, struct volume *volume)
{
    struct record_subject subject = {.bytes = model->size, .name = "fuzzed"};
    char directory[] = "/dev/shm/fuzz-lun.XXXXXX", path[64], file[64];
    struct record_medium *medium;
    struct record *record;
    struct errmsg err;

    FUZZ_CHECK(mkdtemp(directory));
    snprintf(path, sizeof(path), "%s/v", directory);
    snprintf(file, sizeof(file), "%s/v" RECORD_FILE_SUFFIX, directory);
    FUZZ_CHECK(record_file_create(path, &medium, &err) == 0);
    FUZZ_CHECK(unlink(file) == 0 && rmdir(directory) == 0);
    FUZZ_CHECK(record_create(medium, &subject, &record) == 0);
    volume_keep_record(volume, record);
    model->track->count = 0;
    add_first(model, volume);
}

void lun_model_track_anew(struct lun_model *model, struct volume *volume)
{
    add_first(model, volume);
}

/* What is now not what it was at the point, in a part of the logical unit. */
static bool differs(const struct lun_model *model, const struct lun_model_point *point,
                    uint64_t from, uint64_t to)
{
    return to > point->size || memcmp(model->bytes + from, point->bytes + from, to - from) != 0;
}

/* Nothing in between differs; by granules, as a change is told so. */
static void check_same(const struct lun_model *model, const struct lun_model_point *point,
                       uint64_t from, uint64_t to)
{
    FUZZ_CHECK(from <= to && to <= model->size);
    if (from < to)
        FUZZ_CHECK(!differs(model, point, from, to));
}

/* The point whose id begins so. */
static struct lun_model_point *find(struct lun_model_track *track, const uint8_t *id, size_t length)
{
    for (size_t i = 0; i < track->count; i++)
        if (memcmp(track->points[i].id, id, length) == 0)
            return &track->points[i];
    return NULL;
}

static void drop(struct lun_model_track *track, struct lun_model_point *point)
{
    size_t index = (size_t)(point - track->points);

    track->count--;
    memmove(point, point + 1, (track->count - index) * sizeof(*point));
}

static void check_header(const struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *reply = exchange->data_in;

    FUZZ_CHECK(memcmp(reply, "TMRECORD", 8) == 0 && reply[8] == 1);
    FUZZ_CHECK(reply[9] == exchange->cdb[14] && get_be16(reply + 10) == 96);
    FUZZ_CHECK(get_be64(reply + 32) == model->size && get_be32(reply + 40) == GRANULE);
    FUZZ_CHECK(reply[44] == (model->track ? RECORD_STATE_KEPT : RECORD_STATE_NONE));
}

/* The points as they are in the model. */
static void check_points(const struct lun_model *model, const struct lun_exchange *exchange)
{
    uint32_t count = get_be32(exchange->data_in + 12);
    const struct lun_model_track *track = model->track;

    if (!track)
        FUZZ_CHECK(count == 0);
    else if (!track->partial)
        FUZZ_CHECK(count == track->count);
    for (size_t i = 0; track && !track->partial && i < count; i++) {
        const uint8_t *point = exchange->data_in + 96 + 64 * i;

        if (exchange->data_in_filled < 96 + 64 * (i + 1))
            break;
        FUZZ_CHECK(memcmp(point, track->points[i].id, 16) == 0);
        FUZZ_CHECK(memcmp(point + 16, track->points[i].who, 8) == 0);
        FUZZ_CHECK(get_be64(point + 32) == track->points[i].size);
    }
}

static void apply_cut(struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *point = exchange->data_in + 96;
    const struct lun_model_point *known;

    FUZZ_CHECK(get_be32(exchange->cdb + 2) != 0 && get_be32(exchange->data_in + 12) == 1);
    if (exchange->data_in_filled < 96 + 64) {
        model->track->partial = true; /* perhaps one more */
        return;
    }
    FUZZ_CHECK(memcmp(point + 16, exchange->cdb + 2, 8) == 0);
    for (size_t i = 0; i < model->track->count; i++) /* the same again is the same point */
        if (memcmp(model->track->points[i].who, exchange->cdb + 2, 8) == 0)
            FUZZ_CHECK(memcmp(model->track->points[i].id, point, 16) == 0);
    known = find(model->track, point, 16);
    if (known)
        FUZZ_CHECK(memcmp(known->who, exchange->cdb + 2, 8) == 0);
    else if (model->track->partial && get_be64(point + 32) != model->size)
        return; /* it was cut when no one looked */
    else if (!model->track->partial)
        add_point(model, point, exchange->cdb + 2);
}

static void apply_forget(struct lun_model *model, const struct lun_exchange *exchange)
{
    struct lun_model_point *point = find(model->track, exchange->cdb + 2, 8);

    if (point && exchange->cdb[14] == RECORD_FORGET) {
        drop(model->track, point);
    } else if (point) {
        uint8_t consumer[4];

        memcpy(consumer, point->who, sizeof(consumer));
        for (struct lun_model_point *it = model->track->points; it < point;) {
            if (memcmp(it->who, consumer, sizeof(consumer)) != 0) {
                it++;
                continue;
            }
            drop(model->track, it);
            point--;
        }
    } else {
        FUZZ_CHECK(exchange->cdb[14] == RECORD_FORGET || model->track->partial);
    }
}

/* The ranges in order, and between them nothing that differs. */
static void check_changed(const struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *reply = exchange->data_in, *range = reply + 96;
    const struct lun_model_point *point = find(model->track, exchange->cdb + 2, 4);
    uint64_t first = get_be32(exchange->cdb + 6), next = get_be64(reply + 88);
    uint64_t granules = (model->size - 1) / GRANULE + 1;
    uint64_t at = first * GRANULE, end = min_u64(next * GRANULE, model->size);
    uint32_t count = get_be32(reply + 12);

    FUZZ_CHECK(first < granules && next >= first && next <= granules);
    FUZZ_CHECK(get_be64(reply + 80) == first);
    FUZZ_CHECK(exchange->data_in_filled == 96 + 16 * (size_t)count);
    FUZZ_CHECK(point || model->track->partial);
    if (!point)
        return;
    FUZZ_CHECK(memcmp(reply + 64, point->id, 16) == 0);
    for (uint32_t i = 0; i < count; i++, range += 16) {
        uint64_t start = get_be64(range) * model->block_size;
        uint64_t length = get_be32(range + 8) * (uint64_t)model->block_size;

        FUZZ_CHECK(start >= at && length > 0 && range_within(start, length, end));
        FUZZ_CHECK(range[12] == 1); /* no machine has crashed */
        check_same(model, point, at, start);
        at = start + length;
    }
    check_same(model, point, at, end);
}

/* What is refused as wrong, though it is right. */
static void check_refused(const struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *cdb = exchange->cdb;
    bool for_point = cdb[14] == RECORD_CHANGED || cdb[14] == RECORD_RELEASE;
    size_t length = cdb[14] == RECORD_CHANGED ? 4 : 8;

    if (exchange->sense_key != SENSE_ILLEGAL_REQUEST || !model->track || !for_point)
        return;
    if (exchange->cdb_length < 16 || cdb[1] != 1 || cdb[15] != 0)
        return;
    if (cdb[14] == RECORD_CHANGED && get_be32(cdb + 6) * UINT64_C(4096) >= model->size)
        return;
    FUZZ_CHECK(!find(model->track, cdb + 2, length));
}

void lun_model_track_apply(struct lun_model *model, const struct lun_exchange *exchange)
{
    const uint8_t *cdb = exchange->cdb;

    if (exchange->status != SCSI_STATUS_GOOD) {
        check_refused(model, exchange);
        return;
    }
    FUZZ_CHECK(exchange->data_in_filled <= get_be32(cdb + 10));
    if (cdb[1] != 1)
        return;
    FUZZ_CHECK(cdb[14] == RECORD_STATUS || model->track);
    if (exchange->data_in_filled >= 96)
        check_header(model, exchange);
    else if (model->track)
        model->track->partial |= cdb[14] != RECORD_STATUS && cdb[14] != RECORD_CHANGED;
    if (cdb[14] == RECORD_FORGET || cdb[14] == RECORD_RELEASE)
        apply_forget(model, exchange);
    if (exchange->data_in_filled < 96)
        return;
    if (cdb[14] == RECORD_CUT)
        apply_cut(model, exchange);
    else if (cdb[14] == RECORD_CHANGED)
        check_changed(model, exchange);
    else
        check_points(model, exchange);
}

size_t lun_model_track_cdb(const struct lun_model *model, struct fuzz_input *input, uint8_t *cdb)
{
    uint8_t shape = fuzz_byte(input), argument = fuzz_byte(input);
    const struct lun_model_track *track = model->track;

    memset(cdb, 0, SCSI_CDB_MAX_BYTES);
    cdb[0] = SCSI_READ_BUFFER_16;
    cdb[1] = 1;
    cdb[14] = shape % 8 == 7 ? fuzz_byte(input) : shape % 5;
    put_be32(cdb + 10, shape & 0x80 ? (uint32_t)fuzz_number(input, 2) % 1024 : 1024);
    if (cdb[14] == RECORD_CUT) {
        put_be32(cdb + 2, shape & 0x40 ? argument : 1 + argument % 2u);
        put_be32(cdb + 6, argument / 2 % 4u);
    } else if (cdb[14] != RECORD_STATUS && track && track->count > 0) {
        memcpy(cdb + 2, track->points[argument % track->count].id, 8);
        if (cdb[14] == RECORD_CHANGED)
            put_be32(cdb + 6, shape & 0x40 ? argument % 40u : 0);
    }
    if (shape >= 0xF8)
        cdb[2 + argument % 8u] ^= fuzz_byte(input);
    return 16;
}

struct walk {
    const struct lun_model *model;
    const struct lun_model_point *point;
    uint64_t at;
};

static int pass(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct walk *walk = context;

    FUZZ_CHECK(!suspect && offset >= walk->at);
    check_same(walk->model, walk->point, walk->at, offset);
    walk->at = offset + length;
    return 0;
}

void lun_model_track_check(const struct lun_model *model, struct volume *volume)
{
    for (size_t i = 0; model->track && i < model->track->count; i++) {
        struct walk walk = {.model = model, .point = &model->track->points[i]};

        FUZZ_CHECK(volume_changed(volume, walk.point->id, pass, &walk, NULL) == 0);
        check_same(model, walk.point, walk.at, model->size);
    }
}
