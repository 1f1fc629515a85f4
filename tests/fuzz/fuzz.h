/* SPDX-License-Identifier: Apache-2.0 */
#ifndef THINMIRROR_FUZZ_H
#define THINMIRROR_FUZZ_H

/* What the fuzz targets share. A target is one file with LLVMFuzzerTestOneInput; libFuzzer calls it
 * with inputs of its own making, replay.c with those of the corpus. */

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Never freed and never written; exactly size bytes are there. Returns 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A promise of the code under test, in every build type. */
#define FUZZ_CHECK(promise)                                                       \
    do {                                                                          \
        if (!(promise)) {                                                         \
            fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #promise); \
            abort();                                                              \
        }                                                                         \
    } while (0)

/* The input as a stream of small decisions. Behind its end there are zeros. */
struct fuzz_input {
    const uint8_t *data;
    size_t left;
};

static inline uint8_t fuzz_byte(struct fuzz_input *input)
{
    if (input->left == 0)
        return 0;
    input->left--;
    return *input->data++;
}

/* Big-endian, bytes of it (at most 8). */
static inline uint64_t fuzz_number(struct fuzz_input *input, unsigned bytes)
{
    uint64_t value = 0;

    while (bytes-- > 0)
        value = value << 8 | fuzz_byte(input);
    return value;
}

static inline void fuzz_bytes(struct fuzz_input *input, uint8_t *to, size_t size)
{
    for (size_t i = 0; i < size; i++)
        to[i] = fuzz_byte(input);
}

/* The rest as a string that ends at its first NUL. The caller frees it. */
static inline char *fuzz_text(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);

    FUZZ_CHECK(text);
    if (size > 0)
        memcpy(text, data, size);
    text[size] = 0;
    return text;
}

#endif
