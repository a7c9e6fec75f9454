/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pool - see pool.h. The only file of the engine with atomics.
 *
 * A job is one call of pool_for. Its fields are plain; two counters guard them:
 *
 *   n_unclaimed   items nobody has taken; a worker takes one by decrementing it
 *   n_unfinished  items not yet computed; whoever brings it to 0 ends the job
 *
 * Invariant: while n_unfinished > 0 the fields of the job do not change, and n_unclaimed <=
 * n_unfinished. So a worker reads the fields only between its claim and its finish, and one
 * that slept through a whole job, or was descheduled before its claim, can neither miss nor
 * delay anything: the barrier waits for items, not for workers. That is what keeps throughput
 * proportional when another process takes some of the cores.
 *
 * Sleeping is the store-load handshake on both sides: the sleeper announces itself, then looks
 * once more; the waker changes the counter, then looks for sleepers. Both need sequential
 * consistency, because each side's load must not pass its own store.
 */
#include "cpu/pool.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdalign.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>

#include "kvasir/clock.h"
#include "kvasir/mem.h"

enum {
    CACHE_LINE = 64,
    MAX_THREADS = 1024,
    /*
     * The gap between two jobs of a step is a few microseconds; longer than this means that the
     * step is over or the core was lost, and then a sleeping thread is the better neighbour.
     */
    SPIN_NS = 20000,
    RELAXES_PER_LOOK = 16, /* pauses between two looks at the clock */
};

struct worker {
    struct pool *pool;
    uint32_t index;
    pthread_t thread;
};

struct pool {
    uint32_t n_threads;
    struct worker *workers; /* [n_threads]; [0] is the caller and has no thread */

    /* The job: written by the caller while n_unfinished == 0, read between claim and finish. */
    pool_fn fn;
    void *ctx;
    uint32_t n_items;

    alignas(CACHE_LINE) atomic_uint n_unclaimed;
    alignas(CACHE_LINE) atomic_uint n_unfinished;

    alignas(CACHE_LINE) atomic_uint n_sleeping; /* workers in, or on the way into, `work` */
    atomic_bool caller_sleeps;                  /* the caller in, or on the way into, `done` */
    atomic_bool stop;

    pthread_mutex_t lock; /* held only to sleep and to wake */
    pthread_cond_t work;
    pthread_cond_t done;
};

#if defined(__x86_64__) || defined(__i386__)
static inline void cpu_relax(void) {
    __builtin_ia32_pause();
}
#else
static inline void cpu_relax(void) {
}
#endif

/* Takes one item of the current job, if there is one. */
static bool claim(struct pool *pool, uint32_t *ret_item) {
    /* relaxed: only a guess for the exchange below, which decides */
    unsigned n_left = atomic_load_explicit(&pool->n_unclaimed, memory_order_relaxed);

    while (n_left > 0) {
        /* acquire: pairs with the publication in pool_for, the job's fields are visible after
           it; relaxed on failure, where nothing was taken and nothing is read */
        if (atomic_compare_exchange_weak_explicit(&pool->n_unclaimed, &n_left, n_left - 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *ret_item = pool->n_items - n_left;
            return true;
        }
    }
    return false;
}

/* Counts one item as computed and ends the job if it was the last. */
static void finish(struct pool *pool) {
    /* seq_cst: releases the item's results to the caller, takes part in the release sequence of
       the others', and must not be passed by the load of caller_sleeps */
    if (atomic_fetch_sub(&pool->n_unfinished, 1) > 1)
        return;

    /* seq_cst: the other half of the handshake in wait_done */
    if (!atomic_load(&pool->caller_sleeps))
        return;
    pthread_mutex_lock(&pool->lock);
    pthread_cond_signal(&pool->done);
    pthread_mutex_unlock(&pool->lock);
}

static void run_items(struct pool *pool, uint32_t worker) {
    uint32_t item;

    while (claim(pool, &item)) {
        pool->fn(pool->ctx, item, worker);
        finish(pool);
    }
}

/* What a worker waits for: items, or the end. */
static bool has_work(struct pool *pool) {
    /* seq_cst: the look after the announcement in sleep_until_work; elsewhere a hint */
    return atomic_load(&pool->n_unclaimed) > 0 || atomic_load(&pool->stop);
}

/* What the caller waits for. */
static bool is_done(struct pool *pool) {
    /* seq_cst: acquires the results of every item, and is the look after the announcement */
    return atomic_load(&pool->n_unfinished) == 0;
}

static bool spin_until(struct pool *pool, bool (*ready)(struct pool *pool)) {
    const uint64_t end_ns = clock_now_ns() + SPIN_NS;

    do {
        for (int i = 0; i < RELAXES_PER_LOOK; i++) {
            if (ready(pool))
                return true;
            cpu_relax();
        }
    } while (clock_now_ns() < end_ns);
    return false;
}

static void sleep_until_work(struct pool *pool) {
    pthread_mutex_lock(&pool->lock);
    atomic_fetch_add(&pool->n_sleeping, 1); /* seq_cst: announced before has_work looks */
    while (!has_work(pool))
        pthread_cond_wait(&pool->work, &pool->lock);
    /* relaxed: an announcement that stands too long only costs the caller a signal */
    atomic_fetch_sub_explicit(&pool->n_sleeping, 1, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
}

static void wait_done(struct pool *pool) {
    if (spin_until(pool, is_done))
        return;

    pthread_mutex_lock(&pool->lock);
    atomic_store(&pool->caller_sleeps, true); /* seq_cst: announced before is_done looks */
    while (!is_done(pool))
        pthread_cond_wait(&pool->done, &pool->lock);
    /* relaxed: an announcement that stands too long only costs a signal */
    atomic_store_explicit(&pool->caller_sleeps, false, memory_order_relaxed);
    pthread_mutex_unlock(&pool->lock);
}

static void wake_workers(struct pool *pool, uint32_t n_wanted) {
    /* seq_cst: must come after the publication (or stop) that the sleepers will look for */
    const unsigned n_sleeping = atomic_load(&pool->n_sleeping);
    if (n_sleeping == 0)
        return;

    pthread_mutex_lock(&pool->lock);
    if (n_wanted >= n_sleeping)
        pthread_cond_broadcast(&pool->work);
    else
        for (uint32_t i = 0; i < n_wanted; i++)
            pthread_cond_signal(&pool->work);
    pthread_mutex_unlock(&pool->lock);
}

static void *worker_main(void *arg) {
    const struct worker *worker = arg;
    struct pool *pool = worker->pool;

    /* relaxed: stop carries no data with it */
    while (!atomic_load_explicit(&pool->stop, memory_order_relaxed)) {
        run_items(pool, worker->index);
        if (!spin_until(pool, has_work))
            sleep_until_work(pool);
    }
    return NULL;
}

void pool_for(struct pool *pool, uint32_t n_items, pool_fn fn, void *ctx) {
    if (pool->n_threads == 1 || n_items <= 1) {
        for (uint32_t i = 0; i < n_items; i++)
            fn(ctx, i, /* worker= */ 0);
        return;
    }

    pool->fn = fn;
    pool->ctx = ctx;
    pool->n_items = n_items;
    /* relaxed: made visible by the publication that follows */
    atomic_store_explicit(&pool->n_unfinished, n_items, memory_order_relaxed);
    /* seq_cst: publishes the job, and must not be passed by the load of n_sleeping */
    atomic_store(&pool->n_unclaimed, n_items);
    wake_workers(pool, n_items - 1);

    run_items(pool, /* worker= */ 0);
    wait_done(pool);
}

/* Workers take no signals: they belong to the thread that runs the event loop. */
static int start_worker(struct worker *worker) {
    sigset_t all, old;
    sigfillset(&all);

    int r = pthread_sigmask(SIG_SETMASK, &all, &old);
    if (r != 0)
        return -r;

    r = pthread_create(&worker->thread, NULL, worker_main, worker);
    (void)pthread_sigmask(SIG_SETMASK, &old, NULL); /* restores what was valid before */
    return -r;
}

static void stop_workers(struct pool *pool, uint32_t n_started) {
    atomic_store(&pool->stop, true); /* seq_cst: before the load of n_sleeping */
    wake_workers(pool, /* n_wanted= */ UINT32_MAX);
    for (uint32_t i = 1; i < n_started; i++)
        (void)pthread_join(pool->workers[i].thread, NULL); /* it was created: joins */
}

int pool_create(uint32_t n_threads, struct pool **ret_pool, struct error *reterr) {
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return error_set_param(reterr, -EINVAL, "threads", "threads must be 1 to %d, not %u",
                               MAX_THREADS, n_threads);

    struct pool *pool = mem_map(sizeof *pool); /* mapped, because it wants whole cache lines */
    if (!pool)
        return error_set(reterr, -ENOMEM, "out of memory for the worker pool");

    int r = -ENOMEM;
    pool->n_threads = n_threads;
    pool->workers = mem_alloc_zero(n_threads, sizeof *pool->workers);
    if (!pool->workers)
        goto free_pool;

    r = -pthread_mutex_init(&pool->lock, NULL);
    if (r < 0)
        goto free_workers;
    r = -pthread_cond_init(&pool->work, NULL);
    if (r < 0)
        goto fini_lock;
    r = -pthread_cond_init(&pool->done, NULL);
    if (r < 0)
        goto fini_work;

    for (uint32_t i = 1; i < n_threads; i++) {
        pool->workers[i] = (struct worker){.pool = pool, .index = i};
        r = start_worker(&pool->workers[i]);
        if (r < 0) {
            stop_workers(pool, i);
            goto fini_done;
        }
    }

    *ret_pool = pool;
    return 0;

fini_done:
    pthread_cond_destroy(&pool->done);
fini_work:
    pthread_cond_destroy(&pool->work);
fini_lock:
    pthread_mutex_destroy(&pool->lock);
free_workers:
    mem_free(pool->workers);
free_pool:
    mem_unmap(pool, sizeof *pool);
    return error_set(reterr, r, "cannot start %u compute threads: %s", n_threads, strerror(-r));
}

void pool_destroy(struct pool *pool) {
    if (!pool)
        return;

    stop_workers(pool, pool->n_threads);
    pthread_cond_destroy(&pool->done);
    pthread_cond_destroy(&pool->work);
    pthread_mutex_destroy(&pool->lock);
    mem_free(pool->workers);
    mem_unmap(pool, sizeof *pool);
}

uint32_t pool_n_threads(const struct pool *pool) {
    return pool->n_threads;
}
