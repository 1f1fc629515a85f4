/* SPDX-License-Identifier: Apache-2.0 */

/* Any sequence of commands, faults, shortages and resizes against two logical units over memory
 * stores, which copy from one to the other; one of them may have a change record. After every
 * command the whole volume is compared with a model, and what came back is checked: the Data-In
 * buffer is zero where it was not filled, sense data is there exactly on CHECK CONDITION, nothing
 * is touched outside the buffers (ASan). */

#include <errno.h>

#include "bitmap_reply.h"
#include "byteorder.h"
#include "cdb.h"
#include "checked.h"
#include "cleanup.h"
#include "fuzz.h"
#include "fuzz_buffer.h"
#include "lba_status.h"
#include "log.h"
#include "lun.h"
#include "lun_model.h"
#include "lun_model_copy.h"
#include "lun_model_token.h"
#include "lun_model_track.h"
#include "lun_picks.h"
#include "sense.h"
#include "store_mem.h"
#include "zeros.h"

enum { MAX_COMMANDS = 48, MAX_ATTENTIONS = 8, OTHER_BYTES = 64 * 1024, VENDOR_SPECIFIC = 0x8000 };

struct unit {
    struct lun *lun;
    struct store *store;
    struct lun_model model;
};

struct harness {
    struct fuzz_input input;
    struct unit units[2]; /* of one copy group */
    struct unit *unit;    /* the one that gets the commands */
    struct lun_model_token token;
    struct lun_model_track track; /* of the first unit */
    bool may_fail; /* a fault or a shortage is set: a write may break off in the middle */
};

static void check_sense(const struct lun_command *command, uint8_t status)
{
    struct sense sense;

    FUZZ_CHECK(status == SCSI_STATUS_GOOD || status == SCSI_STATUS_CHECK_CONDITION ||
               (status == SCSI_STATUS_CONDITION_MET &&
                (command->cdb[0] == SCSI_PRE_FETCH_10 || command->cdb[0] == SCSI_PRE_FETCH_16)));
    if (status != SCSI_STATUS_CHECK_CONDITION) {
        FUZZ_CHECK(bytes_are_zero(command->sense, sizeof(command->sense)));
        return;
    }
    FUZZ_CHECK(sense_decode(command->sense, sizeof(command->sense), &sense) == 0);
    FUZZ_CHECK(sense.key != SENSE_NO_SENSE && !sense.deferred);
    if (sense.asc_ascq >= VENDOR_SPECIFIC) /* which mean something else elsewhere */
        FUZZ_CHECK(command->cdb[0] == SCSI_READ_BUFFER_16 &&
                   sense.asc_ascq >= ASC_RECORD_NOT_THERE &&
                   sense.asc_ascq <= ASC_TOO_MANY_POINTS && sense.key == SENSE_ILLEGAL_REQUEST);
    else
        FUZZ_CHECK(sense_asc_text(sense.asc_ascq));
    FUZZ_CHECK(sense.asc_ascq != ASC_NONE || sense.key == SENSE_COPY_ABORTED);
    FUZZ_CHECK(command->data_in_bytes == 0);
}

/* All of the volume's bytes, even with a fault set that makes the first attempt fail. */
static const uint8_t *read_whole(struct harness *harness)
{
    struct volume *volume = lun_volume(harness->unit->lun);
    static uint8_t now[LUN_MODEL_MAX_BYTES];
    struct iovec iov = {now, harness->unit->model.size};

    FUZZ_CHECK(volume_bytes(volume) == harness->unit->model.size);
    for (int attempt = 0; volume_read(volume, &iov, 1, 0); attempt++) {
        FUZZ_CHECK(attempt == 0 && harness->may_fail);
        store_mem_set_fault(harness->unit->store, "read", 0, 0);
    }
    return now;
}

static void swap_units(struct harness *harness)
{
    harness->unit = &harness->units[harness->unit == &harness->units[0]];
}

/* The volume against the model; what is undefined after a failure is adopted first. */
static void compare_volume(struct harness *harness, struct lun_model_range undefined)
{
    struct lun_model *model = &harness->unit->model;
    const uint8_t *now = read_whole(harness);

    if ((harness->may_fail || undefined.even_without_fault) && undefined.length > 0)
        memcpy(model->bytes + undefined.start, now + undefined.start, undefined.length);
    FUZZ_CHECK(memcmp(now, model->bytes, model->size) == 0);
}

/* The logical unit that did not get the command holds what it did, but for what a copy did to it.
 */
static void compare_other(struct harness *harness, bool copy_failed)
{
    const struct lun_model *model;

    swap_units(harness);
    model = &harness->unit->model;
    compare_volume(harness,
                   (struct lun_model_range){
                       .length = copy_failed && !lun_model_is_protected(model) ? model->size : 0});
    swap_units(harness);
}

static void clear_faults(struct harness *harness)
{
    static const char *const ops[] = {"read", "write",  "flush", "punch",
                                      "zero", "extent", "resize"};

    for (size_t i = 0; i < 2 * sizeof(ops) / sizeof(ops[0]); i++)
        store_mem_set_fault(harness->units[i % 2].store, ops[i / 2], 0, 0);
    for (size_t i = 0; i < 2; i++)
        store_mem_set_quota(harness->units[i].store, UINT64_MAX);
    harness->may_fail = false;
}

/* A command without data; its sense, of key 0 when there is none. */
static struct sense run_simple(struct harness *harness, const uint8_t *cdb, size_t cdb_bytes)
{
    struct lun_command command = {.cdb = cdb, .cdb_length = cdb_bytes};
    struct sense sense = {0};

    if (lun_execute(harness->unit->lun, &command) != SCSI_STATUS_GOOD)
        FUZZ_CHECK(sense_decode(command.sense, sizeof(command.sense), &sense) == 0);
    return sense;
}

/* Waits for what SANITIZE began. True when it failed; then another one heals that. */
static bool await_sanitize(struct harness *harness)
{
    static const uint8_t ready[6] = {SCSI_TEST_UNIT_READY};
    static const uint8_t erase[10] = {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE};
    struct sense sense;

    do {
        sense = run_simple(harness, ready, sizeof(ready));
    } while (sense.key == SENSE_NOT_READY || sense.key == SENSE_UNIT_ATTENTION);
    if (sense.key == SENSE_NO_SENSE)
        return false;
    FUZZ_CHECK(sense.asc_ascq == ASC_SANITIZE_FAILED && harness->may_fail);
    clear_faults(harness);
    FUZZ_CHECK(run_simple(harness, erase, sizeof(erase)).key == SENSE_NO_SENSE);
    return true;
}

/* After an OVERWRITE each block holds the pattern, or is one that had no storage. */
static void adopt_overwritten(struct harness *harness, const struct lun_exchange *exchange)
{
    struct lun_model *model = &harness->unit->model;
    const uint8_t *list = exchange->data_out;
    size_t pattern_bytes = (size_t)list[2] << 8 | list[3];
    uint8_t flip = list[0] & 0x80 && (list[0] & 0x1F) % 2 == 0 ? 0xFF : 0;
    const uint8_t *now = read_whole(harness);

    for (uint64_t at = 0; at < model->size; at += model->block_size) {
        bool overwritten = true;

        for (uint32_t i = 0; i < model->block_size; i++)
            overwritten &= now[at + i] == (list[4 + i % pattern_bytes] ^ flip);
        FUZZ_CHECK(overwritten || (bytes_are_zero(model->bytes + at, model->block_size) &&
                                   bytes_are_zero(now + at, model->block_size)));
    }
    memcpy(model->bytes, now, model->size);
}

static bool sanitizes(uint8_t action)
{
    return action == SCSI_SA_SANITIZE_BLOCK_ERASE || action == SCSI_SA_SANITIZE_OVERWRITE;
}

static void adopt_sanitized(struct harness *harness, const struct lun_exchange *exchange)
{
    uint8_t action = exchange->cdb[1] & 0x1F;

    bool healed = await_sanitize(harness);

    if (healed) {
        memset(harness->unit->model.bytes, 0, harness->unit->model.size);
    } else if (exchange->status == SCSI_STATUS_GOOD) {
        FUZZ_CHECK(!harness->unit->model.read_only);
        if (action == SCSI_SA_SANITIZE_BLOCK_ERASE)
            memset(harness->unit->model.bytes, 0, harness->unit->model.size);
        if (action == SCSI_SA_SANITIZE_OVERWRITE)
            adopt_overwritten(harness, exchange);
    }
    if ((healed || (exchange->status == SCSI_STATUS_GOOD && sanitizes(action))) &&
        harness->unit->model.track)
        lun_model_track_anew(&harness->unit->model, lun_volume(harness->unit->lun));
}

static bool sends_data(uint8_t opcode)
{
    struct cdb_block_fields fields;

    switch (opcode) {
    case SCSI_READ_6:
    case SCSI_READ_10:
    case SCSI_READ_12:
    case SCSI_READ_16:
        return false;
    default:
        return opcode == SCSI_UNMAP || opcode == SCSI_FORMAT_UNIT || opcode == SCSI_SANITIZE ||
               opcode == SCSI_THIRD_PARTY_COPY_OUT || opcode == SCSI_MODE_SELECT_6 ||
               opcode == SCSI_MODE_SELECT_10 ||
               cdb_decode_block_fields((const uint8_t[SCSI_CDB_MAX_BYTES]){opcode}, &fields) == 0;
    }
}

/* The model learns the token that POPULATE TOKEN has just made. */
static void learn_token(struct harness *harness, uint32_t list_id)
{
    enum { BEFORE_TOKEN = 32 + 4 + 2 };
    uint8_t cdb[16] = {SCSI_THIRD_PARTY_COPY_IN, SCSI_SA_RECEIVE_ROD_TOKEN_INFORMATION};
    uint8_t reply[BEFORE_TOKEN + LUN_MODEL_TOKEN_BYTES];
    struct iovec iov = {reply, sizeof(reply)};
    struct lun_command command = {.cdb = cdb,
                                  .cdb_length = sizeof(cdb),
                                  .data_in = &iov,
                                  .data_in_count = 1};

    put_be32(cdb + 2, list_id);
    put_be32(cdb + 10, sizeof(reply));
    for (int attempt = 0; lun_execute(harness->unit->lun, &command) != SCSI_STATUS_GOOD; attempt++)
        FUZZ_CHECK(attempt < MAX_ATTENTIONS);
    FUZZ_CHECK(command.data_in_bytes == sizeof(reply));
    lun_model_keep_token(&harness->unit->model, reply + BEFORE_TOKEN);
}

/* Runs a command with data_out of out_bytes and a Data-In buffer of in_bytes. shared: as an adapter
 * does that knows no directions, one buffer for both. */
static uint8_t run_command(struct harness *harness, const uint8_t *cdb, size_t cdb_bytes,
                           const uint8_t *data_out, size_t out_bytes, size_t in_bytes, bool shared)
{
    struct lun_command command = {.cdb_length = cdb_bytes};
    CLEANUP_FREE uint8_t *exact_cdb = malloc(cdb_bytes ? cdb_bytes : 1);
    CLEANUP_FREE uint8_t *reply = NULL;
    struct lun_model_range undefined;
    struct lun_exchange exchange;
    struct buffer out, in;
    uint8_t cut = fuzz_byte(&harness->input);

    FUZZ_CHECK(exact_cdb);
    memcpy(exact_cdb, cdb, cdb_bytes);
    buffer_make(&out, out_bytes, cut);
    buffer_set(&out, data_out);
    if (shared)
        in_bytes = out_bytes;
    buffer_make(&in, shared ? 0 : in_bytes, cut);
    for (int i = 0; i < in.count; i++)
        memset(in.pieces[i].iov_base, 0xA5, in.pieces[i].iov_len);
    command.cdb = exact_cdb;
    command.data_out = out.pieces;
    command.data_out_count = out.count;
    command.data_in = shared ? out.pieces : in.pieces;
    command.data_in_count = shared ? out.count : in.count;
    memset(command.sense, 0xA5, sizeof(command.sense));

    exchange = (struct lun_exchange){.cdb = exact_cdb,
                                     .cdb_length = cdb_bytes,
                                     .data_out = data_out,
                                     .data_out_bytes = out_bytes,
                                     .data_in_bytes = in_bytes,
                                     .status = lun_execute(harness->unit->lun, &command)};
    check_sense(&command, exchange.status);
    FUZZ_CHECK(command.data_in_bytes <= in_bytes);
    reply = malloc(in_bytes ? in_bytes : 1);
    FUZZ_CHECK(reply);
    buffer_get(shared ? &out : &in, reply);
    if (!shared || cdb_bytes == 0 || !sends_data(cdb[0]))
        FUZZ_CHECK(bytes_are_zero(reply + command.data_in_bytes, in_bytes - command.data_in_bytes));
    /* Descriptor sense data has it elsewhere than fixed. */
    exchange.sense_key = command.sense[command.sense[0] & 0x02 ? 1 : 2] & 0x0F;
    exchange.data_in = reply;
    exchange.data_in_filled = command.data_in_bytes;
    if (cdb_bytes >= 10 && cdb[0] == SCSI_SANITIZE)
        adopt_sanitized(harness, &exchange);
    if (lun_model_apply(&harness->unit->model, &exchange, &undefined))
        learn_token(harness, get_be32(exact_cdb + 6));
    compare_volume(harness, undefined);
    if (lun_model_is_copy(&exchange))
        compare_other(harness, exchange.sense_key == SENSE_COPY_ABORTED);
    buffer_free(&out);
    buffer_free(&in);
    return exchange.status;
}

static void run_picked(struct harness *harness, bool raw)
{
    static uint8_t data[LUN_PICK_MAX_BYTES];
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {0};
    size_t cdb_bytes, out_bytes, in_bytes;
    uint8_t shape;

    if (raw) {
        cdb_bytes = fuzz_byte(&harness->input) % (SCSI_CDB_MAX_BYTES + 1);
        fuzz_bytes(&harness->input, cdb, cdb_bytes);
    } else {
        cdb_bytes = lun_pick_cdb(&harness->unit->model, &harness->input, cdb);
    }
    out_bytes = lun_pick_data(&harness->unit->model, &harness->input, cdb, data);
    shape = fuzz_byte(&harness->input);
    in_bytes = shape & 0x80 ? fuzz_number(&harness->input, 2) % LUN_PICK_MAX_BYTES : out_bytes;
    run_command(harness, cdb, cdb_bytes, data, out_bytes, in_bytes, shape & 0x40);
}

/* GET LBA STATUS from the first block to the last, as the volume itself tells it. */
static void scan(struct harness *harness)
{
    uint64_t blocks = harness->unit->model.size / harness->unit->model.block_size, lba = 0;
    uint32_t allocation_length = 24 + fuzz_byte(&harness->input) % 128u;
    CLEANUP(extent_list_free) struct extent_list list = {0};

    while (lba < blocks) {
        uint8_t cdb[SCSI_CDB_MAX_BYTES], reply[24 + 128];
        struct iovec iov = {reply, allocation_length};
        struct lun_command command = {.cdb = cdb, .data_in = &iov, .data_in_count = 1};
        enum lba_status_defect defect;

        command.cdb_length = cdb_get_lba_status_16(cdb, lba, allocation_length);
        for (int attempt = 0; lun_execute(harness->unit->lun, &command) != SCSI_STATUS_GOOD;
             attempt++)
            FUZZ_CHECK(attempt < MAX_ATTENTIONS);
        FUZZ_CHECK(lba_status_decode(reply, command.data_in_bytes, lba, blocks, &list, &lba,
                                     &defect) == 0);
        FUZZ_CHECK(defect == LBA_STATUS_SOUND);
    }
    for (size_t i = 0; i < list.count; i++) {
        uint64_t start = list.items[i].start * harness->unit->model.block_size;
        uint64_t end = start + list.items[i].length * harness->unit->model.block_size;
        struct extent extent;

        FUZZ_CHECK(volume_extent(lun_volume(harness->unit->lun), start, end, &extent) == 0);
        FUZZ_CHECK(extent.start == start && extent.start + extent.length == end);
        FUZZ_CHECK(extent.status == list.items[i].status);
    }
}

static void resize(struct harness *harness)
{
    uint64_t bytes = fuzz_number(&harness->input, 3) % (LUN_MODEL_MAX_BYTES + 1);
    struct lun_model *model = &harness->unit->model;
    struct errmsg err = {""};

    if (fuzz_byte(&harness->input) < 0xF0)
        bytes = bytes / model->block_size * model->block_size;
    if (lun_resize(harness->unit->lun, bytes, &err)) {
        FUZZ_CHECK(err.text[0] != 0);
        /* Done, but perhaps not durable. */
        if (!harness->may_fail || volume_bytes(lun_volume(harness->unit->lun)) != bytes)
            bytes = model->size;
    } else {
        FUZZ_CHECK(!model->read_only && bytes > 0 && bytes % model->block_size == 0);
    }
    if (bytes > model->size)
        memset(model->bytes + model->size, 0, bytes - model->size);
    model->size = bytes;
    compare_volume(harness, (struct lun_model_range){0});
}

static void set_fault(struct harness *harness)
{
    static const char *const ops[] = {"read", "write",  "flush", "punch",
                                      "zero", "extent", "resize"};
    static const int errors[] = {EIO, ENOSPC, ENOMEM, EROFS};
    const char *op = ops[fuzz_byte(&harness->input) % (sizeof(ops) / sizeof(ops[0]))];
    uint8_t shape = fuzz_byte(&harness->input);

    store_mem_set_fault(harness->unit->store, op, shape >> 6, errors[shape & 3]);
    harness->may_fail = true;
}

/* The LUN's NAA designator, by page 83h. */
static void learn_naa(struct harness *harness)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES], page[24];
    struct iovec iov = {page, sizeof(page)};
    struct lun_command command = {.cdb = cdb, .data_in = &iov, .data_in_count = 1};

    command.cdb_length = cdb_inquiry_vpd(cdb, VPD_DEVICE_IDENTIFICATION, sizeof(page));
    FUZZ_CHECK(lun_execute(harness->unit->lun, &command) == SCSI_STATUS_GOOD);
    memcpy(harness->unit->model.naa, page + 8, sizeof(harness->unit->model.naa));
}

/* The unit attention of the power on would have the first command of every input fail. */
static void take_power_on(struct lun *lun)
{
    const uint8_t cdb[6] = {SCSI_TEST_UNIT_READY};
    struct lun_command command = {.cdb = cdb, .cdb_length = sizeof(cdb)};

    FUZZ_CHECK(lun_execute(lun, &command) == SCSI_STATUS_CHECK_CONDITION);
}

static void open_unit(struct harness *harness, uint64_t blocks, uint32_t block_size,
                      uint32_t granularity, bool read_only, bool tracked)
{
    struct unit *unit = harness->unit;
    struct volume_meta meta = {.uuid = {1, 2, 3}, .block_size = block_size};
    struct volume *volume;

    meta.uuid[3] = unit == &harness->units[0];
    unit->model.size = blocks * block_size;
    unit->model.block_size = block_size;
    unit->model.software_protected = false;
    unit->model.read_only = read_only;
    unit->model.token = &harness->token;
    memset(unit->model.bytes, 0, unit->model.size);
    FUZZ_CHECK(store_mem_create(unit->model.size, granularity, &unit->store) == 0);
    FUZZ_CHECK(volume_over_store(unit->store, &meta, read_only, &volume, NULL) == 0);
    FUZZ_CHECK(lun_open(volume, &unit->lun) == 0);
    lun_set_copy_group(unit->lun, "both");
    unit->model.track = tracked ? &harness->track : NULL;
    if (tracked)
        lun_model_track_begin(&unit->model, volume);
    take_power_on(unit->lun);
    learn_naa(harness);
}

static void start(struct harness *harness)
{
    uint8_t shape = fuzz_byte(&harness->input);
    uint32_t block_size = shape & 1 ? 4096 : 512;
    uint32_t granularity = shape & 2 ? 16384 : shape & 4 ? 4096 : block_size;
    uint64_t most = LUN_MODEL_MAX_BYTES / block_size;
    uint64_t blocks = 1 + fuzz_byte(&harness->input) % most;
    uint32_t other_block = shape & 8 ? 4096 : 512;
    bool read_only = (shape & 0xF8) == 0xF8;

    harness->token.valid = false;
    harness->unit = &harness->units[1];
    open_unit(harness, OTHER_BYTES / other_block, other_block, 4096, false, false);
    harness->unit = &harness->units[0];
    open_unit(harness, blocks, block_size, granularity, read_only, shape & 0x10 && !read_only);
    for (size_t i = 0; i < 2; i++)
        harness->units[i].model.other = &harness->units[1 - i].model;
}

/* Failures are what is wanted here. */
static void drop_message(enum log_level level, const char *message)
{
    (void)level;
    (void)message;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct harness harness;

    log_set_sink(drop_message);
    harness.input = (struct fuzz_input){data, size};
    harness.may_fail = false;
    start(&harness);
    for (int i = 0; i < MAX_COMMANDS && harness.input.left > 0; i++) {
        uint8_t action = fuzz_byte(&harness.input) % 16;

        if (action == 0) {
            resize(&harness);
        } else if (action == 1) {
            set_fault(&harness);
        } else if (action == 2) {
            store_mem_set_quota(harness.unit->store, fuzz_number(&harness.input, 2));
            harness.may_fail = true;
        } else if (action == 3) {
            clear_faults(&harness);
        } else if (action == 4) {
            clear_faults(&harness);
            scan(&harness);
        } else if (action == 15) {
            swap_units(&harness);
        } else {
            run_picked(&harness, action == 5);
        }
    }
    clear_faults(&harness);
    for (int i = 0; i < 2; i++, swap_units(&harness)) {
        compare_volume(&harness, (struct lun_model_range){0});
        scan(&harness);
        lun_model_track_check(&harness.unit->model, lun_volume(harness.unit->lun));
    }
    lun_close(harness.units[0].lun);
    lun_close(harness.units[1].lun);
    return 0;
}
