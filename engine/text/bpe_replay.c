/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bpe_replay - which of the listed merges happen, and when.
 *
 * A vocabulary lists merges that never do: LLaMA 3's names every way to cut a piece in two, though
 * merging by rank arrives at a piece in one way only. The replay goes through the merges in time
 * and finds, for each piece, the merge that makes it when its own bytes are merged.
 */
#include <errno.h>

#include "kvasir/mem.h"

#include "bpe.h"

/*
 * The replay of all merges in time. A merge whose part does not exist yet when its rank comes
 * waits for it: it is in the list of that part, and happens, if at all, when the part is made.
 */
struct replay {
    struct bpe *bpe;
    uint32_t *first_waiting; /* [n_tokens] merge, plus one */
    uint32_t *next_waiting;  /* [n_merges] merge, plus one */
    uint32_t *due;           /* heap of merges whose parts exist now, shortest result first */
    uint32_t n_due;
};

static bool exists(const struct bpe *bpe, token_id id) {
    return bpe->tokens[id].born != BPE_UNREACHABLE;
}

static uint32_t result_len(const struct replay *replay, uint32_t merge) {
    return replay->bpe->links[replay->bpe->merges[merge].result].len;
}

static void push_due(struct replay *replay, uint32_t merge) {
    uint32_t i = replay->n_due++;
    while (i > 0 && result_len(replay, merge) < result_len(replay, replay->due[(i - 1) / 2])) {
        replay->due[i] = replay->due[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    replay->due[i] = merge;
}

/* The merge with the shortest result: what it makes may bar a longer one. */
static uint32_t pop_due(struct replay *replay) {
    const uint32_t top = replay->due[0];
    const uint32_t last = replay->due[--replay->n_due];
    uint32_t i = 0;
    for (;;) {
        uint32_t child = 2 * i + 1;
        if (child >= replay->n_due)
            break;
        if (child + 1 < replay->n_due &&
            result_len(replay, replay->due[child + 1]) < result_len(replay, replay->due[child]))
            child++;
        if (result_len(replay, replay->due[child]) >= result_len(replay, last))
            break;
        replay->due[i] = replay->due[child];
        i = child;
    }
    replay->due[i] = last;
    return top;
}

/* The merges that waited for id are due. */
static void wake(struct replay *replay, token_id id) {
    for (uint32_t waiting = replay->first_waiting[id]; waiting;
         waiting = replay->next_waiting[waiting - 1])
        push_due(replay, waiting - 1);
    replay->first_waiting[id] = 0;
}

/* Gives the merge's result its split if its own bytes are merged so; or lets the merge wait. */
static void consider(struct replay *replay, uint32_t i, uint32_t era) {
    struct bpe *bpe = replay->bpe;
    const struct bpe_merge *merge = &bpe->merges[i];

    if (exists(bpe, merge->result))
        return;
    const token_id missing = !exists(bpe, merge->left)    ? merge->left
                             : !exists(bpe, merge->right) ? merge->right
                                                          : TOKEN_NONE;
    if (missing != TOKEN_NONE) {
        replay->next_waiting[i] = replay->first_waiting[missing];
        replay->first_waiting[missing] = i + 1;
        return;
    }
    if (!bpe_compatible(bpe, merge->left, merge->right))
        return;
    bpe->tokens[merge->result] = (struct bpe_token){
        .left = merge->left,
        .right = merge->right,
        .rank = i,
        .born = era + 1,
    };
    bpe_pairs_insert(&bpe->pairs, merge->left, merge->right, (uint32_t)merge->result + 1);
    wake(replay, merge->result);
}

int bpe_replay(struct bpe *bpe) {
    struct replay replay = {
        .bpe = bpe,
        .first_waiting = mem_alloc_zero(bpe->n_tokens ? bpe->n_tokens : 1, sizeof(uint32_t)),
        .next_waiting = mem_alloc_zero(bpe->n_merges ? bpe->n_merges : 1, sizeof(uint32_t)),
    };
    replay.due = mem_alloc_array(bpe->n_merges ? bpe->n_merges : 1, sizeof *replay.due);
    const bool ok = replay.first_waiting && replay.next_waiting && replay.due;

    for (uint32_t era = 0; ok && era < bpe->n_merges; era++) {
        consider(&replay, era, era);
        while (replay.n_due > 0)
            consider(&replay, pop_due(&replay), era);
    }
    mem_free(replay.due);
    mem_free(replay.next_waiting);
    mem_free(replay.first_waiting);
    return ok ? 0 : -ENOMEM;
}
