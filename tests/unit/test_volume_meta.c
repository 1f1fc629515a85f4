/* SPDX-License-Identifier: Apache-2.0 */

/* The description of a volume: what is accepted, what is refused and with which words. */

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "scratch.h"
#include "skip.h"
#include "volume.h"
#include "volume_meta.h"

#define UUID "123e4567-e89b-42d3-a456-426614174000"

static void a_sound_description_is_understood(void **state)
{
    const char *texts[] = {
        "{\"format\": \"thinmirror-volume\", \"version\": 1, \"uuid\": \"" UUID
        "\", \"block_size\": 4096}\n",
        "{\"block_size\":4096,\"uuid\":\"" UUID
        "\",\"version\":1,\"format\":\"thinmirror-volume\"}",
        "  {\"format\": \"thinmirror-vol\\u0075me\", \"version\": 1, \"u\\u0075id\": \"" UUID
        "\", \"block_size\": 4096} \r\n\t ",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct volume_meta meta;
        struct errmsg err;
        char uuid[UUID_STR_LEN];

        assert_int_equal(volume_meta_parse(texts[i], strlen(texts[i]), &meta, &err), 0);
        assert_int_equal(meta.block_size, 4096);
        uuid_unparse_lower(meta.uuid, uuid);
        assert_string_equal(uuid, UUID);
    }
}

#define HEAD      "{\"format\": \"thinmirror-volume\", \"version\": 1, "
#define WITH_UUID HEAD "\"uuid\": \"" UUID "\", "

static void every_defect_is_named(void **state)
{
    const struct {
        const char *text;
        const char *words;
    } wrong[] = {
        {"", "ends in the middle"},
        {"{", "ends in the middle"},
        {"nonsense", "not JSON"},
        {"[1]", "not a JSON object"},
        {"null ", "not a JSON object"},
        {"{}", "\"format\" is missing"},
        {"{\"format\": 1}", "\"format\" is not a string"},
        {"{\"format\": \"qcow2\"}", "\"format\" is not"},
        {"{\"format\": \"thinmirror-volume\\u0000\"}", "not"},
        {"{\"format\": \"thinmirror-volume\"}", "\"version\" is missing"},
        {"{\"format\": \"thinmirror-volume\", \"version\": \"1\"}", "\"version\" is not a whole"},
        {"{\"format\": \"thinmirror-volume\", \"version\": 1.0}", "\"version\" is not a whole"},
        {"{\"format\": \"thinmirror-volume\", \"version\": 2, \"future\": 1}", "\"version\" is 2"},
        {"{\"format\": \"thinmirror-volume\", \"version\": 0}", "\"version\" is 0"},
        {HEAD "\"block_size\": 512}", "\"uuid\" is missing"},
        {HEAD "\"uuid\": 5, \"block_size\": 512}", "\"uuid\" is not a string"},
        {HEAD "\"uuid\": \"5\", \"block_size\": 512}", "\"uuid\" is not a UUID"},
        {HEAD "\"uuid\": \"00000000-0000-0000-0000-000000000000\", \"block_size\": 512}",
         "\"uuid\" is not a UUID"},
        {WITH_UUID "\"block_size\": 513}", "\"block_size\" is 513"},
        {WITH_UUID "\"block_size\": \"512\"}", "\"block_size\" is not a whole"},
        {WITH_UUID "\"block_size\": 18446744073709551104}", "\"block_size\""},
        {WITH_UUID "\"block_size\": 18446744073709552128}", ""}, /* json-c 0.18: not JSON */
        {WITH_UUID "\"block_size\": 512, \"mode_pages\": 1}", "\"mode_pages\" is not a string"},
        {WITH_UUID "\"block_size\": 512, \"sanitize\": true}", "\"sanitize\" is not a string"},
        {WITH_UUID "\"block_size\": 512, \"sanitize\": \"no\"}", "neither \"restricted\" nor"},
        {WITH_UUID "\"block_size\": 512, \"mode_pages\": \"\"}", "not 1 to 256 bytes"},
        {WITH_UUID "\"block_size\": 512, \"mode_pages\": \"081\"}", "not 1 to 256 bytes"},
        {WITH_UUID "\"block_size\": 512, \"mode_pages\": \"08xx\"}", "not hexadecimal"},
        {WITH_UUID "\"block_size\": 512, \"colour\": 1}", "\"colour\" is not known"},
        {WITH_UUID "\"block_size\": 512, \"block_size\": 512}", "twice"},
        {WITH_UUID "\"block_size\": 512, \"block\\u005fsize\": 512}", "twice"},
        {WITH_UUID "\"block_size\": 512} {}", "not JSON"},
        {WITH_UUID "\"block_size\": 512, }", "not JSON"},
        {WITH_UUID "\"block_size\": 512", "ends in the middle"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct volume_meta meta;
        struct errmsg err = {""};

        assert_int_equal(volume_meta_parse(wrong[i].text, strlen(wrong[i].text), &meta, &err),
                         -EINVAL);
        if (!strstr(err.text, wrong[i].words))
            fail_msg("for %s: %s", wrong[i].text, err.text);
    }
}

static void mode_pages_are_as_long_as_there_is_room(void **state)
{
    struct volume_meta meta;
    struct errmsg err = {""};
    char text[1024];

    (void)state;
    for (int bytes = VOLUME_META_MODE_MAX_BYTES; bytes <= VOLUME_META_MODE_MAX_BYTES + 1; bytes++) {
        int length = snprintf(text, sizeof(text),
                              WITH_UUID "\"block_size\": 512, "
                                        "\"mode_pages\": \"%0*d\"}",
                              2 * bytes, 42);
        int result = volume_meta_parse(text, (size_t)length, &meta, &err);

        assert_int_equal(result, bytes == VOLUME_META_MODE_MAX_BYTES ? 0 : -EINVAL);
        if (!result) {
            assert_int_equal(meta.mode_pages_bytes, bytes);
            assert_int_equal(meta.mode_pages[bytes - 1], 0x42);
        }
    }
}

static void text_with_a_zero_byte_is_refused(void **state)
{
    static const char text[] = WITH_UUID "\"block_size\": 512}\0";
    struct volume_meta meta;
    struct errmsg err;

    (void)state;
    assert_int_equal(volume_meta_parse(text, sizeof(text) - 2, &meta, &err), 0);
    assert_int_equal(volume_meta_parse(text, sizeof(text), &meta, &err), -EINVAL);
}

static int setup(void **state)
{
    struct scratch *scratch = malloc(sizeof(*scratch));

    assert_non_null(scratch);
    scratch_make(scratch);
    *state = scratch;
    return 0;
}

static int teardown(void **state)
{
    scratch_remove(*state);
    free(*state);
    return 0;
}

static void a_description_is_replaced_whole(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume_meta meta, loaded;
    struct errmsg err;
    struct stat st;

    volume_meta_init(&meta, 512);
    assert_int_equal(volume_meta_replace(path, &meta, &err), -ENOENT);
    assert_int_equal(scratch_count(*state), 0);
    assert_int_equal(volume_meta_create(path, &meta, &err), 0);
    assert_int_equal(chmod(scratch_path(*state, "v.thin"), 0640), 0);
    for (size_t bytes = 3; bytes <= VOLUME_META_MODE_MAX_BYTES; bytes += 253) {
        memset(meta.mode_pages, 0xA9, bytes);
        meta.mode_pages_bytes = bytes;
        meta.seal = bytes > 3 ? VOLUME_SEALED_UNRESTRICTED : VOLUME_SEALED_RESTRICTED;
        assert_int_equal(volume_meta_replace(path, &meta, &err), 0);
        assert_int_equal(volume_meta_load(path, &loaded, &err), 0);
        assert_int_equal(uuid_compare(loaded.uuid, meta.uuid), 0);
        assert_int_equal(loaded.seal, meta.seal);
        assert_int_equal(loaded.mode_pages_bytes, bytes);
        assert_memory_equal(loaded.mode_pages, meta.mode_pages, bytes);
        assert_int_equal(scratch_count(*state), 1);
    }
    assert_int_equal(stat(scratch_path(*state, "v.thin"), &st), 0);
    assert_int_equal(st.st_mode & 07777, 0640);
}

/* Whose folder the description lies in can put a link in the place of the new one at any time. */
static const char *link_to_plant, *victim;

int __real_fsync(int fd);
int __wrap_fsync(int fd);

int __wrap_fsync(int fd)
{
    int result = __real_fsync(fd);

    if (link_to_plant) {
        assert_int_equal(unlink(link_to_plant), 0);
        assert_int_equal(symlink(victim, link_to_plant), 0);
        link_to_plant = NULL;
    }
    return result;
}

static void a_link_planted_while_a_description_is_replaced_leads_nowhere(void **state)
{
    const char *path = scratch_path(*state, "v"), *description = scratch_path(*state, "v.thin");
    struct volume_meta meta;
    struct errmsg err;
    struct stat st;

    if (geteuid() != 0)
        skip_because("only the superuser can give a file away");
    volume_meta_init(&meta, 512);
    assert_int_equal(volume_meta_create(path, &meta, &err), 0);
    assert_int_equal(chown(description, 65534, 65534), 0);
    victim = scratch_path(*state, "shadow");
    scratch_text(victim, "root:*:");
    assert_int_equal(chmod(victim, 0600), 0);
    link_to_plant = scratch_path(*state, "v.thin.new");
    assert_int_equal(volume_meta_replace(path, &meta, &err), -ESTALE);
    assert_non_null(strstr(err.text, description));
    assert_int_equal(stat(victim, &st), 0);
    assert_int_equal(st.st_uid, 0);
    assert_int_equal(st.st_gid, 0);
    assert_int_equal(st.st_mode & 07777, 0600);
    assert_int_equal(st.st_size, strlen("root:*:"));
}

static void a_new_description_is_no_setuid_file(void **state)
{
    const char *path = scratch_path(*state, "v"), *description = scratch_path(*state, "v.thin");
    struct volume_meta meta;
    struct errmsg err;
    struct stat st;

    volume_meta_init(&meta, 512);
    assert_int_equal(volume_meta_create(path, &meta, &err), 0);
    assert_int_equal(chmod(description, 06755), 0);
    assert_int_equal(volume_meta_replace(path, &meta, &err), 0);
    assert_int_equal(stat(description, &st), 0);
    assert_int_equal(st.st_mode & 07777, 0755);
}

static void what_a_crash_has_left_is_in_nobodys_way(void **state)
{
    const char *path = scratch_path(*state, "v"), *left = scratch_path(*state, "v.thin.new");
    struct volume_meta meta;
    struct errmsg err;

    volume_meta_init(&meta, 512);
    for (int round = 0; round < 2; round++) { /* created, then replaced */
        FILE *file = fopen(left, "w");

        assert_non_null(file);
        fputs("{\"form", file);
        fclose(file);
        assert_int_equal(round == 0 ? volume_meta_create(path, &meta, &err)
                                    : volume_meta_replace(path, &meta, &err),
                         0);
        assert_int_equal(scratch_count(*state), 1);
    }
    assert_int_equal(mkdir(left, 0700), 0); /* this no program of ours has left */
    assert_int_equal(volume_meta_replace(path, &meta, &err), -EBUSY);
    assert_int_equal(rmdir(left), 0);
    assert_int_equal(volume_meta_load(path, &meta, &err), 0);
}

static void what_was_created_is_loaded(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume_meta meta, loaded;
    struct errmsg err;

    for (uint32_t block_size = 512; block_size <= 4096; block_size *= 8) {
        volume_meta_init(&meta, block_size);
        assert_int_equal(volume_meta_create(path, &meta, &err), 0);
        assert_int_equal(volume_meta_load(path, &loaded, &err), 0);
        assert_int_equal(loaded.block_size, block_size);
        assert_int_equal(uuid_compare(loaded.uuid, meta.uuid), 0);
        assert_int_equal(scratch_count(*state), 1);
        unlink(scratch_path(*state, "v.thin"));
    }
}

static void a_description_is_never_created_over_another(void **state)
{
    const char *path = scratch_path(*state, "v");
    struct volume_meta first, second, loaded;
    struct errmsg err;

    volume_meta_init(&first, 512);
    volume_meta_init(&second, 512);
    assert_int_equal(volume_meta_create(path, &first, &err), 0);
    assert_int_equal(volume_meta_create(path, &second, &err), -EEXIST);
    assert_int_equal(volume_meta_load(path, &loaded, &err), 0);
    assert_int_equal(uuid_compare(loaded.uuid, first.uuid), 0);
    assert_int_equal(scratch_count(*state), 1);
}

static void loading_names_the_file_and_what_is_wrong_with_it(void **state)
{
    const char *path = scratch_path(*state, "v");
    const char *description = scratch_path(*state, "v.thin");
    struct volume_meta meta;
    struct errmsg err;
    char *huge;

    assert_int_equal(volume_meta_load(path, &meta, &err), -ENOENT);
    assert_non_null(strstr(err.text, "thinvol create"));
    scratch_text(description, WITH_UUID "\"block_size\": 1024}");
    assert_int_equal(volume_meta_load(path, &meta, &err), -EINVAL);
    assert_non_null(strstr(err.text, description));
    assert_non_null(strstr(err.text, "1024"));
    huge = malloc(VOLUME_META_MAX_BYTES + 2);
    assert_non_null(huge);
    memset(huge, ' ', VOLUME_META_MAX_BYTES + 1);
    huge[VOLUME_META_MAX_BYTES + 1] = '\0';
    scratch_text(description, huge);
    free(huge);
    assert_int_equal(volume_meta_load(path, &meta, &err), -EINVAL);
    assert_non_null(strstr(err.text, "longer"));
    unlink(description);
    assert_int_equal(symlink(((struct scratch *)*state)->directory, description), 0);
    assert_int_equal(volume_meta_load(path, &meta, &err), -EINVAL);
    assert_non_null(strstr(err.text, "not a regular file"));
}

static void a_new_identity_that_cannot_be_written_down_is_not_there(void **state)
{
    const char *path = scratch_path(*state, "v");
    char description[300];
    struct volume *volume;
    struct errmsg err = {""};
    uuid_t before;

    assert_int_equal(volume_create(path, 512, 1 << 20, &volume, &err), 0);
    uuid_copy(before, volume_get_meta(volume)->uuid);
    snprintf(description, sizeof(description), "%s.thin", path);
    assert_int_equal(unlink(description), 0);
    assert_int_equal(volume_renew_uuid(volume, &err), -ENOENT);
    assert_string_not_equal(err.text, "");
    assert_int_equal(uuid_compare(volume_get_meta(volume)->uuid, before), 0);
    assert_int_equal(volume_close(volume), 0);
}

#define IN_SCRATCH(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_sound_description_is_understood),
        cmocka_unit_test(every_defect_is_named),
        cmocka_unit_test(mode_pages_are_as_long_as_there_is_room),
        cmocka_unit_test(text_with_a_zero_byte_is_refused),
        IN_SCRATCH(what_was_created_is_loaded),
        IN_SCRATCH(what_a_crash_has_left_is_in_nobodys_way),
        IN_SCRATCH(a_description_is_never_created_over_another),
        IN_SCRATCH(a_description_is_replaced_whole),
        IN_SCRATCH(a_link_planted_while_a_description_is_replaced_leads_nowhere),
        IN_SCRATCH(a_new_description_is_no_setuid_file),
        IN_SCRATCH(a_new_identity_that_cannot_be_written_down_is_not_there),
        IN_SCRATCH(loading_names_the_file_and_what_is_wrong_with_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
