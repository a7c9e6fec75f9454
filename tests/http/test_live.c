/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What takes time or several clients: clients that go away or do not read, a full queue, draining,
 * many streams at once, and whether the numbers of /metrics and the log are true.
 */
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "kvasir/buf.h"
#include "kvasir/clock.h"
#include "kvasir/mem.h"

#include "fixture.h"
#include "support.h"

static void pause_ms(unsigned ms) {
    const struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000) * 1000000};
    (void)nanosleep(&time, NULL); /* a short sleep is fine */
}

static void send_completion_on(int fd, const char *body) {
    char head[256];
    const int n = snprintf(head, sizeof head,
                           "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                           "Content-Length: %zu\r\n\r\n",
                           strlen(body));
    client_send(fd, head, (size_t)n);
    client_send(fd, body, strlen(body));
}

/* Sends a completions request; the response is not read. */
static int send_completion(struct fixture *f, const char *body) {
    const int fd = fixture_connect(f);
    send_completion_on(fd, body);
    return fd;
}

/* A client whose kernel takes little for it. */
static int connect_with_small_buffer(struct fixture *f) {
    const int bytes = 4096;
    const int fd = fixture_connect(f);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof bytes), 0);
    return fd;
}

/* Waits until something holds for the scheduler's figures. */
#define WAIT_FOR(fixture, condition)                                                               \
    do {                                                                                           \
        struct scheduler_stats stats;                                                              \
        unsigned tries = 0;                                                                        \
        for (fixture_stats(fixture, &stats); !(condition); fixture_stats(fixture, &stats)) {       \
            if (++tries > 5000)                                                                    \
                fail_msg("never: " #condition);                                                    \
            pause_ms(1);                                                                           \
        }                                                                                          \
    } while (false)

static double metric(struct fixture *f, const char *name) {
    struct response response = {0};
    client_request(f, "GET", "/metrics", NULL, &response);
    assert_int_equal(response.status, 200);
    double value = -1;
    const size_t len = strlen(name);
    for (const char *line = response.body; line && *line;) {
        if (strncmp(line, name, len) == 0 && line[len] == ' ')
            value = strtod(line + len, NULL);
        line = strchr(line, '\n');
        line = line ? line + 1 : NULL;
    }
    response_free(&response);
    if (value < 0)
        fail_msg("no metric %s", name);
    return value;
}

#define MODEL "{model_name=\"fake\",engine=\"0\"}"

static void wait_for_buffered(struct fixture *f, double least, double most) {
    for (unsigned i = 0; i < 5000; i++) {
        const double now = metric(f, "kvasir_buffered_bytes");
        if (now >= least && now <= most)
            return;
        pause_ms(1);
    }
    fail_msg("buffered bytes never from %.0f to %.0f", least, most);
}

/* ---- clients that go away ---- */

static void test_disconnect_while_streaming_frees_the_sequence(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 2000, .max_model_len = 4096, .n_blocks = 512});
    const int fd = send_completion(
        f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,\"stream\":true}");
    char bytes[256];
    assert_true(recv(fd, bytes, sizeof bytes, 0) > 0);
    (void)close(fd); /* the test: a client that goes away */
    assert_true(fixture_wait_idle(f, 500));
    assert_true(metric(f, "kvasir_aborted_sequences_total{model_name=\"fake\",engine=\"0\",cause="
                          "\"client_disconnect\"}") == 1);
    assert_true(metric(f, "kvasir_client_disconnects_total") == 1);
    fixture_stop(f);
}

static void test_disconnect_of_a_whole_request_frees_the_sequence(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 2000, .max_model_len = 4096, .n_blocks = 512});
    const int fd =
        send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,\"n\":3}");
    WAIT_FOR(f, stats.n_running == 3);
    (void)close(fd); /* the test: a client that goes away */
    assert_true(fixture_wait_idle(f, 500));
    fixture_stop(f);
}

static void test_disconnect_in_the_queue_and_in_prefill(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){
        .step_us = 20000, .max_num_seqs = 1, .max_model_len = 4096, .n_blocks = 512});
    const int running =
        send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true}");
    WAIT_FOR(f, stats.n_running == 1);
    const int waiting = send_completion(f, "{\"prompt\":\"y\",\"max_tokens\":9}");
    WAIT_FOR(f, stats.n_waiting == 1);
    (void)close(waiting); /* the test: gone while queued */
    WAIT_FOR(f, stats.n_waiting == 0);
    (void)close(running); /* the test: gone while decoding */
    assert_true(fixture_wait_idle(f, 1000));

    char body[4096] = "{\"prompt\":\"";
    memset(body + strlen(body), 'p', 3000); /* twelve steps of prefill */
    memcpy(body + strlen(body), "\"}", 3);
    const int prefilling = send_completion(f, body);
    WAIT_FOR(f, stats.n_running == 1);
    (void)close(prefilling); /* the test: gone in the middle of its prefill */
    assert_true(fixture_wait_idle(f, 1000));
    fixture_stop(f);
}

/* Clients that leave at any moment, some with RST: at the end everything is free. */
static void test_random_aborts_leave_nothing(void **state) {
    (void)state;
    uint64_t seed = 7;
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 300,
                                                                .max_num_seqs = 4,
                                                                .max_model_len = 256,
                                                                .n_blocks = 64,
                                                                .max_connections = 256});
    for (int i = 0; i < 400; i++) {
        char body[256];
        (void)snprintf(body, sizeof body,
                       "{\"prompt\":\"%llu\",\"max_tokens\":%u,\"ignore_eos\":true,\"n\":%u,"
                       "\"stream\":%s}",
                       (unsigned long long)(test_random(&seed) % 5),
                       (unsigned)(1 + test_random(&seed) % 60),
                       (unsigned)(1 + test_random(&seed) % 3),
                       test_random(&seed) % 2 ? "true" : "false"); /* fits */
        const int fd = send_completion(f, body);
        if (test_random(&seed) % 4 == 0)
            pause_ms((unsigned)(test_random(&seed) % 10));
        if (test_random(&seed) % 3 == 0) {
            const struct linger reset = {.l_onoff = 1};
            (void)setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset); /* else a FIN */
        }
        (void)close(fd); /* the test */
    }
    assert_true(fixture_wait_idle(f, 5000));
    struct response response = {0};
    client_request(f, "GET", "/health", NULL, &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    fixture_stop(f);
}

/* ---- clients that end their side and wait (nc -N) ---- */

/* The final response: "100 Continue" may come before it. */
static bool read_final(int fd, struct response *ret_response) {
    while (client_read(fd, ret_response, false)) {
        if (ret_response->status != 100)
            return true;
        response_free(ret_response);
    }
    return false;
}

static void test_half_closed_client_gets_its_whole_answer(void **state) {
    (void)state;
    struct fixture *f =
        fixture_start(&(struct fixture_options){.script = "the answer", .step_us = 20000});
    /* Two at once: the second is read when the first was answered. */
    const int fd = send_completion(f, "{\"prompt\":\"x\"}");
    send_completion_on(fd, "{\"prompt\":\"y\"}");
    assert_int_equal(shutdown(fd, SHUT_WR), 0);
    struct response response;
    for (int i = 0; i < 2; i++) {
        assert_true(read_final(fd, &response));
        assert_int_equal(response.status, 200);
        assert_true(response.complete);
        assert_non_null(strstr(response.body, "\"text\":\"the answer\""));
        response_free(&response);
    }
    assert_true(client_at_end(fd, 2000));
    (void)close(fd); /* closed by the server */

    /* HTTP/1.0 knows no 100. */
    const char *request = "POST /v1/completions HTTP/1.0\r\nContent-Length: 14\r\n\r\n"
                          "{\"prompt\":\"x\"}";
    const int old = fixture_connect(f);
    client_send(old, request, strlen(request));
    assert_int_equal(shutdown(old, SHUT_WR), 0);
    assert_true(client_read(old, &response, false));
    assert_int_equal(response.status, 200);
    assert_true(response.complete);
    response_free(&response);
    (void)close(old); /* closed by the server */
    fixture_stop(f);
}

static void test_half_closed_stream_is_cancelled(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 2000, .max_model_len = 4096, .n_blocks = 512});
    static const int paddings[2] = {10, 200000}; /* parsed on the loop, and in a job */
    for (int i = 0; i < 2; i++) {
        for (int late = 0; late < 2; late++) {
            struct buf body = {0};
            buf_append_str(&body, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,"
                                  "\"stream\":true,\"user\":\"");
            for (int n = 0; n < paddings[i]; n++)
                buf_append_char(&body, 'y');
            buf_append_str(&body, "\"}");
            const int fd = send_completion(f, body.data);
            buf_fini(&body);
            if (late)
                WAIT_FOR(f, stats.n_running == 1);
            assert_int_equal(shutdown(fd, SHUT_WR), 0);
            for (int n = 0; n < 2000 && metric(f, "kvasir_http_connections") > 1; n++)
                pause_ms(1);
            assert_true(metric(f, "kvasir_http_connections") == 1); /* the scrape's own */
            assert_true(fixture_wait_idle(f, 500));
            (void)close(fd); /* closed by the server */
        }
    }
    fixture_stop(f);
}

/* ---- readers that do not read ---- */

static void test_slow_reader_is_cut_off_and_the_others_are_not(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){
        .max_model_len = 4096, .n_blocks = 4096, .max_stream_queue = 4096});
    const int fd = connect_with_small_buffer(f);
    send_completion_on(fd, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,"
                           "\"stream\":true,\"n\":8}");
    struct response response = {0};
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"y\",\"max_tokens\":50}", &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    assert_true(fixture_wait_idle(f, 10000));
    assert_true(metric(f, "kvasir_aborted_sequences_total{model_name=\"fake\",engine=\"0\",cause="
                          "\"slow_reader\"}") == 8);
    char *log = fixture_log(f);
    assert_non_null(strstr(log, "its reader is"));
    free(log);
    (void)close(fd); /* long since closed by the server */
    fixture_stop(f);
}

/* One wake-up may write far more than the limit: prompts given back, many choices. */
static void test_healthy_reader_of_large_writes_is_not_cut(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){
        .step_us = 2000, .max_model_len = 4096, .n_blocks = 8192, .max_stream_queue = 1024});
    struct buf body = {0};
    buf_append_str(&body, "{\"max_tokens\":20,\"ignore_eos\":true,\"stream\":true,\"n\":16,"
                          "\"echo\":true,\"return_token_ids\":true,\"prompt\":\"");
    for (int i = 0; i < 3900; i++)
        buf_append_char(&body, 'x');
    buf_append_str(&body, "\"}");
    const int fd = connect_with_small_buffer(f);
    send_completion_on(fd, body.data);
    buf_fini(&body);
    WAIT_FOR(f, stats.generated_tokens >= 16 * 5); /* more than one wake-up went by */
    struct response response;
    assert_true(client_read(fd, &response, false));
    assert_true(response.complete);
    assert_non_null(strstr(response.body, "data: [DONE]"));
    response_free(&response);
    (void)close(fd); /* done */
    fixture_stop(f);
}

/* Behind, though not very far: it is the time without a byte taken that counts. */
static void test_stuck_reader_is_cut_off_in_time(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 4000,
                                                                .max_model_len = 4096,
                                                                .n_blocks = 512,
                                                                .max_stream_queue = 16 << 10,
                                                                .write_timeout_us = 3000000});
    const int fd = connect_with_small_buffer(f);
    send_completion_on(fd, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,"
                           "\"stream\":true,\"logprobs\":20}");
    WAIT_FOR(f, stats.n_running == 1);
    assert_true(fixture_wait_idle(f, 15000));
    assert_true(metric(f, "kvasir_aborted_sequences_total{model_name=\"fake\",engine=\"0\",cause="
                          "\"slow_reader\"}") == 1);
    char *log = fixture_log(f);
    assert_non_null(strstr(log, "took nothing for 0."));
    free(log);
    (void)close(fd); /* closed by the server */
    fixture_stop(f);
}

static void test_disconnect_of_a_stalled_reader_frees_the_sequence(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 500, .max_model_len = 4096, .n_blocks = 4096});
    const int fd = connect_with_small_buffer(f);
    send_completion_on(fd, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,"
                           "\"stream\":true,\"n\":4}");
    wait_for_buffered(f, 1, 1e9); /* its kernel takes no more */
    (void)close(fd);              /* the test */
    assert_true(fixture_wait_idle(f, 500));
    wait_for_buffered(f, 0, 0);
    fixture_stop(f);
}

/* A whole response that nobody takes: the write timer closes it. */
static void test_write_stall_closes(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.write_timeout_us = 300000});
    struct buf body = {0};
    buf_append_str(&body, "{\"prompt\":\"");
    for (int i = 0; i < 1 << 20; i++)
        buf_append_char(&body, 'x');
    buf_append_str(&body, "\"}");
    char head[256];
    const int n = snprintf(
        head, sizeof head,
        "POST /tokenize HTTP/1.1\r\nHost: localhost\r\nContent-Length: %zu\r\n\r\n", body.len);
    const int fd = connect_with_small_buffer(f);
    client_send(fd, head, (size_t)n);
    client_send(fd, body.data, body.len);
    buf_fini(&body);
    for (int i = 0; i < 5000 && metric(f, "kvasir_http_connections") > 1; i += 20)
        pause_ms(20);
    assert_true(metric(f, "kvasir_http_connections") == 1); /* the scrape's own */
    char *log = fixture_log(f);
    assert_non_null(strstr(log, "does not read"));
    free(log);
    (void)close(fd); /* closed by the server */
    fixture_stop(f);
}

/* ---- overload ---- */

static void test_full_queue_is_429_with_a_time_to_come_back(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 5000,
                                                                .max_num_seqs = 1,
                                                                .max_queue = 1,
                                                                .max_model_len = 4096,
                                                                .n_blocks = 512});
    const int running =
        send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true}");
    WAIT_FOR(f, stats.n_running == 1);
    const int waiting = send_completion(f, "{\"prompt\":\"y\",\"max_tokens\":9}");
    WAIT_FOR(f, stats.n_waiting == 1);

    struct response response = {0};
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"z\"}", &response);
    assert_int_equal(response.status, 429);
    assert_true(response_has_header(&response, "retry-after: *"));
    assert_true(response_has_header(&response, "retry-after-ms: *"));
    assert_true(response_has_header(&response, "x-should-retry: true"));
    assert_true(glob_match("{\"error\":{\"message\":\"The queue is full*\",\"type\":"
                           "\"rate_limit_error\",\"param\":null,\"code\":\"rate_limit_exceeded\"}}",
                           response.body));
    response_free(&response);
    assert_true(metric(f, "kvasir_admission_rejections_total{model_name=\"fake\",engine=\"0\","
                          "reason=\"queue_full\"}") == 1);
    (void)close(running); /* done with it */
    (void)close(waiting); /* done with it */
    fixture_stop(f);
}

/* The time to come back is that of the work done, whatever was given up meanwhile. */
static void test_retry_after_does_not_count_what_was_cancelled(void **state) {
    (void)state;
    enum { QUEUE = 8 };
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 5000,
                                                                .max_num_seqs = 1,
                                                                .max_queue = QUEUE,
                                                                .max_model_len = 4096,
                                                                .n_blocks = 512});
    static const char *const endless = "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true}";
    struct response response = {0};
    for (int i = 0; i < 2; i++) { /* 200 ms of work each */
        client_request(f, "POST", "/v1/completions",
                       "{\"prompt\":\"x\",\"max_tokens\":40,\"ignore_eos\":true}", &response);
        response_free(&response);
    }
    for (int i = 0; i < 30; i++) {
        const int fd = send_completion(f, endless);
        WAIT_FOR(f, stats.n_running == 1);
        (void)close(fd); /* given up */
        WAIT_FOR(f, stats.n_running == 0);
    }
    int fds[1 + QUEUE];
    for (int i = 0; i < 1 + QUEUE; i++)
        fds[i] = send_completion(f, endless);
    WAIT_FOR(f, stats.n_waiting == QUEUE);
    client_request(f, "POST", "/v1/completions", endless, &response);
    assert_int_equal(response.status, 429);
    const char *ms = strstr(response.head, "retry-after-ms: ");
    assert_non_null(ms);
    assert_in_range(strtol(ms + strlen("retry-after-ms: "), NULL, 10), (1 + QUEUE) * 180, 60000);
    response_free(&response);
    for (int i = 0; i < 1 + QUEUE; i++)
        (void)close(fds[i]); /* done with it */
    fixture_stop(f);
}

/* Takes the statuses of n connections; the bodies are not looked at. */
static unsigned count_status(const int *fds, unsigned n, int status) {
    unsigned count = 0;
    for (unsigned i = 0; i < n; i++) {
        struct response response = {0};
        assert_true(client_read(fds[i], &response, /* head_only= */ false));
        count += response.status == status;
        response_free(&response);
        (void)close(fds[i]); /* done with it */
    }
    return count;
}

static void test_burst_that_can_start_is_not_refused(void **state) {
    (void)state;
    enum { N = 16 }; /* as many as may run */
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 20000, .max_queue = 2});
    int fds[N];
    for (unsigned round = 0; round < 2; round++) {
        for (unsigned i = 0; i < N; i++)
            fds[i] = send_completion(f, "{\"prompt\":\"hi\",\"max_tokens\":1}");
        assert_int_equal(count_status(fds, N, 200), N);
    }
    fixture_stop(f);
}

static void test_too_many_prompts_are_a_400_that_leaves_nothing(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.max_num_seqs = 2, .max_queue = 3});
    struct response response = {0};
    client_request(f, "POST", "/v1/completions",
                   "{\"prompt\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\"],\"max_tokens\":1}",
                   &response);
    assert_int_equal(response.status, 400);
    assert_true(glob_match("*6 sequences can never be taken: 2 may run (max-num-seqs) and 3 wait "
                           "(max-queued-requests).*\"param\":null*",
                           response.body));
    response_free(&response);
    client_request(f, "POST", "/v1/completions",
                   "{\"prompt\":[\"a\",\"b\",\"c\",\"d\",\"e\"],\"max_tokens\":1}", &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    fixture_stop(f);
}

/* Bodies that are parsed and tokenised on the pool: what waits for it counts as waiting. */
static void test_herd_of_large_prompts_is_refused_before_tokenising(void **state) {
    (void)state;
    enum { N = 32, BYTES = 100000 };
    struct fixture *f = fixture_start(&(struct fixture_options){.max_num_seqs = 1,
                                                                .max_queue = 2,
                                                                .step_us = 50000,
                                                                .max_model_len = 4 * BYTES,
                                                                .n_blocks = BYTES / 4});
    const int running =
        send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true}");
    WAIT_FOR(f, stats.n_running == 1);
    char *body = malloc(BYTES + 64);
    assert_non_null(body);
    int n = snprintf(body, 64, "{\"max_tokens\":1,\"prompt\":\"");
    memset(body + n, 'a', BYTES);
    (void)snprintf(body + n + BYTES, 16, "\"}"); /* fits */

    int fds[N];
    for (unsigned i = 0; i < N; i++)
        fds[i] = send_completion(f, body);
    unsigned n_refused = 0;
    for (unsigned ms = 0; n_refused < N - 2 && ms < 5000; ms += 10) {
        pause_ms(10);
        n_refused = 0;
        for (unsigned i = 0; i < N; i++) { /* two wait for ever, the others have an answer */
            struct pollfd pollfd = {.fd = fds[i], .events = POLLIN};
            n_refused += poll(&pollfd, 1, 0) == 1;
        }
    }
    assert_int_equal(n_refused, N - 2);
    free(body);
    for (unsigned i = 0; i < N; i++)
        (void)close(fds[i]); /* done with it */
    (void)close(running);    /* done with it */
    fixture_stop(f);
}

static void test_connections_are_capped(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.max_connections = 3});
    int fds[3];
    struct response response;
    bool alone = false;
    fds[0] = fixture_connect(f);
    while (!alone) { /* until the fixture's own connections are closed */
        client_send(fds[0], "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n", 42);
        assert_true(client_read(fds[0], &response, false));
        alone = strstr(response.body, "\nkvasir_http_connections 1\n") != NULL;
        response_free(&response);
    }
    fds[1] = fixture_connect(f);
    fds[2] = fixture_connect(f);
    const int extra = fixture_connect(f);
    assert_true(client_at_end(extra, 2000));
    (void)close(extra); /* refused */
    client_send(fds[0], "GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n", 39);
    assert_true(client_read(fds[0], &response, false));
    assert_int_equal(response.status, 200);
    response_free(&response);
    for (int i = 0; i < 3; i++)
        (void)close(fds[i]); /* done */
    fixture_stop(f);
}

/* ---- what clients may make the server hold ---- */

/* Begins a request whose body stops at n of n_declared bytes. */
static int send_unfinished(struct fixture *f, size_t n, size_t n_declared) {
    char head[256];
    const int head_len = snprintf(head, sizeof head,
                                  "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                                  "Content-Length: %zu\r\n\r\n",
                                  n_declared);
    char *body = malloc(n);
    assert_non_null(body);
    memset(body, ' ', n);
    const int fd = fixture_connect(f);
    client_send(fd, head, (size_t)head_len);
    client_send(fd, body, n);
    free(body);
    return fd;
}

static void test_unfinished_bodies_share_one_budget(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.script = "a", .max_body = 500000, .max_buffered = 1000000});
    const int first = send_unfinished(f, 400000, 450000);
    const int second = send_unfinished(f, 400000, 450000);
    wait_for_buffered(f, 800000, 800000);

    const int third = send_unfinished(f, 0, 450000); /* its head alone says that it cannot fit */
    struct response response;
    assert_true(client_read(third, &response, false));
    assert_int_equal(response.status, 503);
    assert_true(response_has_header(&response, "retry-after: *"));
    assert_true(response_has_header(&response, "connection: close"));
    assert_non_null(strstr(response.body, "\"code\":\"overloaded\""));
    response_free(&response);
    assert_true(metric(f, "kvasir_buffer_refusals_total") == 1);

    /* In pieces whose sum is not known, it is refused where the room ends. */
    const int fourth = fixture_connect(f);
    const char *head = "POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n"
                       "Transfer-Encoding: chunked\r\n\r\n493e0\r\n";
    char *body = calloc(1, 300000);
    assert_non_null(body);
    client_send(fourth, head, strlen(head));
    client_send(fourth, body, 300000);
    free(body);
    assert_true(client_read(fourth, &response, false));
    assert_int_equal(response.status, 503);
    response_free(&response);

    (void)close(first);  /* never finished */
    (void)close(second); /* never finished */
    (void)close(third);  /* refused */
    (void)close(fourth); /* refused */
    wait_for_buffered(f, 0, 0);
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\"}", &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    fixture_stop(f);
}

/* The body and what was parsed of it are gone while the answer is still being made. */
static void test_body_is_gone_once_its_prompt_is_ids(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 5000, .max_model_len = 4096, .n_blocks = 512});
    static const size_t paddings[2] = {1000, 300000}; /* parsed on the loop, and in a job */
    for (int i = 0; i < 2; i++) {
        struct buf body = {0};
        buf_append_str(&body, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,"
                              "\"user\":\"");
        for (size_t n = 0; n < paddings[i]; n++)
            buf_append_char(&body, 'y');
        buf_append_str(&body, "\"}");
        const int fd = send_completion(f, body.data);
        buf_fini(&body);
        WAIT_FOR(f, stats.n_running == 1);
        assert_true(metric(f, "kvasir_buffered_bytes") == 0);
        (void)close(fd); /* done with it */
        assert_true(fixture_wait_idle(f, 1000));
    }
    fixture_stop(f);
}

/* More bodies at once than may be parsed at once: they wait for each other, none is refused. */
static void test_large_bodies_are_parsed_in_turn(void **state) {
    (void)state;
    enum { N = 12 };
    struct fixture *f = fixture_start(
        &(struct fixture_options){.script = "a", .max_body = 300000, .max_buffered = 16000000});
    struct buf body = {0};
    buf_append_str(&body, "{\"prompt\":\"x\",\"user\":\"");
    for (int i = 0; i < 200000; i++)
        buf_append_char(&body, 'y');
    buf_append_str(&body, "\"}");
    int fds[N];
    for (int i = 0; i < N; i++)
        fds[i] = send_completion(f, body.data);
    buf_fini(&body);
    for (int i = 0; i < N; i++) {
        struct response response;
        assert_true(client_read(fds[i], &response, false));
        assert_int_equal(response.status, 200);
        response_free(&response);
        (void)close(fds[i]); /* done */
    }
    assert_true(metric(f, "kvasir_buffered_bytes") == 0);
    fixture_stop(f);
}

/* ---- memory that runs out ---- */

/* Set before the server's threads are there and until they are gone: the seam is not theirs. */
struct fault {
    atomic_bool armed;
    atomic_uint n;  /* allocations since it was armed */
    atomic_uint at; /* the one that fails */
};

static bool should_fail(void *ctx, size_t size) {
    (void)size;
    struct fault *fault = ctx;
    return atomic_load(&fault->armed) && atomic_fetch_add(&fault->n, 1) == atomic_load(&fault->at);
}

/* A refusal that a client understands. */
static void check_refusal(const struct response *response) {
    assert_true(response->status == 500 || response->status == 503);
    json_t *root = json_loads(response->body, 0, NULL);
    assert_true(json_is_string(json_object_get(json_object_get(root, "error"), "message")));
    json_decref(root);
}

/*
 * One chat request, over and over: in the n-th the n-th allocation fails, on whatever thread it
 * is. It is answered, refused with a 5xx, or (where nothing can be said) its connection closed;
 * nothing is left behind, and the next request is served.
 */
static void sweep_chat(bool stream) {
    static struct fault fault;
    char request[512];
    char body[256];
    const int body_len = snprintf(
        body, sizeof body,
        "{\"messages\":[{\"role\":\"user\",\"content\":\"hello\"}],\"max_tokens\":8,\"stop\":"
        "[\"zz\"],\"logprobs\":true,\"top_logprobs\":2,\"logit_bias\":{\"3\":1},\"stream\":%s}",
        stream ? "true" : "false");
    const int len = snprintf(request, sizeof request,
                             "POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\n"
                             "Connection: close\r\nContent-Length: %d\r\n\r\n%s",
                             body_len, body);
    assert_true(len > 0 && (size_t)len < sizeof request);

    mem_set_fault_hook(should_fail, &fault);
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "some words"});
    unsigned n_refused = 0;
    unsigned n_closed = 0;
    unsigned n_ended = 0; /* streams that broke off */
    for (unsigned at = 0;; at++) {
        const int fd = fixture_connect(f);
        atomic_store(&fault.n, 0);
        atomic_store(&fault.at, at);
        atomic_store(&fault.armed, true);
        client_send(fd, request, (size_t)len);
        struct response response = {0};
        if (!client_read(fd, &response, false))
            n_closed++;
        else if (response.status != 200) {
            assert_true(response.complete);
            check_refusal(&response);
            n_refused++;
        } else if (stream && (!response.complete || !strstr(response.body, "[DONE]")))
            n_ended++; /* an error event, or a connection closed before its last chunk */
        else
            assert_true(response.complete);
        const bool served = response.status == 200 && response.complete;
        response_free(&response);
        (void)close(fd); /* done */
        if (!fixture_wait_idle(f, 5000))
            fail_msg("allocation %u: a sequence is left", at);
        atomic_store(&fault.armed, false);
        if (atomic_load(&fault.n) <= at) { /* it made fewer: none failed */
            assert_true(served);
            break;
        }
        assert_true(at < 5000);
    }
    print_message("%u refused, %u closed, %u broken off\n", n_refused, n_closed, n_ended);
    assert_true(n_refused > 20);
    assert_true(n_closed <= 32); /* the connection itself, and heads that cannot be written */
    wait_for_buffered(f, 0, 0);
    fixture_stop(f);
    mem_set_fault_hook(NULL, NULL);
}

static void test_whole_chat_survives_every_failed_allocation(void **state) {
    (void)state;
    sweep_chat(false);
}

static void test_streamed_chat_survives_every_failed_allocation(void **state) {
    (void)state;
    sweep_chat(true);
}

/* ---- the life of a server ---- */

static void test_loading_becomes_ready(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.loading = true, .script = "a"});
    struct response response = {0};
    client_request(f, "GET", "/ready", NULL, &response);
    assert_int_equal(response.status, 503);
    response_free(&response);
    fixture_set_service(f);
    client_request(f, "GET", "/ready", NULL, &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\"}", &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    fixture_stop(f);
}

static void test_drain_finishes_what_runs_and_ends(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.step_us = 5000, .script = "a long answer of some steps"});
    const int kept = fixture_connect(f);
    const int fd = send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":100,\"stream\":true}");
    WAIT_FOR(f, stats.n_running == 1);
    server_drain(fixture_server(f));
    assert_true(client_at_end(kept, 1000)); /* idle connections close at once */

    struct response response;
    assert_true(client_read(fd, &response, false));
    assert_true(response.complete);
    assert_non_null(strstr(response.body, "data: [DONE]"));
    response_free(&response);
    assert_true(client_at_end(fd, 1000));
    assert_true(fixture_join(f, 3000));
    (void)close(kept); /* closed by the server */
    (void)close(fd);   /* closed by the server */
    fixture_stop(f);
}

static void test_drain_timeout_gives_every_stream_its_error(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){
        .step_us = 5000, .max_model_len = 4096, .n_blocks = 512, .drain_timeout_us = 200000});
    const int stream = send_completion(
        f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true,\"stream\":true}");
    const int whole =
        send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":4000,\"ignore_eos\":true}");
    WAIT_FOR(f, stats.n_running == 2);
    server_drain(fixture_server(f));

    struct response response;
    assert_true(client_read(stream, &response, false));
    assert_int_equal(response.status, 200);
    assert_true(response.complete);
    assert_true(
        glob_match("*data: {\"error\":{\"message\":\"The server is shutting down.\",\"type\":"
                   "\"server_error\",\"param\":null,\"code\":\"shutting_down\"}}\n\n",
                   response.body));
    assert_null(strstr(response.body, "[DONE]"));
    response_free(&response);
    assert_true(client_read(whole, &response, false));
    assert_int_equal(response.status, 503);
    response_free(&response);
    assert_true(fixture_join(f, 3000));
    (void)close(stream); /* closed by the server */
    (void)close(whole);  /* closed by the server */
    fixture_stop(f);
}

static void test_log_level_is_the_least_that_is_written(void **state) {
    (void)state;
    static const enum server_log_level levels[3] = {SERVER_LOG_WARNING, SERVER_LOG_INFO,
                                                    SERVER_LOG_DEBUG};
    for (int i = 0; i < 3; i++) {
        struct fixture *f =
            fixture_start(&(struct fixture_options){.script = "a", .log_level = levels[i]});
        struct response response = {0};
        client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\"}", &response);
        response_free(&response);
        char *log = fixture_log(f);
        assert_int_equal(strstr(log, "/v1/completions") != NULL, levels[i] >= SERVER_LOG_INFO);
        free(log);
        fixture_stop(f);
    }
}

static void test_probes_are_logged_for_debugging_only(void **state) {
    (void)state;
    static const char *const paths[] = {"/health", "/live", "/ready", "/metrics"};
    for (int debug = 0; debug < 2; debug++) {
        struct fixture *f = fixture_start(&(struct fixture_options){
            .script = "a", .log_level = debug ? SERVER_LOG_DEBUG : SERVER_LOG_INFO});
        struct response response = {0};
        for (size_t i = 0; i < 4; i++) {
            client_request(f, "GET", paths[i], NULL, &response);
            assert_int_equal(response.status, 200);
            response_free(&response);
        }
        client_request(f, "GET", "/version", NULL, &response);
        response_free(&response);
        char *log = fixture_log(f);
        assert_non_null(strstr(log, "/version"));
        for (size_t i = 0; i < 4; i++)
            assert_int_equal(strstr(log, paths[i]) != NULL, debug);
        free(log);
        fixture_stop(f);
    }
}

static void test_port_in_use_is_explained(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "a"});
    struct server_options options = fixture_server_options(&(struct fixture_options){0}, 2);
    options.port = server_port(fixture_server(f));
    struct server *second;
    struct error error = {0};
    assert_int_equal(server_create(&options, &second, &error), 0);
    assert_true(server_bind(second, &error) < 0);
    assert_non_null(strstr(error.message, "is in use"));
    assert_non_null(strstr(error.message, "--port"));
    server_destroy(second);
    fixture_stop(f);
}

/* ---- many at once ---- */

enum { N_STREAMS = 48 };

struct stream_client {
    struct fixture *fixture;
    int number;
    char *text;
};

/* The texts of all chunks, joined. */
static char *text_of_stream(const char *body) {
    struct buf text = {0};
    for (const char *at = strstr(body, "\"text\":\""); at; at = strstr(at, "\"text\":\"")) {
        at += 8;
        const char *end = strstr(at, "\",\"logprobs\"");
        assert_non_null(end);
        buf_append(&text, at, (size_t)(end - at));
    }
    size_t len;
    assert_false(buf_failed(&text));
    return text.data ? buf_take(&text, &len) : NULL;
}

static void *run_stream(void *arg) {
    struct stream_client *client = arg;
    char body[160];
    (void)snprintf(
        body, sizeof body,
        "{\"prompt\":\"number %d\",\"max_tokens\":40,\"ignore_eos\":true,\"stream\":true,"
        "\"temperature\":0}",
        client->number); /* fits */
    struct response response = {0};
    client_request(client->fixture, "POST", "/v1/completions", body, &response);
    if (response.status == 200 && response.complete)
        client->text = text_of_stream(response.body);
    response_free(&response);
    return NULL;
}

static void test_parallel_streams_equal_single_runs(void **state) {
    (void)state;
    struct fixture *f =
        fixture_start(&(struct fixture_options){.step_us = 200, .max_num_seqs = 8, .n_blocks = 40});
    struct stream_client single[N_STREAMS];
    struct stream_client parallel[N_STREAMS];
    pthread_t threads[N_STREAMS];
    for (int i = 0; i < N_STREAMS; i++) {
        single[i] = (struct stream_client){.fixture = f, .number = i};
        parallel[i] = single[i];
        (void)run_stream(&single[i]); /* its result is in the struct */
        assert_non_null(single[i].text);
    }
    for (int i = 0; i < N_STREAMS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, run_stream, &parallel[i]), 0);
    for (int i = 0; i < N_STREAMS; i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        assert_non_null(parallel[i].text);
        assert_string_equal(parallel[i].text, single[i].text);
    }
    for (int i = 0; i < N_STREAMS; i++) {
        test_release(single[i].text);
        test_release(parallel[i].text);
    }
    fixture_stop(f);
}

static void test_large_body_is_parsed_off_the_loop(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "a"});
    struct buf body = {0};
    buf_append_str(&body, "{\"prompt\":\"x\",\"ignored\":\"");
    for (int i = 0; i < 200000; i++)
        buf_append_char(&body, 'y');
    buf_append_str(&body, "\"}");
    struct response response = {0};
    client_request(f, "POST", "/v1/completions", body.data, &response);
    assert_int_equal(response.status, 200);
    response_free(&response);
    body.data[body.len - 1] = ' '; /* and the same, broken */
    client_request(f, "POST", "/v1/completions", body.data, &response);
    assert_int_equal(response.status, 400);
    response_free(&response);
    buf_fini(&body);
    fixture_stop(f);
}

/* A completions body with a prompt of n letters; the caller ends it with buf_fini. */
static struct buf body_with_prompt(const char *fields, int n) {
    struct buf body = {0};
    buf_printf(&body, "{%s,\"prompt\":\"", fields);
    for (int i = 0; i < n; i++)
        buf_append_char(&body, (char)('a' + i % 26));
    buf_append_str(&body, "\"}");
    assert_false(buf_failed(&body));
    return body;
}

/* The choices of a prompt show one list of scores, which was computed for the first of them. */
static void test_prompt_logprobs_are_scored_once(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.script = "a", .max_model_len = 4096, .n_blocks = 1024});
    struct buf body = body_with_prompt("\"n\":2,\"prompt_logprobs\":3", 2000);
    for (int i = 0; i < 2; i++) {
        struct response response = {0};
        client_request(f, "POST", "/v1/completions", body.data, &response);
        assert_int_equal(response.status, 200);
        json_t *root = json_loads(response.body, 0, NULL);
        assert_non_null(root); /* written by a job: it is large */
        const json_t *choices = json_object_get(root, "choices");
        const json_t *first = json_object_get(json_array_get(choices, 0), "prompt_logprobs");
        const json_t *second = json_object_get(json_array_get(choices, 1), "prompt_logprobs");
        assert_int_equal(json_array_size(first), 2001); /* and <bos> */
        assert_true(json_is_null(json_array_get(first, 0)));
        assert_non_null(json_object_get(json_array_get(first, 1), "97"));
        assert_true(json_equal(first, second));
        json_decref(root);
        response_free(&response);
    }
    buf_fini(&body);
    /* A scored sequence computes its whole prompt; the other one may find it in the cache. */
    struct scheduler_stats stats;
    fixture_stats(f, &stats);
    assert_true(stats.prompt_tokens_cached >= 1900);
    fixture_stop(f);
}

static void test_too_many_prompt_logprobs_are_refused(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "a"});
    struct buf body = body_with_prompt("\"prompt_logprobs\":20", 25000);
    struct response response = {0};
    client_request(f, "POST", "/v1/completions", body.data, &response);
    buf_fini(&body);
    assert_int_equal(response.status, 400);
    assert_non_null(strstr(response.body, "\"param\":\"prompt_logprobs\""));
    response_free(&response);
    fixture_stop(f);
}

/* Clients that leave while a job writes their reply. */
static void test_disconnect_while_a_large_reply_is_written(void **state) {
    (void)state;
    uint64_t seed = 3;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.script = "a", .max_model_len = 4096, .n_blocks = 1024});
    struct buf body = body_with_prompt("\"prompt_logprobs\":3", 2000);
    for (int i = 0; i < 40; i++) {
        const int fd = send_completion(f, body.data);
        const struct timespec time = {.tv_nsec = (long)(test_random(&seed) % 12000) * 1000};
        (void)nanosleep(&time, NULL); /* a short sleep is fine */
        (void)close(fd);              /* the test */
    }
    buf_fini(&body);
    assert_true(fixture_wait_idle(f, 5000));
    wait_for_buffered(f, 0, 0);
    fixture_stop(f);
}

/* ---- numbers ---- */

static void test_metrics_are_what_clients_saw(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "four"});
    struct response response = {0};
    for (int i = 0; i < 3; i++) {
        client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\"}", &response);
        response_free(&response);
    }
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\",\"max_tokens\":2,\"n\":2}",
                   &response);
    response_free(&response);
    client_request(f, "POST", "/v1/completions", "{\"prompt\":1}", &response);
    assert_int_equal(response.status, 400);
    response_free(&response);

#define SUCCESS(reason)                                                                            \
    "vllm:request_success_total{model_name=\"fake\",engine=\"0\",finished_reason=\"" reason "\"}"
    assert_true(metric(f, SUCCESS("stop")) == 3);
    assert_true(metric(f, SUCCESS("length")) == 2);
    assert_true(metric(f, SUCCESS("abort")) == 0);
    assert_true(metric(f, "vllm:generation_tokens_total" MODEL) == 3 * 5 + 2 * 2);
    assert_true(metric(f, "vllm:prompt_tokens_total" MODEL) == 5 * 2);
    assert_true(metric(f, "vllm:time_to_first_token_seconds_count" MODEL) == 5);
    assert_true(metric(f, "vllm:inter_token_latency_seconds_count" MODEL) == 3 * 4 + 2);
    assert_true(metric(f, "vllm:request_time_per_output_token_seconds_count" MODEL) == 5);
    assert_true(metric(f, "vllm:e2e_request_latency_seconds_count" MODEL) == 5);
    assert_true(metric(f, "vllm:request_queue_time_seconds_count" MODEL) == 5);
    assert_true(metric(f, "vllm:request_prompt_tokens_sum" MODEL) == 10);
    assert_true(metric(f, "vllm:request_generation_tokens_sum" MODEL) == 19);
    assert_true(metric(f, "vllm:request_params_n_count" MODEL) == 4);
    assert_true(metric(f, "vllm:num_requests_running" MODEL) == 0);
    assert_true(metric(f, "vllm:kv_cache_usage_perc" MODEL) == 0);
    assert_true(metric(f, "vllm:iteration_tokens_total_sum" MODEL) > 0);
    assert_true(metric(f, "kvasir_http_requests_total{method=\"POST\",handler=\"/v1/completions\","
                          "code=\"200\"}") == 4);
    assert_true(metric(f, "kvasir_http_requests_total{method=\"POST\",handler=\"/v1/completions\","
                          "code=\"400\"}") == 1);
    fixture_stop(f);
}

/* A step of a third of a second does not hold up a scrape. */
static void test_scrape_does_not_wait_for_a_step(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.step_us = 300000});
    const int fd = send_completion(f, "{\"prompt\":\"x\",\"max_tokens\":3,\"ignore_eos\":true}");
    WAIT_FOR(f, stats.n_running == 1);
    const uint64_t start = clock_now_us();
    for (int i = 0; i < 10; i++)
        assert_true(metric(f, "kvasir_ready") == 1);
    assert_true(clock_now_us() - start < 250000);
    (void)close(fd); /* done with it */
    fixture_stop(f);
}

/* promtool may say two things, both about vLLM's names: the colons, and one _total. */
static void test_promtool_is_content(void **state) {
    (void)state;
    const char *tool = getenv("KVASIR_PROMTOOL");
    if (!tool && access("/usr/bin/promtool", X_OK) == 0)
        tool = "/usr/bin/promtool";
    if (!tool) {
        (void)fprintf(stderr, "SKIPPED: no promtool (package prometheus, or KVASIR_PROMTOOL)\n");
        skip();
    }
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "a"});
    struct response response = {0};
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\"}", &response);
    response_free(&response);
    client_request(f, "GET", "/metrics", NULL, &response);
    char path[] = "/tmp/kvasir-metrics-XXXXXX";
    const int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, response.body, response.body_len), (ssize_t)response.body_len);
    (void)close(fd); /* written */
    response_free(&response);

    char command[512];
    (void)snprintf(command, sizeof command, "%s check metrics < %s 2>&1", tool, path); /* fits */
    FILE *pipe = popen(command, "r");
    assert_non_null(pipe);
    char line[512];
    while (fgets(line, sizeof line, pipe)) {
        if (!glob_match("vllm:* metric names should not contain ':'\n", line) &&
            !glob_match(
                "vllm:iteration_tokens_total non-counter metrics should not have \"_total\" "
                "suffix\n",
                line))
            fail_msg("promtool: %s", line);
    }
    (void)pclose(pipe); /* lint is not an error */
    (void)unlink(path); /* a temporary file */
    fixture_stop(f);
}

static json_t *last_request_line(struct fixture *f) {
    char *log = fixture_log(f);
    char *last = NULL;
    for (char *line = strtok(log, "\n"); line; line = strtok(NULL, "\n")) {
        if (strstr(line, "\"event\":\"request\""))
            last = line;
    }
    assert_non_null(last);
    json_error_t error;
    json_t *json = json_loads(last, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fail_msg("%s: %s", error.text, last);
    free(log);
    return json;
}

static void test_access_line_says_what_happened(void **state) {
    (void)state;
    struct fixture *f = fixture_start(
        &(struct fixture_options){.script = "four", .log_json = true, .step_us = 1000});
    struct response response = {0};
    client_request(f, "POST", "/v1/completions", "{\"prompt\":\"x\",\"stream\":true}", &response);
    response_free(&response);
    json_t *line = last_request_line(f);
    assert_string_equal(json_string_value(json_object_get(line, "path")), "/v1/completions");
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 200);
    assert_int_equal(json_integer_value(json_object_get(line, "prompt_tokens")), 2);
    assert_int_equal(json_integer_value(json_object_get(line, "completion_tokens")), 5);
    assert_string_equal(json_string_value(json_object_get(line, "finish")), "stop");
    assert_string_equal(json_string_value(json_object_get(line, "model")), "fake");
    const double ttft = json_number_value(json_object_get(line, "ttft_ms"));
    const double tpot = json_number_value(json_object_get(line, "tpot_ms"));
    const double e2e = json_number_value(json_object_get(line, "e2e_ms"));
    assert_true(ttft >= 1 && tpot >= 1 && e2e >= ttft + 4 * tpot - 1);
    json_decref(line);

    /* What a client writes cannot forge or break a line. */
    const int fd = fixture_connect(f);
    const char *request = "GET /\"\\\x7f?\" HTTP/1.1\r\nHost: localhost\r\n\r\n";
    client_send(fd, request, strlen(request));
    assert_true(client_read(fd, &response, false));
    response_free(&response);
    line = last_request_line(f);
    assert_int_equal(json_integer_value(json_object_get(line, "status")), 400);
    json_decref(line);
    (void)close(fd); /* done */
    fixture_stop(f);
}

/* Comments keep a stream alive through a long prefill: the first after five seconds. */
static void test_long_prefill_is_kept_alive(void **state) {
    (void)state;
    struct fixture *f = fixture_start(&(struct fixture_options){.script = "a", .step_us = 6500000});
    const int fd = send_completion(f, "{\"prompt\":\"x\",\"stream\":true,\"max_tokens\":1}");
    struct response response;
    assert_true(client_read(fd, &response, false));
    assert_true(response.complete);
    assert_true(glob_match(":\n\ndata: *data: [DONE]\n\n", response.body));
    response_free(&response);
    (void)close(fd); /* done */
    fixture_stop(f);
}

int main(int argc, char **argv) {
    if (argc > 1)
        cmocka_set_test_filter(argv[1]); /* a pattern, to run one test alone */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disconnect_while_streaming_frees_the_sequence),
        cmocka_unit_test(test_disconnect_of_a_whole_request_frees_the_sequence),
        cmocka_unit_test(test_disconnect_in_the_queue_and_in_prefill),
        cmocka_unit_test(test_random_aborts_leave_nothing),
        cmocka_unit_test(test_half_closed_client_gets_its_whole_answer),
        cmocka_unit_test(test_half_closed_stream_is_cancelled),
        cmocka_unit_test(test_slow_reader_is_cut_off_and_the_others_are_not),
        cmocka_unit_test(test_healthy_reader_of_large_writes_is_not_cut),
        cmocka_unit_test(test_stuck_reader_is_cut_off_in_time),
        cmocka_unit_test(test_disconnect_of_a_stalled_reader_frees_the_sequence),
        cmocka_unit_test(test_write_stall_closes),
        cmocka_unit_test(test_full_queue_is_429_with_a_time_to_come_back),
        cmocka_unit_test(test_retry_after_does_not_count_what_was_cancelled),
        cmocka_unit_test(test_burst_that_can_start_is_not_refused),
        cmocka_unit_test(test_too_many_prompts_are_a_400_that_leaves_nothing),
        cmocka_unit_test(test_herd_of_large_prompts_is_refused_before_tokenising),
        cmocka_unit_test(test_connections_are_capped),
        cmocka_unit_test(test_whole_chat_survives_every_failed_allocation),
        cmocka_unit_test(test_streamed_chat_survives_every_failed_allocation),
        cmocka_unit_test(test_unfinished_bodies_share_one_budget),
        cmocka_unit_test(test_body_is_gone_once_its_prompt_is_ids),
        cmocka_unit_test(test_large_bodies_are_parsed_in_turn),
        cmocka_unit_test(test_loading_becomes_ready),
        cmocka_unit_test(test_drain_finishes_what_runs_and_ends),
        cmocka_unit_test(test_drain_timeout_gives_every_stream_its_error),
        cmocka_unit_test(test_log_level_is_the_least_that_is_written),
        cmocka_unit_test(test_probes_are_logged_for_debugging_only),
        cmocka_unit_test(test_port_in_use_is_explained),
        cmocka_unit_test(test_parallel_streams_equal_single_runs),
        cmocka_unit_test(test_large_body_is_parsed_off_the_loop),
        cmocka_unit_test(test_prompt_logprobs_are_scored_once),
        cmocka_unit_test(test_too_many_prompt_logprobs_are_refused),
        cmocka_unit_test(test_disconnect_while_a_large_reply_is_written),
        cmocka_unit_test(test_metrics_are_what_clients_saw),
        cmocka_unit_test(test_scrape_does_not_wait_for_a_step),
        cmocka_unit_test(test_promtool_is_content),
        cmocka_unit_test(test_access_line_says_what_happened),
        cmocka_unit_test(test_long_prefill_is_kept_alive),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
