/* SPDX-License-Identifier: Apache-2.0 */

/* A change record's file in which bytes have changed: it is opened, asked, used and closed. What it
 * says is never less than the truth, unless the checksums were made to fit what was changed. */
#include <errno.h>
#include <sys/mman.h>

#include "crc32c.h"
#include "fuzz.h"
#include "log.h"
#include "record.h"
#include "record_layout.h"
#include "record_medium.h"
#include "track_control.h"

#define PAGES      (RECORD_FILE_BYTES / RECORD_PAGE_BYTES)
#define SECTOR     512
#define CHANGES    32
#define POINTS     8
#define UUID_BYTES RECORD_ID_BYTES

/* Memory that remembers which pages it was given. */
struct medium {
    struct record_medium base;
    uint64_t used[PAGES / 64 + 1];
};
static struct medium the_medium;

static void use(uint64_t offset, uint64_t length)
{
    for (uint64_t page = offset / RECORD_PAGE_BYTES; page * RECORD_PAGE_BYTES < offset + length;
         page++)
        the_medium.used[page / 64] |= UINT64_C(1) << page % 64;
}

static void check_place(uint64_t offset, uint64_t length)
{
    FUZZ_CHECK(offset <= RECORD_FILE_BYTES && length <= RECORD_FILE_BYTES - offset);
}

static int medium_read(struct record_medium *medium, void *bytes, size_t length, uint64_t offset)
{
    check_place(offset, length);
    memcpy(bytes, medium->mapping + offset, length);
    return 0;
}

static int medium_write(struct record_medium *medium, const void *bytes, size_t length,
                        uint64_t offset)
{
    check_place(offset, length);
    use(offset, length);
    memcpy(medium->mapping + offset, bytes, length);
    return 0;
}

static int medium_sync(struct record_medium *medium)
{
    (void)medium;
    return 0;
}

static int medium_hold(struct record_medium *medium, uint64_t offset, uint64_t length,
                       bool has_storage)
{
    (void)medium, (void)has_storage;
    check_place(offset, length);
    use(offset, length);
    return 0;
}

static bool page_used(uint64_t page)
{
    return the_medium.used[page / 64] >> page % 64 & 1;
}

static int medium_give_back(struct record_medium *medium, uint64_t offset, uint64_t length)
{
    uint64_t page = offset / RECORD_PAGE_BYTES, end = (offset + length) / RECORD_PAGE_BYTES;

    check_place(offset, length);
    while (page < end) {
        if (page % 64 == 0 && the_medium.used[page / 64] == 0) {
            page += 64;
            continue;
        }
        if (page_used(page))
            memset(medium->mapping + page * RECORD_PAGE_BYTES, 0, RECORD_PAGE_BYTES);
        the_medium.used[page / 64] &= ~(UINT64_C(1) << page % 64);
        page++;
    }
    return 0;
}

static int medium_next_data(struct record_medium *medium, uint64_t offset, uint64_t limit,
                            uint64_t *ret_start, uint64_t *ret_end)
{
    uint64_t page = offset / RECORD_PAGE_BYTES, end = limit / RECORD_PAGE_BYTES;

    (void)medium;
    check_place(offset, limit - offset);
    while (page < end && !page_used(page))
        page += page % 64 == 0 && the_medium.used[page / 64] == 0 ? 64 : 1;
    *ret_start = page < end ? page * RECORD_PAGE_BYTES : limit;
    while (page < end && page_used(page))
        page++;
    *ret_end = page < end ? page * RECORD_PAGE_BYTES : limit;
    if (*ret_start < offset)
        *ret_start = offset;
    return 0;
}

static void medium_close(struct record_medium *medium)
{
    (void)medium;
}

static const struct record_medium_ops ops = {.read = medium_read,
                                             .write = medium_write,
                                             .sync = medium_sync,
                                             .hold = medium_hold,
                                             .give_back = medium_give_back,
                                             .next_data = medium_next_data,
                                             .remove = medium_sync,
                                             .close = medium_close};

static struct record_medium *empty_medium(void)
{
    struct record_medium *medium = &the_medium.base;

    if (!medium->mapping) {
        medium->mapping = mmap(NULL, RECORD_FILE_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        FUZZ_CHECK(medium->mapping != MAP_FAILED);
        medium->ops = &ops;
    }
    medium_give_back(medium, 0, RECORD_FILE_BYTES);
    return medium;
}

/* What really happened. */
struct truth {
    uint64_t offset[CHANGES];
    uint64_t length[CHANGES];
    unsigned changes;
    uint8_t ids[POINTS][UUID_BYTES];
    unsigned at[POINTS]; /* changes before the point */
    unsigned points;
};

static void change(struct record *record, const struct record_subject *subject,
                   struct fuzz_input *input, struct truth *truth)
{
    uint64_t offset = fuzz_number(input, 4) * 4096 % subject->bytes;
    uint64_t length = (fuzz_number(input, 2) + 1) * 512;
    struct record_change one;

    if (length > subject->bytes - offset)
        length = subject->bytes - offset;
    FUZZ_CHECK(record_begin(record, offset, length, true, &one) == 0);
    record_end(&one);
    if (truth && truth->changes < CHANGES) {
        truth->offset[truth->changes] = offset;
        truth->length[truth->changes++] = length;
    }
}

static void cut(struct record *record, struct fuzz_input *input, struct truth *truth)
{
    static const uint8_t consumer[UUID_BYTES];
    uint8_t nonce[UUID_BYTES] = {fuzz_byte(input)};
    struct record_point point;

    if (truth->points == POINTS || record_cut(record, consumer, nonce, 0, &point))
        return;
    for (unsigned i = 0; i < truth->points; i++)
        if (memcmp(truth->ids[i], point.id, UUID_BYTES) == 0) /* the nonce was there */
            return;
    memcpy(truth->ids[truth->points], point.id, UUID_BYTES);
    truth->at[truth->points++] = truth->changes;
}

static void live(struct record *record, const struct record_subject *subject,
                 struct fuzz_input *input, struct truth *truth)
{
    for (unsigned left = fuzz_byte(input) % CHANGES; left > 0; left--) {
        switch (fuzz_byte(input) % 4) {
        case 0:
            cut(record, input, truth);
            break;
        case 1:
            record_flushed(record, record_flush_begins(record));
            break;
        case 2:
            record_cool(record);
            break;
        default:
            change(record, subject, input, truth);
        }
    }
}

/* Of the sector of a control record that has this byte. */
static void mend_sector(uint64_t offset)
{
    uint8_t *sector = the_medium.base.mapping + offset / SECTOR * SECTOR;
    uint32_t crc;

    memset(sector + 8, 0, 4);
    crc = crc32c(sector, SECTOR);
    for (int i = 0; i < 4; i++)
        sector[8 + i] = (uint8_t)(crc >> (24 - 8 * i));
}

/* Whether anything was changed. */
static bool damage(struct fuzz_input *input, bool mends)
{
    const uint64_t begins[] = {0, RECORD_TABLES_OFFSET, RECORD_BITS_OFFSET, 0};
    const uint64_t lengths[] = {RECORD_TABLES_OFFSET, RECORD_TABLE_BYTES * RECORD_SLOTS,
                                RECORD_BITS_BYTES * RECORD_SLOTS, 2048};
    bool any = false;

    while (input->left > 0) {
        unsigned where = fuzz_byte(input) % 4;
        uint64_t at = begins[where] + fuzz_number(input, 4) % lengths[where];
        uint8_t value = fuzz_byte(input);

        any = any || the_medium.base.mapping[at] != value;
        use(at, 1);
        the_medium.base.mapping[at] = value;
        if (mends && at < 2 * (uint64_t)RECORD_CONTROL_BYTES)
            mend_sector(at);
    }
    return any;
}

struct covered {
    const struct truth *truth;
    uint64_t
        done[CHANGES]; /* of each change, from its begin, as far as ranges have come in order */
    uint64_t last;
    uint64_t bytes; /* of the volume */
};

static int cover(uint64_t offset, uint64_t length, bool suspect, void *context)
{
    struct covered *covered = context;

    (void)suspect;
    FUZZ_CHECK(length > 0 && offset >= covered->last && offset <= covered->bytes &&
               length <= covered->bytes - offset);
    covered->last = offset + length;
    for (unsigned i = 0; i < covered->truth->changes; i++) {
        uint64_t at = covered->truth->offset[i] + covered->done[i];

        if (at >= offset && at < offset + length)
            covered->done[i] = offset + length - covered->truth->offset[i];
    }
    return 0;
}

static void ask(struct record *record, const struct record_subject *subject,
                const struct truth *truth, bool trusted)
{
    struct record_status status;

    record_get_status(record, &status);
    FUZZ_CHECK(status.point_count <= RECORD_POINTS && record_loss_text(status.begun));
    for (unsigned i = 0; i < truth->points; i++) {
        struct covered covered = {.truth = truth, .bytes = subject->bytes};
        int error = record_changed(record, truth->ids[i], cover, &covered);

        FUZZ_CHECK(error == 0 || error == -ENOENT || error == -ESTALE);
        for (unsigned at = truth->at[i]; !error && trusted && at < truth->changes; at++)
            FUZZ_CHECK(covered.done[at] >= truth->length[at]);
    }
}

static void say_nothing(enum log_level level, const char *message)
{
    (void)level, (void)message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const uint64_t sizes[] = {1 << 20, (64 << 20) + 512, UINT64_C(3) << 30, UINT64_C(3) << 40};
    struct fuzz_input input = {data, size};
    unsigned how = fuzz_byte(&input);
    struct record_subject subject = {.volume = "a volume",
                                     .bytes = sizes[how % 4],
                                     .identity = {.boot = "a boot", .inode = 3, .changed_ns = 9},
                                     .name = "v"};
    bool clean = how & 4, mends = how & 8;
    struct truth truth = {0};
    struct record *record;
    bool damaged;

    log_set_sink(say_nothing);
    FUZZ_CHECK(record_create(empty_medium(), &subject, &record) == 0);
    live(record, &subject, &input, &truth);
    ask(record, &subject, &truth, true);
    record_close(record, clean ? &subject.identity : NULL);
    damaged = damage(&input, mends);
    subject.identity.boot[0] ^= how & 16 ? 1 : 0;
    subject.identity.changed_ns += how & 32 ? 1 : 0;
    subject.in_use = how & 64;
    if (subject.in_use && record_look(&the_medium.base, &subject, &record))
        return 0;
    if (!subject.in_use)
        FUZZ_CHECK(record_open(&the_medium.base, &subject, &record) == 0);
    /* The bitmaps of an open record have checksums only where nothing is being written to. */
    ask(record, &subject, &truth, !damaged || (clean && !mends));
    if (!subject.in_use) {
        change(record, &subject, &input, NULL);
        cut(record, &input, &truth);
        record_cool(record);
    }
    record_close(record, &subject.identity);
    return 0;
}
