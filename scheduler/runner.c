/* SPDX-License-Identifier: Apache-2.0 */
/*
 * runner - the engine thread: mail, plan, step, apply, publish; asleep when there is no work.
 *
 * The only file that calls the engine and reads a clock. Everything in struct scheduler but the
 * mailbox and the stats belongs to the engine thread between start and stop.
 */
#include <errno.h>
#include <pthread.h>

#include "core.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"
#include "mailbox.h"
#include "stats.h"

enum { REST_US = 20000 }; /* before a step that got nowhere is tried again */

struct scheduler {
    struct scheduler_options options; /* never changes */
    struct mailbox mailbox;           /* any thread */
    struct stats stats;               /* written by the engine thread, read by any */
    pthread_t thread;
    struct core *core;
    struct scheduler_output
        *spare;                    /* for a step that finds no memory; NULL: made before the next */
    struct scheduler_stats totals; /* what the engine thread last wrote to stats */
};

static void publish_stats(struct scheduler *scheduler) {
    core_stats(scheduler->core, &scheduler->totals);
    stats_write(&scheduler->stats, &scheduler->totals);
}

static void read_mail(struct scheduler *scheduler, struct mail *mail) {
    list_for_each (node, &mail->added) {
        list_remove(node);
        core_add(scheduler->core, list_entry(node, struct seq, mail_link));
    }
    list_for_each (node, &mail->cancelled) {
        list_remove(node);
        core_cancel(scheduler->core, list_entry(node, struct seq, cancel_link));
    }
}

static void prove(const struct core *core) {
    struct error error = {.message = ""};
    if (core->options.check_invariants && core_check(core, &error) < 0)
        invariant_failed(error.message, __FILE__, __LINE__, __func__);
}

static struct queue_report queue_report(const struct core *core) {
    return (struct queue_report){
        .waiting = {.n_requests = core->waiting.n, .n_tokens = core->waiting.n_tokens},
        .n_startable = core_n_startable(core),
    };
}

/* Hands the events up and forgets the sequences that have had their last one. */
static void hand_over(struct scheduler *scheduler, struct scheduler_output *output) {
    struct core *core = scheduler->core;
    struct list finished;
    list_init(&finished);
    core_take_finished(core, &finished);

    const bool has_events = output->n_events > 0;
    const struct queue_report report = queue_report(core);
    mailbox_publish(&scheduler->mailbox, has_events ? output : NULL, &report, &finished);
    if (!has_events)
        scheduler_output_free(output);
    list_for_each (node, &finished) {
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, link));
    }
    if (has_events && scheduler->options.notify)
        scheduler->options.notify(scheduler->options.notify_ctx);
}

/*
 * The output of the step that was planned, made before it is computed, so that nothing computed is
 * lost for want of memory; else the spare one and -ENOMEM, which ends the step's sequences.
 */
static int make_output(struct scheduler *scheduler, struct scheduler_output **ret_output) {
    *ret_output = core_output_create(scheduler->core);
    if (*ret_output)
        return 0;

    *ret_output = scheduler->spare;
    scheduler->spare = NULL;
    return -ENOMEM;
}

static int compute(struct scheduler *scheduler, const struct batch *batch,
                   struct step_result *result) {
    struct scheduler_stats *totals = &scheduler->totals;

    totals->stepping = true;
    publish_stats(scheduler);
    const int r = scheduler->options.step(scheduler->options.engine, batch, result);
    totals->stepping = false;
    totals->forward_ns += result->forward_ns;
    totals->sample_ns += result->sample_ns;
    totals->last_step_end_us = clock_now_us();
    return r;
}

/*
 * Plans one step, lets the engine compute it, applies what came. False if it got nowhere: there is
 * not even memory for a spare output, or the plan was empty although there is work, which breaks
 * the core's promise and is counted as a stall. Then only new mail or some time can help.
 */
static bool run_step(struct scheduler *scheduler) {
    struct core *core = scheduler->core;
    struct step_result result = {.n_rows = 0};
    if (!scheduler->spare)
        scheduler->spare = core_spare_output_create(core);
    if (!scheduler->spare)
        return false;

    const uint64_t begin_ns = clock_now_ns();
    const uint64_t n_stalls = core->counters.stalls;
    const struct batch *batch = core_plan(core, begin_ns / 1000);
    /* Before the step, which may take long: requests that come meanwhile are judged by it. */
    const struct queue_report report = queue_report(core);
    mailbox_report_queue(&scheduler->mailbox, &report);
    scheduler->totals.schedule_ns += clock_now_ns() - begin_ns;

    struct scheduler_output *output;
    int r = make_output(scheduler, &output);
    if (r == 0 && batch->n_seqs > 0)
        r = compute(scheduler, batch, &result);

    const uint64_t end_ns = clock_now_ns();
    core_apply(core, r < 0 ? NULL : &result, r, end_ns / 1000, output);
    prove(core);
    publish_stats(scheduler); /* before the events: who sees an end finds it counted */
    hand_over(scheduler, output);
    scheduler->totals.output_ns += clock_now_ns() - end_ns;
    return core->counters.stalls == n_stalls;
}

static void cancel_all(struct core *core) {
    while (core->waiting.n > 0)
        core_cancel(core, waiting_peek(&core->waiting));
    list_for_each (node, &core->prefilling) {
        core_cancel(core, list_entry(node, struct seq, link));
    }
    list_for_each (node, &core->decoding) {
        core_cancel(core, list_entry(node, struct seq, link));
    }
}

static void *engine_thread(void *arg) {
    struct scheduler *scheduler = arg;
    struct core *core = scheduler->core;
    struct mail mail = {.stopping = false};
    uint64_t max_wait_us = MAIL_WAIT;

    while (!mail.stopping) {
        mailbox_receive(&scheduler->mailbox, max_wait_us, &mail);
        read_mail(scheduler, &mail);
        if (mail.stopping)
            cancel_all(core);
        const bool got_on = !core_has_work(core) || run_step(scheduler);
        max_wait_us = !got_on ? REST_US : core_has_work(core) ? MAIL_NO_WAIT : MAIL_WAIT;
    }
    return NULL;
}

int scheduler_start(const struct scheduler_options *options, struct scheduler **ret_scheduler,
                    struct error *reterr) {
    struct scheduler *scheduler = mem_alloc_zero(1, sizeof *scheduler);
    if (!scheduler)
        return error_set(reterr, -ENOMEM, "out of memory for the scheduler");

    scheduler->options = *options;
    int r = core_create(options, &scheduler->core, reterr);
    if (r < 0)
        goto free_scheduler;

    const struct admission_limits limits = {
        .max_queued = {.n_requests = options->max_queued_requests,
                       .n_tokens = options->max_queued_tokens},
        .max_running = options->max_num_seqs,
    };
    r = mailbox_init(&scheduler->mailbox, &limits);
    if (r < 0) {
        (void)error_set(reterr, r, "no mutex for the scheduler's mailbox");
        goto destroy_core;
    }

    scheduler->spare = core_spare_output_create(scheduler->core);
    if (!scheduler->spare) {
        r = error_set(reterr, -ENOMEM, "out of memory for the scheduler");
        goto fini_mailbox;
    }
    publish_stats(scheduler);
    r = -pthread_create(&scheduler->thread, NULL, engine_thread, scheduler);
    if (r < 0) {
        (void)error_set(reterr, r, "the engine thread could not be started");
        goto free_spare;
    }
    *ret_scheduler = scheduler;
    return 0;

free_spare:
    scheduler_output_free(scheduler->spare);
fini_mailbox:
    mailbox_fini(&scheduler->mailbox);
destroy_core:
    core_destroy(scheduler->core);
free_scheduler:
    mem_free(scheduler);
    return r;
}

void scheduler_stop(struct scheduler *scheduler) {
    if (!scheduler)
        return;

    mailbox_stop(&scheduler->mailbox);
    const int r = pthread_join(scheduler->thread, NULL);
    INVARIANT(r == 0);
    mailbox_fini(&scheduler->mailbox);
    scheduler_output_free(scheduler->spare);
    core_destroy(scheduler->core);
    mem_free(scheduler);
}

int scheduler_reserve(struct scheduler *scheduler, const struct scheduler_load *load,
                      struct error *reterr) {
    return mailbox_reserve(&scheduler->mailbox, load, reterr);
}

void scheduler_release(struct scheduler *scheduler, const struct scheduler_load *load) {
    mailbox_release(&scheduler->mailbox, load);
}

int scheduler_submit_all(struct scheduler *scheduler, struct scheduler_request *const *requests,
                         uint32_t n, const struct scheduler_load *reserved, seq_id *ret_ids,
                         struct error *reterr) {
    struct scheduler_load load = {.n_requests = n};
    struct list seqs; /* seq::mail_link */
    uint32_t n_made = 0;
    int r = 0;
    list_init(&seqs);
    for (; n_made < n; n_made++) {
        struct seq *seq = NULL;
        r = seq_create(&scheduler->options, requests[n_made], &seq, reterr);
        if (r < 0)
            break;
        load.n_tokens += seq->n_prompt;
        list_push_back(&seqs, &seq->mail_link);
    }
    if (r == 0)
        r = mailbox_submit(&scheduler->mailbox, &seqs, &load, reserved, ret_ids, reterr);
    else if (reserved)
        mailbox_release(&scheduler->mailbox, reserved);

    list_for_each (node, &seqs) { /* none if they were taken */
        list_remove(node);
        seq_destroy(list_entry(node, struct seq, mail_link));
    }
    for (uint32_t i = n_made; i < n; i++)
        scheduler_request_free(requests[i]);
    return r;
}

int scheduler_submit(struct scheduler *scheduler, struct scheduler_request *request, seq_id *ret_id,
                     struct error *reterr) {
    return scheduler_submit_all(scheduler, &request, 1, /* reserved= */ NULL, ret_id, reterr);
}

void scheduler_cancel(struct scheduler *scheduler, seq_id id) {
    mailbox_cancel(&scheduler->mailbox, id);
}

struct scheduler_output *scheduler_take_ready(struct scheduler *scheduler) {
    return mailbox_take_outputs(&scheduler->mailbox);
}

void scheduler_stats(const struct scheduler *scheduler, struct scheduler_stats *ret_stats) {
    const struct scheduler_load new = mailbox_new(&scheduler->mailbox);

    stats_read(&scheduler->stats, ret_stats);
    ret_stats->n_waiting += new.n_requests;
    ret_stats->waiting_tokens += new.n_tokens;
}
