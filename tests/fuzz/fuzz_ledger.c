/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "fuzz.h"
#include "ledger.h"

static void check_side(const struct ledger_side *a, const struct ledger_side *b)
{
    FUZZ_CHECK(strcmp(a->identity, b->identity) == 0 && strcmp(a->name, b->name) == 0);
    FUZZ_CHECK(a->blocks == b->blocks && a->block_size == b->block_size);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    CLEANUP_FREE char *encoded = NULL;
    char file_name[LEDGER_FILE_BYTES];
    struct ledger ledger, again;

    ledger_file_name(text, file_name);
    FUZZ_CHECK(memchr(file_name, 0, sizeof(file_name)) && !strchr(file_name, '/'));
    FUZZ_CHECK(strcmp(file_name, ".") != 0 && strcmp(file_name, "..") != 0);
    if (ledger_decode(text, size, &ledger))
        return 0;
    FUZZ_CHECK(ledger_encode(&ledger, &encoded) == 0);
    FUZZ_CHECK(ledger_decode(encoded, strlen(encoded), &again) == 0);
    FUZZ_CHECK(again.state == ledger.state);
    FUZZ_CHECK(again.started == ledger.started && again.completed == ledger.completed);
    FUZZ_CHECK(strcmp(again.source_map, ledger.source_map) == 0);
    check_side(&again.primary, &ledger.primary);
    check_side(&again.secondary, &ledger.secondary);
    return 0;
}
