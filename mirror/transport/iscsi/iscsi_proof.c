/* SPDX-License-Identifier: Apache-2.0 */
#include "iscsi_proof.h"

#include <string.h>
#include <strings.h>

#define RESPONSE        "CHAP_R=0x"
#define RESPONSE_DIGITS 32 /* of MD5, the one algorithm that libiscsi 1.19 offers */

/* All zeros is what libiscsi compares with before it has sent a challenge, and characters that are
 * no digits can add up to zeros, too. */
static bool is_response(const char *digits)
{
    size_t length = strspn(digits, "0123456789abcdefABCDEF");

    return length == RESPONSE_DIGITS && (digits[length] == '\0' || digits[length] == ' ') &&
           strspn(digits, "0") < RESPONSE_DIGITS;
}

void iscsi_proof_hear(struct iscsi_proof *proof, const char *pair)
{
    if (strncmp(pair, "CHAP_C=", strlen("CHAP_C=")) == 0)
        proof->challenged = true;
    else if (strncmp(pair, RESPONSE, strlen(RESPONSE)) == 0)
        proof->proved = is_response(pair + strlen(RESPONSE));
}
