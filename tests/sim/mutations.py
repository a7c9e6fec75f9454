#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutations - seeded bugs, to see whether the simulation would notice.

The scheduler's sources stay free of test code: this script writes copies of them in which each
place of the list below is switched, at run time, from what it says to what a slip of the hand
might have made of it. With the variable sched_bug at 0 the copies do what the originals do.

    mutations.py SOURCE_FOLDER OUTPUT_FOLDER     writes the copies, and mutations.h with the names

When a text is not found exactly once, the source has moved on: bring the entry up to date.
"""
import pathlib
import sys

# (name, file, text with the part to switch in «», the bug). A part that ends with ; or } is
# statements, any other an expression.
MUTATIONS = [
    ('a cancel leaks the blocks', 'core.c',
     'core->n_prefilling--;\n    «release_blocks(core, seq);»',
     'if (!seq->cancelled) release_blocks(core, seq);'),
    ('a hit takes no reference', 'share.c',
     '«pool_ref(&core->pool, core->matched[i]);»', ';'),
    ('the victim may be the first of the order', 'policy.c',
     'if («seq != first» && (!*victim', 'true'),
    ('admission does not ask whether it fits', 'plan.c',
     'return «(uint64_t)n_blocks + core_n_running(core) <= core_unreserved(core)»;', 'true'),
    ('a block is published before it is full', 'share.c',
     'n_full = «seq->n_computed / core->options.block_size»;',
     'core_blocks_for(core, seq->n_computed)'),
    ('a full hit leaves no token to compute', 'share.c',
     'seq->n_scored : «seq->n_tokens - 1»;', 'seq->n_tokens'),
    ('blocks are freed head first', 'core.c',
     '«pool_unref(&core->pool, seq->blocks[--seq->n_blocks]);»',
     'pool_unref(&core->pool, *seq->blocks++); seq->n_blocks--;'),
    ('a step gives a sequence its end twice', 'apply.c',
     'core_end(core, seq, finish);\n        «core_retire(core, seq);»', ';'),
    ('a preemption forgets the output', 'core.c',
     'core_preempt(struct core *core, struct seq *seq) {\n    «leave_running(core, seq);»',
     'leave_running(core, seq); seq->n_tokens = seq->n_prompt;'),
    ('a preemption keeps what was computed', 'core.c',
     '«seq->n_computed = 0;»', ';'),
    ('an eviction leaves the block in the index', 'core.c',
     '«prefix_forget(&core->prefix, block);»', ';'),
    ('blocks are shared across rope classes', 'share.c',
     'if («!core->options.rope_class»)', 'true'),
    ('the ring of decodes does not turn', 'plan.c',
     '«turn_ring(&planner);»', ';'),
    ('a cancel does not wait for the step', 'core.c',
     'if («seq->in_step»)', 'seq->in_step = false'),
    ('the salt is not in the root', 'share.c',
     '.salt = «seq->request->cache_salt»,', '0'),
    ('a promise outlives its sequence', 'core.c',
     '«core_unreserve(core, seq, seq->n_reserved);»', 'seq->n_reserved = 0;'),
    ('one bad row ends the whole batch', 'apply.c',
     'i < «slice->n_rows»; i++)\n        if (slice->rows[i].problem != ROW_OK)', '1'),
    ('a follower waits for a step that is over', 'share.c',
     'could_take(core, seq, seq->n_published) &&\n           '
     '«in_flight_entry(core, next_digest(core, seq))->plan == core->n_plans»;',
     'core->in_flight[next_digest(core, seq).lo & (core->n_in_flight - 1)].plan > 0'),
    ('scored rows are taken from the cache', 'share.c',
     'return «seq->scores» && seq->n_scored < seq->n_prompt ? seq->n_scored', 'false'),
    ('a duplicate block is not given back', 'share.c',
     '«pool_unref(&core->pool, seq->blocks[index]);»', ';'),
    ('the heap is not mended after a removal', 'policy.c',
     '«sift_down(waiting, hole, last);»', 'put(waiting, hole, last);'),
    ('decodes leave nothing to prefills', 'plan.c',
     'serve_decodes(&planner, «planner.budget.prefill»);', '0'),
    ('a stop id ends it before min_tokens', 'apply.c',
     'if («seq_n_generated(seq) < params->min_tokens»)', 'false'),
    ('a failed step counts as computed', 'apply.c',
     'if («step_rc < 0»)', 'false'),
    ('the tree forgets a parent that has children', 'share.c',
     'n_refs > 1 || «core->prefix.entries[block].n_children > 0»', 'false'),
    ('scores are given again after a preemption', 'apply.c',
     '«seq->n_scored = seq->n_computed;»', ';'),
]


def switched(number, part, bug):
    if part.endswith((';', '}')):
        return f'{{ if (sched_bug == {number}) {{ {bug} }} else {{ {part} }} }}'
    return f'(sched_bug == {number} ? ({bug}) : ({part}))'


def mutate(text, number, name, marked, bug):
    before, rest = marked.split('«')
    part, after = rest.split('»')
    if text.count(before + part + after) != 1:
        sys.exit(f'mutation {number} ({name}): its text must occur once, '
                 f'and occurs {text.count(before + part + after)} times')
    return text.replace(before + part + after, before + switched(number, part, bug) + after)


def main():
    source, output = map(pathlib.Path, sys.argv[1:3])
    texts = {path.name: path.read_text() for path in sorted(source.glob('*.c'))}
    for number, (name, file, marked, bug) in enumerate(MUTATIONS, start=1):
        texts[file] = mutate(texts[file], number, name, marked, bug)
    for name, text in texts.items():
        (output / name).write_text(f'extern int sched_bug;\n#line 1 "{name}"\n{text}')
    names = ',\\\n    '.join(f'"{name}"' for name, *_ in MUTATIONS)
    (output / 'mutations.h').write_text(f'#define MUTATION_NAMES \\\n    {names}\n')


main()
