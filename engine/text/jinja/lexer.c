/* SPDX-License-Identifier: Apache-2.0 */
#include "lexer.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "kvasir/utf8.h"

#include "number.h"
#include "unicode.h"

enum { MAX_SOURCE = 4 << 20, MAX_NUMBER = 64 };

const char *token_kind_name(enum token_kind kind) {
#define AS_NAME(kind, name) [kind] = name,
    static const char *const names[] = {TOKEN_KINDS(AS_NAME)};
#undef AS_NAME
    return names[kind];
}

void lexer_fail(struct lexer *lx, uint32_t line, const char *fmt, ...) {
    if (lx->failed)
        return;
    lx->failed = true;
    lx->code = -EINVAL;

    char what[512];
    va_list args;
    va_start(args, fmt);
    (void)vsnprintf(what, sizeof what, fmt, args); /* a cut message is fine */
    va_end(args);
    (void)error_set(&lx->error, -EINVAL, "%s (chat template %s, line %u)", what, lx->name, line);
}

void lexer_fail_memory(struct lexer *lx) {
    if (lx->failed)
        return;
    lx->failed = true;
    lx->code =
        error_set(&lx->error, -ENOMEM, "out of memory while parsing chat template %s", lx->name);
}

int lexer_init(struct lexer *lx, struct arena *arena, const char *source, size_t len,
               const char *name) {
    *lx = (struct lexer){.arena = arena, .name = name, .line = 1, .inside = T_DATA};
    if (len > MAX_SOURCE) {
        lexer_fail(lx, 1, "the template has %zu bytes, more than the %d that are read", len,
                   MAX_SOURCE);
        return lx->code;
    }
    char *copy = arena_alloc(arena, len + 1);
    if (!copy) {
        lexer_fail_memory(lx);
        return lx->code;
    }
    size_t n = 0;
    uint32_t line = 1;
    for (size_t i = 0; i < len;) {
        const size_t step = utf8_sequence(source + i, len - i);
        if (step == 0) {
            lexer_fail(lx, line, "byte 0x%02x is not UTF-8", (unsigned char)source[i]);
            return lx->code;
        }
        if (source[i] == '\r') {
            copy[n++] = '\n';
            i += i + 1 < len && source[i + 1] == '\n' ? 2 : 1;
        } else {
            memcpy(copy + n, source + i, step);
            n += step;
            i += step;
        }
        line += copy[n - 1] == '\n';
    }
    if (n > 0 && copy[n - 1] == '\n')
        n--;
    copy[n] = '\0';
    lx->source = copy;
    lx->len = n;
    return 0;
}

static char at(const struct lexer *lx, size_t pos) {
    return pos < lx->len ? lx->source[pos] : '\0';
}

static bool starts_with(const struct lexer *lx, size_t pos, const char *text) {
    const size_t n = strlen(text);
    return n <= lx->len - pos && memcmp(lx->source + pos, text, n) == 0;
}

static void advance(struct lexer *lx, size_t to) {
    for (; lx->pos < to; lx->pos++)
        lx->line += lx->source[lx->pos] == '\n';
}

static size_t skip_space(const struct lexer *lx, size_t pos) {
    while (pos < lx->len) {
        uint32_t cp;
        const size_t n = utf8_decode(lx->source + pos, lx->len - pos, &cp);
        if (!unicode_is_space(cp))
            break;
        pos += n;
    }
    return pos;
}

/* Where the whitespace that ends at end, and starts no earlier than start, begins. */
static size_t skip_space_back(const struct lexer *lx, size_t start, size_t end) {
    while (end > start) {
        size_t before = end - 1;
        while (before > start && ((unsigned char)lx->source[before] & 0xc0) == 0x80)
            before--;
        uint32_t cp;
        (void)utf8_decode(lx->source + before, end - before, &cp); /* valid: checked in init */
        if (!unicode_is_space(cp))
            break;
        end = before;
    }
    return end;
}

/*
 * Position behind the closing delimiter at pos, with what it swallows, or 0 if it does not stand
 * there. trims: a newline directly behind it goes too (tags and comments, not variables).
 */
static size_t closer_end(const struct lexer *lx, size_t pos, const char *closer, bool trims) {
    if (at(lx, pos) == '-' && starts_with(lx, pos + 1, closer))
        return skip_space(lx, pos + 1 + strlen(closer));
    if (trims && at(lx, pos) == '+' && starts_with(lx, pos + 1, closer))
        return pos + 1 + strlen(closer);
    if (!starts_with(lx, pos, closer))
        return 0;
    pos += strlen(closer);
    return trims && at(lx, pos) == '\n' ? pos + 1 : pos;
}

/*
 * The end of the text that starts at lx->pos and stands before an opening delimiter at pos. sign
 * is the character behind the delimiter: '-' strips all whitespace, '+' none; else the blanks
 * between line start and a tag or comment go (lstrip_blocks).
 */
static size_t text_end(const struct lexer *lx, size_t pos, char sign, bool lstrips) {
    if (sign == '-')
        return skip_space_back(lx, lx->pos, pos);
    if (sign == '+' || !lstrips)
        return pos;

    size_t line_start = pos;
    while (line_start > lx->pos && lx->source[line_start - 1] != '\n')
        line_start--;
    const bool at_line_start = line_start == 0 || lx->source[line_start - 1] == '\n';
    return at_line_start && skip_space(lx, line_start) >= pos ? line_start : pos;
}

static char sign_at(const struct lexer *lx, size_t pos) {
    const char c = at(lx, pos);
    return c == '-' || c == '+' ? c : '\0';
}

static size_t find_opener(const struct lexer *lx) {
    size_t pos = lx->pos;
    while (pos + 1 < lx->len) {
        const char *brace = memchr(lx->source + pos, '{', lx->len - pos - 1);
        if (!brace)
            break;
        pos = (size_t)(brace - lx->source);
        if (brace[1] == '{' || brace[1] == '%' || brace[1] == '#')
            return pos;
        pos++;
    }
    return lx->len;
}

/* The end of a raw block's opening tag at pos, or 0 if there is none. */
static size_t raw_opener_end(const struct lexer *lx, size_t pos) {
    pos += 2;
    if (sign_at(lx, pos))
        pos++;
    pos = skip_space(lx, pos);
    if (!starts_with(lx, pos, "raw"))
        return 0;
    pos = skip_space(lx, pos + 3);
    return starts_with(lx, pos, "+%}") ? 0 : closer_end(lx, pos, "%}", /* trims= */ false);
}

/* The end of {% endraw %} at pos, or 0. */
static size_t raw_closer_end(const struct lexer *lx, size_t pos) {
    if (!starts_with(lx, pos, "{%"))
        return 0;
    pos += 2;
    if (sign_at(lx, pos))
        pos++;
    pos = skip_space(lx, pos);
    if (!starts_with(lx, pos, "endraw"))
        return 0;
    return closer_end(lx, skip_space(lx, pos + 6), "%}", /* trims= */ true);
}

static void set_text(const struct lexer *lx, struct token *token, size_t end) {
    *token = (struct token){
        .kind = T_DATA, .line = lx->line, .bytes = lx->source + lx->pos, .len = end - lx->pos};
}

/* The body of a raw block becomes a text token. lx->pos is behind its opening tag. */
static void lex_raw(struct lexer *lx, struct token *token) {
    for (size_t pos = lx->pos; pos < lx->len; pos++) {
        const size_t end = lx->source[pos] == '{' ? raw_closer_end(lx, pos) : 0;
        if (end == 0)
            continue;
        set_text(lx, token, text_end(lx, pos, sign_at(lx, pos + 2), /* lstrips= */ true));
        advance(lx, end);
        return;
    }
    lexer_fail(lx, lx->line, "a raw block is not closed with {%% endraw %%}");
}

static void skip_comment(struct lexer *lx) {
    for (size_t pos = lx->pos + 2; pos < lx->len; pos++) {
        const size_t end = closer_end(lx, pos, "#}", /* trims= */ true);
        if (end > 0) {
            advance(lx, end);
            return;
        }
    }
    lexer_fail(lx, lx->line, "a comment is not closed with #}");
}

/* Outside of tags: text up to the next tag; an empty token (len 0) may come. */
static void lex_text(struct lexer *lx, struct token *token) {
    const size_t opener = find_opener(lx);
    if (opener == lx->len) {
        set_text(lx, token, lx->len);
        advance(lx, lx->len);
        return;
    }
    const char type = lx->source[opener + 1];
    const char sign = sign_at(lx, opener + 2);
    const size_t raw_end = type == '%' ? raw_opener_end(lx, opener) : 0;

    set_text(lx, token, text_end(lx, opener, sign, /* lstrips= */ type != '{'));
    if (token->len > 0 && (raw_end || type == '#')) {
        /* The text goes out first; what follows is found again from its opener. */
        advance(lx, opener);
        return;
    }
    advance(lx, opener);
    if (raw_end) {
        advance(lx, raw_end);
        lex_raw(lx, token);
    } else if (type == '#') {
        skip_comment(lx);
    } else {
        lx->pending = type == '{' ? T_VARIABLE_BEGIN : T_BLOCK_BEGIN;
    }
}

/* --- Inside tags --------------------------------------------------------------------------- */

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

static bool is_name_char(uint32_t cp, bool first) {
    if (cp == '_')
        return true;
    if (cp < 0x80 && !first && is_digit((char)cp))
        return true;
    return first ? unicode_is_alpha(cp) : unicode_is_word(cp);
}

static size_t name_end(const struct lexer *lx, size_t pos) {
    const size_t start = pos;
    while (pos < lx->len) {
        uint32_t cp;
        const size_t n = utf8_decode(lx->source + pos, lx->len - pos, &cp);
        if (!is_name_char(cp, pos == start))
            break;
        pos += n;
    }
    return pos;
}

/* Digits with single underscores between them, from pos on; pos itself if there are none. */
static size_t digits_end(const struct lexer *lx, size_t pos) {
    while (is_digit(at(lx, pos)) || (at(lx, pos) == '_' && is_digit(at(lx, pos + 1)) && pos > 0 &&
                                     is_digit(at(lx, pos - 1))))
        pos++;
    return pos;
}

/* The end of a float literal at pos, or 0: digits with a fraction, an exponent or both. */
static size_t float_end(const struct lexer *lx, size_t pos) {
    if (pos > 0 && lx->source[pos - 1] == '.')
        return 0;
    size_t end = digits_end(lx, pos);
    bool is_float = false;
    if (at(lx, end) == '.' && is_digit(at(lx, end + 1))) {
        end = digits_end(lx, end + 1);
        is_float = true;
    }
    if (at(lx, end) == 'e' || at(lx, end) == 'E') {
        const size_t sign = at(lx, end + 1) == '+' || at(lx, end + 1) == '-' ? 1 : 0;
        if (is_digit(at(lx, end + 1 + sign))) {
            end = digits_end(lx, end + 1 + sign);
            is_float = true;
        }
    }
    return is_float ? end : 0;
}

static void lex_float(struct lexer *lx, struct token *token, size_t end) {
    char digits[MAX_NUMBER];
    size_t n = 0;
    for (size_t i = lx->pos; i < end && n + 1 < sizeof digits; i++) {
        if (lx->source[i] != '_')
            digits[n++] = lx->source[i];
    }
    token->kind = T_FLOAT;
    (void)number_parse_float(digits, n, &token->real); /* the shape was checked */
    advance(lx, end);
}

static int digit_value(char c) {
    if (is_digit(c))
        return c - '0';
    const char lower = (char)(c | 0x20);
    return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 99;
}

static void lex_integer(struct lexer *lx, struct token *token) {
    const char mark = (char)(at(lx, lx->pos + 1) | 0x20);
    int base = 10;
    size_t pos = lx->pos;
    if (at(lx, pos) == '0' && (mark == 'x' || mark == 'o' || mark == 'b')) {
        const int marked = mark == 'x' ? 16 : mark == 'o' ? 8 : 2;
        const size_t first = at(lx, pos + 2) == '_' ? pos + 3 : pos + 2;
        if (digit_value(at(lx, first)) < marked) {
            base = marked;
            pos = first;
        }
    }
    /* A decimal number that begins with 0 is only zeros: 007 are three tokens in Jinja. */
    const int limit = base == 10 && at(lx, pos) == '0' ? 1 : base;
    int64_t value = 0;
    while (digit_value(at(lx, pos)) < limit ||
           (at(lx, pos) == '_' && digit_value(at(lx, pos + 1)) < limit)) {
        const int digit = at(lx, pos) == '_' ? -1 : digit_value(at(lx, pos));
        if (digit >= 0 && value > (INT64_MAX - digit) / base) {
            lexer_fail(lx, lx->line, "an integer does not fit 64 bits");
            return;
        }
        value = digit >= 0 ? value * base + digit : value;
        pos++;
    }
    token->kind = T_INT;
    token->integer = value;
    advance(lx, pos);
}

/* Reads n hexadecimal digits at pos; -1 if they are not there. */
static int64_t hex_at(const struct lexer *lx, size_t pos, size_t n) {
    int64_t value = 0;
    for (size_t i = 0; i < n; i++) {
        const int digit = digit_value(at(lx, pos + i));
        if (digit > 15)
            return -1;
        value = value * 16 + digit;
    }
    return value;
}

/* One escape sequence (pos is behind the backslash) into out; returns the position behind it. */
static size_t lex_escape(struct lexer *lx, size_t pos, char *out, size_t *ret_n) {
    static const char plain[] = "\\\\''\"\"a\ab\bf\fn\nr\rt\tv\v";
    const char c = at(lx, pos);

    *ret_n = 0;
    if (c == '\n')
        return pos + 1;
    for (size_t i = 0; i + 1 < sizeof plain; i += 2) {
        if (plain[i] == c) {
            out[0] = plain[i + 1];
            *ret_n = 1;
            return pos + 1;
        }
    }
    if (c >= '0' && c <= '7') {
        uint32_t value = 0;
        size_t n = 0;
        for (; n < 3 && at(lx, pos + n) >= '0' && at(lx, pos + n) <= '7'; n++)
            value = value * 8 + (uint32_t)(at(lx, pos + n) - '0');
        *ret_n = utf8_encode(value, out);
        return pos + n;
    }
    const size_t n_hex = c == 'x' ? 2 : c == 'u' ? 4 : c == 'U' ? 8 : 0;
    if (n_hex > 0) {
        const int64_t value = hex_at(lx, pos + 1, n_hex);
        if (value < 0 || value > 0x10ffff || (value >= 0xd800 && value < 0xe000)) {
            lexer_fail(lx, lx->line, "the escape \\%c in a string is not a character", c);
            return pos + 1;
        }
        *ret_n = utf8_encode((uint32_t)value, out);
        return pos + 1 + n_hex;
    }
    if (c == 'N') {
        lexer_fail(lx, lx->line, "character names (\\N) in strings are not served");
        return pos + 1;
    }
    out[0] = '\\'; /* an unknown escape stays as it is written */
    *ret_n = 1;
    return pos;
}

static void lex_string(struct lexer *lx, struct token *token) {
    const char quote = at(lx, lx->pos);
    size_t end = lx->pos + 1;
    while (end < lx->len && lx->source[end] != quote)
        end += lx->source[end] == '\\' ? 2 : 1;
    if (end >= lx->len) {
        lexer_fail(lx, lx->line, "a string is not closed with %c", quote);
        return;
    }
    char *out = arena_alloc(lx->arena, end - lx->pos + 4);
    if (!out) {
        lexer_fail_memory(lx);
        return;
    }
    size_t n = 0;
    for (size_t pos = lx->pos + 1; pos < end && !lx->failed;) {
        size_t n_escaped = 1;
        if (lx->source[pos] == '\\')
            pos = lex_escape(lx, pos + 1, out + n, &n_escaped);
        else
            out[n] = lx->source[pos++];
        n += n_escaped;
    }
    token->kind = T_STRING;
    token->bytes = out;
    token->len = n;
    advance(lx, end + 1);
}

/* Keeps the stack of brackets, so that }} closes a dict in a dict before it closes the tag. */
static void balance(struct lexer *lx, char c) {
    if (c == '(' || c == '[' || c == '{') {
        if (lx->n_brackets == MAX_BRACKETS) {
            lexer_fail(lx, lx->line, "brackets are nested more than %d deep", MAX_BRACKETS);
            return;
        }
        lx->brackets[lx->n_brackets++] = c == '(' ? ')' : c == '[' ? ']' : '}';
        return;
    }
    if (c != ')' && c != ']' && c != '}')
        return;
    if (lx->n_brackets == 0) {
        lexer_fail(lx, lx->line, "unexpected '%c'", c);
        return;
    }
    const char expected = lx->brackets[--lx->n_brackets];
    if (expected != c)
        lexer_fail(lx, lx->line, "unexpected '%c', expected '%c'", c, expected);
}

static void lex_operator(struct lexer *lx, struct token *token) {
    for (enum token_kind kind = T_POW; kind <= T_SEMICOLON; kind++) {
        const char *spelling = token_kind_name(kind);
        if (!starts_with(lx, lx->pos, spelling))
            continue;
        token->kind = kind;
        balance(lx, spelling[0]);
        advance(lx, lx->pos + strlen(spelling));
        return;
    }
    const size_t n = utf8_sequence(lx->source + lx->pos, lx->len - lx->pos);
    lexer_fail(lx, lx->line, "unexpected character '%.*s'", (int)n, lx->source + lx->pos);
}

static void lex_inside(struct lexer *lx, struct token *token) {
    const bool block = lx->inside == T_BLOCK_BEGIN;
    size_t end = 0;
    if (lx->n_brackets == 0) {
        end = closer_end(lx, lx->pos, block ? "%}" : "}}", /* trims= */ block);
        if (end == 0) {
            advance(lx, skip_space(lx, lx->pos));
            end = closer_end(lx, lx->pos, block ? "%}" : "}}", /* trims= */ block);
        }
    } else {
        advance(lx, skip_space(lx, lx->pos));
    }
    *token = (struct token){.line = lx->line, .bytes = lx->source + lx->pos};
    if (end > 0) {
        token->kind = block ? T_BLOCK_END : T_VARIABLE_END;
        lx->inside = T_DATA;
        advance(lx, end);
        return;
    }
    if (lx->pos >= lx->len) {
        lexer_fail(lx, lx->line, "the template ends inside of a tag");
        return;
    }
    const char c = lx->source[lx->pos];
    const size_t name = name_end(lx, lx->pos);
    if (is_digit(c)) {
        end = float_end(lx, lx->pos);
        if (end > 0)
            lex_float(lx, token, end);
        else
            lex_integer(lx, token);
    } else if (name > lx->pos) {
        token->kind = T_NAME;
        token->len = name - lx->pos;
        advance(lx, name);
    } else if (c == '\'' || c == '"') {
        lex_string(lx, token);
    } else {
        lex_operator(lx, token);
    }
}

void lexer_next(struct lexer *lx, struct token *ret_token) {
    struct token token = {.kind = T_EOF, .line = lx->line};
    while (!lx->failed) {
        if (lx->pending != T_EOF) {
            token = (struct token){.kind = lx->pending, .line = lx->line};
            lx->inside = lx->pending;
            lx->pending = T_EOF;
            advance(lx, lx->pos + 2 + (sign_at(lx, lx->pos + 2) ? 1 : 0));
            break;
        }
        if (lx->inside != T_DATA) {
            lex_inside(lx, &token);
            break;
        }
        if (lx->pos >= lx->len) {
            token = (struct token){.kind = T_EOF, .line = lx->line};
            break;
        }
        lex_text(lx, &token);
        if (token.kind == T_DATA && token.len > 0)
            break;
        token.kind = T_EOF;
    }
    if (lx->failed)
        token.kind = T_EOF;
    *ret_token = token;
}
