/* SPDX-License-Identifier: Apache-2.0 */
#include "record_model.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/asan_interface.h>
#else
#define __asan_unpoison_memory_region(start, size) ((void)0)
#endif

struct model m;
jmp_buf model_failed;

/* On two pages of a bitmap. */
static const unsigned regions[REGIONS] = {0, 1, 2, 7, 8, 9};

unsigned any(unsigned n)
{
    m.random = m.random * 1664525u + 1013904223u;
    return (unsigned)((uint64_t)(m.random >> 8) * n >> 24);
}

void fail(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(m.reason, sizeof(m.reason), format, arguments);
    va_end(arguments);
    if (m.running) { /* not on this stack */
        m.running = NULL;
        setcontext(&m.scheduler);
    }
    longjmp(model_failed, 1);
}

void record_step(void)
{
    struct actor *me = m.running;

    if (!me) {
        if (m.idle_steps++ > 1000000)
            fail("it waits for ever");
        return;
    }
    m.running = NULL;
    if (me->kind == WRITER && any(40) == 0)
        me->stalled = any(60);
    swapcontext(&me->context, &m.scheduler);
}

bool record_fault(enum record_fault fault)
{
    return fault == m.fault;
}

uint64_t place_of(unsigned granule)
{
    return regions[granule / A_REGION] * (uint64_t)RECORD_REGION_GRANULES + granule % A_REGION;
}

unsigned granule_at(uint64_t place)
{
    for (unsigned i = 0; i < GRANULES; i++)
        if (place_of(i) == place)
            return i;
    return GRANULES;
}

static void note_begun(unsigned first, unsigned count)
{
    for (unsigned p = 0; p < m.point_count; p++)
        for (unsigned i = first; i < first + count; i++)
            m.points[p].begun[i] = true;
}

static void write_some(struct actor *me)
{
    struct record_change change;
    unsigned region = any(100) < 90 ? m.focus : any(REGIONS);
    unsigned first = region * A_REGION + any(A_REGION), left = A_REGION - first % A_REGION;
    unsigned count = any(3) ? 1 : 1 + any(left);
    bool patient = any(2);

    me->first = first;
    me->count = count;
    note_begun(first, count);
    while (record_begin(m.record, place_of(first) * 4096, count * UINT64_C(4096), patient,
                        &change) == -EAGAIN) {
        patient = true;
        record_step();
    }
    if (!change.record)
        fail("a change is not marked");
    *me = (struct actor){.used = true,
                         .kind = WRITER,
                         .context = me->context,
                         .stack = me->stack,
                         .storing = true,
                         .first = first,
                         .count = count,
                         .interval = m.record->running[change.slot].interval};
    for (unsigned i = 0; i < ACTORS; i++) {
        const struct actor *other = &m.actors[i];

        if (other->used && other->storing && other->interval < me->interval &&
            other->first < first + count && first < other->first + other->count)
            fail("a change of interval %" PRIu64 " overtakes one of %" PRIu64, me->interval,
                 other->interval);
    }
    m.version++;
    for (unsigned i = first; i < first + count && m.log_count < LOG; i++) {
        int version = m.version;

        m.now[i] = version;
        m.log[m.log_count++] = (struct written){me->interval, i, version};
        record_step();
    }
    me->storing = false;
    record_end(&change);
    m.writes++;
}

void content_at(uint64_t interval, int *ret)
{
    memcpy(ret, m.base, sizeof(m.base));
    for (unsigned i = 0; i < m.log_count; i++)
        if (m.log[i].interval <= interval)
            ret[m.log[i].granule] = m.log[i].version;
}

static void cut_point(void)
{
    uint8_t consumer[RECORD_ID_BYTES] = {1}, nonce[RECORD_ID_BYTES];
    struct record_point made, again;
    struct point *point;

    for (unsigned i = 0; i < RECORD_ID_BYTES; i++)
        nonce[i] = (uint8_t)any(256);
    if (m.point_count == POINTS)
        return;
    if (record_cut(m.record, consumer, nonce, 0, &made))
        fail("no point can be cut");
    point = &m.points[m.point_count];
    *point = (struct point){.interval = made.interval};
    memcpy(point->id, made.id, RECORD_ID_BYTES);
    content_at(made.interval, point->content);
    /* What was changed since the interval ended has begun after it. */
    for (unsigned i = 0; i < m.log_count; i++)
        if (m.log[i].interval > made.interval)
            point->begun[m.log[i].granule] = true;
    m.point_count++;
    for (unsigned i = 0; i < ACTORS; i++)
        if (m.actors[i].used && m.actors[i].kind == WRITER)
            note_begun(m.actors[i].first, m.actors[i].count);
    m.cuts++;
    if (any(4) == 0 && (record_cut(m.record, consumer, nonce, 0, &again) ||
                        memcmp(again.id, made.id, RECORD_ID_BYTES) != 0))
        fail("the same nonce gives another point");
}

static void forget_point(void)
{
    uint8_t id[RECORD_ID_BYTES];

    if (m.point_count == 0)
        return;
    unsigned at = any(m.point_count);

    memcpy(id, m.points[at].id, sizeof(id));
    m.points[at] = m.points[--m.point_count];
    if (record_forget(m.record, id))
        fail("a point cannot be forgotten");
}

static void flush_volume(void)
{
    uint64_t graced = record_flush_begins(m.record);
    int copy[GRANULES];

    record_step();
    memcpy(copy, m.now, sizeof(copy));
    record_step();
    record_step();
    for (unsigned i = 0; i < GRANULES; i++)
        m.disk[i] = any(2) ? m.now[i] : copy[i];
    record_flushed(m.record, graced);
}

static void cool_down(void)
{
    record_cool(m.record);
    m.coolings++;
}

static void run_actor(void)
{
    struct actor *me = m.running;

    switch (me->kind) {
    case WRITER:
        write_some(me);
        break;
    case CUTTER:
        cut_point();
        break;
    case FORGETTER:
        forget_point();
        break;
    case FLUSHER:
        flush_volume();
        break;
    case VIEWER:
        try_view();
        break;
    default:
        cool_down();
        break;
    }
    me->used = false;
    m.running = NULL;
    setcontext(&m.scheduler);
}

static __attribute__((noinline)) void prepare(struct actor *actor, enum kind kind)
{
    __asan_unpoison_memory_region(actor->stack, STACK);
    *actor = (struct actor){.used = true, .kind = kind, .stack = actor->stack};
    getcontext(&actor->context);
    actor->context.uc_stack.ss_sp = actor->stack;
    actor->context.uc_stack.ss_size = STACK;
    makecontext(&actor->context, run_actor, 0);
}

void start_actor(enum kind kind)
{
    struct actor *actor = NULL;

    for (unsigned i = 0; i < ACTORS; i++) {
        if (m.actors[i].used && kind != WRITER && m.actors[i].kind == kind)
            return;
        if (!m.actors[i].used)
            actor = &m.actors[i];
    }
    if (!actor)
        return;
    if (!actor->stack)
        actor->stack = malloc(STACK);
    prepare(actor, kind);
}

void go_on(struct actor *actor)
{
    m.running = actor;
    m.idle_steps = 0;
    swapcontext(&m.scheduler, &actor->context);
    m.running = NULL;
    if (m.reason[0])
        longjmp(model_failed, 1);
}
