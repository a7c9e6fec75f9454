/* SPDX-License-Identifier: Apache-2.0 */
#include "share.h"

#include "core.h"

static uint64_t rope_class(const struct core *core, uint32_t length) {
    const struct scheduler_options *options = &core->options;
    return options->rope_class ? options->rope_class(options->engine, length) : 0;
}

/*
 * May block number index of seq be shared: is every token of it of the root's rope class? The
 * class of the token at position p is that of the length max(n_prompt, p + 1), and the root's
 * that of n_prompt, so only the output has to be looked at.
 */
static bool is_sharable(const struct core *core, const struct seq *seq, uint32_t index) {
    if (!core->options.rope_class)
        return true;

    const uint32_t begin = index * core->options.block_size;
    const uint32_t end = begin + core->options.block_size;
    for (uint32_t p = begin < seq->n_prompt ? seq->n_prompt : begin; p < end; p++)
        if (rope_class(core, p + 1) != seq->place.root.rope_class)
            return false;
    return true;
}

static const token_id *block_tokens(const struct core *core, const struct seq *seq,
                                    uint32_t index) {
    return seq->tokens + (size_t)index * core->options.block_size;
}

/* Digest of the block behind seq->place, computed once. */
static struct digest next_digest(const struct core *core, struct seq *seq) {
    if (!seq->has_next_digest) {
        seq->next_digest =
            prefix_digest(&core->prefix, &seq->place, block_tokens(core, seq, seq->n_published));
        seq->has_next_digest = true;
    }
    return seq->next_digest;
}

/* Stands seq at the end of its published blocks, with nothing computed behind them? */
static bool is_at_place(const struct core *core, const struct seq *seq) {
    return seq->n_computed == seq->n_published * core->options.block_size;
}

/* The last token is always computed, for its logits; and of scored rows those not yet given. */
static uint32_t takeable_tokens(const struct seq *seq) {
    return seq->scores && seq->n_scored < seq->n_prompt ? seq->n_scored : seq->n_tokens - 1;
}

/* May block number index of seq come from somebody else? */
static bool could_take(const struct core *core, const struct seq *seq, uint32_t index) {
    return core->options.prefix_caching &&
           (index + 1) * core->options.block_size <= takeable_tokens(seq) &&
           is_sharable(core, seq, index);
}

/* Taking. */

void share_begin(struct core *core, struct seq *seq) {
    INVARIANT(seq->n_computed == 0 && seq->n_published == 0);

    const struct prefix_root root = {
        .salt = seq->request->cache_salt,
        .rope_class = rope_class(core, seq->n_prompt),
    };
    seq->place = prefix_begin(&core->prefix, root);
    seq->has_next_digest = false;
    seq->chain_closed = false;
}

struct match share_match(const struct core *core, const struct seq *seq) {
    struct match match = {.place = seq->place};

    for (uint32_t index = seq->n_published; could_take(core, seq, index); index++) {
        const token_id *tokens = block_tokens(core, seq, index);
        const struct digest digest = prefix_digest(&core->prefix, &match.place, tokens);
        const uint32_t block = prefix_find(&core->prefix, &match.place, digest, tokens);
        if (block == BLOCK_NONE)
            break;
        prefix_advance(&match.place, block, digest);
        core->matched[match.n++] = block;
        match.n_free += core->pool.blocks[block].n_refs == 0;
    }
    return match;
}

/* A token that was computed before a preemption counts as computed, whence it comes now. */
static void count_cached(struct core *core, struct seq *seq) {
    if (seq->n_computed <= seq->n_reached)
        return;
    const uint32_t n = seq->n_computed - seq->n_reached;
    seq->n_reached = seq->n_computed;
    seq->n_cached += n;
    core->counters.prompt_tokens_cached += n;
    core->counters.prefix_hits += n;
}

void share_take(struct core *core, struct seq *seq, const struct match *match) {
    for (uint32_t i = 0; i < match->n; i++) {
        pool_ref(&core->pool, core->matched[i]);
        seq->blocks[seq->n_blocks++] = core->matched[i];
    }
    seq->place = match->place;
    seq->has_next_digest = false;
    seq->n_published += match->n;
    seq->n_computed += match->n * core->options.block_size;
    core->counters.blocks_taken += match->n;
    count_cached(core, seq);
}

void share_catch_up(struct core *core, struct seq *seq) {
    if (!is_at_place(core, seq))
        return;
    const struct match match = share_match(core, seq);
    if (match.n == 0)
        return;
    share_take(core, seq, &match);
    core_unreserve(core, seq, match.n);
}

/* Waiting. */

/* The entry of digest in this plan's table, or the free one where it would go. */
static struct in_flight *in_flight_entry(const struct core *core, struct digest digest) {
    uint32_t i = digest.lo & (core->n_in_flight - 1);
    while (core->in_flight[i].plan == core->n_plans &&
           (core->in_flight[i].digest.lo != digest.lo || core->in_flight[i].digest.hi != digest.hi))
        i = (i + 1) & (core->n_in_flight - 1);
    return &core->in_flight[i];
}

/* A collision of digests would cost one step of waiting, nothing else. */
bool share_is_in_flight(struct core *core, struct seq *seq) {
    return is_at_place(core, seq) && could_take(core, seq, seq->n_published) &&
           in_flight_entry(core, next_digest(core, seq))->plan == core->n_plans;
}

void share_announce(struct core *core, struct seq *seq) {
    const uint32_t index = seq->n_published;
    const bool will_be_full = (index + 1) * core->options.block_size <= seq->n_tokens;
    const bool is_next = index == seq->n_computed / core->options.block_size;
    if (!core->options.prefix_caching || !will_be_full || !is_next ||
        !is_sharable(core, seq, index))
        return;

    const struct digest digest = next_digest(core, seq);
    *in_flight_entry(core, digest) = (struct in_flight){.digest = digest, .plan = core->n_plans};
}

/* Leaving. */

/*
 * Where another sequence published the same block meanwhile, seq takes that one and gives its
 * own back: equal prefixes are the same blocks from the root on. That makes the index a tree, and
 * two equal talks cost the memory of one.
 */
static void publish_next(struct core *core, struct seq *seq) {
    const uint32_t index = seq->n_published;
    const token_id *tokens = block_tokens(core, seq, index);
    const struct digest digest = next_digest(core, seq);
    const uint32_t there = prefix_find(&core->prefix, &seq->place, digest, tokens);

    if (there == BLOCK_NONE) {
        prefix_publish(&core->prefix, seq->blocks[index], &seq->place, digest, tokens);
        pool_set_hashed(&core->pool, seq->blocks[index], true);
        core->counters.blocks_published++;
    } else {
        pool_ref(&core->pool, there);
        pool_unref(&core->pool, seq->blocks[index]);
        seq->blocks[index] = there;
        core->counters.duplicate_blocks++;
    }
    prefix_advance(&seq->place, seq->blocks[index], digest);
    seq->has_next_digest = false;
    seq->n_published++;
}

void share_publish(struct core *core, struct seq *seq) {
    const uint32_t n_full = seq->n_computed / core->options.block_size;

    while (core->options.prefix_caching && !seq->chain_closed && seq->n_published < n_full) {
        if (is_sharable(core, seq, seq->n_published))
            publish_next(core, seq);
        else
            seq->chain_closed = true; /* what follows has no published parent */
    }
}

/* Tail first, and only leaves: others keep what they share, and what it hangs on. */
void share_forget(struct core *core, struct seq *seq) {
    while (seq->n_published > 0) {
        const uint32_t block = seq->blocks[seq->n_published - 1];
        if (core->pool.blocks[block].n_refs > 1 || core->prefix.entries[block].n_children > 0)
            break;
        prefix_forget(&core->prefix, block);
        pool_set_hashed(&core->pool, block, false);
        seq->n_published--;
    }
}
