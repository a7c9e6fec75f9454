/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers - the compute threads, and the only barrier of the engine.
 *
 * One caller (the engine thread) is worker 0; n_threads - 1 more threads help it. workers_for hands
 * out items one after another to whoever is free, so that a worker that is descheduled delays
 * only its own item; results must not depend on who computed what. Workers spin briefly, then
 * sleep: idle workers use no CPU, and waiting ones give the core away.
 */
#ifndef KVASIR_ENGINE_WORKERS_H
#define KVASIR_ENGINE_WORKERS_H

#include <stdint.h>

#include "kvasir/error.h"

struct workers;

/* Computes item (0 .. n_items-1). worker: 0 .. n_threads-1, for per-worker scratch. */
typedef void (*worker_fn)(void *ctx, uint32_t item, uint32_t worker);

int workers_create(uint32_t n_threads, struct workers **ret_workers, struct error *reterr)
    KV_MUST_CHECK;
void workers_destroy(struct workers *workers);
uint32_t workers_n_threads(const struct workers *workers);

/* Runs fn on every item and returns when all are done. Not reentrant; caller thread only. */
void workers_for(struct workers *workers, uint32_t n_items, worker_fn fn, void *ctx);

#endif
