/* SPDX-License-Identifier: Apache-2.0 */

/* Random commands against an array that says what must come of them: every byte, and for every
 * granule whether it is mapped. Over both stores and both block sizes; a seed that fails is named,
 * and tried alone with MODEL_SEED=N. */

#include <errno.h>
#include <linux/magic.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/vfs.h>

#include <cmocka.h>

#include "byteorder.h"
#include "cdb.h"
#include "lba_status.h"
#include "scratch.h"
#include "scsi_rig.h"
#include "store_file.h"
#include "store_mem.h"
#include "zeros.h"

#define GRANULE  4096
#define GRANULES 48
#define BYTES    (GRANULES * GRANULE)
#define ROUNDS   240

struct model {
    struct rig rig;
    uint64_t random;       /* the generator's state, never 0 */
    bool exact;            /* the map of the store is known to the granule */
    bool mapped[GRANULES]; /* or anchored */
    bool zeroed[GRANULES]; /* of those: anchored, or a store that knows of zeros may call it so */
    uint8_t bytes[BYTES];
};

static uint32_t draw(struct model *model, uint32_t below)
{
    model->random ^= model->random << 13;
    model->random ^= model->random >> 7;
    model->random ^= model->random << 17;
    return (uint32_t)(model->random >> 16) % below;
}

/* A range of blocks, often on granules' edges. */
static struct rig_range draw_range(struct model *model)
{
    uint32_t per_granule = GRANULE / model->rig.block_size;
    uint32_t blocks = (uint32_t)model->rig.blocks;
    struct rig_range range = {.lba = draw(model, blocks)};

    if (draw(model, 2))
        range.lba -= range.lba % per_granule;
    range.blocks = 1 + draw(model, draw(model, 4) ? 3 * per_granule : blocks);
    if (draw(model, 2) && range.blocks >= per_granule)
        range.blocks -= range.blocks % per_granule;
    if (range.blocks > blocks - range.lba)
        range.blocks = blocks - (uint32_t)range.lba;
    return range;
}

static uint64_t start_of(const struct model *model, struct rig_range range)
{
    return range.lba * model->rig.block_size;
}

static uint64_t end_of(const struct model *model, struct rig_range range)
{
    return (range.lba + range.blocks) * model->rig.block_size;
}

static void model_map(struct model *model, struct rig_range range)
{
    for (uint64_t at = start_of(model, range) / GRANULE * GRANULE; at < end_of(model, range);
         at += GRANULE) {
        model->mapped[at / GRANULE] = true;
        model->zeroed[at / GRANULE] = false;
    }
}

/* Zeros that keep their storage; the rest of a granule that was written is what it was. */
static void model_zero(struct model *model, struct rig_range range)
{
    uint64_t start = start_of(model, range), end = end_of(model, range);

    memset(model->bytes + start, 0, end - start);
    for (uint64_t at = start / GRANULE; at * GRANULE < end; at++) {
        bool whole = at * GRANULE >= start && (at + 1) * GRANULE <= end;

        model->zeroed[at] = whole || !model->mapped[at] || model->zeroed[at];
        model->mapped[at] = true;
    }
}

static void model_unmap(struct model *model, struct rig_range range)
{
    uint64_t start = start_of(model, range), end = end_of(model, range);

    memset(model->bytes + start, 0, end - start);
    for (uint64_t granule = (start + GRANULE - 1) / GRANULE; (granule + 1) * GRANULE <= end;
         granule++)
        model->mapped[granule] = model->zeroed[granule] = false;
}

static void try_write(struct model *model)
{
    struct rig_range range = draw_range(model);
    uint8_t *to = model->bytes + start_of(model, range);
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    size_t length = end_of(model, range) - start_of(model, range);

    for (size_t i = 0; i < length; i++)
        to[i] = (uint8_t)draw(model, 256);
    model_map(model, range);
    cdb_write_16(cdb, range.lba, range.blocks, draw(model, 8) == 0);
    assert_good(rig_command_out(&model->rig, cdb, to, length));
}

static void try_unmap(struct model *model)
{
    struct rig_range ranges[4];
    size_t count = 1 + draw(model, 4);

    for (size_t i = 0; i < count; i++) {
        ranges[i] = draw_range(model);
        model_unmap(model, ranges[i]);
    }
    assert_good(rig_unmap_ranges(&model->rig, ranges, count));
}

static void try_write_same(struct model *model)
{
    struct rig_range range = draw_range(model);
    bool zeros = draw(model, 2), unmap = draw(model, 2);
    uint8_t block[4096] = {0};
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    for (size_t i = 0; !zeros && i < model->rig.block_size; i++)
        block[i] = (uint8_t)(draw(model, 255) + 1);
    if (zeros && unmap) {
        model_unmap(model, range);
    } else if (zeros) {
        model_zero(model, range);
    } else {
        model_map(model, range);
        for (uint64_t at = start_of(model, range); at < end_of(model, range);
             at += model->rig.block_size)
            memcpy(model->bytes + at, block, model->rig.block_size);
    }
    cdb_write_same_16(cdb, range.lba, range.blocks, unmap);
    assert_good(rig_command_out(&model->rig, cdb, block, model->rig.block_size));
}

/* Anchored is much like written with zeros, but nothing is where it is refused. */
static void try_anchor(struct model *model)
{
    struct rig_range range = draw_range(model);

    if (rig_can_anchor(&model->rig)) {
        model_zero(model, range);
        assert_good(rig_unmap_ranges_anchor(&model->rig, &range, 1));
    } else {
        assert_check(rig_unmap_ranges_anchor(&model->rig, &range, 1), SENSE_ILLEGAL_REQUEST,
                     ASC_INVALID_FIELD_IN_CDB);
    }
}

/* A list whose last range lies beyond the end: nothing may change. */
static void try_wrong_unmap(struct model *model)
{
    struct rig_range ranges[3] = {draw_range(model),
                                  draw_range(model),
                                  {.lba = model->rig.blocks - 1, .blocks = 2}};

    assert_check(rig_unmap_ranges(&model->rig, ranges, 3), SENSE_ILLEGAL_REQUEST,
                 ASC_LBA_OUT_OF_RANGE);
}

static void try_flush(struct model *model)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES];

    cdb_synchronize_cache_10(cdb);
    assert_good(rig_command(&model->rig, cdb));
}

/* Data-Out with what is there in its first half and what is to be in the second. */
static void try_compare_and_write(struct model *model)
{
    struct rig_range range = draw_range(model);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_COMPARE_AND_WRITE};
    uint8_t *bytes = model->bytes + start_of(model, range), *both;
    bool differs = draw(model, 3) == 0;
    struct answer answer;
    size_t length, at;

    if (range.blocks > 255)
        range.blocks = 255;
    length = end_of(model, range) - start_of(model, range);
    both = malloc(2 * length);
    assert_non_null(both);
    memcpy(both, bytes, length);
    for (size_t i = length; i < 2 * length; i++)
        both[i] = (uint8_t)draw(model, 256);
    at = draw(model, (uint32_t)length);
    if (differs)
        both[at] ^= 0x10;
    put_be64(cdb + 2, range.lba);
    cdb[13] = (uint8_t)range.blocks;
    answer = rig_command_out(&model->rig, cdb, both, 2 * length);
    if (differs) {
        assert_check(answer, SENSE_MISCOMPARE, ASC_MISCOMPARE_DURING_VERIFY);
        assert_true(answer.information_valid);
        assert_int_equal(answer.information, at);
    } else {
        assert_good(answer);
        memcpy(bytes, both + length, length);
        model_map(model, range);
    }
    free(both);
}

static void try_orwrite(struct model *model)
{
    struct rig_range range = draw_range(model);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_ORWRITE_16};
    uint8_t *bytes = model->bytes + start_of(model, range);
    size_t length = end_of(model, range) - start_of(model, range);
    uint8_t *data = malloc(length);

    assert_non_null(data);
    for (size_t i = 0; i < length; i++) {
        data[i] = (uint8_t)(draw(model, 256) & draw(model, 256));
        bytes[i] |= data[i];
    }
    model_map(model, range);
    put_be64(cdb + 2, range.lba);
    put_be32(cdb + 10, range.blocks);
    assert_good(rig_command_out(&model->rig, cdb, data, length));
    free(data);
}

static void try_write_and_verify(struct model *model)
{
    struct rig_range range = draw_range(model);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_WRITE_AND_VERIFY_16, draw(model, 2) ? 0x02 : 0};
    uint8_t *bytes = model->bytes + start_of(model, range);
    size_t length = end_of(model, range) - start_of(model, range);

    for (size_t i = 0; i < length; i++)
        bytes[i] = (uint8_t)draw(model, 256);
    model_map(model, range);
    put_be64(cdb + 2, range.lba);
    put_be32(cdb + 10, range.blocks);
    assert_good(rig_command_out(&model->rig, cdb, bytes, length));
}

static void try_verify(struct model *model)
{
    struct rig_range range = draw_range(model);
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_VERIFY_16, 0x02 /* BYTCHK 01b */};
    uint8_t *bytes = model->bytes + start_of(model, range);
    size_t length = end_of(model, range) - start_of(model, range);
    size_t at = draw(model, (uint32_t)length);

    put_be64(cdb + 2, range.lba);
    put_be32(cdb + 10, range.blocks);
    assert_good(rig_command_out(&model->rig, cdb, bytes, length));
    bytes[at] ^= 0x01;
    assert_check(rig_command_out(&model->rig, cdb, bytes, length), SENSE_MISCOMPARE,
                 ASC_MISCOMPARE_DURING_VERIFY);
    bytes[at] ^= 0x01;
}

/* Rare, or there would be nothing left to try the others on. */
static void try_format(struct model *model)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_FORMAT_UNIT};

    if (draw(model, 8))
        return;
    model_unmap(model, (struct rig_range){.blocks = (uint32_t)model->rig.blocks});
    assert_good(rig_command(&model->rig, cdb));
}

static void try_erase(struct model *model)
{
    const uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, SCSI_SA_SANITIZE_BLOCK_ERASE};

    if (draw(model, 8))
        return;
    model_unmap(model, (struct rig_range){.blocks = (uint32_t)model->rig.blocks});
    assert_good(rig_command(&model->rig, cdb));
}

/* The pattern is wherever there is storage; a store that may keep more of it than it was asked for
 * shows by the pattern where. */
static void try_overwrite(struct model *model)
{
    uint8_t cdb[SCSI_CDB_MAX_BYTES] = {SCSI_SANITIZE, SCSI_SA_SANITIZE_OVERWRITE};
    uint8_t list[5] = {(uint8_t)(1 + draw(model, 2)), 0, 0, 1, (uint8_t)(1 + draw(model, 255))};
    uint32_t per_granule = GRANULE / model->rig.block_size;
    uint8_t found[GRANULE];

    if (draw(model, 8))
        return;
    put_be16(cdb + 7, sizeof(list));
    assert_good(rig_command_out(&model->rig, cdb, list, sizeof(list)));
    for (uint64_t granule = 0; granule < GRANULES; granule++) {
        struct rig_range range = {.lba = granule * per_granule, .blocks = per_granule};

        rig_read(&model->rig, range.lba, per_granule, found);
        if (!model->mapped[granule] && (model->exact || found[0] == 0)) {
            assert_true(bytes_are_zero(found, GRANULE));
            continue;
        }
        memset(model->bytes + granule * GRANULE, list[4], GRANULE);
        assert_memory_equal(found, model->bytes + granule * GRANULE, GRANULE);
        model_map(model, range);
    }
}

static void check_bytes(struct model *model, struct rig_range range)
{
    size_t length = end_of(model, range) - start_of(model, range);
    uint8_t *found = malloc(length);

    assert_non_null(found);
    rig_read(&model->rig, range.lba, range.blocks, found);
    assert_memory_equal(found, model->bytes + start_of(model, range), length);
    free(found);
}

/* What the reply says about [lba, lba + blocks). A store that may keep more storage than it was
 * asked for may call more mapped, never less. */
static void check_status(struct model *model, uint64_t lba, uint32_t blocks, uint8_t status)
{
    for (uint64_t at = lba; at < lba + blocks; at++) {
        uint64_t granule = at * model->rig.block_size / GRANULE;
        bool expected = model->mapped[granule];

        if (model->zeroed[granule])
            assert_int_not_equal(status, EXTENT_DEALLOCATED);
        else if (model->exact || expected)
            assert_int_equal(status, expected ? EXTENT_MAPPED : EXTENT_DEALLOCATED);
    }
}

static void check_map(struct model *model)
{
    uint8_t reply[8 + 5 * 16];
    uint8_t cdb[SCSI_CDB_MAX_BYTES];
    uint64_t lba = draw(model, (uint32_t)model->rig.blocks);

    while (lba < model->rig.blocks) {
        uint32_t length = 24 + 16 * draw(model, 5);

        cdb_get_lba_status_16(cdb, lba, length);
        assert_good(rig_command_in(&model->rig, cdb, reply, sizeof(reply)));
        assert_true(get_be32(reply) >= 20);
        for (const uint8_t *at = reply + 8; at < reply + 4 + get_be32(reply); at += 16) {
            assert_int_equal(get_be64(at), lba);
            assert_true(get_be32(at + 8) > 0);
            assert_true(get_be32(at + 8) <= model->rig.blocks - lba);
            check_status(model, lba, get_be32(at + 8), at[12]);
            lba += get_be32(at + 8);
        }
    }
}

static void run_model(struct model *model)
{
    void (*const commands[])(struct model *) = {
        try_write,     try_unmap,  try_write_same, try_write_same,        try_wrong_unmap,
        try_flush,     try_write,  try_unmap,      try_compare_and_write, try_compare_and_write,
        try_orwrite,   try_verify, try_format,     try_write_and_verify,  try_erase,
        try_overwrite, try_anchor};
    struct rig_range all = {.blocks = (uint32_t)model->rig.blocks};

    for (int round = 0; round < ROUNDS; round++) {
        commands[draw(model, sizeof(commands) / sizeof(commands[0]))](model);
        check_bytes(model, draw_range(model));
        if (round % 8 == 0)
            check_map(model);
    }
    check_bytes(model, all);
    check_map(model);
}

static struct model *new_model(uint64_t seed)
{
    struct model *model = calloc(1, sizeof(*model));

    assert_non_null(model);
    model->random = seed * UINT64_C(0x9E3779B97F4A7C15) | 1;
    return model;
}

static void run_over_memory(uint64_t seed, uint32_t block_size)
{
    struct model *model = new_model(seed);

    model->exact = rig_is_native();
    rig_open(&model->rig, block_size, BYTES / block_size, GRANULE, false);
    run_model(model);
    rig_close(&model->rig);
    free(model);
}

/* Other file systems may allocate in larger pieces, or ahead. */
static bool maps_exactly(const char *path)
{
    struct statfs st;

    assert_int_equal(statfs(path, &st), 0);
    return st.f_bsize == GRANULE && (st.f_type == EXT4_SUPER_MAGIC || st.f_type == TMPFS_MAGIC);
}

static void run_over_file(uint64_t seed, uint32_t block_size)
{
    struct model *model = new_model(seed);
    struct scratch scratch;
    struct store *store;
    struct errmsg err;

    scratch_make(&scratch);
    model->exact = maps_exactly(scratch.directory);
    assert_int_equal(store_file_create(scratch_path(&scratch, "v"), BYTES, &store, &err), 0);
    rig_open_store(&model->rig, block_size, store);
    run_model(model);
    rig_close(&model->rig);
    scratch_remove(&scratch);
    free(model);
}

static void run_seeds(void (*run)(uint64_t, uint32_t), uint32_t block_size, uint64_t seeds)
{
    const char *only = getenv("MODEL_SEED");

    for (uint64_t seed = 1; seed <= seeds; seed++) {
        if (only && strtoull(only, NULL, 10) != seed)
            continue;
        print_message("# seed %llu\n", (unsigned long long)seed);
        run(seed, block_size);
    }
}

static void any_commands_over_memory_with_512_byte_blocks(void **state)
{
    (void)state;
    run_seeds(run_over_memory, 512, rig_is_native() ? 24 : 2);
}

static void any_commands_over_memory_with_4096_byte_blocks(void **state)
{
    (void)state;
    run_seeds(run_over_memory, 4096, rig_is_native() ? 24 : 2);
}

static void any_commands_over_a_file_with_512_byte_blocks(void **state)
{
    (void)state;
    rig_needs_native("it makes the store itself");
    run_seeds(run_over_file, 512, 3);
}

static void any_commands_over_a_file_with_4096_byte_blocks(void **state)
{
    (void)state;
    rig_needs_native("it makes the store itself");
    run_seeds(run_over_file, 4096, 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_commands_over_memory_with_512_byte_blocks),
        cmocka_unit_test(any_commands_over_memory_with_4096_byte_blocks),
        cmocka_unit_test(any_commands_over_a_file_with_512_byte_blocks),
        cmocka_unit_test(any_commands_over_a_file_with_4096_byte_blocks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
