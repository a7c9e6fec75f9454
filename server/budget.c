/* SPDX-License-Identifier: Apache-2.0 */
#include "budget.h"

#include "kvasir/error.h"

void budget_init(struct budget *budget, size_t max_bytes) {
    *budget = (struct budget){.max_bytes = max_bytes};
    list_init(&budget->waiting);
}

bool budget_has_room(const struct budget *budget, size_t n) {
    return budget->used <= budget->max_bytes && n <= budget->max_bytes - budget->used;
}

bool budget_take(struct budget *budget, size_t n) {
    if (!budget_has_room(budget, n)) {
        budget->n_refused++;
        return false;
    }
    budget->used += n;
    return true;
}

static void grant_what_fits(struct budget *budget) {
    while (!list_empty(&budget->waiting)) {
        struct budget_claim *claim =
            list_entry(list_first(&budget->waiting), struct budget_claim, link);
        if (budget->n_granted > 0 && !budget_has_room(budget, claim->n_bytes))
            return;
        list_remove(&claim->link);
        budget->used += claim->n_bytes;
        budget->n_granted++;
        claim->granted = true;
        claim->on_granted(claim);
    }
}

void budget_give(struct budget *budget, size_t n) {
    INVARIANT(n <= budget->used);
    budget->used -= n;
    grant_what_fits(budget);
}

void budget_claim_begin(struct budget *budget, struct budget_claim *claim, size_t n_bytes,
                        void (*on_granted)(struct budget_claim *claim)) {
    INVARIANT(!claim->granted && !list_linked(&claim->link));
    claim->n_bytes = n_bytes;
    claim->on_granted = on_granted;
    list_push_back(&budget->waiting, &claim->link);
    grant_what_fits(budget);
}

void budget_claim_end(struct budget *budget, struct budget_claim *claim) {
    if (list_linked(&claim->link)) {
        list_remove(&claim->link);
        grant_what_fits(budget); /* it may have been the one in front that was too large */
    } else if (claim->granted) {
        claim->granted = false;
        budget->n_granted--;
        budget_give(budget, claim->n_bytes);
    }
}

bool budget_claim_waits(const struct budget_claim *claim) {
    return list_linked(&claim->link);
}
