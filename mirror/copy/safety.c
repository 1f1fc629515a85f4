/* SPDX-License-Identifier: Apache-2.0 */
#include "safety.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "checked.h"
#include "cleanup.h"
#include "copy_wait.h"
#include "fingerprint.h"
#include "map_reader.h"
#include "verify.h"

enum safety_verdict safety_check_pair(struct endpoint *primary, struct endpoint *secondary,
                                      struct errmsg *err)
{
    const struct endpoint_info *from = &primary->info, *to = &secondary->info;
    uint64_t from_bytes, to_bytes;

    if (endpoint_check_distinct(primary, secondary, err) < 0 ||
        endpoint_match_block_size(primary, secondary, err) < 0)
        return SAFETY_REFUSED;
    from_bytes = from->blocks * from->block_size;
    to_bytes = to->blocks * to->block_size;
    if (to_bytes < from_bytes) {
        errmsg_set(err, 0,
                   "the secondary %s (%" PRIu64 " bytes) is smaller than the primary %s (%" PRIu64
                   " bytes): enlarge it by %" PRIu64 " bytes or name a larger one",
                   to->name, to_bytes, from->name, from_bytes, from_bytes - to_bytes);
        return SAFETY_REFUSED;
    }
    return SAFETY_OK;
}

enum safety_verdict safety_check_writable(const struct endpoint *primary,
                                          const struct endpoint *secondary, struct errmsg *err)
{
    char user[512];

    if (secondary->info.writable && !endpoint_find_local_user(secondary, user, sizeof(user)))
        return SAFETY_OK;
    if (secondary->info.writable) {
        errmsg_set(err, 0, "%s %s; it would be overwritten", secondary->info.name, user);
        return SAFETY_REFUSED;
    }
    errmsg_set(err, 0,
               "the secondary %s is read-only, so %s cannot be copied to it: make it writable or "
               "name another one",
               secondary->info.name, primary->info.name);
    return SAFETY_REFUSED;
}

void safety_ledger_side(const struct endpoint *endpoint, struct ledger_side *ret)
{
    const struct endpoint_info *info = &endpoint->info;

    *ret = (struct ledger_side){.blocks = info->blocks, .block_size = info->block_size};
    snprintf(ret->identity, sizeof(ret->identity), "%s", info->identity);
    snprintf(ret->name, sizeof(ret->name), "%s", info->name);
}

/* The first mapped block from first to end, from the secondary's own map. */
static int find_mapped(struct endpoint *endpoint, uint64_t first, uint64_t end,
                       const struct copy_control *control, bool *ret_found, uint64_t *ret_lba,
                       struct errmsg *err)
{
    CLEANUP(map_reader_free) struct map_reader reader;
    int r = map_reader_init(&reader, endpoint, end, MAP_ASK);

    *ret_found = false;
    while (r == 0) {
        const struct copy_side sides[2] = {{endpoint, true}, {NULL, false}};

        for (size_t i = 0; i < reader.list.count && !*ret_found && !map_reader_busy(&reader); i++) {
            const struct extent *extent = &reader.list.items[i];

            *ret_found = extent->status == EXTENT_MAPPED && extent->start + extent->length > first;
            *ret_lba = max_u64(extent->start, first);
        }
        map_reader_consume(&reader, reader.covered);
        if (!map_reader_busy(&reader) &&
            (reader.error || *ret_found || reader.covered == reader.end))
            return reader.error ? errmsg_set(err, reader.error, "%s", reader.message.text) : 0;
        if (!map_reader_busy(&reader) && copy_stopped(control))
            return errmsg_set(err, -EINTR, "stopped while reading the map of %s",
                              endpoint->info.name);
        map_reader_pump(&reader);
        if (map_reader_busy(&reader))
            r = copy_wait(sides, false, 0, err);
        if (r < 0 && reader.error)
            r = errmsg_set(err, reader.error, "%s", reader.message.text);
    }
    return r;
}

/* Why a ledger there is does not help, in the middle of a sentence. */
static void explain_ledger(const struct ledger *known, char *to, size_t size)
{
    char day[32] = "?";
    struct tm when;
    time_t started;

    to[0] = '\0';
    if (!known)
        return;
    started = (time_t)known->started;
    if (gmtime_r(&started, &when))
        strftime(day, sizeof(day), "%Y-%m-%d", &when);
    snprintf(to, size, " (copied there from %.150s on %s%s%s)", known->primary.name, day,
             known->pair[0] ? ", pair " : "", known->pair);
}

int safety_check_data(struct endpoint *primary, struct endpoint *secondary, uint64_t first,
                      uint64_t end, const struct ledger *known, const struct copy_control *control,
                      struct safety_data *ret, struct errmsg *err)
{
    const char *to = secondary->info.name, *from = primary->info.name;
    bool found = false, asked = secondary->info.can_map;
    char origin[256];
    uint64_t lba = 0;
    int r;

    *ret = (struct safety_data){.verdict = SAFETY_OK};
    r = asked ? find_mapped(secondary, first, end, control, &found, &lba, err)
              : verify_find_data(secondary, first, end, control, &found, &lba, err);
    if (r < 0)
        return r;
    ret->is_zero = !asked && !found && first == 0 && end == secondary->info.blocks;
    if (!found)
        return 0;
    explain_ledger(known, origin, sizeof(origin));
    ret->verdict = SAFETY_REFUSED;
    errmsg_set(err, 0,
               "the secondary %s already holds data%s, %s at block %" PRIu64
               ", that was not copied from %s: name another one, or say --overwrite to lose it%s%s"
               "%s",
               to, origin, asked ? "mapped" : "not zeros", lba, from,
               known && known->pair[0] ? "; --pair=" : "", known ? known->pair : "",
               known && known->pair[0] ? " if this is the primary of that pair now" : "");
    return 0;
}

int safety_check_unmoved(struct endpoint *secondary, const struct ledger *known,
                         const struct copy_control *control, enum safety_verdict *ret,
                         struct errmsg *err)
{
    struct ledger_left left = known->left;
    char where[128];
    bool moved;
    int r;

    /* A file that was made larger is a changed one. */
    if (secondary->info.blocks != known->secondary.blocks)
        left.changed_ns = 0;
    r = fingerprint_compare(secondary, &left, control, &moved, where, sizeof(where), err);

    *ret = SAFETY_OK;
    if (r < 0 || !moved)
        return r;
    *ret = SAFETY_REFUSED;
    errmsg_set(err, 0,
               "the secondary %s has been written to by something else since %.150s was copied to "
               "it (%s): if that is wanted data, save it, or copy it the other way; --overwrite "
               "loses it",
               secondary->info.name, known->primary.name, where);
    return 0;
}
