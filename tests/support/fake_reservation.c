/* SPDX-License-Identifier: Apache-2.0 */
#include "fake_unit.h"

/* The part of a target that keeps persistent reservations (SPC-4 5.13), as far as one initiator
 * sees it: one session of ours, and keys of others. */

#include <assert.h>
#include <stdio.h>
#include <string.h>

#include "byteorder.h"
#include "reservation.h"

static size_t find(const struct fake_reservation *target, uint64_t key)
{
    size_t i = 0;

    while (i < target->key_count && target->keys[i] != key)
        i++;
    return i;
}

static void forget(struct fake_reservation *target, uint64_t key)
{
    size_t i = find(target, key);

    if (i < target->key_count)
        target->keys[i] = target->keys[--target->key_count];
}

void fake_reservation_add(struct fake_reservation *target, uint64_t key, uint8_t type)
{
    assert(target->key_count < sizeof(target->keys) / sizeof(target->keys[0]));
    target->keys[target->key_count++] = key;
    if (type) {
        target->held = true;
        target->holder = key;
        target->type = type;
    }
}

static size_t encode(const struct fake_reservation *target, bool keys, uint8_t *reply)
{
    size_t length = 8;

    memset(reply, 0, 24);
    put_be32(reply, 1);
    if (keys) {
        for (size_t i = 0; i < target->key_count; i++, length += 8)
            put_be64(reply + length, target->keys[i]);
    } else if (target->held) {
        put_be64(reply + 8, target->holder);
        reply[21] = target->type;
        length = 24;
    }
    put_be32(reply + 4, (uint32_t)length - 8);
    return length;
}

static void set_own(struct fake_reservation *target, uint64_t key)
{
    bool holds = target->held && target->own && target->holder == target->own;

    forget(target, target->own);
    target->own = key;
    if (key)
        fake_reservation_add(target, key, 0);
    if (holds) {
        target->holder = key;
        target->held = key != 0;
    }
}

static bool preempt(struct fake_reservation *target, uint64_t victim, uint8_t type)
{
    if (find(target, victim) == target->key_count)
        return false;
    forget(target, victim);
    if (target->held && target->holder == victim) {
        target->holder = target->own;
        target->type = type;
    }
    return true;
}

/* False: a RESERVATION CONFLICT. */
static bool change(struct fake_reservation *target, uint8_t action, uint8_t type,
                   const uint8_t *list)
{
    uint64_t key = get_be64(list), action_key = get_be64(list + 8);

    if (action != RESERVATION_REGISTER_ANYWAY && key != target->own)
        return false;
    switch (action) {
    case RESERVATION_REGISTER:
    case RESERVATION_REGISTER_ANYWAY:
        set_own(target, action_key);
        return true;
    case RESERVATION_RESERVE:
        if (target->held && (target->holder != key || target->type != type))
            return false;
        target->held = true;
        target->holder = key;
        target->type = type;
        return true;
    case RESERVATION_RELEASE:
        target->held = target->held && target->holder != key;
        return true;
    default:
        assert(action == RESERVATION_PREEMPT);
        return preempt(target, action_key, type);
    }
}

uint8_t fake_reservation_serve(struct fake_reservation *target, const uint8_t *cdb,
                               const uint8_t *list, char words[static 64], uint8_t *reply,
                               size_t *ret_length)
{
    static const char *const actions[] = {"REG", "RES", "REL", "?", "PRE", "?", "anyREG"};
    uint8_t action = cdb[1] & 0x1F;

    if (cdb[0] == SCSI_PERSISTENT_RESERVE_IN) {
        strcpy(words, action == RESERVATION_READ_KEYS ? "KEYS" : "HOLDER");
        *ret_length = encode(target, action == RESERVATION_READ_KEYS, reply);
        return SCSI_STATUS_GOOD;
    }
    snprintf(words, 64, "%s", actions[action]);
    return change(target, action, cdb[2] & 0x0F, list) ? SCSI_STATUS_GOOD
                                                       : SCSI_STATUS_RESERVATION_CONFLICT;
}
