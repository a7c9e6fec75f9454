/* SPDX-License-Identifier: Apache-2.0 */
/* serve_map: every option of `kvasir serve` arrives somewhere, and some of them where they must. */
#include <string.h>

#include "cli.h"
#include "serve_map.h"
#include "support.h"

const char *version_number(void) {
    return "0.0.test";
}

struct mapped {
    struct server_options server;
    struct instance_options instance;
};

static void map(const struct serve_options *options, struct mapped *ret_mapped) {
    memset(ret_mapped, 0, sizeof *ret_mapped); /* the padding too, for memcmp */
    serve_map_server(options, &ret_mapped->server);
    serve_map_instance(options, &ret_mapped->instance);
}

static void read_line(const char *const *argv, int argc, struct serve_options *ret_values,
                      struct options *ret_options) {
    struct error error = {0};
    if (options_read(&serve_option_table, argc, (char *const *)argv, NULL, ret_values, ret_options,
                     &error) < 0)
        fail_msg("%s", error.message);
}

/* Changes the row's field to other values than it has, one after the other; false: no more. */
static bool change(const struct option *row, struct serve_options *values, unsigned i) {
    void *field = (char *)values + row->offset;
    switch (row->type) {
    case OPTION_BOOL:
        *(bool *)field = !*(bool *)field;
        return i < 1;
    case OPTION_U32:
        *(uint32_t *)field += 1;
        return i < 1;
    case OPTION_U64:
    case OPTION_BYTES:
    case OPTION_DURATION:
        *(uint64_t *)field += 1;
        return i < 1;
    case OPTION_STRING:
        *(const char **)field = "other";
        return i < 1;
    case OPTION_LIST:
        ((struct option_list *)field)->n++;
        return i < 1;
    case OPTION_CHOICE:
        break;
    }
    const int initial = *(int *)field;
    for (const struct option_choice *choice = row->choices; choice->name; choice++) {
        if (choice->value != initial && i-- == 0) {
            *(int *)field = choice->value;
            return true;
        }
    }
    return false;
}

static void test_every_option_arrives(void **state) {
    (void)state;
    const char *const argv[] = {"serve", NULL};
    struct serve_options defaults;
    struct options options;
    read_line(argv, 1, &defaults, &options);

    struct serve_options values = defaults;
    struct mapped before;
    struct mapped again;
    map(&values, &before);
    map(&values, &again);
    assert_memory_equal(&before, &again, sizeof before); /* else the next says nothing */
    unsigned n_changes = 0;
    for (size_t row = 0; row < serve_option_table.n_rows; row++) {
        for (unsigned i = 0; change(&serve_option_table.rows[row], &values, i); i++) {
            struct mapped after;
            map(&values, &after);
            if (memcmp(&before, &after, sizeof before) == 0)
                fail_msg("--%s changes nothing", serve_option_table.rows[row].name);
            values = defaults;
            n_changes++;
        }
        values = defaults;
    }
    assert_true(n_changes >= serve_option_table.n_rows);
    options_fini(&options);
}

static void test_words_mean_what_they_say(void **state) {
    (void)state;
    static const struct {
        const char *word;
        enum server_log_level level;
    } levels[] = {{"error", SERVER_LOG_ERROR},
                  {"warning", SERVER_LOG_WARNING},
                  {"info", SERVER_LOG_INFO},
                  {"debug", SERVER_LOG_DEBUG}};
    for (size_t i = 0; i < 4; i++) {
        const char *const argv[] = {"serve",
                                    "--log-level",
                                    levels[i].word,
                                    "--seed",
                                    "7",
                                    "--port",
                                    "9",
                                    "--max-buffered",
                                    "1GiB",
                                    "--max-body",
                                    "2MiB",
                                    "--generation-config",
                                    "vllm",
                                    NULL};
        struct serve_options values;
        struct options options;
        struct server_options server;
        read_line(argv, 13, &values, &options);
        serve_map_server(&values, &server);
        assert_int_equal(server.log_level, levels[i].level);
        assert_int_equal(server.seed, 7);
        assert_int_equal(server.port, 9);
        assert_int_equal(server.max_buffered_bytes, 1 << 30);
        assert_int_equal(server.max_body_bytes, 2 << 20);
        assert_true(server.api_defaults);
        options_fini(&options);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_option_arrives),
        cmocka_unit_test(test_words_mean_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
