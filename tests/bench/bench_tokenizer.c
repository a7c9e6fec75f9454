/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_tokenizer - megabytes per second of encoding, and milliseconds of opening.
 *
 *   bench_tokenizer DIR [FILE...]
 *
 * DIR has a tokenizer.json. Each FILE is encoded whole, and so are a megabyte of one letter, of
 * spaces and of random bytes, and 200 texts of 2 KB of the first FILE (what a chat sends). The
 * best of several runs counts; one thread.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"
#include "kvasir/tokenizer.h"

/* The thread's own time: on a machine that others use too, the clock on the wall says little. */
static uint64_t now_ns(void) {
    struct timespec t;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t); /* cannot fail for this clock */
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

enum { N_RUNS = 7, MEGABYTE = 1 << 20, CHAT_BYTES = 2048 };

/* Encodes text in parts of part bytes; returns nanoseconds, 0 on failure. */
static uint64_t encode_once(const struct tokenizer *tokenizer, const char *text, size_t len,
                            size_t part, size_t *ret_n_ids) {
    struct token_buf ids = {.n = 0};
    const uint64_t start = now_ns();
    *ret_n_ids = 0;
    for (size_t done = 0; done < len; done += part) {
        const size_t n = len - done < part ? len - done : part;
        ids.n = 0;
        if (tokenizer_encode(tokenizer, text + done, n, TOKENIZER_PARSE_SPECIAL, NULL, 0, &ids) < 0)
            return 0;
        *ret_n_ids += ids.n;
    }
    const uint64_t ns = now_ns() - start;
    token_buf_fini(&ids);
    return ns;
}

static void measure(const struct tokenizer *tokenizer, const char *name, const char *text,
                    size_t len, size_t part) {
    uint64_t best = UINT64_MAX;
    size_t n_ids = 0;
    for (int i = 0; i < N_RUNS; i++) {
        const uint64_t ns = encode_once(tokenizer, text, len, part, &n_ids);
        if (ns > 0 && ns < best)
            best = ns;
    }
    printf("  %-32s %8.1f MB/s  %6.2f bytes a token\n", name, (double)len * 1e3 / (double)best,
           (double)len / (double)(n_ids ? n_ids : 1));
}

static void measure_made(const struct tokenizer *tokenizer) {
    char *text = mem_alloc(MEGABYTE);
    if (!text)
        return;
    memset(text, 'a', MEGABYTE);
    measure(tokenizer, "1 MiB of 'a'", text, MEGABYTE, MEGABYTE);
    memset(text, ' ', MEGABYTE);
    measure(tokenizer, "1 MiB of spaces", text, MEGABYTE, MEGABYTE);
    uint64_t state = 1;
    for (size_t i = 0; i < MEGABYTE; i++) {
        state = state * 6364136223846793005u + 1442695040888963407u;
        text[i] = (char)(state >> 56);
    }
    measure(tokenizer, "1 MiB of random bytes", text, MEGABYTE, MEGABYTE);
    mem_free(text);
}

int main(int argc, char **argv) {
    struct error err = {.message = ""};
    struct tokenizer *tokenizer = NULL;
    if (argc < 2) {
        (void)fprintf(stderr, "usage: bench_tokenizer DIR [FILE...]\n");
        return 2;
    }
    uint64_t best = UINT64_MAX;
    for (int i = 0; i < N_RUNS; i++) {
        tokenizer_close(tokenizer);
        const uint64_t start = now_ns();
        if (tokenizer_open_dir(argv[1], &tokenizer, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        const uint64_t ns = now_ns() - start;
        best = ns < best ? ns : best;
    }
    printf("%s: %s, opened in %.1f ms\n", argv[1], tokenizer_kind(tokenizer), (double)best / 1e6);

    for (int i = 2; i < argc; i++) {
        struct file_map map;
        if (file_map_open(argv[i], &map, &err) < 0) {
            (void)fprintf(stderr, "%s\n", err.message);
            return 1;
        }
        const char *name = strrchr(argv[i], '/') ? strrchr(argv[i], '/') + 1 : argv[i];
        measure(tokenizer, name, map.data, map.size, map.size);
        if (i == 2)
            measure(tokenizer, "the same in parts of 2 KB", map.data, map.size, CHAT_BYTES);
        file_map_close(&map);
    }
    measure_made(tokenizer);
    tokenizer_close(tokenizer);
    return 0;
}
