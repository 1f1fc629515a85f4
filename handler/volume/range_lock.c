/* SPDX-License-Identifier: Apache-2.0 */
#include "range_lock.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

/* A 4 KiB command takes one stripe, a 1 MiB command some. */
#define REGION_SHIFT       18
#define DATA_STRIPES       16
#define STRIPES            (DATA_STRIPES + 1) /* the last: RANGE_LOCK_SIZE */
#define ALL_DATA           (RANGE_LOCK_SIZE - 1)
#define CACHE_LINE_BYTES   64
#define STRIPE_ALIGN_BYTES (2 * CACHE_LINE_BYTES) /* fetched in pairs */

_Static_assert(RANGE_LOCK_SIZE == UINT64_C(1) << DATA_STRIPES, "the bits fit the stripes");

/* Held in this order. One thread at most waits for `users` alone, namely the one that holds `turn`;
 * the lock lets it go before new sharers, and the sharers that then wait go before the next one. */
struct stripe {
    _Alignas(STRIPE_ALIGN_BYTES) pthread_rwlock_t users;
    pthread_mutex_t turn;
};

struct range_lock {
    struct stripe stripes[STRIPES];
};

static int init_stripe(struct stripe *stripe)
{
    pthread_rwlockattr_t attributes;
    int error = pthread_rwlockattr_init(&attributes);

    if (error)
        return -error;
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    error = pthread_rwlock_init(&stripe->users, &attributes);
    pthread_rwlockattr_destroy(&attributes);
    if (error)
        return -error;
    error = pthread_mutex_init(&stripe->turn, NULL);
    if (error)
        pthread_rwlock_destroy(&stripe->users);
    return -error;
}

static void destroy_stripes(struct range_lock *lock, int count)
{
    for (int i = 0; i < count; i++) {
        pthread_mutex_destroy(&lock->stripes[i].turn);
        pthread_rwlock_destroy(&lock->stripes[i].users);
    }
    free(lock);
}

int range_lock_create(struct range_lock **ret)
{
    struct range_lock *lock = aligned_alloc(_Alignof(struct range_lock), sizeof(*lock));

    if (!lock)
        return -ENOMEM;
    for (int i = 0; i < STRIPES; i++) {
        if (init_stripe(&lock->stripes[i])) {
            destroy_stripes(lock, i);
            return -ENOMEM;
        }
    }
    *ret = lock;
    return 0;
}

void range_lock_free(struct range_lock *lock)
{
    if (lock)
        destroy_stripes(lock, STRIPES);
}

uint64_t range_lock_stripes(uint64_t offset, uint64_t length)
{
    uint64_t first = offset >> REGION_SHIFT;
    uint64_t count, run;
    unsigned at = first % DATA_STRIPES;

    if (length == 0)
        return RANGE_LOCK_SIZE;
    /* A range that does not fit is refused later by the store; here it only must not wrap. */
    if (length >= (uint64_t)DATA_STRIPES << REGION_SHIFT || offset > UINT64_MAX - length)
        return ALL_DATA;
    count = ((offset + length - 1) >> REGION_SHIFT) - first + 1;
    if (count >= DATA_STRIPES)
        return ALL_DATA;
    run = ((UINT64_C(1) << count) - 1) << at;
    return (run | run >> DATA_STRIPES) & ALL_DATA;
}

static struct stripe *lowest(struct range_lock *lock, uint64_t stripes)
{
    return &lock->stripes[__builtin_ctzll(stripes)];
}

void range_lock_share(struct range_lock *lock, uint64_t stripes)
{
    for (; stripes; stripes &= stripes - 1)
        pthread_rwlock_rdlock(&lowest(lock, stripes)->users);
}

bool range_lock_try_share(struct range_lock *lock, uint64_t stripes)
{
    uint64_t left = stripes;

    for (; left; left &= left - 1) {
        if (pthread_rwlock_tryrdlock(&lowest(lock, left)->users)) {
            range_lock_unshare(lock, stripes & ((left & -left) - 1)); /* those below this one */
            return false;
        }
    }
    return true;
}

void range_lock_unshare(struct range_lock *lock, uint64_t stripes)
{
    for (; stripes; stripes &= stripes - 1)
        pthread_rwlock_unlock(&lowest(lock, stripes)->users);
}

void range_lock_own(struct range_lock *lock, uint64_t stripes)
{
    for (; stripes; stripes &= stripes - 1) {
        struct stripe *stripe = lowest(lock, stripes);

        pthread_mutex_lock(&stripe->turn);
        pthread_rwlock_wrlock(&stripe->users);
    }
}

void range_lock_disown(struct range_lock *lock, uint64_t stripes)
{
    for (; stripes; stripes &= stripes - 1) {
        struct stripe *stripe = lowest(lock, stripes);

        /* In this order, so that the sharers who wait are let in before the next one can. */
        pthread_rwlock_unlock(&stripe->users);
        pthread_mutex_unlock(&stripe->turn);
    }
}
