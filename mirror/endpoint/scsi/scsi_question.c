/* SPDX-License-Identifier: Apache-2.0 */
#include "scsi_question.h"

#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <string.h>

#include "monotonic.h"

#define PAUSE_MS 100 /* before a busy target is asked again */

void scsi_question_set(struct scsi_question *question, size_t cdb_length, size_t reply_bytes)
{
    assert(reply_bytes <= sizeof(question->own));
    question->request.cdb_length = cdb_length;
    question->reply = question->own;
    question->reply_bytes = reply_bytes;
}

static void note_answer(struct transport_request *request)
{
    ((struct scsi_question *)request->opaque)->state = QUESTION_ANSWERED;
}

static void send_question(struct transport *transport, struct scsi_question *question)
{
    struct transport_request *request = &question->request;
    int r;

    if (question->reply_bytes)
        memset(question->reply, 0, question->reply_bytes);
    question->iov = (struct iovec){question->reply, question->reply_bytes};
    question->state = QUESTION_SENT;
    request->direction = question->reply_bytes ? TRANSPORT_DATA_IN : TRANSPORT_NO_DATA;
    request->iov = &question->iov;
    request->iov_count = question->reply_bytes ? 1 : 0;
    request->done = note_answer;
    request->opaque = question;
    r = transport_submit(transport, request);
    if (r < 0) {
        request->result = r;
        question->state = QUESTION_ANSWERED;
    }
}

static void pass_over(struct scsi_question *question)
{
    question->outcome = (struct outcome){.verdict = VERDICT_UNSUPPORTED, .error = -EOPNOTSUPP};
    question->state = QUESTION_SETTLED;
}

/* For how long, and how often, a question is sent again. */
struct patience_left {
    uint64_t busy_end_ms;
    unsigned changes;
};

static void take_answer(struct scsi_question *question, const struct patience_left *left)
{
    uint64_t now = monotonic_ms();

    question->outcome = scsi_outcome(&question->request);
    question->changed =
        question->outcome.verdict == VERDICT_ATTENTION || question->request.result == -ERESTART;
    question->state = QUESTION_SETTLED;
    if (question->outcome.verdict == VERDICT_BUSY && now < left->busy_end_ms) {
        question->state = QUESTION_WAITING;
        question->again_at_ms = now + PAUSE_MS;
    }
    if (question->changed && question->changes++ < left->changes) {
        question->state = QUESTION_WAITING;
        question->again_at_ms = now;
    }
}

static void advance(struct transport *transport, struct scsi_question *question,
                    const struct patience_left *left)
{
    if (question->state == QUESTION_ANSWERED)
        take_answer(question, left);
    if (question->state == QUESTION_WAITING && monotonic_ms() >= question->again_at_ms)
        send_question(transport, question);
}

/* Until something is answered, or for a pause when one waits. */
static void wait_for_answers(struct transport *transport, bool one_waits)
{
    struct pollfd fd = {.fd = -1};
    int timeout_ms = -1;

    if (transport->in_flight > 0)
        timeout_ms = transport->ops->poll(transport, &fd);
    if (one_waits && (timeout_ms < 0 || timeout_ms > PAUSE_MS))
        timeout_ms = PAUSE_MS;
    if (poll(&fd, 1, timeout_ms) < 0)
        fd.revents = 0; /* a signal: nothing has happened, but time may have passed */
    if (transport->in_flight > 0)
        transport->ops->service(transport, fd.revents);
}

void scsi_ask(struct transport *transport, struct scsi_question questions[], size_t count,
              unsigned busy_ms, unsigned changes)
{
    const struct patience_left left = {monotonic_ms() + busy_ms, changes};
    size_t settled = 0;

    for (size_t i = 0; i < count; i++) {
        questions[i].changes = 0;
        if (questions[i].request.cdb_length > 0)
            send_question(transport, &questions[i]);
        else
            pass_over(&questions[i]);
    }
    for (;;) {
        bool one_waits = false;

        settled = 0;
        for (size_t i = 0; i < count; i++) {
            advance(transport, &questions[i], &left);
            settled += questions[i].state == QUESTION_SETTLED;
            one_waits = one_waits || questions[i].state == QUESTION_WAITING ||
                        questions[i].state == QUESTION_ANSWERED;
        }
        if (settled == count)
            return;
        wait_for_answers(transport, one_waits);
    }
}
