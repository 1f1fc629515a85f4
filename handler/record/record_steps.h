/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_RECORD_STEPS_H
#define THINMIRROR_RECORD_STEPS_H

/* Where the order of what several threads do matters. The test that tries orders compiles these
 * files a second time with RECORD_MODEL: there a step lets another thread of the model go on, or
 * cuts the power, and a fault leaves out, or moves, what a rule demands. Here neither is there. */

#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <time.h>

enum record_fault {
    RECORD_FAULT_COOL_WITHOUT_BITS = 1, /* R2: the bits are not durable before the region is cool */
    RECORD_FAULT_MEMORY_FIRST,          /* R1: hot in memory before it is so on the medium */
    RECORD_FAULT_NO_OVERLAP_WAIT,  /* R3: a change overtakes an older one of the same granule */
    RECORD_FAULT_FORGET_UNFLUSHED, /* R4: intervals that are not durable are given up */
    RECORD_FAULT_FLUSH_RUNNING,    /* R4: a flush counts for the interval that is running */
    RECORD_FAULT_NO_GRACE,         /* a point does not wait for older changes */
    RECORD_FAULT_DATA_FIRST,       /* the bits are set when the change is over */
    RECORD_FAULT_COOL_NO_GRACE,    /* R2: cooling does not wait for older changes */
    RECORD_FAULT_FREE_FIRST,       /* a bitmap is given back before the control record says so */
    RECORD_FAULT_NEXT_UNKNOWN,     /* an interval begins whose bitmap is not durably its own */
    RECORD_FAULT_REUSE_FIRST,      /* a bitmap is used again before it is durably empty */
    RECORD_FAULT_VIEW_NOT_SAVED,   /* V3: a change saves nothing for views */
    RECORD_FAULT_VIEW_MARK_FIRST,  /* V3: a granule counts as saved before it is */
    RECORD_FAULT_VIEW_ONCE,        /* V2: what the view has is written down before the cut only */
    RECORD_FAULT_VIEW_NOT_AGAIN,   /* V3: who has read does not look again */
    RECORD_FAULT_VIEW_LATE,        /* V1: changes know the view when the interval has ended */
};

#ifdef RECORD_MODEL

void record_step(void);
bool record_fault(enum record_fault fault);

struct record_lock {
    bool held;
};

static inline void record_lock_init(struct record_lock *lock)
{
    lock->held = false;
}

static inline void record_lock_destroy(struct record_lock *lock)
{
    (void)lock;
}

static inline void record_lock_take(struct record_lock *lock)
{
    while (lock->held)
        record_step();
    lock->held = true;
}

static inline void record_lock_give(struct record_lock *lock)
{
    lock->held = false;
}

static inline void record_wait(unsigned *tries)
{
    (*tries)++;
    record_step();
}

#else

#define record_step()       ((void)0)
#define record_fault(fault) false

struct record_lock {
    pthread_mutex_t mutex;
};

static inline void record_lock_init(struct record_lock *lock)
{
    pthread_mutex_init(&lock->mutex, NULL);
}

static inline void record_lock_destroy(struct record_lock *lock)
{
    pthread_mutex_destroy(&lock->mutex);
}

static inline void record_lock_take(struct record_lock *lock)
{
    pthread_mutex_lock(&lock->mutex);
}

static inline void record_lock_give(struct record_lock *lock)
{
    pthread_mutex_unlock(&lock->mutex);
}

/* One more look at something that another thread is about to do, soon. */
static inline void record_wait(unsigned *tries)
{
    const struct timespec pause = {.tv_nsec = 50000};

    if ((*tries)++ < 100)
        sched_yield();
    else
        nanosleep(&pause, NULL);
}

#endif

static inline void record_lock_leave(struct record_lock **lock)
{
    record_lock_give(*lock);
}

/* Holds the lock until the end of the scope. */
#define RECORD_LOCKED(lock)                                                                 \
    __attribute__((cleanup(record_lock_leave), unused)) struct record_lock *record_locked = \
        (record_lock_take(lock), (lock))

#endif
