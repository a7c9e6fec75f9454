/* SPDX-License-Identifier: Apache-2.0 */
/* closest - which known name somebody meant: edit distance with swapped neighbours. */
#include <string.h>

#include "kvasir/options.h"

enum { MAX_WORD = 64 };

static unsigned least(unsigned a, unsigned b) {
    return a < b ? a : b;
}

/*
 * Insertions, deletions, substitutions and swaps of neighbours that turn a into b (the "optimal
 * string alignment" distance). Three rows of the table are enough. Both at most MAX_WORD long.
 */
static unsigned distance(const char *a, size_t n_a, const char *b, size_t n_b) {
    unsigned rows[3][MAX_WORD + 1];
    for (size_t j = 0; j <= n_b; j++)
        rows[0][j] = (unsigned)j;

    for (size_t i = 1; i <= n_a; i++) {
        unsigned *row = rows[i % 3];
        const unsigned *above = rows[(i + 2) % 3];
        const unsigned *above2 = rows[(i + 1) % 3];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= n_b; j++) {
            const unsigned changed = above[j - 1] + (a[i - 1] != b[j - 1]);
            row[j] = least(changed, least(above[j], row[j - 1]) + 1);
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1])
                row[j] = least(row[j], above2[j - 2] + 1);
        }
    }
    return rows[n_a % 3][n_b];
}

const char *options_closest(const char *word, const char *const *names, size_t n_names) {
    const size_t len = strlen(word);
    if (len == 0 || len > MAX_WORD)
        return NULL;

    const char *best = NULL;
    unsigned best_distance = (unsigned)(len / 3 > 2 ? len / 3 : 2) + 1; /* beyond: not meant */
    for (size_t i = 0; i < n_names; i++) {
        const size_t n = strlen(names[i]);
        const unsigned d = n <= MAX_WORD ? distance(word, len, names[i], n) : best_distance;
        if (d < best_distance && d < n && d < len) {
            best = names[i];
            best_distance = d;
        }
    }
    return best;
}
