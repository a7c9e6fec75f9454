/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok_regex - patterns of models that nobody wrote a matcher for, by PCRE2 within limits.
 *
 * The reference uses Oniguruma in Ruby's syntax. What the patterns of tokenizers use means the
 * same in both, given PCRE2_UCP (Unicode \s, \w, \d) and PCRE2_MULTILINE (Ruby's ^ and $ are those
 * of lines). \h, a hexadecimal digit there and a blank here, is refused. Bytes that are not
 * UTF-8 match nothing.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include <errno.h>
#include <string.h>

#include <pcre2.h>

#include "kvasir/mem.h"

#include "pretok.h"

enum {
    MAX_PATTERN = 16 << 10,
    MATCH_LIMIT = 4 << 20, /* steps in one match */
    DEPTH_LIMIT = 1 << 20,
    HEAP_LIMIT_KIB = 64 << 10,
};

struct regex {
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_code *code;
};

static void *regex_alloc(size_t size, void *ctx) {
    (void)ctx; /* unused */
    return mem_alloc(size);
}

static void regex_free(void *ptr, void *ctx) {
    (void)ctx; /* unused */
    mem_free(ptr);
}

static void regex_release(void *arg) {
    struct regex *regex = arg;
    if (regex->code)
        pcre2_code_free(regex->code);
    if (regex->limits)
        pcre2_match_context_free(regex->limits);
    if (regex->memory)
        pcre2_general_context_free(regex->memory);
    mem_free(regex);
}

/* 1 and the match, 0, or a negative errno. */
static int match_from(const struct regex *regex, pcre2_match_data *data, const unsigned char *text,
                      size_t len, size_t from, struct span *ret_match) {
    for (;;) {
        const int n =
            pcre2_match(regex->code, text, len, from, PCRE2_NOTEMPTY, data, regex->limits);
        if (n == PCRE2_ERROR_NOMATCH)
            return 0;
        if (n == PCRE2_ERROR_NOMEMORY)
            return -ENOMEM;
        if (n < 0)
            return -EOVERFLOW;
        const PCRE2_SIZE *ends = pcre2_get_ovector_pointer(data);
        *ret_match = (struct span){.start = ends[0], .end = ends[1]};
        if (ends[1] > ends[0] && ends[0] >= from)
            return 1;
        from++; /* \K and lookbehind may move the ends: such a match is no piece */
        if (from >= len)
            return 0;
    }
}

static int find_regex(const struct matcher *matcher, const unsigned char *text, size_t len,
                      size_t from, struct span *ret_match) {
    const struct regex *regex = matcher->arg;
    pcre2_match_data *data = pcre2_match_data_create(1, regex->memory);
    if (!data)
        return -ENOMEM;

    const int r = match_from(regex, data, text, len, from, ret_match);
    pcre2_match_data_free(data);
    return r;
}

static int compile(struct regex *regex, const char *pattern, size_t len, struct error *reterr) {
    regex->memory = pcre2_general_context_create(regex_alloc, regex_free, NULL);
    if (!regex->memory)
        return error_set(reterr, -ENOMEM, "no memory for a pattern");
    regex->limits = pcre2_match_context_create(regex->memory);
    pcre2_compile_context *compiling = pcre2_compile_context_create(regex->memory);
    int code = 0;
    PCRE2_SIZE at = 0;
    if (regex->limits && compiling) {
        pcre2_set_match_limit(regex->limits, MATCH_LIMIT);
        pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
        pcre2_set_heap_limit(regex->limits, HEAP_LIMIT_KIB);
        pcre2_set_newline(compiling, PCRE2_NEWLINE_LF);
        pcre2_set_bsr(compiling, PCRE2_BSR_UNICODE);
        regex->code = pcre2_compile((PCRE2_SPTR)pattern, len,
                                    PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE |
                                        PCRE2_MATCH_INVALID_UTF | PCRE2_NEVER_BACKSLASH_C,
                                    &code, &at, compiling);
    }
    if (compiling)
        pcre2_compile_context_free(compiling);
    if (regex->code)
        return 0;
    if (code == 0 || code == PCRE2_ERROR_NOMEMORY)
        return error_set(reterr, -ENOMEM, "no memory for a pattern");

    PCRE2_UCHAR message[128] = "";
    (void)pcre2_get_error_message(code, message, sizeof message); /* cut off if too long */
    return error_set(reterr, -EINVAL, "the pattern \"%.*s\" is not a regular expression: %s at %zu",
                     (int)(len < 128 ? len : 128), pattern, (const char *)message, (size_t)at);
}

int pretok_regex_init(struct matcher *ret_matcher, const char *pattern, size_t len,
                      struct error *reterr) {
    if (len > MAX_PATTERN)
        return error_set(reterr, -ENOTSUP, "a pattern of %zu bytes (at most %d are served)", len,
                         MAX_PATTERN);
    for (size_t i = 0; i + 1 < len; i++) {
        if (pattern[i] == '\\' && (pattern[i + 1] == 'h' || pattern[i + 1] == 'H'))
            return error_set(reterr, -ENOTSUP, "the pattern \"%.*s\" uses \\h, which is not served",
                             (int)(len < 128 ? len : 128), pattern);
        if (pattern[i] == '\\')
            i++;
    }

    struct regex *regex = mem_alloc_zero(1, sizeof *regex);
    if (!regex)
        return error_set(reterr, -ENOMEM, "no memory for a pattern");
    int r = compile(regex, pattern, len, reterr);
    if (r < 0) {
        regex_release(regex);
        return r;
    }
    *ret_matcher = (struct matcher){
        .find = find_regex,
        .arg = regex,
        .release = regex_release,
    };
    return 0;
}
