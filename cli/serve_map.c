/* SPDX-License-Identifier: Apache-2.0 */
#include "serve_map.h"

#include <unistd.h>

#include "cli.h"

void serve_map_server(const struct serve_options *options, struct server_options *ret_options) {
    *ret_options = (struct server_options){
        .host = options->host,
        .port = (uint16_t)options->port,
        .version = version_number(),
        .served_model_names = options->served_model_name.items,
        .n_served_model_names = options->served_model_name.n,
        .allowed_hosts = options->allowed_hosts.items,
        .n_allowed_hosts = options->allowed_hosts.n,
        .api_defaults = options->generation_config == SERVE_GENERATION_API,
        .log_format = options->log_format == SERVE_LOG_JSON ? SERVER_LOG_JSON : SERVER_LOG_TEXT,
        .log_level = options->log_level == SERVE_LOG_ERROR     ? SERVER_LOG_ERROR
                     : options->log_level == SERVE_LOG_WARNING ? SERVER_LOG_WARNING
                     : options->log_level == SERVE_LOG_INFO    ? SERVER_LOG_INFO
                                                               : SERVER_LOG_DEBUG,
        .access_log = options->access_log,
        .log_fd = STDERR_FILENO,
        .max_connections = options->max_connections,
        .max_body_bytes = (size_t)options->max_body,
        .max_buffered_bytes = (size_t)options->max_buffered,
        .keep_alive_timeout_us = options->keep_alive_timeout_us,
        .header_timeout_us = options->header_timeout_us,
        .body_timeout_us = options->body_timeout_us,
        .write_timeout_us = options->write_timeout_us,
        .drain_timeout_us = options->drain_timeout_us,
        .seed = options->seed,
        .handle_signals = true,
    };
}

void serve_map_instance(const struct serve_options *options, struct instance_options *ret_options) {
    *ret_options = (struct instance_options){
        .model = options->model,
        .dtype = options->dtype,
        .kv_dtype = options->kv_cache_dtype,
        .quantize = options->quantize,
        .threads = options->threads,
        .kv_memory = options->kv_memory,
        .max_model_len = options->max_model_len,
        .max_num_seqs = options->max_num_seqs,
        .max_num_batched_tokens = options->max_num_batched_tokens,
        .block_size = options->block_size,
        .prefix_caching = options->enable_prefix_caching,
        .policy = options->scheduling_policy,
        .max_queued_requests = options->max_queued_requests,
        .max_queued_tokens = options->max_queued_tokens,
    };
}
