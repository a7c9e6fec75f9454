/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family - the seam at which model families are added: configuration -> hparams, stored names ->
 * weights. One file per family defines one struct family; families.c lists them.
 *
 * A family does no arithmetic and opens no file. What most decoders have in common (keys, rope,
 * names) is in decoder.h and rope_config.h; README.md says how to add one.
 */
#ifndef KVASIR_ENGINE_FAMILY_H
#define KVASIR_ENGINE_FAMILY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "kvasir/arena.h"
#include "load/gguf_config.h"
#include "load/hf_config.h"
#include "load/problems.h"
#include "model/hparams.h"

/* Sizes that depend on the configuration, in rules; of the rule's layer where layers may differ. */
enum dim {
    DIM_NONE, /* the tensor has no such dimension */
    DIM_VOCAB,
    DIM_HIDDEN,
    DIM_INTERMEDIATE,
    DIM_Q,    /* n_heads * head_dim */
    DIM_KV,   /* n_kv_heads * head_dim */
    DIM_HEAD, /* head_dim */
};

enum rule_scope { PER_MODEL, PER_LAYER };

enum {
    RULE_MAX_DIMS = 2,
    RULE_MAX_PARTS = 4, /* of a fused tensor */
};

/*
 * Which stored tensor fills which slot. In names, '#' stands for the number of the layer. A NULL
 * name: this format does not have the tensor. Designated initialisers only: fields will be added
 * (number of experts), and zero means "no".
 */
struct tensor_rule {
    enum rule_scope scope;
    uint32_t slot; /* enum global_slot or layer_slot, by scope */
    const char *hf_name;
    const char *gguf_name;
    enum dim shape[RULE_MAX_DIMS]; /* of the slot, outermost first */
    /*
     * Where the stored tensor holds several on top of one another (qkv, gate_up): the rows of
     * each, in order, and which of them the slot takes; shape[0] is fused[part]. One rule for
     * each part, one after another.
     */
    enum dim fused[RULE_MAX_PARTS];
    uint32_t part;
    bool optional; /* may be missing */
    /* The rule holds for this layer; NULL: always. A stored tensor whose rule does not hold is
     * unknown, and refused if it belongs to a layer. */
    bool (*when)(const struct hparams *hparams, uint32_t layer);
};

/* Rules that families share, or one family's own. */
struct rule_table {
    const struct tensor_rule *rules;
    size_t n;
};

/* What a family fills in. Everything allocated comes from arena and lives as long as the model. */
struct hparams_build {
    struct hparams *hparams;
    struct arena *arena;
    struct problems *problems;
};

struct family {
    const char *name;
    /* NULL-terminated lists; hf_architectures[0] .. are what config.json's architectures says. */
    const char *const *hf_model_types;
    const char *const *hf_architectures;
    const char *const *gguf_archs;

    /* Errors go to build->problems; hparams may then hold anything. */
    void (*read_hf)(const struct hf_config *config, struct hparams_build *build);
    void (*read_gguf)(const struct gguf_config *config, struct hparams_build *build);

    const struct rule_table *const *tables; /* NULL-terminated */
};

/* By model_type, or where that is empty by architecture; both as config.json spells them. NULL. */
const struct family *family_find_hf(struct json_str model_type, struct json_str architecture);
const struct family *family_find_gguf(struct gguf_str arch);

/* True if the family serves this class (an empty one: not said). */
bool family_serves_class(const struct family *family, struct json_str architecture);

/* "qwen2, qwen3, ..." : what is served, for messages. */
void family_list_hf(char *ret_text, size_t cap);
void family_list_gguf(char *ret_text, size_t cap);

#endif
