/* SPDX-License-Identifier: Apache-2.0 */
#include "rod_token.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "byteorder.h"
#include "cleanup.h"
#include "copy_list.h"
#include "lun_internal.h"

/* Fields of a ROD token (SPC-4 5.17.6.4, SBC-4 6.7) */
enum {
    TOKEN_LENGTH = 6,
    TOKEN_IDENTIFIER = 8,
    TOKEN_CREATOR = 16,
    TOKEN_DATA_BYTES = 56, /* the low half of 16 bytes */
    TOKEN_BLOCK_SIZE = 96,
    TOKEN_SECRET = 128,
};

#define IDENTIFIER_BYTES 8
#define SECRET_BYTES     32

struct rod_token {
    struct rod_token *next;
    uint8_t bytes[ROD_TOKEN_BYTES];
    struct lun *source;
    struct volume_watch *watch;
    uint32_t inactive_seconds;
    time_t deadline;
    bool deleted;
    unsigned users;
    uint64_t data_bytes;
    size_t count;
    struct volume_range ranges[];
};

/* lock guards the list, what changes in its tokens (next, deadline, deleted, users), and rod_tokens
 * of every LUN. Under it, only the lock of a volume's watches is taken. */
static struct {
    pthread_mutex_t lock;
    pthread_cond_t released;
    struct rod_token *first;
} tokens = {.lock = PTHREAD_MUTEX_INITIALIZER, .released = PTHREAD_COND_INITIALIZER};

static time_t now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return at.tv_sec;
}

static void free_token(struct rod_token *token)
{
    volume_watch_end(token->watch);
    free(token);
}

static void unlink_token(struct rod_token **at)
{
    struct rod_token *token = *at;

    *at = token->next;
    token->source->rod_tokens--;
    free_token(token);
}

/* What is wrong with it, or ASC_NONE. With the lock held. */
static uint16_t defect_of(struct rod_token *token)
{
    if (token->deleted)
        return ASC_TOKEN_DELETED;
    if (volume_watch_changed(token->watch))
        return ASC_TOKEN_REVOKED;
    return now() > token->deadline ? ASC_TOKEN_EXPIRED : ASC_NONE;
}

/* Tokens that are of no use any more are kept for as long again, so that it can be told why, unless
 * their LUN, which is to get one more, needs the room. */
static void drop_useless(const struct lun *lun)
{
    bool is_full = lun->rod_tokens >= ROD_TOKENS_OF_LUN;

    for (struct rod_token **at = &tokens.first; *at;) {
        bool long_gone = now() > (*at)->deadline + (time_t)(*at)->inactive_seconds;
        bool in_the_way = is_full && (*at)->source == lun;

        if ((*at)->users == 0 && (long_gone || (in_the_way && defect_of(*at) != ASC_NONE)))
            unlink_token(at);
        else
            at = &(*at)->next;
    }
}

static int fill_random(uint8_t *to, size_t length)
{
    return getrandom(to, length, 0) == (ssize_t)length ? 0 : -EIO; /* never less for so few */
}

static int write_bytes(struct rod_token *token)
{
    uint8_t *to = token->bytes;
    uint32_t block_size = volume_block_size(lun_volume(token->source));

    put_be32(to, ROD_TYPE_POINT_IN_TIME_CHANGE_VULNERABLE);
    put_be16(to + TOKEN_LENGTH, ROD_TOKEN_BYTES - 8);
    copy_cscd_encode(to + TOKEN_CREATOR, token->source->naa, block_size);
    put_be64(to + TOKEN_DATA_BYTES, token->data_bytes);
    put_be32(to + TOKEN_BLOCK_SIZE, block_size);
    if (fill_random(to + TOKEN_IDENTIFIER, IDENTIFIER_BYTES))
        return -EIO;
    return fill_random(to + TOKEN_SECRET, SECRET_BYTES);
}

static int add_token(struct rod_token *token)
{
    SCOPED_LOCK(&tokens.lock);

    drop_useless(token->source);
    if (token->source->rod_tokens >= ROD_TOKENS_OF_LUN)
        return -EAGAIN;
    token->next = tokens.first;
    tokens.first = token;
    token->source->rod_tokens++;
    return 0;
}

int rod_token_create(struct lun *lun, const struct volume_range *ranges, size_t count,
                     uint32_t seconds, uint8_t ret[static ROD_TOKEN_BYTES])
{
    struct rod_token *token = calloc(1, sizeof(*token) + count * sizeof(*ranges));
    int error;

    if (!token)
        return -ENOMEM;
    token->source = lun;
    token->inactive_seconds = seconds;
    token->deadline = now() + (time_t)seconds;
    token->count = count;
    for (size_t i = 0; i < count; i++) {
        token->ranges[i] = ranges[i];
        token->data_bytes += ranges[i].length;
    }
    error = write_bytes(token);
    memcpy(ret, token->bytes, ROD_TOKEN_BYTES);
    if (!error)
        error = volume_watch_set(lun_volume(lun), ranges, count, &token->watch);
    if (!error)
        error = add_token(token);
    if (error)
        free_token(token);
    return error;
}

/* Takes as long wherever they differ. */
static bool same_bytes(const uint8_t *a, const uint8_t *b, size_t length)
{
    uint8_t differ = 0;

    for (size_t i = 0; i < length; i++)
        differ |= a[i] ^ b[i];
    return differ == 0;
}

/* With the lock held. */
static struct rod_token *find_token(const uint8_t *bytes, uint16_t *ret_asc_ascq)
{
    if (get_be32(bytes) != ROD_TYPE_POINT_IN_TIME_CHANGE_VULNERABLE ||
        get_be16(bytes + TOKEN_LENGTH) != ROD_TOKEN_BYTES - 8) {
        *ret_asc_ascq = ASC_UNSUPPORTED_TOKEN_TYPE;
        return NULL;
    }
    for (struct rod_token *token = tokens.first; token; token = token->next) {
        if (memcmp(token->bytes + TOKEN_IDENTIFIER, bytes + TOKEN_IDENTIFIER, IDENTIFIER_BYTES))
            continue;
        *ret_asc_ascq =
            same_bytes(token->bytes, bytes, ROD_TOKEN_BYTES) ? defect_of(token) : ASC_TOKEN_CORRUPT;
        return *ret_asc_ascq == ASC_NONE ? token : NULL;
    }
    *ret_asc_ascq = ASC_TOKEN_UNKNOWN;
    return NULL;
}

struct rod_token *rod_token_use(const uint8_t bytes[static ROD_TOKEN_BYTES], uint16_t *ret_asc_ascq)
{
    SCOPED_LOCK(&tokens.lock);
    struct rod_token *token = find_token(bytes, ret_asc_ascq);

    if (token) {
        token->users++;
        token->deadline = now() + (time_t)token->inactive_seconds;
    }
    return token;
}

void rod_token_release(struct rod_token *token)
{
    SCOPED_LOCK(&tokens.lock);

    token->deadline = now() + (time_t)token->inactive_seconds;
    if (--token->users == 0)
        pthread_cond_broadcast(&tokens.released);
}

void rod_token_delete(struct rod_token *token)
{
    SCOPED_LOCK(&tokens.lock);

    token->deleted = true;
}

struct lun *rod_token_source(const struct rod_token *token)
{
    return token->source;
}

uint64_t rod_token_data_bytes(const struct rod_token *token)
{
    return token->data_bytes;
}

bool rod_token_is_revoked(struct rod_token *token)
{
    return volume_watch_changed(token->watch);
}

struct volume_range rod_token_place(const struct rod_token *token, uint64_t offset)
{
    const struct volume_range *range = token->ranges;

    while (offset >= range->length)
        offset -= range++->length;
    return (struct volume_range){range->offset + offset, range->length - offset};
}

bool rod_token_is_valid(const uint8_t bytes[static ROD_TOKEN_BYTES])
{
    SCOPED_LOCK(&tokens.lock);
    uint16_t asc_ascq;

    return find_token(bytes, &asc_ascq);
}

void rod_token_forget(struct lun *lun)
{
    SCOPED_LOCK(&tokens.lock);

    for (struct rod_token **at = &tokens.first; *at;) {
        if ((*at)->source != lun) {
            at = &(*at)->next;
        } else if ((*at)->users > 0) {
            (*at)->deleted = true;
            pthread_cond_wait(&tokens.released, &tokens.lock);
            at = &tokens.first; /* the list may be another by now */
        } else {
            unlink_token(at);
        }
    }
}
