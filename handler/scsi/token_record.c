/* SPDX-License-Identifier: Apache-2.0 */
#include "token_record.h"

#include "cleanup.h"

void token_records_init(struct token_records *records)
{
    pthread_mutex_init(&records->lock, NULL);
}

void token_records_destroy(struct token_records *records)
{
    pthread_mutex_destroy(&records->lock);
}

static struct token_record *find(struct token_records *records, uint32_t list_id)
{
    for (int i = 0; i < TOKEN_RECORDS; i++) {
        struct token_record *record = &records->records[i];

        if (record->used && record->list_id == list_id)
            return record;
    }
    return NULL;
}

static bool is_waited_for(const struct token_record *record)
{
    return record->has_token && !record->asked_for && rod_token_is_valid(record->token);
}

bool token_record_is_free(struct token_records *records, uint32_t list_id)
{
    SCOPED_LOCK(&records->lock);
    const struct token_record *record = find(records, list_id);

    return !record || !is_waited_for(record);
}

/* The oldest goes, when all are used. */
static struct token_record *make_room(struct token_records *records)
{
    struct token_record *oldest = &records->records[0];

    for (int i = 0; i < TOKEN_RECORDS; i++) {
        struct token_record *record = &records->records[i];

        if (!record->used)
            return record;
        if (record->serial < oldest->serial)
            oldest = record;
    }
    return oldest;
}

bool token_record_keep(struct token_records *records, const struct token_record *record)
{
    SCOPED_LOCK(&records->lock);
    struct token_record *place = find(records, record->list_id);

    if (place && is_waited_for(place))
        return false;
    if (!place)
        place = make_room(records);
    *place = *record;
    place->used = true;
    place->serial = ++records->last_serial;
    return true;
}

bool token_record_take(struct token_records *records, uint32_t list_id, struct token_record *ret)
{
    SCOPED_LOCK(&records->lock);
    struct token_record *record = find(records, list_id);

    if (!record)
        return false;
    *ret = *record;
    record->asked_for = true;
    return true;
}
