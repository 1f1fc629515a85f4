/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_TESTS_RECORD_MODEL_H
#define THINMIRROR_TESTS_RECORD_MODEL_H

/* What the model of the change record consists of: its actors, each a thread of its own that goes
 * on step by step, and the state that the oracle compares. */

#include <setjmp.h>
#include <stdbool.h>
#include <stdint.h>
#include <ucontext.h>

#include "model_medium.h"
#include "record_internal.h"

/* Three granules at the start of each of these many regions are written. */
#define REGIONS  6
#define A_REGION 3
#define GRANULES (REGIONS * A_REGION)
#define BYTES    (10 * RECORD_REGION_GRANULES * UINT64_C(4096))

#define ACTORS   9
#define STACK    (1 << 20)
#define POINTS   4
#define LOG      4096

struct written {
    uint64_t interval;
    unsigned granule;
    int version;
};

struct point {
    uint8_t id[RECORD_ID_BYTES];
    uint64_t interval;
    bool forgetting;
    int content[GRANULES];
    bool begun[GRANULES]; /* a change may have begun after it */
    bool crashed;         /* since: there may be suspects */
};

enum kind { WRITER, CUTTER, FORGETTER, FLUSHER, COOLER, VIEWER, KINDS };

struct actor {
    bool used;
    enum kind kind;
    ucontext_t context;
    uint8_t *stack;
    unsigned stalled; /* for so many turns: it was not given the processor */
    /* A writer that changes bytes. */
    bool storing;
    unsigned first, count;
    uint64_t interval;
};

struct model {
    unsigned random;
    enum record_fault fault;
    struct record *record;
    struct record_subject subject;
    struct record_medium *medium;
    int now[GRANULES];
    int disk[GRANULES];
    int version;
    struct written log[LOG];
    unsigned log_count;
    int base[GRANULES]; /* before the log */
    struct point points[POINTS];
    unsigned point_count;
    struct actor actors[ACTORS];
    struct actor *running;
    ucontext_t scheduler;
    char reason[256];
    unsigned idle_steps;
    unsigned focus;     /* the region that is written to most */
    struct store *live; /* now, as a store */
    unsigned writes, cuts, crashes, kills, closes, coolings, views, views_lost, saved;
};

extern struct model m;
extern jmp_buf model_failed;

unsigned any(unsigned n);
/* Ends the schedule: something is wrong. */
void fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
/* Where one of the granules lies that are written, or GRANULES. */
unsigned granule_at(uint64_t place);
uint64_t place_of(unsigned granule);
/* What was in the volume when the interval ended. */
void content_at(uint64_t interval, int *ret);

/* model_view.c: the volume as a store. */
struct store *model_live_store(void);
/* Cuts a point with a view of it, reads all of that, and compares. */
void try_view(void);
/* Unless there are too many, or one of a kind that there is once. */
void start_actor(enum kind kind);
/* Lets it do one step. */
void go_on(struct actor *actor);

#endif
