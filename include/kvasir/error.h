/* SPDX-License-Identifier: Apache-2.0 */
/*
 * error - how a failure travels: a negative errno for the program, one sentence for the human.
 *
 * Every fallible function returns 0 or a negative errno. Where a person or a client will read
 * the reason, it also fills a struct error (which may be NULL) with what was wrong, where, what
 * was expected and what was found. Nothing here aborts, except INVARIANT.
 */
#ifndef KVASIR_ERROR_H
#define KVASIR_ERROR_H

#include <stdarg.h>
#include <stddef.h>

#if defined(__GNUC__)
#define KV_PRINTF(fmt_index, first_arg) __attribute__((format(printf, fmt_index, first_arg)))
#define KV_MUST_CHECK __attribute__((warn_unused_result))
#define KV_NORETURN __attribute__((noreturn))
#define KV_UNUSED __attribute__((unused)) /* a parameter that a fixed shape asks for */
#else
#define KV_PRINTF(fmt_index, first_arg)
#define KV_MUST_CHECK
#define KV_NORETURN
#define KV_UNUSED
#endif

/* A zeroed struct is "no error". Plain value; the texts are always NUL-terminated. */
struct error {
    char message[768]; /* one sentence or more, no trailing newline */
    char param[96];    /* the request field or file part that is wrong; "" if none */
};

/*
 * Writes the message (cut at the size of the field) and returns code, so that a caller can
 * write `return error_set(reterr, -EINVAL, "...")`. reterr may be NULL. Thread-safe.
 */
int error_set(struct error *reterr, int code, const char *fmt, ...) KV_PRINTF(3, 4);

/* As error_set, and names the field or file part at fault in reterr->param. */
int error_set_param(struct error *reterr, int code, const char *param, const char *fmt, ...)
    KV_PRINTF(4, 5);

/* Puts "<context>: " before the message that is already there. Returns code. */
int error_prefix(struct error *reterr, int code, const char *fmt, ...) KV_PRINTF(3, 4);

/*
 * clang's analyzer sees one file at a time and would take the returned code for any number, 0
 * included; this tells it. Compilers see the functions.
 */
#ifdef __clang_analyzer__
#define error_set(reterr, code, ...) ((void)error_set(reterr, code, __VA_ARGS__), (code))
#define error_set_param(reterr, code, ...)                                                         \
    ((void)error_set_param(reterr, code, __VA_ARGS__), (code))
#define error_prefix(reterr, code, ...) ((void)error_prefix(reterr, code, __VA_ARGS__), (code))
#endif

/* Prints the expression and its place to standard error and aborts. For INVARIANT only. */
KV_NORETURN void invariant_failed(const char *expr, const char *file, int line, const char *func);

/*
 * A broken promise inside the program (never input, files or network). Always on, so it must be
 * cheap: a broken block table in production must stop, not serve another user's text.
 */
#define INVARIANT(expr) ((expr) ? (void)0 : invariant_failed(#expr, __FILE__, __LINE__, __func__))

#endif
