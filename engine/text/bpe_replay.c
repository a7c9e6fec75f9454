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
    uint32_t due;            /* list of merges whose parts exist now, by next_waiting */
};

static bool exists(const struct bpe *bpe, token_id id) {
    return bpe->tokens[id].born != BPE_UNREACHABLE;
}

/* Moves the merges that waited for id to the list of those that are due. */
static void wake(struct replay *replay, token_id id) {
    uint32_t waiting = replay->first_waiting[id];
    replay->first_waiting[id] = 0;
    while (waiting) {
        const uint32_t next = replay->next_waiting[waiting - 1];
        replay->next_waiting[waiting - 1] = replay->due;
        replay->due = waiting;
        waiting = next;
    }
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

/* Takes the merge with the shortest result from the due ones: what it makes may bar a longer. */
static uint32_t take_due(struct replay *replay) {
    const struct bpe *bpe = replay->bpe;
    uint32_t *best = &replay->due;
    for (uint32_t *at = &replay->due; *at; at = &replay->next_waiting[*at - 1])
        if (bpe->links[bpe->merges[*at - 1].result].len <
            bpe->links[bpe->merges[*best - 1].result].len)
            best = at;
    const uint32_t taken = *best - 1;
    *best = replay->next_waiting[taken];
    return taken;
}

int bpe_replay(struct bpe *bpe) {
    struct replay replay = {
        .bpe = bpe,
        .first_waiting = mem_alloc_zero(bpe->n_tokens ? bpe->n_tokens : 1, sizeof(uint32_t)),
        .next_waiting = mem_alloc_zero(bpe->n_merges ? bpe->n_merges : 1, sizeof(uint32_t)),
    };
    const bool ok = replay.first_waiting && replay.next_waiting;

    for (uint32_t era = 0; ok && era < bpe->n_merges; era++) {
        consider(&replay, era, era);
        while (replay.due)
            consider(&replay, take_due(&replay), era);
    }
    mem_free(replay.next_waiting);
    mem_free(replay.first_waiting);
    return ok ? 0 : -ENOMEM;
}
