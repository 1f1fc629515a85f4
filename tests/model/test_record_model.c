/* SPDX-License-Identifier: Apache-2.0 */

/* The change record under every order of what its threads do, power cuts and kills, by seed: the
 * code itself, compiled so that each of its steps lets another one go on (record_steps.h), beside
 * an oracle that knows what was in the volume at each point. Each rule that is broken on purpose
 * must be found.
 *
 * usage: test_record_model [SEEDS [FIRST [FAULT]]]   FAULT: a number of enum record_fault */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"
#include "record_model.h"

#define STEPS      4000
#define FAULTS_END (RECORD_FAULT_VIEW_LATE + 1)

struct answer {
    bool changed[GRANULES];
    bool suspects;
    bool others; /* granules that no one ever writes */
};

static int note(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct answer *answer = context;

    answer->suspects |= suspect;
    for (uint64_t at = offset / 4096; at < (offset + length) / 4096; at++) {
        unsigned granule = granule_at(at);

        if (granule < GRANULES)
            answer->changed[granule] = true;
        else if (!suspect)
            answer->others = true;
    }
    return 0;
}

/* What the record says against what is so. content: of the volume that it is about. */
static void check_record(struct record *record, const int *content, const char *when, bool exact)
{
    for (unsigned p = 0; p < m.point_count; p++) {
        const struct point *point = &m.points[p];
        struct answer answer = {0};
        int error = record_changed(record, point->id, note, &answer);

        if (error)
            fail("%s: the changes since interval %" PRIu64 " cannot be told: %d", when,
                 point->interval, error);
        for (unsigned i = 0; i < GRANULES; i++)
            if (content[i] != point->content[i] && !answer.changed[i])
                fail("%s: the change of granule %u since interval %" PRIu64 " is missed", when, i,
                     point->interval);
        if (answer.others)
            fail("%s: a granule that no one wrote to has changed", when);
        if (exact && !point->crashed && answer.suspects)
            fail("%s: there are suspects", when);
        for (unsigned i = 0; exact && !point->crashed && i < GRANULES; i++)
            if (answer.changed[i] && !point->begun[i])
                fail("%s: granule %u has not changed since interval %" PRIu64, when, i,
                     point->interval);
    }
}

static void after_crash(int *ret)
{
    for (unsigned i = 0; i < GRANULES; i++) {
        ret[i] = any(2) ? m.now[i] : m.disk[i];
        if (m.now[i] != m.disk[i] && any(8) == 0)
            ret[i] = -m.now[i] - 1; /* torn */
    }
}

/* Opens what is left after a crash or a kill, and compares. *ret: the volume then. */
static struct record *reopen(bool power_cut, int *content, struct record_medium **ret_medium)
{
    struct record_subject subject = m.subject;
    struct record *record;
    struct record_status status;

    if (power_cut) {
        subject.identity.boot[0]++;
        after_crash(content);
    } else {
        memcpy(content, m.now, sizeof(m.now));
    }
    *ret_medium = model_medium_after(m.medium, power_cut);
    if (record_open(*ret_medium, &subject, &record))
        fail("a record cannot be opened");
    record_get_status(record, &status);
    if (status.begun != RECORD_BEGUN || status.since != m.record->control.since)
        fail("after a %s the record begins anew: %s", power_cut ? "crash" : "kill",
             record_loss_text(status.begun));
    check_record(record, content, power_cut ? "after a crash" : "after a kill", !power_cut);
    m.subject.identity.boot[0] = subject.identity.boot[0];
    return record;
}

static void try_crash(void)
{
    uint8_t boot = m.subject.identity.boot[0];
    struct record_medium *medium;
    int content[GRANULES];

    record_close(reopen(any(4) > 0, content, &medium), NULL);
    m.subject.identity.boot[0] = boot;
}

/* Points that were being cut or forgotten, of which no one knows what has come. */
static void drop_unknown_points(void)
{
    struct record_status status;

    record_get_status(m.record, &status);
    for (size_t i = 0; i < status.point_count; i++) {
        bool known = false;

        for (unsigned p = 0; p < m.point_count; p++)
            known |= memcmp(m.points[p].id, status.points[i].id, RECORD_ID_BYTES) == 0;
        if (!known && record_forget(m.record, status.points[i].id))
            fail("an unknown point cannot be forgotten");
    }
}

static void start_over(const int *content, bool power_cut)
{
    for (unsigned i = 0; i < ACTORS; i++)
        m.actors[i].used = false;
    for (unsigned p = 0; power_cut && p < m.point_count; p++)
        m.points[p].crashed = true;
    memcpy(m.now, content, sizeof(m.now));
    memcpy(m.base, content, sizeof(m.base));
    if (power_cut)
        memcpy(m.disk, content, sizeof(m.disk));
    m.log_count = 0;
    drop_unknown_points();
}

/* The machine or the process really ends, and what comes after goes on. */
static void end_for_good(void)
{
    bool power_cut = any(2);
    struct record_medium *medium;
    int content[GRANULES];
    struct record *record = reopen(power_cut, content, &medium);

    record_free(m.record);
    m.record = record;
    m.medium = medium;
    start_over(content, power_cut);
    if (power_cut)
        m.crashes++;
    else
        m.kills++;
}

static bool idle(void)
{
    for (unsigned i = 0; i < ACTORS; i++)
        if (m.actors[i].used)
            return false;
    return true;
}

/* Closed, with the volume durable, and opened again. */
static void close_and_open(void)
{
    struct record_medium *left;
    int content[GRANULES];

    memcpy(content, m.now, sizeof(content));
    memcpy(m.disk, m.now, sizeof(m.disk));
    record_finish(m.record, &m.subject.identity);
    left = model_medium_after(m.medium, any(2));
    record_free(m.record);
    m.record = NULL;
    m.medium = left;
    m.subject.identity.boot[0]++; /* exact all the same */
    if (record_open(left, &m.subject, &m.record))
        fail("a record cannot be opened");
    check_record(m.record, content, "after a close", true);
    start_over(content, false);
    m.closes++;
}

static __attribute__((noinline)) void begin_model(unsigned seed, enum record_fault fault)
{
    struct record_status status;
    uint8_t *stacks[ACTORS];

    for (unsigned i = 0; i < ACTORS; i++)
        stacks[i] = m.actors[i].stack;
    memset(&m, 0, sizeof(m));
    for (unsigned i = 0; i < ACTORS; i++)
        m.actors[i].stack = stacks[i];
    m.random = seed * 2654435761u + 12345;
    m.fault = fault;
    m.subject = (struct record_subject){.bytes = BYTES, .name = "the volume"};
    m.subject.identity.boot[0] = 1;
    m.medium = model_medium_create(any, record_step);
    m.live = model_live_store();
    if (record_create(m.medium, &m.subject, &m.record))
        fail("no record can be made");
    record_get_status(m.record, &status);
    memcpy(m.points[0].id, status.points[0].id, RECORD_ID_BYTES);
    m.points[0].interval = status.points[0].interval;
    m.point_count = 1;
}

static __attribute__((noinline)) void run_steps(void)
{
    static const unsigned chance[KINDS] = {12, 5, 5, 1, 12, 20}; /* in 100 */

    for (unsigned step = 0; step < STEPS; step++) {
        unsigned tries = 0;
        struct actor *actor;

        for (unsigned kind = 0; kind < KINDS; kind++)
            if (any(100) < chance[kind])
                start_actor((enum kind)kind);
        if (any(200) == 0)
            m.focus = any(REGIONS);
        if (any(80) == 0) {
            unsigned granule = any(GRANULES);

            m.disk[granule] = m.now[granule];
        }
        do {
            actor = &m.actors[any(ACTORS)];
        } while (!actor->used && tries++ < 20);
        if (actor->used && actor->stalled > 0)
            actor->stalled--;
        else if (actor->used)
            go_on(actor);
        if (any(100) < 2 && !m.record->cut_lock.held && !m.record->turn.held)
            check_record(m.record, m.now, "while it runs", true);
        if (any(100) < 3)
            try_crash();
        if (any(1000) < 2)
            end_for_good();
        else if (idle() && any(100) < 3)
            close_and_open();
    }
}

/* True when nothing went wrong. */
static bool run_seed(unsigned seed, enum record_fault fault)
{
    if (setjmp(model_failed) == 0) {
        begin_model(seed, fault);
        run_steps();
    } else {
        m.running = NULL;
    }
    if (m.record)
        record_free(m.record);
    m.record = NULL;
    return m.reason[0] == '\0';
}

static bool as_designed(unsigned seeds, unsigned first)
{
    unsigned wrong = 0, writes = 0, cuts = 0, crashes = 0, kills = 0, closes = 0, coolings = 0;
    unsigned views = 0, views_lost = 0, saved = 0;
    char reason[320] = "";

    for (unsigned seed = first; seed < first + seeds; seed++) {
        if (!run_seed(seed, 0) && wrong++ == 0)
            snprintf(reason, sizeof(reason), "seed %u: %s", seed, m.reason);
        writes += m.writes;
        cuts += m.cuts;
        crashes += m.crashes;
        kills += m.kills;
        closes += m.closes;
        coolings += m.coolings;
        views += m.views;
        views_lost += m.views_lost;
        saved += m.saved;
    }
    printf("%s - the record is never less than the truth\n", wrong ? "not ok" : "ok");
    printf("# %u schedules, %u wrong; %u writes, %u points, %u coolings, %u crashes, %u kills, "
           "%u closes, %u views, %u of them given up, %u granules saved%s%s\n",
           seeds, wrong, writes, cuts, coolings, crashes, kills, closes, views, views_lost, saved,
           wrong ? "; " : "", reason);
    if (writes == 0 || cuts == 0 || crashes == 0 || kills == 0 || closes == 0 || coolings == 0 ||
        views == 0 || views_lost == 0 || saved == 0) {
        printf("not ok - the schedules have everything in them\n");
        return false;
    }
    return wrong == 0;
}

/* first: where it was found once, so that it does not take long; any other would do. */
static bool finds(enum record_fault fault, const char *what, unsigned first, unsigned seeds)
{
    for (unsigned seed = first; seed < first + seeds; seed++) {
        if (run_seed(seed, fault))
            continue;
        printf("ok - it is found when %s\n# seed %u: %s\n", what, seed, m.reason);
        return true;
    }
    printf("not ok - it is found when %s\n# not in %u schedules\n", what, seeds);
    return false;
}

static const struct {
    const char *what;
    unsigned seed;
} faults[FAULTS_END] = {
    [RECORD_FAULT_COOL_WITHOUT_BITS] = {"a region is cool before its bits are durable", 4},
    [RECORD_FAULT_MEMORY_FIRST] = {"a region is hot in memory first", 1},
    [RECORD_FAULT_NO_OVERLAP_WAIT] = {"a change overtakes one of an older interval", 1},
    [RECORD_FAULT_FORGET_UNFLUSHED] = {"changes that are not durable are forgotten", 14},
    [RECORD_FAULT_FLUSH_RUNNING] = {"a flush counts for the interval that runs", 27},
    [RECORD_FAULT_NO_GRACE] = {"a point does not wait for older changes", 2},
    [RECORD_FAULT_DATA_FIRST] = {"a change is marked when it is over", 6},
    [RECORD_FAULT_COOL_NO_GRACE] = {"cooling does not wait for older changes", 69},
    [RECORD_FAULT_FREE_FIRST] = {"a bitmap is emptied before it is free", 5},
    [RECORD_FAULT_NEXT_UNKNOWN] = {"an interval begins without a bitmap of its own", 13},
    [RECORD_FAULT_REUSE_FIRST] = {"a bitmap is used again before it is durably empty", 23},
    [RECORD_FAULT_VIEW_NOT_SAVED] = {"a change saves nothing for views", 1},
    [RECORD_FAULT_VIEW_MARK_FIRST] = {"a granule counts as saved before it is", 1},
    [RECORD_FAULT_VIEW_ONCE] = {"a view misses what was being changed when it was cut", 14},
    [RECORD_FAULT_VIEW_NOT_AGAIN] = {"a reader of a view does not look again", 44},
    [RECORD_FAULT_VIEW_LATE] = {"a view is known when its interval has ended", 7},
};

static void say_nothing(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

int main(int argc, char **argv)
{
    unsigned seeds = argc > 1 ? (unsigned)atoi(argv[1]) : 10;
    unsigned first = argc > 2 ? (unsigned)atoi(argv[2]) : 1;
    bool good;

    log_set_sink(say_nothing);
    if (argc > 3 && atoi(argv[3]) > 0)
        return !finds((enum record_fault)atoi(argv[3]), "asked for", first, seeds);
    good = as_designed(seeds, first);
    if (argc > 3)
        return !good;
    for (unsigned fault = 1; fault < FAULTS_END; fault++)
        good = finds((enum record_fault)fault, faults[fault].what, faults[fault].seed, 400) && good;
    for (unsigned i = 0; i < ACTORS; i++)
        free(m.actors[i].stack);
    return !good;
}
