/* SPDX-License-Identifier: Apache-2.0 */
/* command_options - the tables of the commands beside serve. */
#include "command_options.h"

#include "kvasir/serve_options.h"

#define ROWS(array) .rows = (array), .n_rows = sizeof(array) / sizeof(array)[0]

#define MODEL_HELP                                                                                 \
    "A Hugging Face folder, a .gguf file, or org/name in the local Hugging Face cache."

/* --- show --- */

#define FIELD(name) offsetof(struct show_options, name)
static const struct option show_rows[] = {
    {.name = "model",
     .group = "options",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL | OPTION_REQUIRED,
     .metavar = "MODEL",
     .offset = FIELD(model),
     .help = MODEL_HELP},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "Print one JSON object instead of lines for people."},
};
#undef FIELD

const struct option_table show_option_table = {
    .command = "show",
    .synopsis = "MODEL [--json]",
    .about = "Says what a model is, from its files alone: family, shapes, parameters, bytes of "
             "weights\nby type, bytes of KV cache per token, context length, tokenizer, chat "
             "template.",
    .examples = "  kvasir show ~/models/qwen2.5-0.5b-instruct-q8_0.gguf\n"
                "  kvasir show Qwen/Qwen3-0.6B --json | jq .kv_bytes_per_token\n",
    ROWS(show_rows),
    .values_size = sizeof(struct show_options),
};

/* --- eval --- */

#define FIELD(name) offsetof(struct eval_options, name)
static const struct option eval_rows[] = {
    {.name = "model",
     .group = "options",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL | OPTION_REQUIRED,
     .metavar = "MODEL",
     .offset = FIELD(model),
     .help = MODEL_HELP},
    {.name = "text",
     .type = OPTION_STRING,
     .metavar = "FILE",
     .offset = FIELD(text),
     .help = "Score this text, cut into pieces of the context length."},
    {.name = "ids",
     .type = OPTION_STRING,
     .metavar = "FILE.json",
     .offset = FIELD(ids),
     .help = "Score these token ids: {\"prompts\":[{\"ids\":[...]},...]}. Each prompt starts "
             "fresh."},
    {.name = "logits",
     .type = OPTION_STRING,
     .metavar = "OUT.safetensors",
     .offset = FIELD(logits),
     .help = "Write the logits of prompt N as the float32 tensor logits.N [n_tokens, n_vocab]."},
    {.name = "json",
     .type = OPTION_BOOL,
     .offset = FIELD(json),
     .help = "Print {\"tokens\":...,\"mean_nll\":...,\"perplexity\":...}."},
    {.name = "chunk",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .max = 1 << 20,
     .offset = FIELD(chunk),
     .help = "Tokens computed in one step. The result does not depend on it."},
    {.name = "threads",
     .type = OPTION_U32,
     .metavar = "N",
     .zero = "auto",
     .max = 1024,
     .offset = FIELD(threads),
     .help = "Threads that compute. The result does not depend on it."},
    {.name = "block-size",
     .type = OPTION_U32,
     .metavar = "N",
     .initial = "16",
     .min = 8,
     .max = 256,
     .offset = FIELD(block_size),
     .help = "Tokens in a block of the KV cache. The result does not depend on it."},
    {.name = "dtype",
     .type = OPTION_CHOICE,
     .choices = dtype_choices,
     .initial = "auto",
     .offset = FIELD(dtype),
     .help = "Arithmetic of weights and activations, as in serve."},
    {.name = "kv-cache-dtype",
     .type = OPTION_CHOICE,
     .choices = kv_dtype_choices,
     .initial = "auto",
     .offset = FIELD(kv_cache_dtype),
     .help = "How keys and values are stored, as in serve."},
    {.name = "quantize",
     .type = OPTION_CHOICE,
     .choices = quantize_choices,
     .initial = "none",
     .offset = FIELD(quantize),
     .help = "Pack float weights to int8 while loading, as in serve."},
};
#undef FIELD

const struct option_table eval_option_table = {
    .command = "eval",
    .synopsis = "MODEL (--text FILE | --ids FILE.json) [options]",
    .about = "Measures how well a model predicts a text: mean negative log-likelihood and "
             "perplexity.\nThe text goes through the same scheduler and engine as served "
             "requests; the first token\nof each prompt is not scored.",
    .examples = "  kvasir eval MODEL --text book.txt\n"
                "      perplexity of a text\n"
                "  kvasir eval MODEL --ids prompts.json --logits out.safetensors --dtype float32\n"
                "      every logit, to compare with another implementation\n",
    ROWS(eval_rows),
    .values_size = sizeof(struct eval_options),
};

/* --- tokenize --- */

#define FIELD(name) offsetof(struct tokenize_options, name)
static const struct option tokenize_rows[] = {
    {.name = "model",
     .group = "options",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL | OPTION_REQUIRED,
     .metavar = "MODEL",
     .offset = FIELD(model),
     .help = MODEL_HELP " A folder with nothing but tokenizer.json is enough."},
    {.name = "json-lines",
     .type = OPTION_STRING,
     .metavar = "FILE",
     .offset = FIELD(json_lines),
     .help = "Tokenize every string of the JSON array in FILE, one line out for each, instead of "
             "standard input as one text."},
    {.name = "add-special-tokens",
     .type = OPTION_BOOL,
     .offset = FIELD(add_special_tokens),
     .help = "Add what the tokenizer adds around a text, such as a begin-of-text token."},
    {.name = "parse-special",
     .type = OPTION_BOOL,
     .initial = "true",
     .offset = FIELD(parse_special),
     .help = "Special tokens written in the text become their ids; with --no-parse-special they "
             "are ordinary text."},
    {.name = "decode",
     .type = OPTION_BOOL,
     .offset = FIELD(decode),
     .help = "The other way: read a JSON array of ids a line, write the text of each."},
};
#undef FIELD

const struct option_table tokenize_option_table = {
    .command = "tokenize",
    .synopsis = "MODEL [options] < TEXT",
    .about = "Shows what a text becomes: standard input in, one JSON array of token ids out.",
    .examples = "  printf 'Hello' | kvasir tokenize MODEL\n"
                "  printf 'Hello' | kvasir tokenize MODEL | kvasir tokenize MODEL --decode\n"
                "  kvasir tokenize MODEL --json-lines texts.json\n",
    ROWS(tokenize_rows),
    .values_size = sizeof(struct tokenize_options),
};

/* --- render --- */

#define FIELD(name) offsetof(struct render_options, name)
static const struct option render_rows[] = {
    {.name = "model",
     .group = "options",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL,
     .metavar = "MODEL",
     .offset = FIELD(model),
     .help = "Use this model's template; the request is one of /v1/chat/completions, checked and "
             "normalised as in serving. " MODEL_HELP},
    {.name = "template",
     .type = OPTION_STRING,
     .metavar = "FILE",
     .offset = FIELD(template_path),
     .help = "Render this Jinja template; the members of the request are its variables, as they "
             "are, and an absent one is undefined."},
    {.name = "request",
     .type = OPTION_STRING,
     .flags = OPTION_REQUIRED,
     .metavar = "FILE.json",
     .offset = FIELD(request),
     .help = "The request: one JSON object."},
    {.name = "now",
     .type = OPTION_STRING,
     .metavar = "ISO-8601",
     .offset = FIELD(now),
     .help =
         "The time that the template sees, such as 2026-01-31T12:00:00; otherwise the clock's."},
};
#undef FIELD

const struct option_table render_option_table = {
    .command = "render",
    .synopsis = "(MODEL | --template FILE) --request FILE.json [--now ISO-8601]",
    .about =
        "Prints the exact prompt that a chat template makes. An error of the template goes to\n"
        "standard error, with exit status 1.",
    .examples = "  kvasir render ./Qwen3-0.6B --request chat.json\n"
                "  kvasir render --template chat_template.jinja --request variables.json\n",
    ROWS(render_rows),
    .values_size = sizeof(struct render_options),
};

/* --- help --- */

#define FIELD(name) offsetof(struct help_options, name)
static const struct option help_rows[] = {
    {.name = "command",
     .group = "options",
     .type = OPTION_STRING,
     .flags = OPTION_POSITIONAL,
     .metavar = "COMMAND",
     .offset = FIELD(command),
     .help = "Say all about this command; without one, list them."},
    {.name = "markdown",
     .type = OPTION_BOOL,
     .offset = FIELD(markdown),
     .help = "Print the page of all commands' options (docs/options.md)."},
};
#undef FIELD

const struct option_table help_option_table = {
    .command = "help",
    .synopsis = "[COMMAND]",
    .about = "Says what kvasir can do, or all about one command.",
    ROWS(help_rows),
    .values_size = sizeof(struct help_options),
};
