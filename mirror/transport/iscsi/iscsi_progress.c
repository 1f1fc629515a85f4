/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_progress.h"

#include "checked.h"
#include "monotonic.h"
#include "tcp_progress.h"

#define MOVED_BYTES        8192 /* taken by the target: more than the answers to its pings */
#define MOVED_LOOK_MS      1000
#define STOPPED_TIMEOUT_MS 5000 /* when the user wants to end */
/* Of a command beyond its timeout, however the connection moves on: the longest queue takes that
 * time on a line of half a megabit a second. */
#define LONGEST_MS 600000
/* What a command takes on the line besides its data: headers of its PDUs, and of pings. */
#define COMMAND_BYTES 4096

void progress_begin(struct iscsi_progress *progress)
{
    progress->taken_bytes = 0;
    progress->owed_bytes = 0;
    progress->counted_ms = monotonic_ms();
}

void progress_sends(struct iscsi_progress *progress, uint64_t bytes)
{
    /* A PDU of 512 bytes has a header of 48. */
    progress->owed_bytes += bytes + bytes / 8 + COMMAND_BYTES;
}

void progress_ends(struct iscsi_progress *progress)
{
    progress->moved_ms = monotonic_ms();
}

/* What was taken since it was looked at last; more than there was counts for nothing. */
static uint64_t take(struct iscsi_progress *progress, uint64_t taken)
{
    uint64_t more = taken - min_u64(taken, progress->taken_bytes);
    uint64_t counts = min_u64(more, progress->owed_bytes);

    progress->owed_bytes -= counts;
    return counts;
}

void progress_look(struct iscsi_progress *progress, int fd, bool writable)
{
    uint64_t now = monotonic_ms(), taken, more = 0;
    bool counts, moved_otherwise = progress->moved_ms > progress->counted_ms;

    /* To ask the kernel each time would cost more than it says. */
    if (now - progress->looked_ms < MOVED_LOOK_MS)
        return;
    progress->looked_ms = now;
    counts = tcp_acknowledged(fd, &taken);
    if (counts && !moved_otherwise && taken - progress->taken_bytes < MOVED_BYTES)
        return;
    if (counts) {
        more = take(progress, taken);
        progress->taken_bytes = taken;
    }
    progress->counted_ms = now;
    if (counts ? !moved_otherwise && more >= MOVED_BYTES : writable)
        progress->moved_ms = now;
}

int progress_look_left(const struct iscsi_progress *progress)
{
    uint64_t now, due = progress->looked_ms + MOVED_LOOK_MS;

    if (progress->moved_ms <= progress->counted_ms)
        return -1;
    now = monotonic_ms();
    return due <= now ? 0 : (int)(due - now);
}

uint64_t progress_deadline(const struct iscsi_progress *progress, uint64_t started_ms,
                           unsigned timeout_ms, bool vital)
{
    uint64_t end = max_u64(started_ms, progress->moved_ms) + timeout_ms;

    end = min_u64(end, started_ms + timeout_ms + LONGEST_MS);
    if (progress->stopped_ms > 0 && !vital)
        end = min_u64(end, max_u64(started_ms, progress->stopped_ms) + STOPPED_TIMEOUT_MS);
    return end;
}

void progress_stop(struct iscsi_progress *progress, bool stopped)
{
    if (stopped && progress->stopped_ms == 0)
        progress->stopped_ms = monotonic_ms();
}
