/* SPDX-License-Identifier: Apache-2.0 */
/*
 * config_file - the YAML file of --config: one flat mapping from the flags' names to values.
 *
 * A file is somebody else's text, so the YAML that is taken is small: one document, scalars, and
 * sequences of scalars for lists. Anchors, aliases, tags, nesting and repeated keys are refused,
 * and the file has a ceiling. JSON is a part of YAML, so a JSON object of the same shape is fine.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <yaml.h>

#include "kvasir/file.h"
#include "kvasir/mem.h"

#include "config.h"

enum { MAX_FILE_BYTES = 64 * 1024, MAX_PLACE = 512 };

/* One file being read: libyaml's parser and the event that it gave last. */
struct config_reader {
    const struct reading *reading;
    const char *path;
    yaml_parser_t parser;
    yaml_event_t event;
    bool seen[OPTIONS_MAX_ROWS];
    struct error *reterr;
};

static size_t line_of(const struct config_reader *reader) {
    return reader->event.start_mark.line + 1;
}

static int refuse(const struct config_reader *reader, const char *what) {
    return error_set(reader->reterr, -EINVAL, "%.300s line %zu: %s", reader->path, line_of(reader),
                     what);
}

static int syntax_error(const struct config_reader *reader) {
    const yaml_parser_t *parser = &reader->parser;
    if (parser->error == YAML_MEMORY_ERROR)
        return error_set(reader->reterr, -ENOMEM, "%.300s: no memory to read it", reader->path);
    return error_set(reader->reterr, -EINVAL, "%.300s line %zu: expected YAML, but %s",
                     reader->path, parser->problem_mark.line + 1,
                     parser->problem ? parser->problem : "the text is damaged");
}

/* The next event into reader->event; what YAML has beyond plain data is refused here. */
static int next_event(struct config_reader *reader) {
    yaml_event_delete(&reader->event);
    if (!yaml_parser_parse(&reader->parser, &reader->event))
        return syntax_error(reader);

    const yaml_event_t *event = &reader->event;
    const bool anchored =
        (event->type == YAML_SCALAR_EVENT && event->data.scalar.anchor) ||
        (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.anchor) ||
        (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.anchor);
    const bool tagged =
        (event->type == YAML_SCALAR_EVENT && event->data.scalar.tag) ||
        (event->type == YAML_MAPPING_START_EVENT && event->data.mapping_start.tag) ||
        (event->type == YAML_SEQUENCE_START_EVENT && event->data.sequence_start.tag);
    if (anchored || event->type == YAML_ALIAS_EVENT)
        return refuse(reader, "expected plain values, found an anchor or alias");
    if (tagged)
        return refuse(reader, "expected plain values, found a tag");
    return 0;
}

static int expect_event(struct config_reader *reader, yaml_event_type_t type, const char *what) {
    const int r = next_event(reader);
    if (r < 0)
        return r;
    return reader->event.type == type ? 0 : refuse(reader, what);
}

/* The scalar as a C string; NULL if it holds a NUL, which no value does. */
static const char *scalar_text(const struct config_reader *reader) {
    const char *text = (const char *)reader->event.data.scalar.value;
    return strlen(text) == reader->event.data.scalar.length ? text : NULL;
}

static int assign(struct config_reader *reader, const struct option *row) {
    const char *text = scalar_text(reader);
    if (!text)
        return refuse(reader, "expected text, found a NUL character");

    char place[MAX_PLACE];
    (void)snprintf(place, sizeof place, "%.300s line %zu: %s", reader->path, line_of(reader),
                   row->name); /* row names are short */
    return reading_assign(reader->reading, row, OPTION_FILE, text, place, reader->reterr);
}

/* [a, b] for a list; anything else has one scalar. */
static int read_sequence(struct config_reader *reader, const struct option *row) {
    if (row->type != OPTION_LIST)
        return refuse(reader, "expected one value, found a sequence");

    int r = next_event(reader);
    while (r == 0 && reader->event.type == YAML_SCALAR_EVENT) {
        r = assign(reader, row);
        if (r == 0)
            r = next_event(reader);
    }
    if (r == 0 && reader->event.type != YAML_SEQUENCE_END_EVENT)
        r = refuse(reader, "expected texts in the sequence, found something nested");
    return r;
}

static int read_value(struct config_reader *reader, const struct option *row) {
    const int r = next_event(reader);
    if (r < 0)
        return r;
    if (reader->event.type == YAML_SCALAR_EVENT)
        return assign(reader, row);
    if (reader->event.type == YAML_SEQUENCE_START_EVENT)
        return read_sequence(reader, row);
    return refuse(reader, "expected a value, found a nested mapping");
}

/* The row of the key that the current event holds. */
static int find_key(struct config_reader *reader, const struct option **ret_row) {
    const char *key = scalar_text(reader);
    if (!key)
        return refuse(reader, "expected an option's name, found a NUL character");

    char place[MAX_PLACE];
    const struct option_table *table = reader->reading->table;
    const struct option *row = option_find(table, key, strlen(key));
    if (!row) {
        (void)snprintf(place, sizeof place, "%.300s line %zu: ", reader->path,
                       line_of(reader));                                        /* cut is fine */
        (void)reading_unknown(reader->reading, place, "", key, reader->reterr); /* -EINVAL */
        return -EINVAL;
    }
    if (row->flags & OPTION_ARGV_ONLY)
        return refuse(reader, "expected an option of the file, found one of the command line");
    if (reader->seen[row - table->rows])
        return error_set_param(reader->reterr, -EINVAL, row->name,
                               "%.300s line %zu: expected every option once, found %s again",
                               reader->path, line_of(reader), row->name);
    reader->seen[row - table->rows] = true;
    *ret_row = row;
    return 0;
}

static int read_mapping(struct config_reader *reader) {
    int r = next_event(reader);
    while (r == 0 && reader->event.type != YAML_MAPPING_END_EVENT) {
        const struct option *row = NULL;
        r = reader->event.type == YAML_SCALAR_EVENT
                ? find_key(reader, &row)
                : refuse(reader, "expected an option's name, found something nested");
        if (r == 0)
            r = read_value(reader, row);
        if (r == 0)
            r = next_event(reader);
    }
    return r;
}

/* One document with one mapping; an empty file is an empty configuration. */
static int read_stream(struct config_reader *reader) {
    int r = expect_event(reader, YAML_STREAM_START_EVENT, "expected YAML");
    if (r == 0)
        r = next_event(reader);
    if (r < 0 || reader->event.type == YAML_STREAM_END_EVENT)
        return r;

    r = expect_event(reader, YAML_MAPPING_START_EVENT,
                     "expected a mapping (name: value), found something else");
    if (r == 0)
        r = read_mapping(reader);
    if (r == 0)
        r = expect_event(reader, YAML_DOCUMENT_END_EVENT, "expected the end of the mapping");
    if (r == 0)
        r = expect_event(reader, YAML_STREAM_END_EVENT, "expected one document, found another");
    return r;
}

int reading_config_text(const struct reading *reading, const char *path, const char *text,
                        size_t len, struct error *reterr) {
    struct config_reader reader = {.reading = reading, .path = path, .reterr = reterr};
    if (!yaml_parser_initialize(&reader.parser))
        return error_set(reterr, -ENOMEM, "%.300s: no memory to read it", path);

    yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, len);
    yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
    const int r = read_stream(&reader);
    yaml_event_delete(&reader.event);
    yaml_parser_delete(&reader.parser);
    return r;
}

int reading_config_file(const struct reading *reading, const char *path, struct error *reterr) {
    char *text = NULL;
    size_t len = 0;
    int r = file_read(path, MAX_FILE_BYTES, &text, &len, reterr);
    if (r < 0)
        return r;

    r = reading_config_text(reading, path, text, len, reterr);
    mem_free(text);
    return r;
}
