/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - the compute workers, and the only barrier of the engine.
 *
 * One caller (the engine thread) is worker 0; n_threads - 1 more threads help it. pool_for hands
 * out items one after another to whoever is free, so that a worker that is descheduled delays
 * only its own item; results must not depend on who computed what. Workers spin briefly, then
 * sleep: an idle pool uses no CPU, and a waiting one gives the core away.
 */
#ifndef KVASIR_ENGINE_POOL_H
#define KVASIR_ENGINE_POOL_H

#include <stdint.h>

#include "kvasir/error.h"

struct pool;

/* Computes item (0 .. n_items-1). worker: 0 .. n_threads-1, for per-worker scratch. */
typedef void (*pool_fn)(void *ctx, uint32_t item, uint32_t worker);

int pool_create(uint32_t n_threads, struct pool **ret_pool, struct error *reterr) KV_MUST_CHECK;
void pool_destroy(struct pool *pool);
uint32_t pool_n_threads(const struct pool *pool);

/* Runs fn on every item and returns when all are done. Not reentrant; caller thread only. */
void pool_for(struct pool *pool, uint32_t n_items, pool_fn fn, void *ctx);

#endif
