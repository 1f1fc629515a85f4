/* SPDX-License-Identifier: Apache-2.0 */
#include "track_view.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "iov.h"

#define ADDRESS        1 /* cylinder and head in the home address, behind a byte of flags */
#define ADDRESS_BYTES  4
#define RECORD         5 /* record zero: the address again, number, length of key and of data */
#define RECORD_NUMBER  (RECORD + 4)
#define RECORD_KEY     (RECORD + 5)
#define RECORD_LENGTH  (RECORD + 6)
#define RECORD_DATA    8
#define END_MARK       (RECORD + 8 + RECORD_DATA)
#define END_MARK_BYTES 8

struct view {
    struct endpoint endpoint;
    struct endpoint *below;
    const struct extent_runs *heads;
};

/* A read on its way to the endpoint below. */
struct passed {
    struct endpoint_request request;
    struct endpoint_request *asked;
    struct view *view;
};

static struct view *view_of(struct endpoint *endpoint)
{
    return (struct view *)endpoint;
}

void track_view_empty(uint8_t head[TRACK_HEAD_BYTES])
{
    if (head[0] != 0 || memcmp(head + ADDRESS, head + RECORD, ADDRESS_BYTES) != 0 ||
        head[RECORD_NUMBER] != 0 || head[RECORD_KEY] != 0 ||
        get_be16(head + RECORD_LENGTH) != RECORD_DATA)
        return;
    memset(head + END_MARK, 0xFF, END_MARK_BYTES);
    memset(head + END_MARK + END_MARK_BYTES, 0, TRACK_HEAD_BYTES - END_MARK - END_MARK_BYTES);
}

/* Empties the head that begins at bytes behind the begin of the request's buffers. */
static void empty_at(const struct endpoint_request *request, uint64_t offset)
{
    uint8_t head[TRACK_HEAD_BYTES];
    struct iov_cursor from = iov_cursor_at_start(request->iov, request->iov_count), to;

    iov_cursor_skip(&from, offset);
    to = from;
    iov_cursor_read(&from, head, sizeof(head));
    track_view_empty(head);
    iov_cursor_write(&to, head, sizeof(head));
}

static void empty_tracks(const struct view *view, const struct endpoint_request *request)
{
    uint32_t block_size = view->below->info.block_size;
    uint64_t begin = request->lba * block_size / TRACK_HEAD_BYTES;
    uint64_t end = begin + request->blocks * block_size / TRACK_HEAD_BYTES;

    for (uint64_t at = begin; at < end;) {
        const struct extent extent = extent_runs_find(view->heads, at);
        uint64_t next = extent.length > 0 ? min_u64(extent.start + extent.length, end) : end;

        for (; at < next && extent.length > 0 && extent.status == EXTENT_MAPPED; at++)
            empty_at(request, (at - begin) * TRACK_HEAD_BYTES);
        at = next;
    }
}

static void read_done(struct endpoint_request *request)
{
    struct passed *passed = request->opaque;
    struct endpoint_request *asked = passed->asked;

    if (request->result == 0)
        empty_tracks(passed->view, asked);
    asked->result = request->result;
    asked->error_lba = request->error_lba;
    asked->unreadable = request->unreadable;
    asked->error = request->error;
    free(passed);
    asked->done(asked);
}

static int view_submit(struct endpoint *endpoint, struct endpoint_request *request)
{
    struct view *view = view_of(endpoint);
    struct passed *passed;
    int r;

    if (request->op != ENDPOINT_READ)
        return endpoint_submit(view->below, request);
    passed = malloc(sizeof(*passed));
    if (!passed)
        return -ENOMEM;
    *passed = (struct passed){.request = *request, .asked = request, .view = view};
    passed->request.done = read_done;
    passed->request.opaque = passed;
    r = endpoint_submit(view->below, &passed->request);
    if (r < 0) {
        request->error = passed->request.error;
        free(passed);
    }
    return r;
}

static int view_poll(struct endpoint *endpoint, struct pollfd *ret)
{
    struct endpoint *below = view_of(endpoint)->below;

    return below->ops->poll(below, ret);
}

static int view_service(struct endpoint *endpoint, short revents)
{
    struct endpoint *below = view_of(endpoint)->below;

    return below->ops->service(below, revents);
}

static int view_forget(struct endpoint *endpoint)
{
    struct endpoint *below = view_of(endpoint)->below;

    return below->ops->forget ? below->ops->forget(below) : 0;
}

static void view_close(struct endpoint *endpoint)
{
    free(endpoint);
}

int track_view_create(struct endpoint *below, const struct extent_runs *heads,
                      struct endpoint **ret)
{
    static const struct endpoint_ops ops = {.close = view_close,
                                            .submit = view_submit,
                                            .poll = view_poll,
                                            .service = view_service,
                                            .forget = view_forget};
    struct view *view = calloc(1, sizeof(*view));

    if (!view)
        return -ENOMEM;
    view->endpoint = (struct endpoint){.ops = &ops, .info = below->info};
    view->below = below;
    view->heads = heads;
    *ret = &view->endpoint;
    return 0;
}
