/* SPDX-License-Identifier: Apache-2.0 */
/*
 * metrics_text - the Prometheus exposition of struct metrics (text format 0.0.4).
 */
#include "metrics.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <sys/resource.h>

#include "kvasir/clock.h"

/* A scrape in the making: where it goes, and the labels that every model series carries. */
struct scrape {
    struct buf *out;
    struct buf labels; /* model_name="...",engine="0" */
    double max_tokens_bound;
};

static void write_number(struct buf *out, double value) {
    if (value == (double)(int64_t)value && value > -1e15 && value < 1e15)
        buf_printf(out, "%lld", (long long)value);
    else
        buf_printf(out, "%.9g", value);
}

static void write_family(struct buf *out, const char *name, const char *type, const char *help) {
    buf_printf(out, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* One sample; labels is the inside of the braces, "" for none. */
static void write_sample(struct buf *out, const char *name, const char *labels, double value) {
    buf_append_str(out, name);
    if (labels[0])
        buf_printf(out, "{%s}", labels);
    buf_append_char(out, ' ');
    write_number(out, value);
    buf_append_char(out, '\n');
}

static const char *labels_of(const struct scrape *scrape) {
    return scrape->labels.data ? scrape->labels.data : "";
}

static void write_gauge(struct scrape *s, const char *name, const char *help, double value) {
    write_family(s->out, name, "gauge", help);
    write_sample(s->out, name, labels_of(s), value);
}

static void write_counter(struct scrape *s, const char *name, const char *help, double value) {
    write_family(s->out, name, "counter", help);
    write_sample(s->out, name, labels_of(s), value);
}

/* Bounds above max_bound are left out (0: none are); their samples are in +Inf anyway. */
static void write_histogram(struct scrape *s, const char *name, const char *help,
                            const struct histogram *h, double max_bound) {
    write_family(s->out, name, "histogram", help);
    uint64_t total = 0;
    for (uint32_t i = 0; i < h->n_bounds; i++) {
        total += h->counts[i];
        if (max_bound > 0 && h->bounds[i] > max_bound)
            continue;
        buf_printf(s->out, "%s_bucket{%s,le=\"", name, labels_of(s));
        write_number(s->out, h->bounds[i]);
        buf_printf(s->out, "\"} %llu\n", (unsigned long long)total);
    }
    total += h->counts[h->n_bounds];
    buf_printf(s->out, "%s_bucket{%s,le=\"+Inf\"} %llu\n", name, labels_of(s),
               (unsigned long long)total);
    buf_printf(s->out, "%s_sum{%s} ", name, labels_of(s));
    write_number(s->out, h->sum);
    buf_printf(s->out, "\n%s_count{%s} %llu\n", name, labels_of(s), (unsigned long long)total);
}

/* The scheduler counts these itself: it alone sees every step. */
static void write_iterations(struct scrape *s, const struct scheduler_stats *stats) {
    static const double bounds[SCHEDULER_STEP_BOUNDS] = {1,   8,    16,   32,   64,   128,  256,
                                                         512, 1024, 2048, 4096, 8192, 16384};
    struct histogram h = {
        .bounds = bounds,
        .n_bounds = SCHEDULER_STEP_BOUNDS,
        .sum = (double)stats->step_tokens,
    };
    memcpy(h.counts, stats->steps_by_tokens, sizeof stats->steps_by_tokens);
    write_histogram(s, "vllm:iteration_tokens_total", "Tokens computed per step.", &h, 0);
}

static void append_label_value(struct buf *out, const char *value) {
    for (const char *c = value; *c; c++) {
        if (*c == '\n')
            buf_append_str(out, "\\n");
        else {
            if (*c == '"' || *c == '\\')
                buf_append_char(out, '\\');
            buf_append_char(out, *c);
        }
    }
}

/* One line of a family whose samples differ in one label. */
static void write_labelled(struct scrape *s, const char *name, const char *label, const char *value,
                           double number) {
    buf_printf(s->out, "%s{%s%s%s=\"%s\"} ", name, labels_of(s), s->labels.len ? "," : "", label,
               value);
    write_number(s->out, number);
    buf_append_char(s->out, '\n');
}

static void write_scheduler(struct scrape *s, const struct metrics_context *context) {
    const struct scheduler_stats *stats = context->stats;
    const uint32_t used = stats->blocks_total - stats->blocks_free - stats->blocks_cached;

    write_gauge(s, "vllm:num_requests_running", "Sequences in execution.", stats->n_running);
    write_gauge(s, "vllm:num_requests_waiting", "Sequences waiting to be scheduled.",
                stats->n_waiting);
    write_gauge(s, "vllm:kv_cache_usage_perc", "Share of KV blocks held by live sequences, 0 to 1.",
                stats->blocks_total ? (double)used / stats->blocks_total : 0);
    write_counter(s, "vllm:num_preemptions_total", "Preemptions of running sequences.",
                  (double)stats->preemptions);
    write_counter(s, "vllm:prefix_cache_queries_total",
                  "Prompt tokens looked up in the prefix cache.", (double)stats->prefix_queries);
    write_counter(s, "vllm:prefix_cache_hits_total", "Prompt tokens found in the prefix cache.",
                  (double)stats->prefix_hits);
    write_counter(s, "vllm:prompt_tokens_total", "Prompt tokens of admitted sequences.",
                  (double)(stats->prompt_tokens_computed + stats->prompt_tokens_cached));
    write_counter(s, "vllm:prompt_tokens_cached_total", "Prompt tokens that were not computed.",
                  (double)stats->prompt_tokens_cached);
    write_family(s->out, "vllm:prompt_tokens_by_source_total", "counter",
                 "Prompt tokens by where their KV came from.");
    write_labelled(s, "vllm:prompt_tokens_by_source_total", "source", "local_compute",
                   (double)stats->prompt_tokens_computed);
    write_labelled(s, "vllm:prompt_tokens_by_source_total", "source", "local_cache_hit",
                   (double)stats->prompt_tokens_cached);
    write_counter(s, "vllm:generation_tokens_total", "Generated tokens.",
                  (double)stats->generated_tokens);

    write_family(s->out, "kvasir_kv_blocks", "gauge",
                 "KV blocks: used by live sequences, cached and evictable, or free.");
    write_labelled(s, "kvasir_kv_blocks", "state", "used", used);
    write_labelled(s, "kvasir_kv_blocks", "state", "cached", stats->blocks_cached);
    write_labelled(s, "kvasir_kv_blocks", "state", "free", stats->blocks_free);
    write_gauge(s, "kvasir_waiting_tokens", "Prompt tokens of waiting sequences.",
                (double)stats->waiting_tokens);
    write_counter(s, "kvasir_steps_total", "Steps of the engine.", (double)stats->steps);
    write_counter(s, "kvasir_scheduler_stalls_total", "Times that runnable work made no progress.",
                  (double)stats->stalls);
    write_iterations(s, stats);
    write_family(s->out, "kvasir_step_seconds_total", "counter", "Where the time of steps goes.");
    write_labelled(s, "kvasir_step_seconds_total", "part", "schedule", stats->schedule_ns / 1e9);
    write_labelled(s, "kvasir_step_seconds_total", "part", "forward", stats->forward_ns / 1e9);
    write_labelled(s, "kvasir_step_seconds_total", "part", "sample", stats->sample_ns / 1e9);
    write_labelled(s, "kvasir_step_seconds_total", "part", "output", stats->output_ns / 1e9);
}

static void write_requests(struct scrape *s, const struct metrics *m) {
    static const char *const finishes[N_DONE] = {"stop", "length", "abort", "error"};
    static const char *const rejections[N_REJECT] = {"queue_full", "context_length", "kv_capacity",
                                                     "memory"};
    const double tokens = s->max_tokens_bound;

    write_family(s->out, "vllm:request_success_total", "counter",
                 "Finished sequences by how they ended.");
    for (uint32_t i = 0; i < N_DONE; i++)
        write_labelled(s, "vllm:request_success_total", "finished_reason", finishes[i],
                       (double)m->finished[i]);
    write_histogram(s, "vllm:time_to_first_token_seconds", "Arrival to first token.", &m->ttft, 0);
    write_histogram(s, "vllm:inter_token_latency_seconds", "Time between tokens of a sequence.",
                    &m->itl, 0);
    write_histogram(s, "vllm:request_time_per_output_token_seconds",
                    "Mean time per token after the first, per sequence of two or more.", &m->tpot,
                    0);
    write_histogram(s, "vllm:e2e_request_latency_seconds", "Arrival to end.", &m->e2e, 0);
    write_histogram(s, "vllm:request_queue_time_seconds", "Arrival to first step.", &m->queue, 0);
    write_histogram(s, "vllm:request_prefill_time_seconds", "First step to first token.",
                    &m->prefill, 0);
    write_histogram(s, "vllm:request_decode_time_seconds", "First to last token.", &m->decode, 0);
    write_histogram(s, "vllm:request_inference_time_seconds", "First step to last token.",
                    &m->inference, 0);
    write_histogram(s, "vllm:request_prompt_tokens", "Prompt tokens.", &m->prompt_tokens, tokens);
    write_histogram(s, "vllm:request_generation_tokens", "Generated tokens.", &m->generation_tokens,
                    tokens);
    write_histogram(s, "vllm:request_params_max_tokens", "Tokens that were allowed.",
                    &m->max_tokens_param, tokens);
    write_histogram(s, "vllm:request_params_n", "Choices asked for.", &m->n_param, 0);
    write_histogram(s, "vllm:request_num_preemptions", "Preemptions per finished sequence.",
                    &m->request_preemptions, 0);

    write_family(s->out, "kvasir_admission_rejections_total", "counter",
                 "Requests that were not admitted.");
    for (uint32_t i = 0; i < N_REJECT; i++)
        write_labelled(s, "kvasir_admission_rejections_total", "reason", rejections[i],
                       (double)m->rejected[i]);
    write_family(s->out, "kvasir_aborted_sequences_total", "counter",
                 "Sequences that were cancelled.");
    write_labelled(s, "kvasir_aborted_sequences_total", "cause", "client_disconnect",
                   (double)m->aborted_by_disconnect);
    write_labelled(s, "kvasir_aborted_sequences_total", "cause", "slow_reader",
                   (double)m->aborted_by_slow_reader);
    write_labelled(s, "kvasir_aborted_sequences_total", "cause", "shutdown",
                   (double)m->aborted_by_shutdown);
}

static void write_http(struct scrape *s, const struct metrics *m) {
    write_family(s->out, "kvasir_http_requests_total", "counter",
                 "Requests by route and status (499: the client went away).");
    for (uint32_t r = 0; r < ROUTER_MAX_ROUTES; r++) {
        const struct route *route = router_at(r);
        for (uint32_t i = 0; i < METRICS_MAX_STATUSES; i++) {
            if (m->requests[r][i] == 0)
                continue;
            buf_printf(
                s->out,
                "kvasir_http_requests_total{method=\"%s\",handler=\"%s\",code=\"%d\"} %llu\n",
                !route                         ? ""
                : route->method == METHOD_POST ? "POST"
                                               : "GET",
                route ? route->path : "none", metrics_status_at(i),
                (unsigned long long)m->requests[r][i]);
        }
    }
    write_family(s->out, "kvasir_http_request_duration_seconds", "histogram",
                 "Whole request read to whole response handed to the kernel.");
    uint64_t total = 0;
    const struct histogram *h = &m->request_seconds;
    for (uint32_t i = 0; i < h->n_bounds; i++) {
        total += h->counts[i];
        buf_append_str(s->out, "kvasir_http_request_duration_seconds_bucket{le=\"");
        write_number(s->out, h->bounds[i]);
        buf_printf(s->out, "\"} %llu\n", (unsigned long long)total);
    }
    total += h->counts[h->n_bounds];
    buf_printf(s->out, "kvasir_http_request_duration_seconds_bucket{le=\"+Inf\"} %llu\n",
               (unsigned long long)total);
    write_sample(s->out, "kvasir_http_request_duration_seconds_sum", "", h->sum);
    write_sample(s->out, "kvasir_http_request_duration_seconds_count", "", (double)total);

    write_family(s->out, "kvasir_http_connections", "gauge", "Open connections.");
    write_sample(s->out, "kvasir_http_connections", "", (double)m->http_connections);
    write_family(s->out, "kvasir_http_connections_total", "counter",
                 "Connections by what became of them.");
    write_sample(s->out, "kvasir_http_connections_total", "result=\"accepted\"",
                 (double)m->http_connections_accepted);
    write_sample(s->out, "kvasir_http_connections_total", "result=\"refused\"",
                 (double)m->http_connections_refused);
    write_family(s->out, "kvasir_http_received_bytes_total", "counter", "Bytes read from clients.");
    write_sample(s->out, "kvasir_http_received_bytes_total", "", (double)m->http_bytes_received);
    write_family(s->out, "kvasir_http_sent_bytes_total", "counter", "Bytes written to clients.");
    write_sample(s->out, "kvasir_http_sent_bytes_total", "", (double)m->http_bytes_sent);
    write_family(s->out, "kvasir_client_disconnects_total", "counter",
                 "Clients that went away before their response was complete.");
    write_sample(s->out, "kvasir_client_disconnects_total", "", (double)m->client_disconnects);
}

/* The resident set from /proc/self/statm (second field, pages); 0 where there is no /proc. */
static double resident_bytes(void) {
    FILE *file = fopen("/proc/self/statm", "r");
    if (!file)
        return 0;
    unsigned long long total = 0;
    unsigned long long resident = 0;
    if (fscanf(file, "%llu %llu", &total, &resident) != 2)
        resident = 0;
    (void)fclose(file); /* only read */
    return (double)resident * (double)sysconf(_SC_PAGESIZE);
}

static void write_process(struct scrape *s, const struct metrics *m) {
    struct rusage usage;
    double cpu = 0;
    if (getrusage(RUSAGE_SELF, &usage) == 0)
        cpu = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
              (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;

    write_family(s->out, "process_cpu_seconds_total", "counter", "CPU time of all threads.");
    write_sample(s->out, "process_cpu_seconds_total", "", cpu);
    write_family(s->out, "process_resident_memory_bytes", "gauge", "Resident memory.");
    write_sample(s->out, "process_resident_memory_bytes", "", resident_bytes());
    write_family(s->out, "process_start_time_seconds", "gauge", "Start, seconds since 1970.");
    write_sample(s->out, "process_start_time_seconds", "", m->start_time_s);
}

static void write_build(struct scrape *s, const struct metrics_context *context) {
    write_family(s->out, "kvasir_build_info", "gauge", "The program; always 1.");
    buf_append_str(s->out, "kvasir_build_info{version=\"");
    append_label_value(s->out, context->version);
    buf_append_str(s->out, "\"} 1\n");
    write_family(s->out, "kvasir_ready", "gauge", "1 when /ready says 200.");
    write_sample(s->out, "kvasir_ready", "", context->ready ? 1 : 0);
    write_family(s->out, "kvasir_log_lines_dropped_total", "counter",
                 "Log lines that could not be written without waiting.");
    write_sample(s->out, "kvasir_log_lines_dropped_total", "", (double)context->log_lines_dropped);
    write_family(s->out, "kvasir_buffered_bytes", "gauge",
                 "Bodies being read, what is parsed of them, and unread replies.");
    write_sample(s->out, "kvasir_buffered_bytes", "", (double)context->buffered_bytes);
    write_family(s->out, "kvasir_buffered_bytes_limit", "gauge", "What they may take in all.");
    write_sample(s->out, "kvasir_buffered_bytes_limit", "", (double)context->max_buffered_bytes);
    write_family(s->out, "kvasir_buffer_refusals_total", "counter",
                 "Requests and replies for which there was no room.");
    write_sample(s->out, "kvasir_buffer_refusals_total", "", (double)context->buffer_refusals);
}

static void write_model(struct scrape *s, const struct metrics_context *context) {
    write_family(s->out, "vllm:cache_config_info", "gauge", "The KV cache; always 1.");
    buf_printf(s->out, "vllm:cache_config_info{%s,block_size=\"%u\",num_gpu_blocks=\"%u\"} 1\n",
               labels_of(s), context->block_size, context->n_blocks);
    write_gauge(s, "kvasir_max_model_len", "Longest sequence, tokens.", context->max_model_len);
    write_gauge(s, "kvasir_model_load_seconds", "From start to ready.", context->load_us / 1e6);
}

void metrics_write(const struct metrics *metrics, const struct metrics_context *context,
                   struct buf *out) {
    struct scrape scrape = {.out = out, .max_tokens_bound = context->max_model_len};
    write_build(&scrape, context);
    write_process(&scrape, metrics);
    write_http(&scrape, metrics);
    if (context->stats) {
        buf_append_str(&scrape.labels, "model_name=\"");
        append_label_value(&scrape.labels, context->model_name);
        buf_append_str(&scrape.labels, "\",engine=\"0\"");
        if (buf_failed(&scrape.labels))
            out->failed = true;
        write_model(&scrape, context);
        write_scheduler(&scrape, context);
        write_requests(&scrape, metrics);
    }
    buf_fini(&scrape.labels);
}
