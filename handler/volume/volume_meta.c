/* SPDX-License-Identifier: Apache-2.0 */
#include "volume_meta.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "file_place.h"
#include "replace_file.h"
#include "shell_word.h"

#define FORMAT  "thinmirror-volume"
#define VERSION 1

static void free_json(struct json_object **object)
{
    json_object_put(*object);
}

static void free_tokener(struct json_tokener **tokener)
{
    if (*tokener)
        json_tokener_free(*tokener);
}

void volume_meta_init(struct volume_meta *meta, uint32_t block_size)
{
    *meta = (struct volume_meta){.block_size = block_size};
    uuid_generate_random(meta->uuid);
}

/* How many members the outermost object of a well-formed text has; duplicates, which the parser
 * folds into one, are counted. */
static size_t count_members(const char *text, size_t length)
{
    size_t members = 0;
    int depth = 0;
    bool in_string = false;

    for (size_t i = 0; i < length; i++) {
        char c = text[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
            continue;
        }
        if (c == '"')
            in_string = true;
        else if (c == '{' || c == '[')
            depth++;
        else if (c == '}' || c == ']')
            depth--;
        else if (c == ':' && depth == 1)
            members++;
    }
    return members;
}

static int parse_object(const char *text, size_t length, struct json_object **ret,
                        struct errmsg *err)
{
    CLEANUP(free_tokener) struct json_tokener *tokener = json_tokener_new();
    CLEANUP(free_json) struct json_object *object = NULL;
    enum json_tokener_error error;

    if (!tokener)
        return errmsg_set(err, -ENOMEM, "out of memory");
    if (length > VOLUME_META_MAX_BYTES)
        return errmsg_set(err, -EINVAL, "it is longer than %d bytes", VOLUME_META_MAX_BYTES);
    if (memchr(text, '\0', length))
        return errmsg_set(err, -EINVAL, "it is not text");
    json_tokener_set_flags(tokener, JSON_TOKENER_STRICT | JSON_TOKENER_VALIDATE_UTF8);
    object = json_tokener_parse_ex(tokener, text, (int)length);
    error = json_tokener_get_error(tokener);
    if (error == json_tokener_continue)
        return errmsg_set(err, -EINVAL, "it ends in the middle");
    if (error != json_tokener_success)
        return errmsg_set(err, -EINVAL, "it is not JSON: %s", json_tokener_error_desc(error));
    if (!json_object_is_type(object, json_type_object))
        return errmsg_set(err, -EINVAL, "it is not a JSON object");
    if (count_members(text, length) != (size_t)json_object_object_length(object))
        return errmsg_set(err, -EINVAL, "a field stands in it twice");
    *ret = TAKE_PTR(object);
    return 0;
}

static int get_string(struct json_object *object, const char *field, const char **ret,
                      struct errmsg *err)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, field, &value))
        return errmsg_set(err, -EINVAL, "the field \"%s\" is missing", field);
    if (!json_object_is_type(value, json_type_string))
        return errmsg_set(err, -EINVAL, "the field \"%s\" is not a string", field);
    *ret = json_object_get_string(value);
    if (strlen(*ret) != (size_t)json_object_get_string_len(value))
        return errmsg_set(err, -EINVAL, "the field \"%s\" is not text", field);
    return 0;
}

static int get_number(struct json_object *object, const char *field, int64_t *ret,
                      struct errmsg *err)
{
    struct json_object *value;

    if (!json_object_object_get_ex(object, field, &value))
        return errmsg_set(err, -EINVAL, "the field \"%s\" is missing", field);
    if (!json_object_is_type(value, json_type_int))
        return errmsg_set(err, -EINVAL, "the field \"%s\" is not a whole number", field);
    *ret = json_object_get_int64(value);
    return 0;
}

static int refuse_unknown_fields(struct json_object *object, struct errmsg *err)
{
    static const char *const known[] = {"format",     "version",    "uuid",
                                        "block_size", "mode_pages", "sanitize"};

    json_object_object_foreach(object, key, value)
    {
        bool found = false;

        (void)value;
        for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
            found |= strcmp(key, known[i]) == 0;
        if (!found)
            return errmsg_set(err, -EINVAL, "the field \"%.64s\" is not known", key);
    }
    return 0;
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The optional field of bytes in hexadecimal. */
static int get_mode_pages(struct json_object *object, struct volume_meta *meta, struct errmsg *err)
{
    const char *hex;
    size_t digits;
    int error;

    if (!json_object_object_get_ex(object, "mode_pages", NULL))
        return 0;
    error = get_string(object, "mode_pages", &hex, err);
    if (error)
        return error;
    digits = strlen(hex);
    if (digits == 0 || digits % 2 != 0 || digits > 2 * sizeof(meta->mode_pages))
        return errmsg_set(err, -EINVAL, "the field \"mode_pages\" is not 1 to %d bytes long",
                          VOLUME_META_MODE_MAX_BYTES);
    for (size_t i = 0; i < digits / 2; i++) {
        int high = hex_digit(hex[2 * i]), low = hex_digit(hex[2 * i + 1]);

        if (high < 0 || low < 0)
            return errmsg_set(err, -EINVAL, "the field \"mode_pages\" is not hexadecimal");
        meta->mode_pages[i] = (uint8_t)(high << 4 | low);
    }
    meta->mode_pages_bytes = digits / 2;
    return 0;
}

static const char *const seals[] = {
    [VOLUME_SEALED_RESTRICTED] = "restricted", [VOLUME_SEALED_UNRESTRICTED] = "unrestricted"};

/* The optional field that says that a SANITIZE has begun. */
static int get_seal(struct json_object *object, struct volume_meta *meta, struct errmsg *err)
{
    const char *text;
    int error;

    if (!json_object_object_get_ex(object, "sanitize", NULL))
        return 0;
    error = get_string(object, "sanitize", &text, err);
    if (error)
        return error;
    if (strcmp(text, seals[VOLUME_SEALED_RESTRICTED]) == 0)
        meta->seal = VOLUME_SEALED_RESTRICTED;
    else if (strcmp(text, seals[VOLUME_SEALED_UNRESTRICTED]) == 0)
        meta->seal = VOLUME_SEALED_UNRESTRICTED;
    else
        return errmsg_set(err, -EINVAL,
                          "the field \"sanitize\" is neither \"restricted\" nor \"unrestricted\"");
    return 0;
}

int volume_meta_parse(const char *text, size_t length, struct volume_meta *ret, struct errmsg *err)
{
    CLEANUP(free_json) struct json_object *object = NULL;
    struct volume_meta meta = {0};
    const char *string = NULL;
    int64_t number = 0;
    int error;

    error = parse_object(text, length, &object, err);
    if (!error)
        error = get_string(object, "format", &string, err);
    if (error)
        return error;
    if (strcmp(string, FORMAT) != 0)
        return errmsg_set(err, -EINVAL, "the field \"format\" is not \"" FORMAT "\"");
    error = get_number(object, "version", &number, err);
    if (error)
        return error;
    if (number != VERSION)
        return errmsg_set(err, -EINVAL,
                          "the field \"version\" is %" PRId64 "; this program knows version %d",
                          number, VERSION);
    error = refuse_unknown_fields(object, err);
    if (!error)
        error = get_string(object, "uuid", &string, err);
    if (error)
        return error;
    if (uuid_parse(string, meta.uuid) < 0 || uuid_is_null(meta.uuid))
        return errmsg_set(err, -EINVAL, "the field \"uuid\" is not a UUID");
    error = get_number(object, "block_size", &number, err);
    if (error)
        return error;
    if (number != 512 && number != 4096)
        return errmsg_set(err, -EINVAL,
                          "the field \"block_size\" is %" PRId64 ", neither 512 nor 4096", number);
    meta.block_size = (uint32_t)number;
    error = get_mode_pages(object, &meta, err);
    if (!error)
        error = get_seal(object, &meta, err);
    if (error)
        return error;
    *ret = meta;
    return 0;
}

static char *meta_path(const char *volume_path)
{
    char *path;

    return asprintf(&path, "%s" VOLUME_META_SUFFIX, volume_path) < 0 ? NULL : path;
}

/* Reads up to size bytes; the number there were, or -errno. */
static ssize_t read_whole(int fd, char *buffer, size_t size)
{
    size_t length = 0;

    while (length < size) {
        ssize_t got = read(fd, buffer + length, size - length);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        length += (size_t)got;
    }
    return (ssize_t)length;
}

int volume_meta_load(const char *volume_path, struct volume_meta *ret, struct errmsg *err)
{
    CLEANUP_FREE char *path = meta_path(volume_path);
    CLEANUP_FREE char *text = malloc(VOLUME_META_MAX_BYTES + 1);
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    CLEANUP_CLOSE int fd = -1;
    char word[SHELL_WORD_BYTES];
    struct errmsg detail;
    struct stat st;
    ssize_t length;
    int error;

    if (!path || !text)
        return errmsg_set(err, -ENOMEM, "%s cannot be opened: out of memory", volume_path);
    error = file_place_open(path, &place, err);
    if (error && error != -ENOENT)
        return error;
    fd = error ? error : file_place_open_file(&place, O_RDONLY | O_NONBLOCK | O_NOCTTY, 0);
    if (fd == -ENOENT)
        return errmsg_set(err, -ENOENT,
                          "%s is a file but not a volume: its description %s is missing; to make a "
                          "volume of it, which keeps its bytes, run: thinvol create --adopt %s",
                          volume_path, path, shell_word(volume_path, word, sizeof(word)));
    if (fd < 0)
        return errmsg_set(err, fd, "%s cannot be opened: %s", path, strerror(-fd));
    if (fstat(fd, &st) < 0)
        return errmsg_set(err, -errno, "%s cannot be examined: %s", path, strerror(errno));
    if (!S_ISREG(st.st_mode))
        return errmsg_set(err, -EINVAL, "%s, the description of the volume, is not a regular file",
                          path);
    length = read_whole(fd, text, VOLUME_META_MAX_BYTES + 1);
    if (length < 0)
        return errmsg_set(err, (int)length, "%s cannot be read: %s", path, strerror((int)-length));
    error = volume_meta_parse(text, (size_t)length, ret, &detail);
    if (error)
        errmsg_set(err, error, "%s does not describe a volume: %s", path, detail.text);
    return error;
}

/* Puts the text where the description is, or is to be. A link that is one is kept: its target is
 * replaced. */
static int put(const char *path, const char *text, enum replace_file_which which,
               struct errmsg *err)
{
    const struct replace_file_terms terms = {.which = which,
                                             .mode = 0644,
                                             .max_bytes = VOLUME_META_MAX_BYTES};
    CLEANUP(file_place_close) struct file_place place = FILE_PLACE_NONE;
    int error = which == REPLACE_FILE_NONE ? file_place_open_name(path, &place, err)
                                           : file_place_open(path, &place, err);

    if (error)
        return error;
    error = replace_file(&place, text, strlen(text), &terms);
    if (error)
        errmsg_set(err, error, "%s", strerror(-error));
    return error;
}

/* The description's text, to be freed; NULL when out of memory. */
static char *describe(const struct volume_meta *meta)
{
    char uuid[UUID_STR_LEN], hex[2 * VOLUME_META_MODE_MAX_BYTES + 1] = "";
    bool has_pages = meta->mode_pages_bytes > 0;
    bool sealed = meta->seal != VOLUME_WHOLE;
    char *text;

    uuid_unparse_lower(meta->uuid, uuid);
    for (size_t i = 0; i < meta->mode_pages_bytes; i++)
        snprintf(hex + 2 * i, 3, "%02x", meta->mode_pages[i]);
    if (asprintf(&text,
                 "{\"format\": \"" FORMAT
                 "\", \"version\": %d, \"uuid\": \"%s\", \"block_size\": %u%s%s%s%s%s%s}\n",
                 VERSION, uuid, meta->block_size, has_pages ? ", \"mode_pages\": \"" : "", hex,
                 has_pages ? "\"" : "", sealed ? ", \"sanitize\": \"" : "",
                 sealed ? seals[meta->seal] : "", sealed ? "\"" : "") < 0)
        return NULL;
    return text;
}

int volume_meta_create(const char *volume_path, const struct volume_meta *meta, struct errmsg *err)
{
    CLEANUP_FREE char *path = meta_path(volume_path);
    CLEANUP_FREE char *text = describe(meta);
    struct errmsg detail;
    int error;

    if (!path || !text)
        return errmsg_set(err, -ENOMEM, "%s cannot be created: out of memory", volume_path);
    error = put(path, text, REPLACE_FILE_NONE, &detail);
    if (error == -EEXIST)
        return errmsg_set(err, error, "%s exists already, so %s is a volume", path, volume_path);
    if (error)
        errmsg_set(err, error, "%s cannot be created: %s", path, detail.text);
    return error;
}

int volume_meta_replace(const char *volume_path, const struct volume_meta *meta, struct errmsg *err)
{
    CLEANUP_FREE char *path = meta_path(volume_path);
    CLEANUP_FREE char *text = describe(meta);
    struct errmsg detail;
    int error;

    if (!path || !text)
        return errmsg_set(err, -ENOMEM, "%s cannot be rewritten: out of memory", volume_path);
    error = put(path, text, REPLACE_FILE_ONE, &detail);
    if (error)
        errmsg_set(err, error, "%s cannot be rewritten: %s", path, detail.text);
    return error;
}
