/* SPDX-License-Identifier: Apache-2.0 */
/*
 * distribution - see the header.
 *
 * top_k and top_p need the best ids in order, but rarely more than a few hundred of 150,000. So
 * one pass puts every id into a bucket of z (best bucket first) with its count and mass; the
 * buckets say how far down the list must go; only ids above that are gathered and sorted. The
 * answer is the same as sorting everything: bucket borders only decide what is looked at.
 */
#include "sample/distribution.h"

#include <math.h>
#include <string.h>

#include "sample/exp.h"

/* The last bucket takes everything below -RANGE (weights under 4e-11 of the best). */
static const float RANGE = 24.0f;

enum { LANES = 16, RUN = 256 };

/* weights[i] = exp((logits[i] - max) / temperature); returns their sum, in a fixed order. */
static double weigh_all(const float *logits, uint32_t n, float max, float inv_temperature,
                        float *weights) {
    double total = 0;
    for (uint32_t start = 0; start < n; start += RUN) {
        const uint32_t end = n - start < RUN ? n : start + RUN;
        for (uint32_t i = start; i < end; i++)
            weights[i] = exp_nonpositive((logits[i] - max) * inv_temperature);

        float lanes[LANES] = {0};
        uint32_t i = start;
        for (; i + LANES <= end; i += LANES)
            for (uint32_t j = 0; j < LANES; j++)
                lanes[j] += weights[i + j];
        double sum = 0;
        for (uint32_t j = 0; j < LANES; j++)
            sum += (double)lanes[j];
        for (; i < end; i++)
            sum += (double)weights[i];
        total += sum;
    }
    return total;
}

static bool better(struct candidate a, struct candidate b) {
    return a.logit > b.logit || (a.logit == b.logit && a.id < b.id);
}

/* Moves the element at root down until no child is worse (a heap with the worst on top). */
static void sift_down(struct candidate *c, uint32_t root, uint32_t n) {
    const struct candidate value = c[root];
    for (uint32_t child = 2 * root + 1; child < n; child = 2 * root + 1) {
        if (child + 1 < n && better(c[child], c[child + 1]))
            child++;
        if (!better(value, c[child]))
            break;
        c[root] = c[child];
        root = child;
    }
    c[root] = value;
}

/* Heap sort, best first: in place, n log n whatever the input, and allocates nothing. */
static void sort_candidates(struct candidate *c, uint32_t n) {
    for (uint32_t i = n / 2; i-- > 0;)
        sift_down(c, i, n);
    for (uint32_t end = n; end > 1; end--) {
        const struct candidate worst = c[0];
        c[0] = c[end - 1];
        c[end - 1] = worst;
        sift_down(c, 0, end - 1);
    }
}

static uint32_t bucket_of(float z) {
    const float scaled = -z * ((float)DISTRIBUTION_BUCKETS / RANGE);
    return scaled < (float)(DISTRIBUTION_BUCKETS - 1) ? (uint32_t)scaled : DISTRIBUTION_BUCKETS - 1;
}

struct row {
    const float *logits;
    uint32_t n_vocab;
    float max;
    float inv_temperature;
    float min_z; /* min_p: smaller ones are out; -inf: off */
};

/* True and *ret_z if the id takes part at all. */
static bool takes_part(const struct row *row, uint32_t id, float *ret_z) {
    *ret_z = (row->logits[id] - row->max) * row->inv_temperature;
    return row->logits[id] != -INFINITY && *ret_z >= row->min_z;
}

/* Counts and masses by bucket; returns the number of ids that take part, *ret_mass their sum. */
static uint32_t fill_buckets(const struct row *row, struct distribution_scratch *scratch,
                             double *ret_mass) {
    memset(scratch->counts, 0, sizeof scratch->counts);
    for (uint32_t b = 0; b < DISTRIBUTION_BUCKETS; b++)
        scratch->masses[b] = 0;

    uint32_t n = 0;
    for (uint32_t id = 0; id < row->n_vocab; id++) {
        float z;
        if (!takes_part(row, id, &z))
            continue;
        const uint32_t b = bucket_of(z);
        scratch->counts[b]++;
        scratch->masses[b] += (double)exp_nonpositive(z);
        n++;
    }
    *ret_mass = 0;
    for (uint32_t b = 0; b < DISTRIBUTION_BUCKETS; b++)
        *ret_mass += scratch->masses[b];
    return n;
}

/* The last bucket to look at so that at least count ids and mass weight are above its end. */
static uint32_t deepest_bucket(const struct distribution_scratch *scratch, uint32_t count,
                               double mass) {
    uint32_t n = 0;
    double sum = 0;
    for (uint32_t b = 0; b < DISTRIBUTION_BUCKETS; b++) {
        n += scratch->counts[b];
        sum += scratch->masses[b];
        if (n >= count && sum > mass)
            return b;
    }
    return DISTRIBUTION_BUCKETS - 1;
}

static uint32_t gather(const struct row *row, uint32_t last_bucket, struct candidate *out) {
    uint32_t n = 0;
    for (uint32_t id = 0; id < row->n_vocab; id++) {
        float z;
        if (takes_part(row, id, &z) && bucket_of(z) <= last_bucket)
            out[n++] = (struct candidate){.logit = row->logits[id], .id = (token_id)id};
    }
    return n;
}

static float weight_of(float logit, float max, float inv_temperature) {
    return exp_nonpositive((logit - max) * inv_temperature);
}

static double sum_weights(const struct row *row, const struct candidate *c, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++)
        sum += (double)weight_of(c[i].logit, row->max, row->inv_temperature);
    return sum;
}

/* How many of the sorted candidates top_k keeps: all that are not below the k-th. */
static uint32_t cut_top_k(const struct candidate *sorted, uint32_t n, uint32_t k) {
    uint32_t kept = k < n ? k : n;
    while (kept < n && sorted[kept].logit == sorted[kept - 1].logit)
        kept++;
    return kept;
}

/* How many of the sorted candidates top_p keeps: while the mass before one is < top_p. */
static uint32_t cut_top_p(const struct row *row, const struct candidate *sorted, uint32_t n,
                          double limit) {
    double before = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (i > 0 && before >= limit)
            return i;
        before += (double)weight_of(sorted[i].logit, row->max, row->inv_temperature);
    }
    return n;
}

/* The ids that top_k and top_p keep, best first, in scratch->candidates; returns how many. */
static uint32_t keep_best(const struct row *row, const struct sampling_params *params,
                          struct distribution_scratch *scratch) {
    struct candidate *sorted = scratch->candidates;
    double mass;
    const uint32_t n_all = fill_buckets(row, scratch, &mass);
    const bool cut_k = params->top_k > 0 && (uint32_t)params->top_k < n_all;
    const double limit = (double)params->top_p * mass;

    const uint32_t last = cut_k ? deepest_bucket(scratch, (uint32_t)params->top_k, -1)
                                : deepest_bucket(scratch, 1, limit);
    uint32_t n = gather(row, last, sorted);
    sort_candidates(sorted, n);
    if (cut_k)
        n = cut_top_k(sorted, n, (uint32_t)params->top_k);
    if (params->top_p < 1.0f)
        n = cut_top_p(row, sorted, n,
                      cut_k ? (double)params->top_p * sum_weights(row, sorted, n) : limit);
    return n;
}

void distribution_make(const float *logits, uint32_t n_vocab, float max,
                       const struct sampling_params *params, struct distribution_scratch *scratch,
                       struct distribution *ret) {
    const struct row row = {
        .logits = logits,
        .n_vocab = n_vocab,
        .max = max,
        .inv_temperature = 1.0f / params->temperature,
        .min_z = params->min_p > 0.0f ? logf(params->min_p) : -INFINITY,
    };
    const bool cuts =
        params->top_p < 1.0f || (params->top_k > 0 && (uint32_t)params->top_k < n_vocab);

    *ret = (struct distribution){
        .n_vocab = n_vocab,
        .max = max,
        .inv_temperature = row.inv_temperature,
    };
    if (!cuts && params->min_p <= 0.0f) {
        ret->whole_vocab = true;
        ret->weights = scratch->weights;
        ret->total = weigh_all(logits, n_vocab, max, row.inv_temperature, scratch->weights);
        for (uint32_t i = 0; i < n_vocab; i++)
            ret->n_kept += logits[i] != -INFINITY;
        return;
    }
    ret->kept = scratch->candidates;
    ret->n_kept = cuts ? keep_best(&row, params, scratch)
                       : gather(&row, DISTRIBUTION_BUCKETS - 1, scratch->candidates);
    ret->total = sum_weights(&row, ret->kept, ret->n_kept);
}

token_id distribution_draw(const struct distribution *dist, double uniform) {
    const double target = uniform * dist->total;
    const uint32_t n = dist->whole_vocab ? dist->n_vocab : dist->n_kept;
    token_id last = TOKEN_NONE; /* with a weight; the answer if rounding overshoots the end */
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float weight = dist->whole_vocab
                                 ? dist->weights[i]
                                 : weight_of(dist->kept[i].logit, dist->max, dist->inv_temperature);
        if (weight <= 0.0f)
            continue;
        last = dist->whole_vocab ? (token_id)i : dist->kept[i].id;
        sum += (double)weight;
        if (sum > target)
            break;
    }
    return last;
}

double distribution_probability(const struct distribution *dist, token_id id) {
    if (dist->whole_vocab)
        return (double)dist->weights[id] / dist->total;
    for (uint32_t i = 0; i < dist->n_kept; i++)
        if (dist->kept[i].id == id)
            return (double)weight_of(dist->kept[i].logit, dist->max, dist->inv_temperature) /
                   dist->total;
    return 0;
}
