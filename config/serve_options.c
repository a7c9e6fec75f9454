/* SPDX-License-Identifier: Apache-2.0 */
/* serve_options - the table of `kvasir serve`. */
#include "kvasir/serve_options.h"

#include "kvasir/engine.h"
#include "kvasir/scheduler.h"

#define FIELD(name) offsetof(struct serve_options, name)

#define SECOND 1000000ull
#define HOUR (3600 * SECOND)
#define KIB 1024ull
#define GIB (1024 * 1024 * KIB)

const struct option_choice dtype_choices[] = {
    {"auto", COMPUTE_AUTO},
    {"float32", COMPUTE_F32},
    {"bfloat16", COMPUTE_BF16},
    {"float16", COMPUTE_F16},
    {NULL, 0},
};
const struct option_choice kv_dtype_choices[] = {
    {"auto", KV_AUTO}, {"float32", KV_F32}, {"float16", KV_F16}, {"bfloat16", KV_BF16}, {NULL, 0},
};
const struct option_choice quantize_choices[] = {
    {"none", QUANTIZE_NONE},
    {"int8", QUANTIZE_INT8},
    {NULL, 0},
};
static const struct option_choice generation_configs[] = {
    {"auto", SERVE_GENERATION_MODEL},
    {"vllm", SERVE_GENERATION_API},
    {NULL, 0},
};
static const struct option_choice policies[] = {
    {"fcfs", POLICY_FCFS},
    {"priority", POLICY_PRIORITY},
    {NULL, 0},
};
static const struct option_choice log_formats[] = {
    {"text", SERVE_LOG_TEXT},
    {"json", SERVE_LOG_JSON},
    {NULL, 0},
};
static const struct option_choice log_levels[] = {
    {"error", SERVE_LOG_ERROR},
    {"warning", SERVE_LOG_WARNING},
    {"info", SERVE_LOG_INFO},
    {"debug", SERVE_LOG_DEBUG},
    {NULL, 0},
};

static const struct option rows[] = {
    {.name = "model",
     .group = "model",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL,
     .metavar = "MODEL",
     .offset = FIELD(model),
     .help = "A Hugging Face folder, a .gguf file, or org/name in the local Hugging Face cache; "
             "without one the built-in demo model is served."},
    {.name = "served-model-name",
     .type = OPTION_LIST,
     .metavar = "NAME",
     .offset = FIELD(served_model_name),
     .help = "The model's name in the API, instead of the folder's or file's; several, with commas "
             "between them, are all accepted and the first is given back."},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     .choices = dtype_choices,
     .initial = "auto",
     .offset = FIELD(dtype),
     .help = "Arithmetic of weights and activations; auto takes the fastest for the weights' type "
             "that keeps to the tested tolerances."},
    {.name = "kv-cache-dtype",
     .type = OPTION_CHOICE,
     .choices = kv_dtype_choices,
     .initial = "auto",
     .offset = FIELD(kv_cache_dtype),
     .help = "How keys and values are stored: float32 takes twice the memory of the others."},
    {.name = "quantize",
     .type = OPTION_CHOICE,
     .choices = quantize_choices,
     .initial = "none",
     .offset = FIELD(quantize),
     .help = "Pack float weights to int8 while loading: half of the memory of bfloat16, and "
             "faster."},
    {.name = "generation-config",
     .type = OPTION_CHOICE,
     .choices = generation_configs,
     .initial = "auto",
     .offset = FIELD(generation_config),
     .help = "Sampling fields that a request leaves out come from the model's "
             "generation_config.json (auto) or are the API's defaults (vllm)."},

    {.name = "host",
     .group = "network",
     .type = OPTION_STRING,
     .metavar = "ADDRESS",
     .initial = "127.0.0.1",
     .offset = FIELD(host),
     .help = "Where to listen: 127.0.0.1 is this machine only, 0.0.0.0 every IPv4 network, :: "
             "every network."},
    {.name = "port",
     .type = OPTION_U32,
     .metavar = "N",
     .initial = "8000",
     .max = 65535,
     .offset = FIELD(port),
     .help = "The TCP port; 0 takes any free one and says which."},
    {.name = "allowed-hosts",
     .type = OPTION_LIST,
     .metavar = "NAMES",
     .offset = FIELD(allowed_hosts),
     .help = "Host names that requests may carry besides the loopback's own while listening on "
             "loopback (a guard against web pages that reach for local servers)."},
    {.name = "max-connections",
     .type = OPTION_U32,
     .metavar = "N",
     .initial = "1024",
     .min = 1,
     .max = 1000000,
     .offset = FIELD(max_connections),
     .help = "Connections open at once; further ones are closed as soon as they come."},
    {.name = "max-body",
     .type = OPTION_BYTES,
     .metavar = "SIZE",
     .initial = "16MiB",
     .min = KIB,
     .max = GIB,
     .offset = FIELD(max_body),
     .help = "The largest request body; larger ones get 413 before they are read."},
    {.name = "max-buffered",
     .type = OPTION_BYTES,
     .metavar = "SIZE",
     .initial = "256MiB",
     .min = KIB,
     .offset = FIELD(max_buffered),
     .help = "Memory for request bodies, what is parsed of them and unread answers, of all clients "
             "together; beyond it requests get 503 with retry-after."},
    {.name = "keep-alive-timeout",
     .type = OPTION_DURATION,
     .metavar = "TIME",
     .initial = "75s",
     .min = SECOND,
     .max = 24 * HOUR,
     .offset = FIELD(keep_alive_timeout_us),
     .help = "How long an idle connection is kept; longer than the pools of proxies (60s)."},
    {.name = "header-timeout",
     .type = OPTION_DURATION,
     .metavar = "TIME",
     .initial = "10s",
     .min = SECOND,
     .max = HOUR,
     .offset = FIELD(header_timeout_us),
     .help = "How long the head of a request may take to arrive."},
    {.name = "body-timeout",
     .type = OPTION_DURATION,
     .metavar = "TIME",
     .initial = "30s",
     .min = SECOND,
     .max = HOUR,
     .offset = FIELD(body_timeout_us),
     .help = "How long the body of a request may take to arrive."},
    {.name = "write-timeout",
     .type = OPTION_DURATION,
     .metavar = "TIME",
     .initial = "30s",
     .min = SECOND,
     .max = HOUR,
     .offset = FIELD(write_timeout_us),
     .help = "How long a client may leave its answer unread before the request is cancelled."},
    {.name = "drain-timeout",
     .type = OPTION_DURATION,
     .metavar = "TIME",
     .initial = "30s",
     .max = 24 * HOUR,
     .offset = FIELD(drain_timeout_us),
     .help = "How long running requests may still take after SIGTERM or Ctrl-C."},

    {.name = "threads",
     .group = "computing",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .max = 1024,
     .offset = FIELD(threads),
     .help = "Threads that compute; auto is one per core that this process may use (affinity mask "
             "and cgroup limit)."},
    {.name = "kv-memory",
     .type = OPTION_BYTES,
     .metavar = "SIZE",
     .zero = "auto",
     .offset = FIELD(kv_memory),
     .help = "Memory for keys and values, which decides how many sequences run at once; auto takes "
             "a share of what is free behind the weights."},
    {.name = "max-model-len",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .offset = FIELD(max_model_len),
     .help = "The longest sequence, prompt and answer, in tokens; auto is what the model was "
             "trained for, as far as the memory carries it."},
    {.name = "max-num-seqs",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .max = 65536,
     .offset = FIELD(max_num_seqs),
     .help = "Sequences that run at once; further ones wait."},
    {.name = "max-num-batched-tokens",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .max = 1 << 20,
     .offset = FIELD(max_num_batched_tokens),
     .help = "Tokens of one step, prompts and answers together: more reads prompts faster, less "
             "makes the streams smoother. Below --max-num-seqs it limits the sequences of a step."},
    {.name = "block-size",
     .type = OPTION_U32,
     .metavar = "N",
     .initial = "16",
     .min = 8,
     .max = 256,
     .offset = FIELD(block_size),
     .help = "Tokens in a block of the KV cache, the unit that is shared and evicted."},
    {.name = "enable-prefix-caching",
     .type = OPTION_BOOL,
     .initial = "true",
     .offset = FIELD(enable_prefix_caching),
     .help = "Keep the keys and values of finished prompts and reuse those that begin alike."},
    {.name = "scheduling-policy",
     .type = OPTION_CHOICE,
     .choices = policies,
     .initial = "fcfs",
     .offset = FIELD(scheduling_policy),
     .help = "Who goes first: first come first served, or the request's priority (lower first)."},
    {.name = "max-queued-requests",
     .type = OPTION_U32,
     .metavar = "N",
     .initial = "512",
     .zero = "unlimited",
     .offset = FIELD(max_queued_requests),
     .help = "Requests that may wait; further ones get 429 with retry-after."},
    {.name = "max-queued-tokens",
     .type = OPTION_U64,
     .metavar = "N",
     .zero = "unlimited",
     .offset = FIELD(max_queued_tokens),
     .help = "Prompt tokens that may wait."},
    {.name = "seed",
     .type = OPTION_U64,
     .metavar = "N",
     .initial = "0",
     .offset = FIELD(seed),
     .help = "Requests without a seed of their own draw from this one: the same requests in the "
             "same order give the same answers."},

    {.name = "log-format",
     .group = "logging",
     .type = OPTION_CHOICE,
     .choices = log_formats,
     .initial = "text",
     .offset = FIELD(log_format),
     .help = "Log lines on standard error for people or as one JSON object a line."},
    {.name = "log-level",
     .type = OPTION_CHOICE,
     .choices = log_levels,
     .initial = "info",
     .offset = FIELD(log_level),
     .help = "The least important lines that are written."},
    {.name = "access-log",
     .type = OPTION_BOOL,
     .initial = "true",
     .offset = FIELD(access_log),
     .help = "One line for each request with its counts and times."},
};

const struct option_table serve_option_table = {
    .command = "serve",
    .synopsis = "[MODEL] [options]",
    .about = "Serves a model over the OpenAI API: /v1/chat/completions, /v1/completions and "
             "/v1/models,\nwith /health and /metrics beside them. What is not said is derived "
             "from the machine and\nthe model, and printed at start.",
    .examples = "  kvasir serve\n"
                "      the built-in demo model at http://127.0.0.1:8000\n"
                "  kvasir serve ~/models/qwen2.5-0.5b-instruct-q8_0.gguf --port 9000\n"
                "      a downloaded GGUF file on another port\n"
                "  kvasir serve Qwen/Qwen3-0.6B --host 0.0.0.0 --max-model-len 8192\n"
                "      a model of the local Hugging Face cache, for the whole network\n"
                "  kvasir serve --config /etc/kvasir.yaml --print-config\n"
                "      what would be used, without starting\n",
    .rows = rows,
    .n_rows = sizeof rows / sizeof rows[0],
    .values_size = sizeof(struct serve_options),
    .has_config = true,
};
