/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>

#include "fuzz.h"
#include "reservation.h"

static void check_holder(const uint8_t *reply, size_t length)
{
    struct reservation found;
    int result = reservation_decode(reply, length, &found);

    FUZZ_CHECK(result == 0 || result == -EINVAL);
    FUZZ_CHECK(result == 0 || !found.held);
    FUZZ_CHECK(found.held || (found.key == 0 && found.type == 0));
    FUZZ_CHECK(!found.held || length >= RESERVATION_REPLY_BYTES);
    FUZZ_CHECK(reservation_type_name(found.type)[0]);
}

/* Keys go into a room of exactly that size, which AddressSanitizer watches. */
static void check_keys(const uint8_t *reply, size_t length, size_t room)
{
    uint64_t *keys = malloc(room * sizeof(*keys));
    bool all = false;
    int count;

    FUZZ_CHECK(keys || room == 0);
    count = reservation_keys_decode(reply, length, keys, room, &all);
    FUZZ_CHECK(count == -EINVAL || (count >= 0 && (size_t)count <= room));
    FUZZ_CHECK(count < 0 || 8 + (size_t)count * 8 <= length);
    for (int i = 0; i < count; i++)
        FUZZ_CHECK((uint8_t)keys[i] == reply[8 + 8 * i + 7]);
    free(keys);
}

/* Input: how many keys there is room for (1 byte), then the reply of READ KEYS or READ RESERVATION.
 */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    size_t room = fuzz_byte(&input);

    check_holder(input.data, input.left);
    check_keys(input.data, input.left, room);
    return 0;
}
