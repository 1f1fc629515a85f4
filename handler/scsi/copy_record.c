/* SPDX-License-Identifier: Apache-2.0 */
#include "copy_record.h"

#include <string.h>

#include "cleanup.h"

void copy_records_init(struct copy_records *records)
{
    pthread_mutex_init(&records->lock, NULL);
}

void copy_records_destroy(struct copy_records *records)
{
    pthread_mutex_destroy(&records->lock);
}

/* A record that is no longer needed: one never used, the finished one of this identifier, or the
 * oldest finished one. */
static struct copy_record *find_room(struct copy_records *records, uint8_t list_id)
{
    struct copy_record *best = NULL;

    for (int i = 0; i < COPY_RECORDS; i++) {
        struct copy_record *record = &records->records[i];

        if (record->running)
            continue;
        if (record->used && record->list_id == list_id)
            return record;
        if (!best || (best->used && (!record->used || record->serial < best->serial)))
            best = record;
    }
    return best;
}

struct copy_record *copy_record_start(struct copy_records *records, uint8_t list_id)
{
    SCOPED_LOCK(&records->lock);
    struct copy_record *record = find_room(records, list_id);

    if (record)
        *record = (struct copy_record){.used = true,
                                       .running = true,
                                       .list_id = list_id,
                                       .serial = ++records->last_serial};
    return record;
}

void copy_record_advance(struct copy_records *records, struct copy_record *record, uint64_t bytes)
{
    SCOPED_LOCK(&records->lock);

    record->segments_done++;
    record->bytes_done += bytes;
}

void copy_record_finish(struct copy_records *records, struct copy_record *record, uint8_t status,
                        const uint8_t sense[static LUN_SENSE_BYTES])
{
    SCOPED_LOCK(&records->lock);

    record->running = false;
    record->status = status;
    memcpy(record->sense, sense, LUN_SENSE_BYTES);
}

bool copy_record_get(struct copy_records *records, uint8_t list_id, struct copy_record *ret)
{
    SCOPED_LOCK(&records->lock);
    const struct copy_record *newest = NULL;

    for (int i = 0; i < COPY_RECORDS; i++) {
        const struct copy_record *record = &records->records[i];

        if (record->used && record->list_id == list_id &&
            (!newest || record->serial > newest->serial))
            newest = record;
    }
    if (newest)
        *ret = *newest;
    return newest;
}
