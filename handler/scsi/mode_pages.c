/* SPDX-License-Identifier: Apache-2.0 */
#include "mode_pages.h"

#include <string.h>

#include "byteorder.h"
#include "cleanup.h"
#include "volume.h"

#define RECOVERY        0x01
#define CACHING         0x08
#define CONTROL         0x0A
#define SPF             0x40

#define AT_RECOVERY     0
#define AT_CACHING      12
#define AT_CONTROL      32
#define AT_EXCEPTIONS   44
#define AT_PROVISIONING 56

/* The bits that count, each at its byte among all pages. */
#define AT_LBPERE        (AT_RECOVERY + 7)
#define LBPERE           0x80
#define AT_WCE           (AT_CACHING + 2)
#define WCE              0x04
#define AT_D_SENSE       (AT_CONTROL + 2)
#define D_SENSE          0x04
#define GLTSD            0x02
#define AT_SWP           (AT_CONTROL + 4)
#define SWP              0x08
#define AT_TEST          (AT_EXCEPTIONS + 2)
#define TEST             0x04
#define AT_DESCRIPTORS   (AT_PROVISIONING + 16)
#define DESCRIPTOR_BYTES 8

/* METHOD OF REPORTING INFORMATIONAL EXCEPTIONS */
#define MRIE_ON_REQUEST 6

/* A threshold descriptor (SBC-4 6.5.9.2). */
#define ENABLED            0x80
#define TYPE_PERCENT       0x08
#define ARMED_INCREASING   0x01
#define RESOURCE_AVAILABLE 0x01
#define RESOURCE_USED      0x02
#define RESOURCE_PERCENT   0x03
#define SITUA              0x01

_Static_assert(AT_DESCRIPTORS + THRESHOLDS * DESCRIPTOR_BYTES == MODE_PAGES_BYTES, "the pages");
_Static_assert(MODE_PAGES_BYTES <= VOLUME_META_MODE_MAX_BYTES, "what is saved fits");

static const struct mode_page pages[] = {
    {RECOVERY, 0, AT_RECOVERY, 12},
    {CACHING, 0, AT_CACHING, 20},
    {CONTROL, 0, AT_CONTROL, 12},
    {MODE_PAGE_PROVISIONING, 0, AT_EXCEPTIONS, 12},
    {MODE_PAGE_PROVISIONING, MODE_SUBPAGE_PROVISIONING, AT_PROVISIONING, 40},
};

static const uint8_t defaults[MODE_PAGES_BYTES] = {
    /* Read-Write Error Recovery (SBC-4 6.5.10): thresholds that are enabled are told. */
    [AT_RECOVERY] = RECOVERY,
    [AT_RECOVERY + 1] = 10,
    [AT_LBPERE] = LBPERE,
    /* Caching (SBC-4 6.5.5): writes go to the page cache first. */
    [AT_CACHING] = CACHING,
    [AT_CACHING + 1] = 18,
    [AT_WCE] = WCE,
    /* Control (SPC-4 7.5.8): nothing of the logs is saved; unrestricted reordering (commands run
     * side by side); no limit is stated for the time the unit may be busy. */
    [AT_CONTROL] = CONTROL,
    [AT_CONTROL + 1] = 10,
    [AT_D_SENSE] = GLTSD,
    [AT_CONTROL + 3] = 0x10,
    [AT_CONTROL + 8] = 0xFF,
    [AT_CONTROL + 9] = 0xFF,
    /* Informational Exceptions Control (SPC-4 7.5.11): told on request, by REQUEST SENSE. A volume
     * has none of its own; what fails fails at the command. */
    [AT_EXCEPTIONS] = MODE_PAGE_PROVISIONING,
    [AT_EXCEPTIONS + 1] = 10,
    [AT_EXCEPTIONS + 3] = MRIE_ON_REQUEST,
    /* Logical Block Provisioning (SBC-4 6.5.9): SITUA, because a unit attention reaches only
     * the sender of the next command. */
    [AT_PROVISIONING] = SPF | MODE_PAGE_PROVISIONING,
    [AT_PROVISIONING + 1] = MODE_SUBPAGE_PROVISIONING,
    [AT_PROVISIONING + 3] = 36,
    [AT_PROVISIONING + 4] = SITUA,
    [AT_DESCRIPTORS + 1] = RESOURCE_AVAILABLE,
    [AT_DESCRIPTORS + 8] = ARMED_INCREASING,
    [AT_DESCRIPTORS + 8 + 1] = RESOURCE_USED,
    [AT_DESCRIPTORS + 16] = TYPE_PERCENT,
    [AT_DESCRIPTORS + 16 + 1] = RESOURCE_PERCENT,
};

/* Whether a threshold is enabled, and its count. */
#define CHANGEABLE_DESCRIPTOR(at) \
    [(at)] = ENABLED, [(at) + 4] = 0xFF, [(at) + 5] = 0xFF, [(at) + 6] = 0xFF, [(at) + 7] = 0xFF

static const uint8_t changeable[MODE_PAGES_BYTES] = {
    [AT_LBPERE] = LBPERE,
    [AT_WCE] = WCE,
    [AT_D_SENSE] = D_SENSE,
    [AT_SWP] = SWP,
    [AT_TEST] = TEST,
    CHANGEABLE_DESCRIPTOR(AT_DESCRIPTORS),
    CHANGEABLE_DESCRIPTOR(AT_DESCRIPTORS + 8),
    [AT_DESCRIPTORS + 16] = ENABLED,
    [AT_DESCRIPTORS + 16 + 7] = 0x7F, /* up to 100 */
};

const struct mode_page *mode_pages(size_t *ret_count)
{
    *ret_count = sizeof(pages) / sizeof(pages[0]);
    return pages;
}

const uint8_t *mode_changeable(void)
{
    return changeable;
}

bool mode_says_write_through(const uint8_t values[static MODE_PAGES_BYTES])
{
    return !(values[AT_WCE] & WCE);
}

bool mode_says_write_protected(const uint8_t values[static MODE_PAGES_BYTES])
{
    return values[AT_SWP] & SWP;
}

void mode_set_current(struct mode_state *mode, const uint8_t values[static MODE_PAGES_BYTES])
{
    memmove(mode->current, values, MODE_PAGES_BYTES);
    atomic_store(&mode->write_through, mode_says_write_through(values));
    atomic_store(&mode->write_protected, mode_says_write_protected(values));
    atomic_store(&mode->descriptor_sense, (values[AT_D_SENSE] & D_SENSE) != 0);
    atomic_store(&mode->false_exception, (values[AT_TEST] & TEST) != 0);
}

/* The page's length, header included, as the page itself tells it; 0 when the header is cut. */
static size_t told_length(const uint8_t *page, size_t left)
{
    size_t header = left > 0 && (page[0] & SPF) ? 4 : 2;

    if (left < header)
        return 0;
    return header == 4 ? 4u + get_be16(page + 2) : 2u + page[1];
}

static const struct mode_page *same_page(const uint8_t *saved, size_t length)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        const uint8_t *ours = defaults + pages[i].at;

        if (pages[i].length == length && saved[0] == ours[0] && saved[1] == ours[1])
            return &pages[i];
    }
    return NULL;
}

/* Takes over what may be changed of the pages there are now; others wrote the file, perhaps. */
static void take_saved(struct mode_state *mode, const uint8_t *bytes, size_t length)
{
    for (size_t at = 0, step; at < length; at += step) {
        const struct mode_page *page;

        step = told_length(bytes + at, length - at);
        if (step == 0 || step > length - at)
            return;
        page = same_page(bytes + at, step);
        for (size_t i = 0; page && i < step; i++) {
            uint8_t *to = &mode->saved[page->at + i];
            uint8_t may = changeable[page->at + i];

            *to = (uint8_t)((*to & ~may) | (bytes[at + i] & may));
        }
    }
}

void mode_init(struct mode_state *mode, const struct volume *volume)
{
    const struct volume_meta *meta = volume_get_meta(volume);

    pthread_mutex_init(&mode->lock, NULL);
    memcpy(mode->defaults, defaults, MODE_PAGES_BYTES);
    memcpy(mode->saved, defaults, MODE_PAGES_BYTES);
    take_saved(mode, meta->mode_pages, meta->mode_pages_bytes);
    mode_set_current(mode, mode->saved);
}

void mode_destroy(struct mode_state *mode)
{
    pthread_mutex_destroy(&mode->lock);
}

void mode_get(struct mode_state *mode, enum mode_values kind, uint8_t to[static MODE_PAGES_BYTES])
{
    SCOPED_LOCK(&mode->lock);
    const uint8_t *from[] = {
        [MODE_CURRENT] = mode->current,
        [MODE_CHANGEABLE] = changeable,
        [MODE_DEFAULT] = mode->defaults,
        [MODE_SAVED] = mode->saved,
    };

    memcpy(to, from[kind], MODE_PAGES_BYTES);
    if (kind != MODE_CHANGEABLE)
        return;
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        memcpy(to + pages[i].at, defaults + pages[i].at, pages[i].subpage ? 4 : 2);
}

static void put_percent(uint8_t *values, uint32_t count)
{
    values[AT_DESCRIPTORS + THRESHOLD_PERCENT * DESCRIPTOR_BYTES] |= ENABLED;
    put_be32(values + AT_DESCRIPTORS + THRESHOLD_PERCENT * DESCRIPTOR_BYTES + 4, count);
}

void mode_set_percent_threshold(struct mode_state *mode, uint32_t count)
{
    SCOPED_LOCK(&mode->lock);

    put_percent(mode->defaults, count);
    put_percent(mode->current, count);
}

void mode_get_thresholds(struct mode_state *mode, struct mode_threshold ret[static THRESHOLDS])
{
    SCOPED_LOCK(&mode->lock);

    for (int i = 0; i < THRESHOLDS; i++) {
        const uint8_t *descriptor = mode->current + AT_DESCRIPTORS + i * DESCRIPTOR_BYTES;

        ret[i].enabled = (mode->current[AT_LBPERE] & LBPERE) && (descriptor[0] & ENABLED);
        ret[i].count = get_be32(descriptor + 4);
        ret[i].offset = (uint8_t)(AT_DESCRIPTORS - AT_PROVISIONING + i * DESCRIPTOR_BYTES);
    }
}
