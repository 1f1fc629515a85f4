/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <poll.h>
#include <time.h>

#include "endpoint_kinds.h"
#include "fake_unit.h"
#include "fuzz.h"
#include "log.h"
#include "scsi_defs.h"

/* Nothing is waited for, but the clock goes on. */
static bool at_work;
static uint64_t now_ms;

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    if (!at_work)
        return __real_poll(fds, count, timeout_ms);
    for (nfds_t i = 0; i < count; i++)
        fds[i].revents = 0;
    now_ms += timeout_ms > 0 ? (uint64_t)timeout_ms : 0;
    return 0;
}

int __real_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret);
int __wrap_clock_gettime(clockid_t id, struct timespec *ret)
{
    if (!at_work)
        return __real_clock_gettime(id, ret);
    *ret = (struct timespec){(time_t)(now_ms / 1000), (long)(now_ms % 1000) * 1000000};
    return 0;
}

/* What of a unit's answers is changed, as the input wants. */
struct liar {
    struct fuzz_input input;
    const struct transport_ops *honest;
    struct transport_ops ops;
};

struct carried {
    struct liar *liar;
    void (*done)(struct transport_request *request);
    void *opaque;
};

static struct liar *current;

static void change_bytes(struct fuzz_input *input, struct transport_request *request)
{
    size_t offset = (size_t)fuzz_number(input, 2), length = fuzz_byte(input);

    for (int i = 0; i < request->iov_count && request->direction == TRANSPORT_DATA_IN; i++)
        for (size_t at = offset; at < request->iov[i].iov_len && at < offset + length; at++)
            ((uint8_t *)request->iov[i].iov_base)[at] = fuzz_byte(input);
}

static void answer_sense(struct fuzz_input *input, struct transport_request *request)
{
    size_t length = fuzz_byte(input) % (TRANSPORT_SENSE_BYTES + 1);

    request->status = SCSI_STATUS_CHECK_CONDITION;
    request->sense_length = length;
    fuzz_bytes(input, request->sense, length < 24 ? length : 24);
}

static void change_answer(struct fuzz_input *input, struct transport_request *request)
{
    static const int errors[] = {-ENOTCONN, -ETIMEDOUT, -ERESTART, -EIO, -EPERM};

    switch (fuzz_byte(input) % 8) {
    case 1:
        change_bytes(input, request);
        break;
    case 2:
        answer_sense(input, request);
        break;
    case 3:
        request->transferred = (size_t)fuzz_number(input, 2) % (request->transferred + 1);
        break;
    case 4:
        request->status = fuzz_byte(input);
        break;
    case 5:
        request->result = errors[fuzz_byte(input) % (sizeof(errors) / sizeof(errors[0]))];
        break;
    case 6: /* all that there is room for */
        request->transferred = transport_data_bytes(request);
        change_bytes(input, request);
        break;
    default:
        break;
    }
}

static void answered(struct transport_request *request)
{
    struct carried *carried = request->opaque;

    request->done = carried->done;
    request->opaque = carried->opaque;
    change_answer(&carried->liar->input, request);
    free(carried);
    request->done(request);
}

static int submit(struct transport *transport, struct transport_request *request)
{
    struct carried *carried = malloc(sizeof(*carried));
    int r;

    FUZZ_CHECK(carried);
    *carried = (struct carried){current, request->done, request->opaque};
    request->done = answered;
    request->opaque = carried;
    r = current->honest->submit(transport, request);
    FUZZ_CHECK(r == 0);
    return r;
}

static void check_text(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    FUZZ_CHECK(length < size);
    for (size_t i = 0; i < length; i++)
        FUZZ_CHECK(text[i] >= 0x20 && text[i] <= 0x7E);
}

static void check_info(const struct endpoint_info *info)
{
    FUZZ_CHECK(info->blocks > 0);
    FUZZ_CHECK(info->block_size >= 512 && info->block_size <= 1 << 20);
    FUZZ_CHECK((info->block_size & (info->block_size - 1)) == 0);
    FUZZ_CHECK(info->blocks <= UINT64_MAX / info->block_size);
    FUZZ_CHECK(info->max_transfer_blocks > 0 && info->max_zero_blocks > 0);
    FUZZ_CHECK((uint64_t)info->max_transfer_blocks * info->block_size <= 16 << 20);
    FUZZ_CHECK(info->unmap_granularity_blocks > 0);
    FUZZ_CHECK(!info->unmapped_reads_zeros || info->thin);
    FUZZ_CHECK(!info->can_unmap || info->unmapped_reads_zeros);
    check_text(info->identity, sizeof(info->identity));
    check_text(info->vendor, sizeof(info->vendor));
    check_text(info->product, sizeof(info->product));
    check_text(info->serial, sizeof(info->serial));
}

/* The map from an LBA on is about these blocks, and about nothing else. */
static void ask_for_map(struct endpoint *endpoint, uint64_t lba)
{
    struct extent_list map = {0};
    struct endpoint_request request = {.op = ENDPOINT_MAP,
                                       .lba = lba,
                                       .blocks = endpoint->info.blocks - lba,
                                       .map = &map};
    uint64_t at = lba;
    int r = endpoint_run(endpoint, &request);

    FUZZ_CHECK(r <= 0 && (r == 0 || request.error.text[0]));
    for (size_t i = 0; i < map.count; i++) {
        FUZZ_CHECK(map.items[i].start == at && map.items[i].length > 0);
        FUZZ_CHECK(map.items[i].length <= endpoint->info.blocks - at);
        at += map.items[i].length;
    }
    FUZZ_CHECK(r < 0 || at > lba);
    extent_list_free(&map);
}

static void drop(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

/* A logical unit that answers anything at all while it is opened, and is asked for its map. Input:
 * what it is, then what becomes of each of its answers. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_unit *unit = fake_unit_new();
    struct liar liar = {{data, size}, unit->transport.ops, *unit->transport.ops};
    uint8_t what = fuzz_byte(&liar.input);
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};

    log_set_sink(drop);
    unit->blocks = 16;
    fake_unit_format(unit);
    unit->thin = what & 0x01;
    unit->lbprz = what & 0x02;
    unit->lbpws = what & 0x04;
    unit->unknown = what & 0x08 ? "RC16 VPD00" : NULL;
    fake_unit_fill(unit, 4, 2, 0x55);
    liar.ops.submit = submit;
    unit->transport.ops = &liar.ops;
    current = &liar;
    at_work = true;
    if (endpoint_scsi_open("lun", "fake", &unit->transport, what & 0x10 ? ENDPOINT_WRITABLE : 0,
                           &endpoint, &err) < 0) {
        FUZZ_CHECK(err.text[0]);
    } else {
        check_info(&endpoint->info);
        ask_for_map(endpoint, 0);
        ask_for_map(endpoint, endpoint->info.blocks / 2);
        endpoint_close(endpoint);
    }
    at_work = false;
    fake_unit_free(unit);
    return 0;
}
