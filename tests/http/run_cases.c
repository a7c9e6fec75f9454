/* SPDX-License-Identifier: Apache-2.0 */
/*
 * run_cases - HTTP cases as data: request bytes, and what must come back.
 *
 *   @ name=value      an option of the server, before anything else (see set_option)
 *   > text            sends a line and CRLF; \r \n \t \0 \\ \xHH are bytes, a '\' at the end
 *                     leaves the CRLF out; {len} is the length of the body below
 *   | text            sends a line of the body; a newline stands between two of them
 *   < 200             reads a response: its status
 *   < name: value     a header it must have; '*' matches anything
 *   < !name: *        a header it must not have
 *   = text            its whole body ('*' matches anything); newlines between lines
 *   < closed          the server then closes;  < open  it does not
 *   ---               a new connection
 *   # comment
 */
#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kvasir/buf.h"

#include "fixture.h"
#include "support.h"

struct test_case {
    char path[512];
    char *text;
};

struct run {
    const char *name;
    unsigned line;
    struct fixture_options options;
    struct fixture *fixture;
    int fd;
    struct buf out;      /* lines to send */
    size_t len_at;       /* where {len} stood in out; SIZE_MAX: nowhere */
    struct buf body_out; /* body lines to send */
    bool has_response;
    bool sent_head; /* the last request was HEAD */
    struct response response;
    struct buf body_pattern;
    bool has_pattern;
};

static void complain(const struct run *run, const char *what, const char *expected,
                     const char *found) {
    /* fail_msg cuts long texts. */
    (void)fprintf(stderr, "%s:%u: %s\n  expected: %s\n  found:    %s\n", run->name, run->line, what,
                  expected, found);
    fail();
}

static void set_option(struct run *run, const char *name, const char *value) {
    struct fixture_options *o = &run->options;
    const unsigned long number = strtoul(value, NULL, 10);
    if (strcmp(name, "script") == 0)
        o->script = value;
    else if (strcmp(name, "name") == 0)
        o->model_name = value;
    else if (strcmp(name, "loading") == 0)
        o->loading = true;
    else if (strcmp(name, "no_template") == 0)
        o->no_template = true;
    else if (strcmp(name, "context") == 0)
        o->max_model_len = (uint32_t)number;
    else if (strcmp(name, "blocks") == 0)
        o->n_blocks = (uint32_t)number;
    else if (strcmp(name, "nan_every") == 0)
        o->nan_every = (uint32_t)number;
    else if (strcmp(name, "max_body") == 0)
        o->max_body = number;
    else if (strcmp(name, "header_timeout_ms") == 0)
        o->header_timeout_us = number * 1000;
    else if (strcmp(name, "keep_alive_timeout_ms") == 0)
        o->keep_alive_timeout_us = number * 1000;
    else
        complain(run, "unknown option", "", name);
}

static void start(struct run *run) {
    if (!run->fixture)
        run->fixture = fixture_start(&run->options);
    if (run->fd < 0)
        run->fd = fixture_connect(run->fixture);
}

/* Appends text with its escapes resolved; false if it ends in a lone backslash. */
static bool append_escaped(struct buf *out, const char *text) {
    for (const char *c = text; *c; c++) {
        if (*c != '\\') {
            buf_append_char(out, *c);
            continue;
        }
        c++;
        if (*c == '\0')
            return false;
        unsigned hex;
        if (*c == 'x' && sscanf(c + 1, "%2x", &hex) == 1) {
            buf_append_char(out, (char)hex);
            c += 2;
        } else
            buf_append_char(out, *c == 'r'   ? '\r'
                                 : *c == 'n' ? '\n'
                                 : *c == 't' ? '\t'
                                 : *c == '0' ? '\0'
                                             : *c);
    }
    return true;
}

static void check_body(struct run *run) {
    if (!run->has_pattern)
        return;
    if (!glob_match(run->body_pattern.data ? run->body_pattern.data : "", run->response.body))
        complain(run, "the body differs", run->body_pattern.data, run->response.body);
    if (!run->response.complete)
        complain(run, "the response is cut off", run->body_pattern.data, run->response.body);
    buf_clear(&run->body_pattern);
    run->has_pattern = false;
}

/* Everything of the last response was looked at. */
static void end_response(struct run *run) {
    check_body(run);
    response_free(&run->response);
    run->has_response = false;
}

static void flush_out(struct run *run) {
    if (run->out.len == 0 && run->body_out.len == 0)
        return;
    start(run);
    struct buf all = {0};
    char number[32];
    const size_t at = run->len_at < run->out.len ? run->len_at : run->out.len;
    buf_append(&all, run->out.data, at);
    if (run->len_at != SIZE_MAX) {
        (void)snprintf(number, sizeof number, "%zu", run->body_out.len); /* fits */
        buf_append_str(&all, number);
    }
    buf_append(&all, run->out.data + at, run->out.len - at);
    buf_append(&all, run->body_out.data, run->body_out.len);
    assert_false(buf_failed(&all));
    run->sent_head = all.len > 5 && memcmp(all.data, "HEAD ", 5) == 0;
    client_send(run->fd, all.data, all.len);
    buf_fini(&all);
    buf_clear(&run->out);
    buf_clear(&run->body_out);
    run->len_at = SIZE_MAX;
}

static void send_line(struct run *run, const char *text) {
    if (run->has_response)
        end_response(run);
    const char *len = strstr(text, "{len}");
    if (len) {
        buf_append(&run->out, text, (size_t)(len - text));
        run->len_at = run->out.len;
        text = len + 5;
    }
    if (append_escaped(&run->out, text))
        buf_append_str(&run->out, "\r\n");
}

static void expect_line(struct run *run, const char *text) {
    flush_out(run);
    start(run);
    if (strcmp(text, "closed") == 0 || strcmp(text, "open") == 0) {
        check_body(run);
        const bool closed = strcmp(text, "closed") == 0;
        if (client_at_end(run->fd, closed ? 5000 : 50) != closed)
            complain(run, "the connection", text, closed ? "open" : "closed");
        return;
    }
    if (isdigit((unsigned char)text[0])) {
        if (run->has_response)
            end_response(run);
        if (!client_read(run->fd, &run->response, run->sent_head))
            complain(run, "no response", text, "(the connection ended)");
        run->has_response = true;
        if (run->response.status != atoi(text)) {
            char status[16];
            (void)snprintf(status, sizeof status, "%d", run->response.status); /* fits */
            complain(run, run->response.body, text, status);
        }
        return;
    }
    const bool absent = text[0] == '!';
    if (response_has_header(&run->response, text + absent) == absent)
        complain(run, absent ? "a header is there" : "a header is missing", text,
                 run->response.head);
}

static void run_line(struct run *run, char *line) {
    const char *text = line[0] && line[1] == ' ' ? line + 2 : line + (line[0] != '\0');
    switch (line[0]) {
    case '\0':
    case '#':
        return;
    case '@': {
        char *equals = strchr(line, '=');
        if (equals)
            *equals = '\0';
        set_option(run, text, equals ? equals + 1 : "");
        return;
    }
    case '>':
        send_line(run, text);
        return;
    case '|':
        if (run->body_out.len > 0)
            buf_append_char(&run->body_out, '\n');
        (void)append_escaped(&run->body_out, text); /* a body has no line ends to leave out */
        return;
    case '<':
        expect_line(run, text);
        return;
    case '=':
        if (run->has_pattern)
            buf_append_char(&run->body_pattern, '\n');
        buf_append_str(&run->body_pattern, text);
        run->has_pattern = true;
        return;
    case '-':
        end_response(run);
        if (run->fd >= 0)
            (void)close(run->fd); /* a client that is done */
        run->fd = -1;
        return;
    default:
        complain(run, "not a line of a case", "", line);
    }
}

static void run_case(void **state) {
    const struct test_case *test = *state;
    struct run run = {.name = strrchr(test->path, '/') + 1, .fd = -1, .len_at = SIZE_MAX};
    char *text = strdup(test->text);
    assert_non_null(text);

    for (char *line = text; line;) {
        char *next = strchr(line, '\n');
        if (next)
            *next++ = '\0';
        run.line++;
        run_line(&run, line);
        line = next;
    }
    end_response(&run);
    if (run.out.len > 0 || !run.fixture)
        complain(&run, "the case ends without an expectation", "<", "");
    if (run.fd >= 0)
        (void)close(run.fd); /* a client that is done */
    fixture_stop(run.fixture);
    buf_fini(&run.out);
    buf_fini(&run.body_out);
    buf_fini(&run.body_pattern);
    free(text);
}

static int by_path(const void *a, const void *b) {
    return strcmp(((const struct test_case *)a)->path, ((const struct test_case *)b)->path);
}

int main(int argc, char **argv) {
    static struct test_case cases[256];
    static struct CMUnitTest tests[256];
    size_t n = 0;
    DIR *dir = opendir(test_path("tests/http/cases"));
    if (!dir)
        return 1;
    for (struct dirent *entry; (entry = readdir(dir)) && n < 256;) {
        const size_t len = strlen(entry->d_name);
        if (len < 5 || strcmp(entry->d_name + len - 5, ".http") != 0)
            continue;
        if (argc > 1 && !strstr(entry->d_name, argv[1]))
            continue;
        (void)snprintf(cases[n].path, sizeof cases[n].path, "%s/%s", test_path("tests/http/cases"),
                       entry->d_name); /* short paths */
        size_t ignored;
        cases[n].text = test_read_file(cases[n].path, &ignored);
        n++;
    }
    (void)closedir(dir); /* only read */
    qsort(cases, n, sizeof cases[0], by_path);
    for (size_t i = 0; i < n; i++)
        tests[i] = (struct CMUnitTest){
            .name = strrchr(cases[i].path, '/') + 1,
            .test_func = run_case,
            .initial_state = &cases[i],
        };
    const int failed = n == 0 ? 1 : _cmocka_run_group_tests("http cases", tests, n, NULL, NULL);
    for (size_t i = 0; i < n; i++)
        test_release(cases[i].text);
    return failed;
}
