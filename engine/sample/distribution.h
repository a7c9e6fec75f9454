/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribution - temperature, min_p, top_k and top_p turn processed logits into weighted ids.
 *
 * The kept ids are either the whole vocabulary (nothing was asked for) or a list. A weight is
 * exp((logit - max) / temperature); a probability is weight / total.
 */
#ifndef KVASIR_ENGINE_DISTRIBUTION_H
#define KVASIR_ENGINE_DISTRIBUTION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/sampling.h"

/* One kept id. Ordered by its logit, which tells apart what z = (logit - max) / temperature may
 * not: equal z need not be a tie. */
struct candidate {
    float logit;
    token_id id;
};

enum { DISTRIBUTION_BUCKETS = 1024 };

/* Working memory for one row; lent by the caller, any content. */
struct distribution_scratch {
    float *weights;               /* [n_vocab] */
    struct candidate *candidates; /* [n_vocab] */
    uint32_t counts[DISTRIBUTION_BUCKETS];
    double masses[DISTRIBUTION_BUCKETS];
};

struct distribution {
    bool whole_vocab; /* weights[id] for every id; else kept[0..n_kept) */
    const float *weights;
    uint32_t n_vocab;
    float max;
    float inv_temperature;
    const struct candidate *kept; /* best first when top_k or top_p was on, else by id */
    uint32_t n_kept;              /* ids with a finite logit that are left */
    double total;                 /* sum of the kept weights */
};

/*
 * max is the largest logit (finite). params->temperature must not be a greedy one. The result
 * points into scratch.
 */
void distribution_make(const float *logits, uint32_t n_vocab, float max,
                       const struct sampling_params *params, struct distribution_scratch *scratch,
                       struct distribution *ret);

/* The id at which the running sum of weights passes uniform * total; uniform in [0, 1). */
token_id distribution_draw(const struct distribution *dist, double uniform);

/* Probability of an id, 0 if it is not kept (linear; for tests and processed logprobs). */
double distribution_probability(const struct distribution *dist, token_id id);

#endif
