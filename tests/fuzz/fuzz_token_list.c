/* SPDX-License-Identifier: Apache-2.0 */

/* The parameter lists of POPULATE TOKEN and WRITE USING TOKEN. */

#include <errno.h>

#include "cleanup.h"
#include "fuzz.h"
#include "token_list.h"

static void try_list(const uint8_t *bytes, size_t length, bool writes)
{
    size_t header = writes ? TOKEN_LIST_WRITE_BYTES : TOKEN_LIST_POPULATE_BYTES;
    struct token_list list;
    uint16_t field = 0;
    int result = token_list_decode(bytes, length, writes, &list, &field);

    FUZZ_CHECK((result == -EMSGSIZE) == (length < header));
    if (result == -EINVAL)
        FUZZ_CHECK(field < header);
    if (result)
        return;
    FUZZ_CHECK(list.range_count > 0);
    FUZZ_CHECK(header + list.range_count * TOKEN_LIST_RANGE_BYTES <= length);
    FUZZ_CHECK((list.token != NULL) == writes);
    for (size_t i = 0; i < list.range_count; i++)
        (void)token_list_get(&list, i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct fuzz_input input = {data, size};
    bool writes = fuzz_byte(&input) & 1;
    CLEANUP_FREE uint8_t *exact = malloc(input.left ? input.left : 1);

    FUZZ_CHECK(exact);
    if (input.left > 0)
        memcpy(exact, input.data, input.left);
    try_list(exact, input.left, writes);
    return 0;
}
