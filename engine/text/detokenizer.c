/* SPDX-License-Identifier: Apache-2.0 */
/*
 * detokenizer - one stream of ids to text that can be sent at once.
 *
 * Two stages. The first makes whole characters of bytes and keeps what is not decided yet: the
 * beginning of a UTF-8 sequence, or a run of byte-fallback tokens. The second watches for stop
 * strings and keeps the longest tail that begins one. Both keep no more than that (README, rules
 * 8 and 9). One thread.
 */
#include <errno.h>
#include <string.h>

#include "kvasir/mem.h"
#include "kvasir/utf8.h"

#include "tokenizer_impl.h"

enum {
    MAX_STOPS = 16,
    MAX_STOP_LEN = 256,
    /*
     * The reference shows a run of byte tokens as text if all of it is UTF-8, otherwise every one
     * of its bytes as U+FFFD; so a run is certain only at its end. A newline of LLaMA 2 is such a
     * run, and waits for the next token. Text that consists of byte tokens (scripts that are not
     * in the vocabulary) must flow nevertheless: from this length on, whole characters do.
     */
    MAX_HELD_RUN = 32,
};

static const char replacement[] = "\xef\xbf\xbd"; /* U+FFFD */

/* A stop string and how much of it the text ends with (Knuth, Morris and Pratt). */
struct stop {
    const char *text; /* lent */
    uint32_t len;
    uint32_t state;
    uint16_t border[MAX_STOP_LEN]; /* [i]: longest proper border of text[0..i] */
};

struct detokenizer {
    const struct tokenizer *tokenizer;
    bool skip_special;
    bool include_stop;
    bool stopped;
    bool run_broken;    /* the last token was of a run that is no UTF-8 */
    struct buf pending; /* bytes whose characters are not decided */
    bool pending_is_run;
    struct buf text; /* characters that the first stage has just made */
    struct buf held; /* text that the second stage keeps */
    uint32_t n_stops;
    struct stop stops[]; /* [n_stops] */
};

/* --- stop strings --- */

static void init_borders(struct stop *stop) {
    uint32_t border = 0;
    stop->border[0] = 0;
    for (uint32_t i = 1; i < stop->len; i++) {
        while (border > 0 && stop->text[i] != stop->text[border])
            border = stop->border[border - 1];
        if (stop->text[i] == stop->text[border])
            border++;
        stop->border[i] = (uint16_t)border;
    }
}

/* One more byte of text; true if the stop string is complete. */
static bool advance(struct stop *stop, char c) {
    if (stop->state == stop->len)
        stop->state = stop->border[stop->len - 1];
    while (stop->state > 0 && c != stop->text[stop->state])
        stop->state = stop->border[stop->state - 1];
    if (c == stop->text[stop->state])
        stop->state++;
    return stop->state == stop->len;
}

/* Advances all; the longest stop string that ends with this byte, or -1. */
static int advance_all(struct detokenizer *d, char c) {
    int found = -1;
    for (uint32_t i = 0; i < d->n_stops; i++)
        if (advance(&d->stops[i], c) && (found < 0 || d->stops[i].len > d->stops[found].len))
            found = (int)i;
    return found;
}

/* Appends all of held but its last keep bytes to out. */
static void release_held(struct detokenizer *d, size_t keep, struct buf *out) {
    const size_t n = d->held.len - keep;
    if (n == 0)
        return;
    buf_append(out, d->held.data, n);
    memmove(d->held.data, d->held.data + n, keep);
    d->held.len = keep;
    d->held.data[keep] = '\0';
}

/* Second stage. *ret_stop is set if a stop string was completed; what follows it is lost. */
static void feed_text(struct detokenizer *d, const char *text, size_t len, struct buf *out,
                      int *ret_stop) {
    if (d->n_stops == 0) {
        buf_append(out, text, len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        const int found = advance_all(d, text[i]);
        if (found < 0)
            continue;
        buf_append(&d->held, text, i + 1);
        if (!buf_failed(&d->held))
            release_held(d, d->include_stop ? 0 : d->stops[found].len, out);
        d->stopped = true;
        *ret_stop = found;
        return;
    }
    size_t keep = 0;
    for (uint32_t i = 0; i < d->n_stops; i++)
        if (d->stops[i].state > keep)
            keep = d->stops[i].state;
    buf_append(&d->held, text, len);
    if (!buf_failed(&d->held))
        release_held(d, keep, out);
}

/* True if the text, were it to come now, would complete a stop string. */
static bool would_stop(struct detokenizer *d, const char *text, size_t len) {
    uint32_t states[MAX_STOPS] = {0};
    bool found = false;

    for (uint32_t i = 0; i < d->n_stops; i++)
        states[i] = d->stops[i].state;
    for (size_t i = 0; i < len && !found && d->n_stops > 0; i++)
        found = advance_all(d, text[i]) >= 0;
    for (uint32_t i = 0; i < d->n_stops; i++)
        d->stops[i].state = states[i];
    return found;
}

/* --- bytes to characters --- */

/* Bytes of the maximal subpart of an ill-formed sequence at bytes. */
static size_t broken_len(const char *bytes, size_t len) {
    size_t n = 1;
    while (n < len && n < 3 && utf8_is_incomplete(bytes, n + 1))
        n++;
    return n;
}

/* Drops the first n pending bytes. */
static void drop_pending(struct detokenizer *d, size_t n) {
    const size_t left = d->pending.len - n;
    if (n == 0)
        return;
    memmove(d->pending.data, d->pending.data + n, left);
    d->pending.len = left;
    d->pending.data[left] = '\0';
}

/* Moves the characters of pending to text, broken ones as U+FFFD; a beginning stays. */
static void decode_pending(struct detokenizer *d, bool at_end) {
    const char *bytes = d->pending.data;
    const size_t len = d->pending.len;
    size_t done = 0;

    while (done < len) {
        size_t valid = done;
        size_t n;
        while (valid < len && (n = utf8_sequence(bytes + valid, len - valid)) > 0)
            valid += n;
        buf_append(&d->text, bytes + done, valid - done);
        done = valid;
        if (done == len || (!at_end && utf8_is_incomplete(bytes + done, len - done)))
            break;
        buf_append_str(&d->text, replacement);
        done += broken_len(bytes + done, len - done);
    }
    drop_pending(d, done);
}

/* The length of the valid characters that bytes begin with. */
static size_t valid_len(const char *bytes, size_t len) {
    size_t valid = 0;
    size_t n;
    while (valid < len && (n = utf8_sequence(bytes + valid, len - valid)) > 0)
        valid += n;
    return valid;
}

static void replace_pending(struct detokenizer *d) {
    for (size_t i = 0; i < d->pending.len; i++)
        buf_append_str(&d->text, replacement);
    drop_pending(d, d->pending.len);
}

/* A byte-fallback token: the run grows, breaks, stops the stream, or is long enough to flow. */
static void push_run_byte(struct detokenizer *d, char byte) {
    if (d->run_broken) {
        buf_append_str(&d->text, replacement);
        return;
    }
    d->pending_is_run = true;
    buf_append_char(&d->pending, byte);
    if (buf_failed(&d->pending))
        return;

    const char *bytes = d->pending.data;
    const size_t len = d->pending.len;
    const size_t valid = valid_len(bytes, len);
    if (valid < len && !utf8_is_incomplete(bytes + valid, len - valid)) {
        d->run_broken = true;
        replace_pending(d);
    } else if (len > MAX_HELD_RUN || (valid == len && would_stop(d, bytes, len))) {
        buf_append(&d->text, bytes, valid);
        drop_pending(d, valid);
    }
}

/* The run is over: it is text if it is whole, otherwise one U+FFFD a byte. */
static void end_run(struct detokenizer *d) {
    d->run_broken = false;
    if (!d->pending_is_run)
        return;
    d->pending_is_run = false;
    if (utf8_valid(d->pending.data ? d->pending.data : "", d->pending.len))
        decode_pending(d, /* at_end= */ true);
    else
        replace_pending(d);
}

/* First stage. */
static void push_token(struct detokenizer *d, token_id id) {
    size_t len;
    const char *bytes = tokenizer_token_bytes(d->tokenizer, id, &len);

    if (d->tokenizer->decoding.byte_fallback && vocab_has(&d->tokenizer->vocab, id, VOCAB_BYTE)) {
        push_run_byte(d, bytes[0]);
        return;
    }
    end_run(d);
    buf_append(&d->pending, bytes, len);
    if (!buf_failed(&d->pending))
        decode_pending(d, /* at_end= */ false);
}

/* --- contract --- */

static int check_stop(const char *stop, size_t i, struct error *reterr) {
    const size_t len = strlen(stop);
    if (len == 0 || len > MAX_STOP_LEN)
        return error_set_param(reterr, -EINVAL, "stop",
                               "stop string %zu has %zu bytes: expected 1 to %d", i, len,
                               MAX_STOP_LEN);
    if (!utf8_valid(stop, len))
        return error_set_param(reterr, -EINVAL, "stop", "stop string %zu is not UTF-8", i);
    return 0;
}

int detokenizer_open(const struct tokenizer *tokenizer, bool skip_special, const char *const *stops,
                     size_t n_stops, bool include_stop, struct detokenizer **ret_detok,
                     struct error *reterr) {
    if (n_stops > MAX_STOPS)
        return error_set_param(reterr, -EINVAL, "stop", "%zu stop strings: at most %d", n_stops,
                               MAX_STOPS);
    for (size_t i = 0; i < n_stops; i++) {
        int r = check_stop(stops[i], i, reterr);
        if (r < 0)
            return r;
    }
    struct detokenizer *d = mem_alloc_zero(1, sizeof *d + n_stops * sizeof(struct stop));
    if (!d)
        return error_set(reterr, -ENOMEM, "no memory for a stream");

    d->tokenizer = tokenizer;
    d->skip_special = skip_special;
    d->include_stop = include_stop;
    d->n_stops = (uint32_t)n_stops;
    for (size_t i = 0; i < n_stops; i++) {
        d->stops[i].text = stops[i];
        d->stops[i].len = (uint32_t)strlen(stops[i]);
        init_borders(&d->stops[i]);
    }
    *ret_detok = d;
    return 0;
}

void detokenizer_close(struct detokenizer *detok) {
    if (!detok)
        return;
    buf_fini(&detok->pending);
    buf_fini(&detok->text);
    buf_fini(&detok->held);
    mem_free(detok);
}

static int status(const struct detokenizer *d, const struct buf *out) {
    return buf_failed(&d->pending) || buf_failed(&d->text) || buf_failed(&d->held) ||
                   buf_failed(out)
               ? -ENOMEM
               : 0;
}

int detokenizer_push(struct detokenizer *detok, token_id id, struct buf *ret_text, int *ret_stop) {
    *ret_stop = -1;
    if (detok->stopped || (detok->skip_special && tokenizer_is_special(detok->tokenizer, id)))
        return 0;

    buf_clear(&detok->text);
    push_token(detok, id);
    if (detok->text.len > 0)
        feed_text(detok, detok->text.data, detok->text.len, ret_text, ret_stop);
    return status(detok, ret_text);
}

int detokenizer_finish(struct detokenizer *detok, struct buf *ret_text, int *ret_stop) {
    *ret_stop = -1;
    if (detok->stopped)
        return 0;

    buf_clear(&detok->text);
    end_run(detok);
    decode_pending(detok, /* at_end= */ true);
    if (detok->text.len > 0)
        feed_text(detok, detok->text.data, detok->text.len, ret_text, ret_stop);
    if (!detok->stopped && !buf_failed(&detok->held))
        release_held(detok, 0, ret_text);
    detok->stopped = true;
    return status(detok, ret_text);
}
