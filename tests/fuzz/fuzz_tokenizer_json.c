/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_json: whatever a file says, a tokenizer that opens encodes and decodes without harm,
 * gives ids of its own vocabulary, and streams what it decodes.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "text/tokenizer_impl.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_ids(const struct tokenizer *tokenizer, const struct token_buf *ids) {
    for (size_t i = 0; i < ids->n; i++)
        if (ids->ids[i] < 0 || ids->ids[i] >= VOCAB_MAX_IDS)
            abort();

    struct buf text = {.data = NULL};
    if (tokenizer_decode(tokenizer, ids->ids, ids->n, false, &text) < 0)
        abort();
    buf_fini(&text);
}

static void stream(const struct tokenizer *tokenizer, const struct token_buf *ids) {
    static const char *const stops[] = {"ab", "\n"};
    struct detokenizer *detok;
    struct error error;
    struct buf text = {.data = NULL};
    int stop;
    if (detokenizer_open(tokenizer, true, stops, 2, false, &detok, &error) < 0)
        abort();
    for (size_t i = 0; i < ids->n; i++)
        if (detokenizer_push(detok, ids->ids[i], &text, &stop) < 0)
            abort();
    if (detokenizer_finish(detok, &text, &stop) < 0)
        abort();
    if (text.data && (strstr(text.data, "ab") || strchr(text.data, '\n')))
        abort();
    detokenizer_close(detok);
    buf_fini(&text);
}

static void encode(const struct tokenizer *tokenizer, const char *text, size_t len) {
    struct token_buf ids = {.n = 0};
    const struct text_range user = {.start = len / 2, .end = len};
    const unsigned flags = TOKENIZER_ADD_SPECIAL | TOKENIZER_PARSE_SPECIAL;
    if (tokenizer_encode(tokenizer, text, len, flags, &user, 1, &ids) == 0) {
        check_ids(tokenizer, &ids);
        stream(tokenizer, &ids);
    }
    token_buf_fini(&ids);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "<s>ab aab\xe2\x96\x81 don't 12345\r\n \xe4\xbd\xa0\xe5\xa5\xbd "
                               "e\xcc\x81 \xff\xc3 <0x0A> abababab";
    struct tokenizer *tokenizer;
    struct error error = {.message = ""};
    if (tokenizer_read_json((const char *)data, size, NULL, 0, &tokenizer, &error) < 0) {
        if (error.message[0] == '\0')
            abort(); /* every refusal has a reason */
        return 0;
    }
    encode(tokenizer, text, sizeof text - 1);
    encode(tokenizer, (const char *)data, size < 2048 ? size : 2048);
    tokenizer_close(tokenizer);
    return 0;
}
