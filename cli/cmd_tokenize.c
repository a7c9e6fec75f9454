/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cmd_tokenize - `kvasir tokenize`: what a text becomes, and back.
 *
 * Standard input is one text, or --json-lines names a file with a JSON array of texts; out comes
 * one JSON array of ids a line. With --decode, a line of standard input is a JSON array of ids and
 * its text comes out, followed by a newline.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kvasir/file.h"
#include "kvasir/hub.h"
#include "kvasir/json_pull.h"
#include "kvasir/mem.h"
#include "kvasir/tokenizer.h"

#include "cli.h"
#include "command_options.h"

enum { READ_BYTES = 1 << 16 };
static const size_t max_text_bytes = (size_t)1 << 30;

static bool has_tokenizer_json(const char *dir) {
    char path[PATH_MAX];
    const int n = snprintf(path, sizeof path, "%s/tokenizer.json", dir);
    return n > 0 && (size_t)n < sizeof path && file_exists(path);
}

/* A folder with tokenizer.json will do; everything else is a model's name. */
static int open_tokenizer(const char *name, struct tokenizer **ret_tokenizer,
                          struct error *reterr) {
    if (has_tokenizer_json(name))
        return tokenizer_open_dir(name, ret_tokenizer, reterr);

    struct hub_model model;
    int r = hub_resolve(name, &model, reterr);
    if (r < 0)
        return r;
    return file_is_dir(model.path) ? tokenizer_open_dir(model.path, ret_tokenizer, reterr)
                                   : tokenizer_open_file(model.path, ret_tokenizer, reterr);
}

static int read_input(struct buf *ret_text, struct error *reterr) {
    buf_init(ret_text, max_text_bytes);
    for (;;) {
        char *at = buf_reserve(ret_text, READ_BYTES);
        if (!at)
            return error_set(reterr, -EFBIG, "standard input has more than %zu bytes",
                             max_text_bytes);
        const size_t n = fread(at, 1, READ_BYTES, stdin);
        buf_commit(ret_text, n);
        if (n < READ_BYTES)
            break;
    }
    return ferror(stdin) ? error_set(reterr, -EIO, "standard input cannot be read") : 0;
}

static int no_memory(struct error *reterr) {
    return error_set(reterr, -ENOMEM, "no memory for the text");
}

/* --- text to ids --- */

struct encoder {
    const struct tokenizer *tokenizer;
    unsigned flags;
    struct token_buf ids; /* reused from text to text */
};

static int print_ids(struct encoder *encoder, const char *text, size_t len, struct error *reterr) {
    encoder->ids.n = 0;
    int r = tokenizer_encode(encoder->tokenizer, text, len, encoder->flags, NULL, 0, &encoder->ids);
    if (r == -ENOMEM)
        return no_memory(reterr);
    if (r < 0)
        return error_set(reterr, r, "the tokenizer's pattern needs too many steps on this text");

    (void)putchar('['); /* main checks the stream at the end, here and below */
    for (size_t i = 0; i < encoder->ids.n; i++)
        (void)printf(i ? ",%d" : "%d", (int)encoder->ids.ids[i]);
    (void)puts("]");
    return 0;
}

static int encode_input(struct encoder *encoder, struct error *reterr) {
    struct buf text;
    int r = read_input(&text, reterr);
    if (r == 0)
        r = print_ids(encoder, text.data ? text.data : "", text.len, reterr);
    buf_fini(&text);
    return r;
}

static int encode_strings(struct encoder *encoder, const char *json, size_t len, const char *path,
                          struct error *reterr) {
    struct buf text = {.data = NULL};
    struct json_pull p;
    int r = 0;

    json_pull_init(&p, json, len);
    json_enter_array(&p);
    while (r == 0 && json_next_item(&p)) {
        buf_clear(&text);
        json_unescape(json_take_string(&p), &text);
        r = json_pull_status(&p, path, reterr);
        if (r == 0 && buf_failed(&text))
            r = no_memory(reterr);
        if (r == 0)
            r = print_ids(encoder, text.data ? text.data : "", text.len, reterr);
    }
    buf_fini(&text);
    return r < 0 ? r : json_pull_end(&p, path, reterr);
}

static int encode_file(struct encoder *encoder, const char *path, struct error *reterr) {
    char *json;
    size_t len;
    int r = file_read(path, max_text_bytes, &json, &len, reterr);
    if (r < 0)
        return r;
    r = encode_strings(encoder, json, len, path, reterr);
    mem_free(json);
    return r;
}

static int encode(const struct tokenizer *tokenizer, const struct tokenize_options *options,
                  struct error *reterr) {
    struct encoder encoder = {
        .tokenizer = tokenizer,
        .flags = (options->add_special_tokens ? TOKENIZER_ADD_SPECIAL : 0u) |
                 (options->parse_special ? TOKENIZER_PARSE_SPECIAL : 0u),
    };
    int r = options->json_lines ? encode_file(&encoder, options->json_lines, reterr)
                                : encode_input(&encoder, reterr);
    token_buf_fini(&encoder.ids);
    return r;
}

/* --- ids to text --- */

static int read_ids(const struct tokenizer *tokenizer, const char *line, size_t len, size_t number,
                    struct buf *ret_ids, struct error *reterr) {
    char what[64];
    struct json_pull p;
    (void)snprintf(what, sizeof what, "line %zu of standard input", number); /* always fits */

    buf_clear(ret_ids);
    json_pull_init(&p, line, len);
    json_enter_array(&p);
    while (json_next_item(&p)) {
        const uint64_t id = json_take_uint(&p);
        if (id >= tokenizer_n_vocab(tokenizer))
            json_fail(&p, "expected an id of the vocabulary");
        const token_id token = (token_id)id;
        buf_append(ret_ids, &token, sizeof token);
    }
    int r = json_pull_end(&p, what, reterr);
    return r == 0 && buf_failed(ret_ids) ? no_memory(reterr) : r;
}

static int decode_line(const struct tokenizer *tokenizer, const char *line, size_t len,
                       size_t number, struct error *reterr) {
    struct buf ids = {.data = NULL};
    struct buf text = {.data = NULL};
    int r = read_ids(tokenizer, line, len, number, &ids, reterr);
    if (r == 0 &&
        tokenizer_decode(tokenizer, (const token_id *)(const void *)ids.data,
                         ids.len / sizeof(token_id), /* skip_special= */ false, &text) < 0)
        r = no_memory(reterr);
    if (r == 0) {
        (void)fwrite(text.data ? text.data : "", 1, text.len, stdout);
        (void)putchar('\n');
    }
    buf_fini(&ids);
    buf_fini(&text);
    return r;
}

static bool is_blank(const char *line, size_t len) {
    return strspn(line, " \t\r") >= len;
}

static int decode(const struct tokenizer *tokenizer, struct error *reterr) {
    struct buf input;
    int r = read_input(&input, reterr);
    size_t number = 0;

    for (size_t start = 0; r == 0 && start < input.len;) {
        const char *line = input.data + start;
        const char *newline = memchr(line, '\n', input.len - start);
        const size_t len = newline ? (size_t)(newline - line) : input.len - start;
        number++;
        if (!is_blank(line, len))
            r = decode_line(tokenizer, line, len, number, reterr);
        start += len + 1;
    }
    buf_fini(&input);
    return r;
}

int cmd_tokenize(int argc, char **argv) {
    struct tokenize_options values;
    struct options options;
    int status;
    if (!cli_begin(&tokenize_option_table, argc, argv, &values, &options, &status))
        return status;

    struct error error = {.message = ""};
    struct tokenizer *tokenizer = NULL;
    int r = 0;
    status = CLI_DONE;
    if (values.decode && values.json_lines) {
        (void)error_set(&error, -EINVAL, "--decode reads standard input; it takes no --json-lines");
        (void)cli_fail("tokenize", &error); /* the status is that of bad usage */
        status = CLI_USAGE;
    } else {
        r = open_tokenizer(values.model, &tokenizer, &error);
        if (r == 0)
            r = values.decode ? decode(tokenizer, &error) : encode(tokenizer, &values, &error);
    }
    if (r < 0)
        status = cli_fail("tokenize", &error);
    tokenizer_close(tokenizer);
    options_fini(&options);
    return status;
}
