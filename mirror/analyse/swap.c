/* SPDX-License-Identifier: Apache-2.0 */

/* Linux swap, version 1: the first page says what it is, the others hold nothing that is worth a
 * copy, unless the machine's memory was saved there to be resumed from. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "byteorder.h"
#include "checked.h"
#include "format_registry.h"

#define MARK_BYTES 10
#define VERSION    1024 /* where the header's fields begin */
#define PAGE_MIN   4096
#define PAGE_MAX   65536
#define BAD_OFFSET 1536
#define BAD_MAX    ((PAGE_MIN - BAD_OFFSET - MARK_BYTES) / 4)

static const char swap_mark[] = "SWAPSPACE2";

/* Left in the mark's place by hibernation: of the kernel, of uswsusp, of TuxOnIce. */
static const char *const suspend_marks[] = {"S1SUSPEND", "S2SUSPEND", "ULSUSPEND", "LINHIB0001",
                                            "\xed\xc3\x02\xe9\x98\x56\xe5\x0c"};

/* The size of the page that ends in this mark; 0: none does. */
static uint64_t find_page(struct region *region, const char *mark, size_t length)
{
    for (uint64_t page = PAGE_MIN; page <= PAGE_MAX; page *= 2)
        if (region_has(region, page - MARK_BYTES, mark, length))
            return page;
    return 0;
}

static bool is_suspended(struct region *region)
{
    for (size_t i = 0; i < sizeof(suspend_marks) / sizeof(suspend_marks[0]); i++)
        if (find_page(region, suspend_marks[i], strlen(suspend_marks[i])))
            return true;
    return false;
}

static int probe(struct region *region)
{
    uint8_t byte;
    int r = region_read(region, PAGE_MIN - 1, &byte, 1);

    if (r < 0)
        return r;
    return find_page(region, swap_mark, MARK_BYTES) != 0 || is_suspended(region);
}

static int analyse(struct region *region)
{
    uint64_t page = find_page(region, swap_mark, MARK_BYTES), bytes;
    uint8_t header[16];
    int r;

    if (!page || is_suspended(region))
        return region_refuse(region, "it holds the memory of a suspended machine");
    r = region_read(region, VERSION, header, sizeof(header));
    if (r < 0)
        return r;
    /* Version, last page, number of bad pages. */
    if (get_le32(header) != 1 || get_le32(header + 8) > BAD_MAX)
        return region_refuse(region, "its header makes no sense");
    bytes = ((uint64_t)get_le32(header + 4) + 1) * page;
    if (bytes > region_bytes(region) || bytes <= page)
        return region_refuse(region, "it is larger than the place it lies in");
    return region_claim_free(region, page, bytes - page);
}

const struct format format_swap = {.name = "swap", .probe = probe, .analyse = analyse};
