/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "byteorder.h"
#include "endpoint_kinds.h"
#include "fake_unit.h"
#include "fuzz.h"
#include "log.h"
#include "reservation.h"
#include "scsi_defs.h"

#define OWNER     (ENDPOINT_OWNER_MARK | UINT64_C(0x12345678) << 16)
#define STRANGER  UINT64_C(0xABC)
#define TAKE_OVER 0x01U /* what the owner has is left of a process that is gone */
#define LOSE      0x02U /* the session is lost once it is reserved */

static void check_text(const char *text)
{
    FUZZ_CHECK(*text);
    for (; *text; text++)
        FUZZ_CHECK(*text >= 0x20 && *text <= 0x7E);
}

/* The next reply of the input: its length, then its bytes. Without any: the truth. */
static size_t lie(struct fake_unit *unit, uint8_t *reply, size_t size)
{
    struct fuzz_input *input = unit->lie_opaque;
    size_t length = (size_t)fuzz_number(input, 2);

    if (length == 0)
        return 8 + (size_t)get_be32(reply + 4);
    length = length < size ? length : size;
    length = length < input->left ? length : input->left;
    fuzz_bytes(input, reply, length);
    return length;
}

static bool has_key(const struct fake_reservation *target, uint64_t key)
{
    for (size_t i = 0; i < target->key_count; i++)
        if (target->keys[i] == key)
            return true;
    return false;
}

/* Registered again (true), or given up with a sentence. */
static bool lose_session(struct fake_unit *unit, struct endpoint *endpoint)
{
    uint8_t data[512] = {1};
    struct iovec iov = {data, sizeof(data)};
    struct endpoint_request request = {
        .op = ENDPOINT_WRITE, .lba = 8, .blocks = 1, .iov = &iov, .iov_count = 1};

    fake_unit_fault(unit, (struct fake_fault){.word = "W", .times = 1, .result = -ERESTART});
    if (endpoint_run(endpoint, &request) == 0)
        return true;
    check_text(request.error.text);
    return false;
}

static void drop(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

/* A target that says anything at all of its reservations: no other initiator's key is ended, and it
 * counts as reserved only when it is. Input: what happens, then the replies. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fake_unit *unit = fake_unit_new();
    struct fuzz_input input = {data, size};
    struct fake_reservation *truth = &unit->reservation;
    unsigned flags = fuzz_byte(&input);
    struct endpoint *endpoint = NULL;
    struct errmsg err = {{0}};
    bool works = true;
    int r;

    log_set_sink(drop);
    unit->blocks = 16;
    fake_unit_format(unit);
    FUZZ_CHECK(endpoint_scsi_open("lun", "fake", &unit->transport, ENDPOINT_WRITABLE, &endpoint,
                                  &err) == 0);
    fake_reservation_add(truth, STRANGER, 0);
    fake_reservation_add(truth, OWNER | 1, flags & TAKE_OVER ? RESERVATION_WRITE_EXCLUSIVE : 0);
    unit->lie_of_reservation = lie;
    unit->lie_opaque = &input;
    r = endpoint_reserve(endpoint, OWNER, flags & TAKE_OVER, &err);
    FUZZ_CHECK(r <= 0);
    if (r < 0)
        check_text(err.text);
    else
        FUZZ_CHECK(truth->held && truth->own && truth->holder == truth->own);
    if (r == 0 && flags & LOSE)
        works = lose_session(unit, endpoint);
    endpoint_close(endpoint);
    FUZZ_CHECK(has_key(truth, STRANGER));
    if (works) /* nothing is left of it */
        FUZZ_CHECK(truth->own == 0 && (!truth->held || truth->holder == (OWNER | 1)));
    fake_unit_free(unit);
    return 0;
}
