/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_LUN_ROD_TOKEN_H
#define THINMIRROR_LUN_ROD_TOKEN_H

/* ROD tokens (SPC-4 5.17.6): 512 bytes that stand for the data of some ranges of a logical unit.
 * The holder of one may read those data through any logical unit of this process, so it is hard to
 * guess one.
 *
 * They are of the type "point in time copy, change vulnerable": they stand for the data as they
 * were when the token was made, and nothing is put aside for that; a token whose data begin to
 * change is revoked instead. Tokens live in memory, for as long as the process and the LUN they are
 * of are there and they are used now and then. */

#include <stddef.h>
#include <stdint.h>

#include "volume_watch.h"

#define ROD_TOKEN_BYTES                    512
#define ROD_TOKEN_MAX_RANGES               64
#define ROD_TOKEN_MAX_BYTES                (UINT64_C(256) << 20)
#define ROD_TOKEN_OPTIMAL_BYTES            (UINT64_C(64) << 20)
#define ROD_TOKEN_DEFAULT_INACTIVE_SECONDS 60
#define ROD_TOKEN_MAX_INACTIVE_SECONDS     600
/* Of one LUN: what initiators of one do takes nothing from the others. */
#define ROD_TOKENS_OF_LUN 64

enum rod_type {
    ROD_TYPE_POINT_IN_TIME_CHANGE_VULNERABLE = 0x00800001,
    ROD_TYPE_BLOCK_ZERO = (int)0xFFFF0001,
};

struct lun;
struct rod_token;

/* Makes a token of the ranges, in bytes, together not 0. seconds: without use, after which it
 * expires. Errors as volume_watch_set; -EAGAIN: the LUN has as many tokens as it may have. */
int rod_token_create(struct lun *lun, const struct volume_range *ranges, size_t count,
                     uint32_t seconds, uint8_t ret[static ROD_TOKEN_BYTES]);

/* The token with these bytes, which stays until rod_token_release, and so does its LUN. NULL:
 * *ret_asc_ascq is what is wrong with it. */
struct rod_token *rod_token_use(const uint8_t bytes[static ROD_TOKEN_BYTES],
                                uint16_t *ret_asc_ascq);
/* Ends what rod_token_use began; the token stays valid. */
void rod_token_release(struct rod_token *token);
/* It is refused from then on. */
void rod_token_delete(struct rod_token *token);

/* The LUN it was made at, and how much data it stands for; between use and release. */
struct lun *rod_token_source(const struct rod_token *token);
uint64_t rod_token_data_bytes(const struct rod_token *token);
/* Whether the data have begun to change since. */
bool rod_token_is_revoked(struct rod_token *token);
/* Where the token's data at offset, which it has, lie in the source, and how much of it in one
 * piece. */
struct volume_range rod_token_place(const struct rod_token *token, uint64_t offset);

/* False when it has expired, has been revoked or deleted, or never was. */
bool rod_token_is_valid(const uint8_t bytes[static ROD_TOKEN_BYTES]);

/* The LUN is about to be closed: its tokens are gone when this returns, and none is in use. */
void rod_token_forget(struct lun *lun);

#endif
