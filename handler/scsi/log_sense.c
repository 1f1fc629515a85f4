/* SPDX-License-Identifier: Apache-2.0 */

/* LOG SENSE, SPC-4 6.9; the Logical Block Provisioning log page, SBC-4 6.4.5, whose numbers are
 * those of the file system at this moment; and the Informational Exceptions log page, SPC-4 7.3.9.
 */

#include "byteorder.h"
#include "checked.h"
#include "lun_internal.h"

#define LOG_SP            0x01
#define LOG_PPC           0x02
#define PC_CUMULATIVE     1

#define PAGE_SUPPORTED    0x00
#define PAGE_PROVISIONING 0x0C
#define PAGE_EXCEPTIONS   0x2F
#define NO_SUBPAGE        0x00
#define ALL_SUBPAGES      0xFF

#define HEADER_BYTES      4
#define HEADER_DS         0x80
#define HEADER_SPF        0x40

#define PARAMETER_BYTES   12
#define BINARY_LIST       0x03 /* FORMAT AND LINKING */

/* Parameter codes. Those of the pool are vendor specific: the standard has none. */
#define AVAILABLE         0x0001
#define USED              0x0002
#define AVAILABLE_PERCENT 0x0003
#define POOL_AVAILABLE    0xFFF1
#define POOL_USED         0xFFF2

/* The one parameter of the exceptions' page, of which nothing knows a temperature. */
#define EXCEPTIONS_GENERAL 0x0000
#define EXCEPTIONS_BYTES   8
#define NO_TEMPERATURE     0xFF

#define SCOPE_DEDICATED    0x01
#define SCOPE_SHARED       0x02

#define PAGE_MAX_BYTES     (HEADER_BYTES + 5 * PARAMETER_BYTES)

struct log_page {
    uint8_t bytes[PAGE_MAX_BYTES];
    size_t length;
};

/* Every page there is. */
static const struct {
    uint8_t code;
    uint8_t subpage;
} supported[] = {
    {PAGE_SUPPORTED, NO_SUBPAGE},    {PAGE_SUPPORTED, ALL_SUBPAGES},
    {PAGE_PROVISIONING, NO_SUBPAGE}, {PAGE_PROVISIONING, ALL_SUBPAGES},
    {PAGE_EXCEPTIONS, NO_SUBPAGE},   {PAGE_EXCEPTIONS, ALL_SUBPAGES},
};

#define SUPPORTED (sizeof(supported) / sizeof(supported[0]))

static void start_page(struct log_page *page, uint8_t code, uint8_t subpage, uint8_t flags)
{
    *page = (struct log_page){.bytes = {(uint8_t)(code | flags), subpage}, .length = HEADER_BYTES};
    if (subpage != NO_SUBPAGE)
        page->bytes[0] |= HEADER_SPF;
}

static void add_byte(struct log_page *page, uint8_t byte)
{
    page->bytes[page->length++] = byte;
}

/* SPC-4 7.3.4 to 7.3.6: all pages, all pages and subpages, or the subpages of one page. */
static void list_pages(struct log_page *page, uint8_t code, uint8_t subpage)
{
    start_page(page, code, subpage, 0);
    for (size_t i = 0; i < SUPPORTED; i++) {
        if (subpage == NO_SUBPAGE && supported[i].subpage != NO_SUBPAGE)
            continue;
        if (code != PAGE_SUPPORTED && supported[i].code != code)
            continue;
        add_byte(page, supported[i].code);
        if (subpage != NO_SUBPAGE)
            add_byte(page, supported[i].subpage);
    }
}

static uint32_t threshold_sets(uint64_t bytes)
{
    return (uint32_t)min_u64(bytes / LUN_THRESHOLD_SET_BYTES, UINT32_MAX);
}

/* A parameter without its RESOURCE COUNT, which has the place that is returned; NULL for one that
 * lies before what is asked for. */
static uint8_t *add_parameter(struct log_page *page, uint16_t from, uint16_t code, uint8_t scope)
{
    uint8_t *to = page->bytes + page->length;

    if (code < from)
        return NULL;
    put_be16(to, code);
    to[2] = BINARY_LIST;
    to[3] = PARAMETER_BYTES - 4;
    to[8] = scope;
    page->length += PARAMETER_BYTES;
    return to + 4;
}

/* SBC-4 tables 198 and 200: the count takes four bytes. */
static void add_count(struct log_page *page, uint16_t from, uint16_t code, uint64_t bytes,
                      uint8_t scope)
{
    uint8_t *to = add_parameter(page, from, code, scope);

    if (to)
        put_be32(to, threshold_sets(bytes));
}

/* SBC-4 table 201: a percentage takes two, and two reserved ones follow. */
static void add_percentage(struct log_page *page, uint16_t from, uint16_t code, uint32_t percent,
                           uint8_t scope)
{
    uint8_t *to = add_parameter(page, from, code, scope);

    if (to)
        put_be16(to, (uint16_t)percent);
}

static int provisioning_page(struct exec *exec, uint16_t from, struct log_page *page)
{
    struct volume_space space;
    int error = volume_space(exec->volume, &space);

    if (error)
        return error;
    start_page(page, PAGE_PROVISIONING, NO_SUBPAGE, HEADER_DS);
    add_count(page, from, AVAILABLE, lun_available_bytes(exec->lun, &space), SCOPE_SHARED);
    add_count(page, from, USED, space.used_bytes, SCOPE_DEDICATED);
    add_percentage(page, from, AVAILABLE_PERCENT, lun_available_percent(&space), SCOPE_SHARED);
    add_count(page, from, POOL_AVAILABLE, space.pool_available_bytes, SCOPE_SHARED);
    add_count(page, from, POOL_USED, space.pool_used_bytes, SCOPE_SHARED);
    return 0;
}

/* What REQUEST SENSE tells of it. */
static void exceptions_page(struct exec *exec, struct log_page *page)
{
    uint8_t *to;

    start_page(page, PAGE_EXCEPTIONS, NO_SUBPAGE, HEADER_DS);
    to = page->bytes + page->length;
    put_be16(to, EXCEPTIONS_GENERAL);
    to[2] = BINARY_LIST;
    to[3] = EXCEPTIONS_BYTES - 4;
    put_be16(to + 4, lun_exception(exec->lun));
    to[6] = NO_TEMPERATURE; /* the most recent one */
    to[7] = NO_TEMPERATURE; /* the one that would be an exception */
    page->length += EXCEPTIONS_BYTES;
}

static bool is_supported(uint8_t code, uint8_t subpage)
{
    for (size_t i = 0; i < SUPPORTED; i++)
        if (supported[i].code == code && supported[i].subpage == subpage)
            return true;
    return false;
}

uint8_t op_log_sense(struct exec *exec)
{
    const uint8_t *cdb = exec->cdb;
    uint8_t code = cdb[2] & 0x3F, subpage = cdb[3];
    uint16_t from = get_be16(cdb + 5);
    bool is_list = code == PAGE_SUPPORTED || subpage == ALL_SUBPAGES;
    struct log_page page;

    if ((cdb[1] & (LOG_SP | LOG_PPC)) || !is_supported(code, subpage))
        return exec_fail_field(exec);
    if (is_list && from != 0) /* there are no parameters in it */
        return exec_fail_field(exec);
    if (!is_list && (cdb[2] >> 6 != PC_CUMULATIVE ||
                     from > (code == PAGE_PROVISIONING ? POOL_USED : EXCEPTIONS_GENERAL)))
        return exec_fail_field(exec);
    if (is_list) {
        list_pages(&page, code, subpage);
    } else if (code == PAGE_EXCEPTIONS) {
        exceptions_page(exec, &page);
    } else {
        int error = provisioning_page(exec, from, &page);

        if (error)
            return exec_result(exec, error, false);
    }
    put_be16(page.bytes + 2, (uint16_t)(page.length - HEADER_BYTES));
    return reply_whole(exec, page.bytes, page.length, get_be16(cdb + 7));
}
