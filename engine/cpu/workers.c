/* SPDX-License-Identifier: Apache-2.0 */
/*
 * workers - see workers.h. The only file of the engine with atomics.
 *
 * A job is one call of workers_for. Its fields are plain; two counters guard them:
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
#include "cpu/workers.h"

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
    struct workers *workers;
    uint32_t index;
    pthread_t thread;
};

struct workers {
    uint32_t n_threads;
    struct worker *members; /* [n_threads]; [0] is the caller and has no thread */

    /* The job: written by the caller while n_unfinished == 0, read between claim and finish. */
    worker_fn fn;
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
static bool claim(struct workers *workers, uint32_t *ret_item) {
    /* relaxed: only a guess for the exchange below, which decides */
    unsigned n_left = atomic_load_explicit(&workers->n_unclaimed, memory_order_relaxed);

    while (n_left > 0) {
        /* acquire: pairs with the publication in workers_for, the job's fields are visible after
           it; relaxed on failure, where nothing was taken and nothing is read */
        if (atomic_compare_exchange_weak_explicit(&workers->n_unclaimed, &n_left, n_left - 1,
                                                  memory_order_acquire, memory_order_relaxed)) {
            *ret_item = workers->n_items - n_left;
            return true;
        }
    }
    return false;
}

/* Counts one item as computed and ends the job if it was the last. */
static void finish(struct workers *workers) {
    /* seq_cst: releases the item's results to the caller, takes part in the release sequence of
       the others', and must not be passed by the load of caller_sleeps */
    if (atomic_fetch_sub(&workers->n_unfinished, 1) > 1)
        return;

    /* seq_cst: the other half of the handshake in wait_done */
    if (!atomic_load(&workers->caller_sleeps))
        return;
    pthread_mutex_lock(&workers->lock);
    pthread_cond_signal(&workers->done);
    pthread_mutex_unlock(&workers->lock);
}

static void run_items(struct workers *workers, uint32_t worker) {
    uint32_t item;

    while (claim(workers, &item)) {
        workers->fn(workers->ctx, item, worker);
        finish(workers);
    }
}

/* What a worker waits for: items, or the end. */
static bool has_work(struct workers *workers) {
    /* seq_cst: the look after the announcement in sleep_until_work; elsewhere a hint */
    return atomic_load(&workers->n_unclaimed) > 0 || atomic_load(&workers->stop);
}

/* What the caller waits for. */
static bool is_done(struct workers *workers) {
    /* seq_cst: acquires the results of every item, and is the look after the announcement */
    return atomic_load(&workers->n_unfinished) == 0;
}

static bool spin_until(struct workers *workers, bool (*ready)(struct workers *workers)) {
    const uint64_t end_ns = clock_now_ns() + SPIN_NS;

    do {
        for (int i = 0; i < RELAXES_PER_LOOK; i++) {
            if (ready(workers))
                return true;
            cpu_relax();
        }
    } while (clock_now_ns() < end_ns);
    return false;
}

static void sleep_until_work(struct workers *workers) {
    pthread_mutex_lock(&workers->lock);
    atomic_fetch_add(&workers->n_sleeping, 1); /* seq_cst: announced before has_work looks */
    while (!has_work(workers))
        pthread_cond_wait(&workers->work, &workers->lock);
    /* relaxed: an announcement that stands too long only costs the caller a signal */
    atomic_fetch_sub_explicit(&workers->n_sleeping, 1, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
}

static void wait_done(struct workers *workers) {
    if (spin_until(workers, is_done))
        return;

    pthread_mutex_lock(&workers->lock);
    atomic_store(&workers->caller_sleeps, true); /* seq_cst: announced before is_done looks */
    while (!is_done(workers))
        pthread_cond_wait(&workers->done, &workers->lock);
    /* relaxed: an announcement that stands too long only costs a signal */
    atomic_store_explicit(&workers->caller_sleeps, false, memory_order_relaxed);
    pthread_mutex_unlock(&workers->lock);
}

static void wake_workers(struct workers *workers, uint32_t n_wanted) {
    /* seq_cst: must come after the publication (or stop) that the sleepers will look for */
    const unsigned n_sleeping = atomic_load(&workers->n_sleeping);
    if (n_sleeping == 0)
        return;

    pthread_mutex_lock(&workers->lock);
    if (n_wanted >= n_sleeping)
        pthread_cond_broadcast(&workers->work);
    else
        for (uint32_t i = 0; i < n_wanted; i++)
            pthread_cond_signal(&workers->work);
    pthread_mutex_unlock(&workers->lock);
}

static void *worker_main(void *arg) {
    const struct worker *worker = arg;
    struct workers *workers = worker->workers;

    /* relaxed: stop carries no data with it */
    while (!atomic_load_explicit(&workers->stop, memory_order_relaxed)) {
        run_items(workers, worker->index);
        if (!spin_until(workers, has_work))
            sleep_until_work(workers);
    }
    return NULL;
}

void workers_for(struct workers *workers, uint32_t n_items, worker_fn fn, void *ctx) {
    if (workers->n_threads == 1 || n_items <= 1) {
        for (uint32_t i = 0; i < n_items; i++)
            fn(ctx, i, /* worker= */ 0);
        return;
    }

    workers->fn = fn;
    workers->ctx = ctx;
    workers->n_items = n_items;
    /* relaxed: made visible by the publication that follows */
    atomic_store_explicit(&workers->n_unfinished, n_items, memory_order_relaxed);
    /* seq_cst: publishes the job, and must not be passed by the load of n_sleeping */
    atomic_store(&workers->n_unclaimed, n_items);
    wake_workers(workers, n_items - 1);

    run_items(workers, /* worker= */ 0);
    wait_done(workers);
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

static void stop_workers(struct workers *workers, uint32_t n_started) {
    atomic_store(&workers->stop, true); /* seq_cst: before the load of n_sleeping */
    wake_workers(workers, /* n_wanted= */ UINT32_MAX);
    for (uint32_t i = 1; i < n_started; i++)
        (void)pthread_join(workers->members[i].thread, NULL); /* it was created: joins */
}

int workers_create(uint32_t n_threads, struct workers **ret_workers, struct error *reterr) {
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return error_set_param(reterr, -EINVAL, "threads", "threads must be 1 to %d, not %u",
                               MAX_THREADS, n_threads);

    struct workers *workers =
        mem_map(sizeof *workers); /* mapped, because it wants whole cache lines */
    if (!workers)
        return error_set(reterr, -ENOMEM, "out of memory for the workers");

    int r = -ENOMEM;
    workers->n_threads = n_threads;
    workers->members = mem_alloc_zero(n_threads, sizeof *workers->members);
    if (!workers->members)
        goto free_struct;

    r = -pthread_mutex_init(&workers->lock, NULL);
    if (r < 0)
        goto free_workers;
    r = -pthread_cond_init(&workers->work, NULL);
    if (r < 0)
        goto fini_lock;
    r = -pthread_cond_init(&workers->done, NULL);
    if (r < 0)
        goto fini_work;

    for (uint32_t i = 1; i < n_threads; i++) {
        workers->members[i] = (struct worker){.workers = workers, .index = i};
        r = start_worker(&workers->members[i]);
        if (r < 0) {
            stop_workers(workers, i);
            goto fini_done;
        }
    }

    *ret_workers = workers;
    return 0;

fini_done:
    pthread_cond_destroy(&workers->done);
fini_work:
    pthread_cond_destroy(&workers->work);
fini_lock:
    pthread_mutex_destroy(&workers->lock);
free_workers:
    mem_free(workers->members);
free_struct:
    mem_unmap(workers, sizeof *workers);
    return error_set(reterr, r, "cannot start %u compute threads: %s", n_threads, strerror(-r));
}

void workers_destroy(struct workers *workers) {
    if (!workers)
        return;

    stop_workers(workers, workers->n_threads);
    pthread_cond_destroy(&workers->done);
    pthread_cond_destroy(&workers->work);
    pthread_mutex_destroy(&workers->lock);
    mem_free(workers->members);
    mem_unmap(workers, sizeof *workers);
}

uint32_t workers_n_threads(const struct workers *workers) {
    return workers->n_threads;
}
