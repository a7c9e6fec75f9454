/* SPDX-License-Identifier: Apache-2.0 */
#include "layers/network.h"

#include <errno.h>

#include "kvasir/mem.h"
#include "layers/forward.h"

static void layer_fini(struct layer *layer) {
    for (uint32_t i = 0; i < LAYER_BRANCHES; i++) {
        struct branch *branch = &layer->branches[i];
        if (branch->kind)
            branch->kind->fini(&branch->weights);
        mem_free(branch->norm);
    }
}

/* Where each branch of a layer finds its kind and its norm. */
static int layer_pack(struct layer *layer, struct packer *packer,
                      const struct layer_weights *weights, struct error *reterr) {
    const struct {
        const struct branch_kind *kind;
        enum layer_slot norm;
    } plans[LAYER_BRANCHES] = {
        {mixer_of(layer->spec->mixer), W_ATTN_NORM},
        {ffn_of(layer->spec->ffn), W_FFN_NORM},
    };

    for (uint32_t i = 0; i < LAYER_BRANCHES; i++) {
        struct branch *branch = &layer->branches[i];
        int r = packer_vector(packer, &branch->norm, &weights->slots[plans[i].norm], reterr);
        if (r < 0)
            return r;

        branch->kind = plans[i].kind;
        r = branch->kind->pack(&branch->weights, packer, weights, reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* Packs every layer; where only the measure is wanted, into one that is not kept. */
static int pack_layers(struct network *network, struct packer *packer,
                       const struct hparams *hparams, struct error *reterr) {
    const struct model_weights *weights = model_weights(packer->model);

    for (uint32_t i = 0; i < hparams->n_layers; i++) {
        struct layer measured;
        struct layer *layer = packer->workers ? &network->layers[i] : &measured;

        *layer = (struct layer){.spec = &hparams->layers[i], .index = i};
        network->n_layers = packer->workers ? i + 1 : 0; /* those that have something to release */
        int r = layer_pack(layer, packer, &weights->layers[i], reterr);
        if (r < 0)
            return r;
    }
    return 0;
}

/* The head is the embedding only if the family says so: a file may hold both, untied. */
static int pack_ends(struct network *network, struct packer *packer, struct error *reterr) {
    const struct tensor *global = model_weights(packer->model)->global;
    const struct tensor *table = &global[W_TOKEN_EMBEDDING];
    const bool tied = global[W_OUTPUT].name == NULL;
    const struct packer_source source = {.weight = tied ? table : &global[W_OUTPUT]};

    int r = packer_vector(packer, &network->output_norm, &global[W_OUTPUT_NORM], reterr);
    if (r < 0)
        return r;
    r = packer_linear(packer, &network->head, &source, /* n_sources= */ 1, reterr);
    if (r < 0)
        return r;
    return embedding_pack(packer, &network->embedding, table,
                          tied ? &network->head.parts[0].matrix : NULL, reterr);
}

int network_pack(struct network *network, struct packer *packer, struct error *reterr) {
    const struct hparams *hparams = model_hparams(packer->model);
    int r = -ENOMEM;

    *network = (struct network){.n_layers = 0};
    if (packer->workers) {
        network->layers = mem_alloc_zero(hparams->n_layers, sizeof *network->layers);
        if (!network->layers)
            return error_set(reterr, r, "out of memory for %u layers", hparams->n_layers);
    }

    r = pack_layers(network, packer, hparams, reterr);
    if (r == 0)
        r = pack_ends(network, packer, reterr);
    if (r < 0 || !packer->workers)
        network_fini(network);
    return r;
}

void network_fini(struct network *network) {
    for (uint32_t i = 0; i < network->n_layers; i++)
        layer_fini(&network->layers[i]);
    mem_free(network->layers);
    mem_free(network->output_norm);
    embedding_fini(&network->embedding);
    linear_fini(&network->head);
    *network = (struct network){0};
}
