/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "kvasir/chat.h"
#include "kvasir/clock.h"
#include "kvasir/tokenizer.h"

#include "fake_engine.h"
#include "fake_text.h"
#include "support.h"

enum { BLOCK_SIZE = 16, CLIENT_TIMEOUT_S = 20 };

struct fixture {
    struct server *server;
    struct scheduler *scheduler;
    struct fake_engine *engine;
    struct chat_template *chat_template;
    struct service service;
    struct model_info info;
    token_id script[4096];
    uint32_t n_blocks;
    FILE *log;
    pthread_t thread;
    bool joined;
    int run_result;
    atomic_bool ended; /* set by the loop's thread */
};

static void pause_ms(unsigned ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL); /* a short sleep is fine */
}

static void *run_loop(void *arg) {
    struct fixture *fixture = arg;
    fixture->run_result = server_run(fixture->server);
    fixture->ended = true;
    return NULL;
}

static void start_scheduler(struct fixture *f, const struct fixture_options *o) {
    const uint32_t n_script = o->script ? (uint32_t)strlen(o->script) : 0;
    assert_true(n_script <= sizeof f->script / sizeof f->script[0]);
    for (uint32_t i = 0; i < n_script; i++)
        f->script[i] = (unsigned char)o->script[i];

    const struct fake_engine_options engine_options = {
        .n_vocab = FAKE_N_VOCAB,
        .n_blocks = f->n_blocks,
        .block_size = BLOCK_SIZE,
        .max_batch_tokens = 256,
        .script = o->script ? f->script : NULL,
        .n_script = n_script,
        .eos = FAKE_EOS,
        .nan_every = o->nan_every,
        .step_us = o->step_us,
    };
    f->engine = fake_engine_create(&engine_options);
    assert_non_null(f->engine);

    const struct scheduler_options options = {
        .step = fake_engine_step,
        .engine = f->engine,
        .rope_class = fake_engine_rope_class,
        .n_vocab = FAKE_N_VOCAB,
        .block_size = BLOCK_SIZE,
        .n_blocks = f->n_blocks,
        .max_model_len = f->service.max_model_len,
        .max_num_seqs = o->max_num_seqs ? o->max_num_seqs : 16,
        .max_num_batched_tokens = 256,
        .prefix_caching = true,
        .hash_key = {1, 2},
        .max_queued_requests = o->max_queue,
        .check_invariants = true,
        .notify = server_notify,
        .notify_ctx = f->server,
    };
    struct error error = {0};
    if (scheduler_start(&options, &f->scheduler, &error) < 0)
        fail_msg("scheduler: %s", error.message);
}

struct server_options fixture_server_options(const struct fixture_options *o, int log_fd) {
    const uint64_t second_us = 1000000;
    return (struct server_options){
        .host = "127.0.0.1",
        .version = "0.0.test",
        .served_model_names = o->model_names,
        .n_served_model_names = o->n_model_names,
        .allowed_hosts = o->allowed_hosts,
        .n_allowed_hosts = o->n_allowed_hosts,
        .log_format = o->log_json ? SERVER_LOG_JSON : SERVER_LOG_TEXT,
        .log_level = o->log_level ? o->log_level : SERVER_LOG_INFO,
        .access_log = true,
        .log_fd = log_fd,
        .max_connections = o->max_connections ? o->max_connections : 64,
        .max_body_bytes = o->max_body ? o->max_body : 16 << 20,
        .max_buffered_bytes = o->max_buffered ? o->max_buffered : 256 << 20,
        .max_stream_queue_bytes = o->max_stream_queue,
        .keep_alive_timeout_us =
            o->keep_alive_timeout_us ? o->keep_alive_timeout_us : 75 * second_us,
        .header_timeout_us = o->header_timeout_us ? o->header_timeout_us : 10 * second_us,
        .body_timeout_us = 30 * second_us,
        .write_timeout_us = o->write_timeout_us ? o->write_timeout_us : 30 * second_us,
        .drain_timeout_us = o->drain_timeout_us ? o->drain_timeout_us : 30 * second_us,
        .seed = 1,
    };
}

struct fixture *fixture_start(const struct fixture_options *o) {
    struct fixture *f = calloc(1, sizeof *f);
    assert_non_null(f);
    f->log = tmpfile();
    assert_non_null(f->log);
    f->n_blocks = o->n_blocks ? o->n_blocks : 256;

    struct error error = {0};
    const struct server_options options = fixture_server_options(o, fileno(f->log));
    if (server_create(&options, &f->server, &error) < 0 || server_bind(f->server, &error) < 0)
        fail_msg("server: %s", error.message);

    f->info = (struct model_info){
        .name = "fake-files",
        .n_vocab = FAKE_N_VOCAB,
        .eos = {FAKE_EOS, FAKE_IM_END},
        .n_eos = 2,
    };
    if (chat_template_parse("", 0, "fake", &f->chat_template, &error) < 0)
        fail_msg("template: %s", error.message);
    f->service = (struct service){
        .tokenizer = NULL, /* the fake one has no state */
        .chat_template = o->no_template ? NULL : f->chat_template,
        .info = &f->info,
        .name = o->model_name ? o->model_name : "fake",
        .max_model_len = o->max_model_len ? o->max_model_len : 512,
        .max_num_seqs = 16,
        .block_size = BLOCK_SIZE,
        .n_blocks = f->n_blocks,
    };
    start_scheduler(f, o);
    f->service.scheduler = f->scheduler;
    assert_int_equal(pthread_create(&f->thread, NULL, run_loop, f), 0);
    if (!o->loading)
        fixture_set_service(f);
    return f;
}

void fixture_set_service(struct fixture *f) {
    server_set_service(f->server, &f->service);
    for (unsigned i = 0; i < 2000; i++) { /* until the loop has seen it */
        struct response response = {0};
        client_request(f, "GET", "/v1/models", NULL, &response);
        const int status = response.status;
        response_free(&response);
        if (status == 200)
            return;
        pause_ms(1);
    }
    fail_msg("the service was not taken");
}

struct server *fixture_server(struct fixture *f) {
    return f->server;
}

void fixture_stats(struct fixture *f, struct scheduler_stats *ret_stats) {
    scheduler_stats(f->scheduler, ret_stats);
}

bool fixture_wait_idle(struct fixture *f, unsigned ms) {
    for (unsigned i = 0; i <= ms; i++) {
        struct scheduler_stats stats;
        scheduler_stats(f->scheduler, &stats);
        if (stats.n_running == 0 && stats.n_waiting == 0 && !stats.stepping &&
            stats.blocks_free + stats.blocks_cached == f->n_blocks)
            return true;
        pause_ms(1);
    }
    return false;
}

bool fixture_join(struct fixture *f, unsigned ms) {
    for (unsigned i = 0; i <= ms && !f->ended; i++)
        pause_ms(1);
    if (!f->ended)
        return false;
    if (!f->joined)
        assert_int_equal(pthread_join(f->thread, NULL), 0);
    f->joined = true;
    return true;
}

void fixture_stop(struct fixture *f) {
    if (!f->ended)
        server_stop(f->server);
    if (!fixture_join(f, 10000))
        fail_msg("the loop does not end");
    assert_int_equal(f->run_result, 0);
    const bool idle = fixture_wait_idle(f, 5000);
    scheduler_stop(f->scheduler);
    server_destroy(f->server);
    const char *complaint = fake_engine_complaint(f->engine);
    if (complaint)
        fail_msg("the engine was misused: %s", complaint);
    fake_engine_destroy(f->engine);
    chat_template_free(f->chat_template);
    (void)fclose(f->log); /* a temporary file */
    free(f);
    assert_true(idle);
}

char *fixture_log(struct fixture *f) {
    struct timespec time = {.tv_nsec = 20000000};
    (void)nanosleep(&time, NULL); /* the line is written after the response */
    (void)fflush(f->log);         /* written through its descriptor only */
    const off_t size = lseek(fileno(f->log), 0, SEEK_END);
    char *text = calloc(1, (size_t)size + 1);
    assert_non_null(text);
    assert_int_equal(pread(fileno(f->log), text, (size_t)size, 0), size);
    return text;
}

/* ---- the client ---- */

int fixture_connect(struct fixture *f) {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof timeout), 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &timeout, sizeof timeout), 0);
    struct sockaddr_in addr = {
        .sin_family = AF_INET,
        .sin_port = htons(server_port(f->server)),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    if (connect(fd, (struct sockaddr *)&addr, sizeof addr) < 0)
        fail_msg("connect: %s", strerror(errno));
    return fd;
}

void client_send(int fd, const char *bytes, size_t len) {
    while (len > 0) {
        const ssize_t n = send(fd, bytes, len, MSG_NOSIGNAL);
        if (n <= 0)
            return; /* the server has closed: its answer says why */
        bytes += n;
        len -= (size_t)n;
    }
}

static bool read_byte(int fd, char *ret) {
    return recv(fd, ret, 1, 0) == 1;
}

/* One line without its CRLF, appended to a growing string. */
static bool read_line(int fd, char **line) {
    size_t len = 0;
    size_t cap = 256;
    *line = malloc(cap);
    assert_non_null(*line);
    char c;
    while (read_byte(fd, &c)) {
        if (c == '\n') {
            (*line)[len > 0 && (*line)[len - 1] == '\r' ? len - 1 : len] = '\0';
            return true;
        }
        if (len + 2 > cap) {
            cap *= 2;
            *line = realloc(*line, cap);
            assert_non_null(*line);
        }
        (*line)[len++] = c;
    }
    free(*line);
    *line = NULL;
    return false;
}

static void append(char **text, size_t *len, const char *bytes, size_t n) {
    *text = realloc(*text, *len + n + 1);
    assert_non_null(*text);
    if (n > 0)
        memcpy(*text + *len, bytes, n);
    *len += n;
    (*text)[*len] = '\0';
}

static bool read_exactly(int fd, size_t n, struct response *response) {
    char bytes[4096];
    while (n > 0) {
        const ssize_t got = recv(fd, bytes, n < sizeof bytes ? n : sizeof bytes, 0);
        if (got <= 0)
            return false;
        append(&response->body, &response->body_len, bytes, (size_t)got);
        n -= (size_t)got;
    }
    return true;
}

static bool read_chunks(int fd, struct response *response) {
    for (;;) {
        char *line;
        if (!read_line(fd, &line))
            return false;
        char *end;
        const size_t n = strtoul(line, &end, 16);
        const bool valid = end != line && *end == '\0';
        free(line);
        if (!valid)
            fail_msg("a chunk size is malformed");
        if (!read_exactly(fd, n, response))
            return false;
        if (!read_line(fd, &line))
            return false;
        const bool empty = line[0] == '\0';
        free(line);
        if (!empty)
            fail_msg("a chunk is not followed by an empty line");
        if (n == 0)
            return true;
    }
}

bool client_read(int fd, struct response *response, bool head_only) {
    *response = (struct response){0};
    char *line;
    if (!read_line(fd, &line))
        return false;
    if (sscanf(line, "HTTP/1.1 %d ", &response->status) != 1)
        fail_msg("not a status line: %s", line);
    free(line);

    size_t head_len = 0;
    long content_length = -1;
    append(&response->head, &head_len, "", 0);
    append(&response->body, &response->body_len, "", 0);
    for (;;) {
        if (!read_line(fd, &line))
            return false;
        const bool end = line[0] == '\0';
        if (strncasecmp(line, "content-length: ", 16) == 0)
            content_length = strtol(line + 16, NULL, 10);
        if (strcasecmp(line, "transfer-encoding: chunked") == 0)
            response->chunked = true;
        append(&response->head, &head_len, line, strlen(line));
        append(&response->head, &head_len, "\n", 1);
        free(line);
        if (end)
            break;
    }
    if (head_only || response->status == 100 || response->status == 204)
        response->complete = true;
    else if (response->chunked)
        response->complete = read_chunks(fd, response);
    else if (content_length >= 0)
        response->complete = read_exactly(fd, (size_t)content_length, response);
    else { /* until the end of the connection */
        char bytes[4096];
        ssize_t got;
        while ((got = recv(fd, bytes, sizeof bytes, 0)) > 0)
            append(&response->body, &response->body_len, bytes, (size_t)got);
        response->complete = got == 0;
    }
    return true;
}

void response_free(struct response *response) {
    free(response->head);
    free(response->body);
    *response = (struct response){0};
}

bool client_at_end(int fd, unsigned ms) {
    struct pollfd pollfd = {.fd = fd, .events = POLLIN};
    if (poll(&pollfd, 1, (int)ms) != 1)
        return false;
    char c;
    return recv(fd, &c, 1, 0) <= 0;
}

bool glob_match(const char *pattern, const char *text) {
    const char *star = NULL; /* behind the last '*', and how far it has eaten */
    const char *eaten = NULL;
    while (*text) {
        const bool quoted = *pattern == '\\' && pattern[1];
        if (*pattern == '*') {
            star = ++pattern;
            eaten = text;
        } else if (*pattern && (quoted ? pattern[1] : *pattern) == *text) {
            pattern += quoted ? 2 : 1;
            text++;
        } else if (star) {
            pattern = star;
            text = ++eaten;
        } else
            return false;
    }
    while (*pattern == '*')
        pattern++;
    return *pattern == '\0';
}

bool response_has_header(const struct response *response, const char *pattern) {
    const char *line = response->head;
    while (line && *line) {
        const char *end = strchr(line, '\n');
        char copy[1024];
        const size_t len = end ? (size_t)(end - line) : strlen(line);
        if (len < sizeof copy) {
            memcpy(copy, line, len);
            copy[len] = '\0';
            if (glob_match(pattern, copy))
                return true;
        }
        line = end ? end + 1 : NULL;
    }
    return false;
}

void client_request(struct fixture *f, const char *method, const char *path, const char *body,
                    struct response *ret_response) {
    char head[512];
    const int n = snprintf(head, sizeof head,
                           "%s %s HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                           "Content-Length: %zu\r\nConnection: close\r\n\r\n",
                           method, path, body ? strlen(body) : 0);
    assert_true(n > 0 && (size_t)n < sizeof head);
    const int fd = fixture_connect(f);
    client_send(fd, head, (size_t)n);
    if (body)
        client_send(fd, body, strlen(body));
    if (!client_read(fd, ret_response, /* head_only= */ false))
        fail_msg("no response to %s %s", method, path);
    (void)close(fd); /* a client that is done */
}
