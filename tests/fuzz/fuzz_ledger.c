/* SPDX-License-Identifier: Apache-2.0 */
#include "cleanup.h"
#include "fuzz.h"
#include "ledger.h"

static void check_side(const struct ledger_side *a, const struct ledger_side *b)
{
    FUZZ_CHECK(strcmp(a->identity, b->identity) == 0 && strcmp(a->name, b->name) == 0);
    FUZZ_CHECK(a->blocks == b->blocks && a->block_size == b->block_size);
}

/* The fuzzer does not guess checksums, so the text gets the one that fits. */
static int decode_with_checksum(char *text, size_t size, struct ledger *ret)
{
    CLEANUP_FREE char *whole = NULL;
    char *end = strstr(text, ",\n  \"checksum\":\"");
    int length;

    if (!end)
        return ledger_decode(text, size, ret);
    *end = '\0';
    length = asprintf(&whole, "%s,\n  \"checksum\":\"%016llx\"\n}\n", text,
                      (unsigned long long)ledger_hash(text));
    FUZZ_CHECK(length > 0);
    return ledger_decode(whole, (size_t)length, ret);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    CLEANUP_FREE char *text = fuzz_text(data, size);
    CLEANUP_FREE char *encoded = NULL;
    char file_name[LEDGER_FILE_BYTES];
    CLEANUP(ledger_free) struct ledger ledger = {0};
    CLEANUP(ledger_free) struct ledger again = {0};

    ledger_file_name(text, file_name);
    FUZZ_CHECK(memchr(file_name, 0, sizeof(file_name)) && !strchr(file_name, '/'));
    FUZZ_CHECK(strcmp(file_name, ".") != 0 && strcmp(file_name, "..") != 0);
    if (decode_with_checksum(text, size, &ledger))
        return 0;
    FUZZ_CHECK(ledger_encode(&ledger, &encoded) == 0);
    FUZZ_CHECK(ledger_decode(encoded, strlen(encoded), &again) == 0);
    FUZZ_CHECK(again.state == ledger.state);
    FUZZ_CHECK(again.started == ledger.started && again.completed == ledger.completed);
    FUZZ_CHECK(strcmp(again.source_map, ledger.source_map) == 0);
    FUZZ_CHECK(strcmp(again.copy, ledger.copy) == 0);
    FUZZ_CHECK(strcmp(again.replaces, ledger.replaces) == 0);
    FUZZ_CHECK(strcmp(again.elsewhere, ledger.elsewhere) == 0);
    FUZZ_CHECK(strcmp(again.pair, ledger.pair) == 0);
    FUZZ_CHECK(again.pointed_to == ledger.pointed_to);
    FUZZ_CHECK(memcmp(&again.left, &ledger.left, sizeof(ledger.left)) == 0);
    FUZZ_CHECK((ledger.state == LEDGER_ELSEWHERE) == (ledger.elsewhere[0] == '/'));
    FUZZ_CHECK(again.done.total == ledger.done.total || ledger.done.count > LEDGER_RANGES_MAX);
    check_side(&again.primary, &ledger.primary);
    check_side(&again.secondary, &ledger.secondary);
    return 0;
}
