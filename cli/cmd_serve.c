/* SPDX-License-Identifier: Apache-2.0 */
/*
 * serve - the daemon: listens at once, loads the model beside the loop, serves until drained.
 *
 * The main thread runs the loop. A loader thread opens the instance and hands it to the server;
 * until then requests get 503. If loading fails, the loader stops the loop and the reason is the
 * exit message.
 */
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/serve_options.h"
#include "kvasir/server.h"

#include "cli.h"
#include "instance.h"
#include "serve_map.h"

/* --- the loader thread --- */

enum loading_state { LOADING, LOADED, LOADING_FAILED };

/* Written by the loader before state leaves LOADING, read by main afterwards. */
struct loading {
    const struct serve_options *options;
    struct server *server;
    struct instance instance;
    struct service service; /* lent to the server until its loop has ended */
    struct error err;
    bool on_terminal;
    int shown_percent;
    _Atomic int state; /* enum loading_state; released by the loader, acquired by main */
};

static void show_progress(void *ctx, double fraction) {
    struct loading *loading = ctx;
    const int percent = (int)(fraction * 100);
    if (!loading->on_terminal || percent == loading->shown_percent)
        return;
    loading->shown_percent = percent;
    (void)fprintf(stderr, "\rloading %3d %%", percent); /* only for people */
}

static void announce(const struct loading *loading) {
    const struct instance *instance = &loading->instance;
    const struct engine_info *engine = engine_info(instance->engine);
    struct buf text;
    buf_init(&text, 0);
    if (loading->on_terminal)
        buf_append_str(&text, "\r");
    buf_printf(&text, "%s: %s, %s, arithmetic %s, KV %s, ready in %.2f s\n", instance->name,
               model_info(instance->model)->family, engine->isa, engine->dtype, engine->kv_dtype,
               (double)instance->load_us / 1e6);
    sizing_describe(&instance->sizing, &instance->facts, &text);
    if (!instance->chat_template)
        buf_append_str(&text, "note: the model has no chat template; /v1/chat/completions is "
                              "refused, /v1/completions works\n");
    buf_append(&text, "", 0);
    if (!buf_failed(&text))
        (void)fputs(text.data, stderr); /* only for people */
    buf_fini(&text);
}

static void *load(void *arg) {
    struct loading *loading = arg;
    const struct instance_hooks hooks = {
        .notify = server_notify,
        .notify_ctx = loading->server,
        .on_progress = show_progress,
        .progress_ctx = loading,
    };
    struct instance_options options;
    serve_map_instance(loading->options, &options);
    const int r = instance_open(&options, &hooks, &loading->instance, &loading->err);
    if (r < 0) {
        /* release: err is complete before main sees the state */
        atomic_store_explicit(&loading->state, LOADING_FAILED, memory_order_release);
        server_stop(loading->server);
        return NULL;
    }
    announce(loading);
    const struct instance *instance = &loading->instance;
    loading->service = (struct service){
        .scheduler = instance->scheduler,
        .tokenizer = instance->tokenizer,
        .chat_template = instance->chat_template,
        .info = model_info(instance->model),
        .name = instance->name,
        .max_model_len = instance->sizing.max_model_len,
        .max_num_seqs = instance->sizing.max_num_seqs,
        .block_size = instance->sizing.block_size,
        .n_blocks = instance->sizing.n_blocks,
        .load_us = instance->load_us,
    };
    /* release: the instance is complete before main sees the state */
    atomic_store_explicit(&loading->state, LOADED, memory_order_release);
    server_set_service(loading->server, &loading->service);
    return NULL;
}

/* --- the command --- */

static void say_listening(const struct serve_options *options, const struct server *server) {
    (void)fprintf(stderr,
                  "listening on http://%s:%u\n"
                  "try: curl http://%s:%u/v1/chat/completions -H 'Content-Type: "
                  "application/json' -d '{\"messages\":[{\"role\":\"user\",\"content\":\"What is a "
                  "KV cache?\"}],\"stream\":true}' -N\n",
                  options->host, server_port(server), options->host,
                  server_port(server)); /* only for people */
}

/* Runs the loop with the loader beside it. */
static int run_server(struct server *server, const struct serve_options *options,
                      struct error *reterr) {
    static const char no_thread[] = "no thread for loading the model";
    struct loading loading = {
        .options = options,
        .server = server,
        .on_terminal = isatty(STDERR_FILENO) == 1,
        .shown_percent = -1,
    };
    pthread_t thread;
    int r = -pthread_create(&thread, NULL, load, &loading);
    if (r < 0)
        return error_set(reterr, r, "%s: %s", no_thread, strerror(-r));

    r = server_run(server);
    if (r < 0)
        (void)error_set(reterr, r, "the event loop failed: %s", strerror(-r));

    /* acquire: see load() */
    const int state = atomic_load_explicit(&loading.state, memory_order_acquire);
    if (state == LOADING) {
        /* Told to stop while loading, which cannot be interrupted: nothing is there to save. */
        (void)fflush(stdout);
        _exit(CLI_DONE);
    }
    (void)pthread_join(thread, NULL); /* it has ended or is about to */
    if (state == LOADING_FAILED) {
        *reterr = loading.err;
        r = -1;
    } else {
        instance_close(&loading.instance);
    }
    return r;
}

static int serve(const struct serve_options *options, struct error *reterr) {
    struct server_options server_options;
    struct server *server;
    serve_map_server(options, &server_options);
    int r = server_create(&server_options, &server, reterr);
    if (r < 0)
        return r;

    r = server_bind(server, reterr);
    if (r == 0) {
        say_listening(options, server);
        r = run_server(server, options, reterr);
    }
    server_destroy(server);
    return r;
}

int cmd_serve(int argc, char **argv) {
    struct serve_options values;
    struct options options;
    int status;
    if (!cli_begin(&serve_option_table, argc, argv, &values, &options, &status))
        return status;

    struct error error = {.message = ""};
    status = serve(&values, &error) < 0 ? cli_fail("serve", &error) : CLI_DONE;
    options_fini(&options);
    return status;
}
