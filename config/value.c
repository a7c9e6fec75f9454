/* SPDX-License-Identifier: Apache-2.0 */
/*
 * value - one value of an option: from text to its field and back, with its range.
 *
 * All numbers are unsigned and pass through one uint64_t, so that one range check serves every
 * type. Text comes from people: strict, no locale, no leading or trailing blanks.
 */
#include <errno.h>
#include <string.h>
#include <strings.h>

#include "kvasir/mem.h"
#include "kvasir/options.h"

#include "config.h"

struct unit {
    const char *name;
    uint64_t factor;
};

/* Ascending, so that formatting can try them from the end. */
static const struct unit binary_units[] = {
    {"B", 1}, {"KiB", 1ull << 10}, {"MiB", 1ull << 20}, {"GiB", 1ull << 30}, {"TiB", 1ull << 40},
};
static const struct unit decimal_units[] = {
    {"KB", 1000ull},
    {"MB", 1000000ull},
    {"GB", 1000000000ull},
    {"TB", 1000000000000ull},
};
static const struct unit time_units[] = {
    {"us", 1ull}, {"ms", 1000ull}, {"s", 1000000ull}, {"m", 60000000ull}, {"h", 3600000000ull},
};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

static const struct unit *find_unit(const struct unit *units, size_t n, const char *name) {
    for (size_t i = 0; i < n; i++) {
        if (strcasecmp(units[i].name, name) == 0)
            return &units[i];
    }
    return NULL;
}

/* Takes digits from *text into *ret; false without a digit or on overflow. */
static bool take_digits(const char **text, uint64_t *ret) {
    const char *at = *text;
    uint64_t value = 0;
    for (; *at >= '0' && *at <= '9'; at++) {
        const uint64_t digit = (uint64_t)(*at - '0');
        if (value > (UINT64_MAX - digit) / 10)
            return false;
        value = value * 10 + digit;
    }
    if (at == *text)
        return false;
    *text = at;
    *ret = value;
    return true;
}

/* "1.5" in millionths of a unit would lose nothing that people write: six places at most. */
static bool take_fraction(const char **text, uint64_t *ret_millionths) {
    *ret_millionths = 0;
    if (**text != '.')
        return true;

    const char *at = *text + 1;
    uint64_t weight = 100000;
    for (; *at >= '0' && *at <= '9' && weight > 0; at++, weight /= 10)
        *ret_millionths += (uint64_t)(*at - '0') * weight;
    if (at == *text + 1)
        return false;
    *text = at;
    return true;
}

/* "16MiB" with the units of the type; a bare number counts bare_factor. */
static bool parse_quantity(const char *text, const struct option *row, uint64_t *ret) {
    uint64_t whole;
    uint64_t millionths;
    if (!take_digits(&text, &whole) || !take_fraction(&text, &millionths))
        return false;

    const bool is_time = row->type == OPTION_DURATION;
    uint64_t factor = is_time ? 1000000 : 1;
    if (*text) {
        const struct unit *unit = is_time ? find_unit(time_units, COUNT(time_units), text)
                                          : find_unit(binary_units, COUNT(binary_units), text);
        if (!unit && !is_time)
            unit = find_unit(decimal_units, COUNT(decimal_units), text);
        if (!unit)
            return false;
        factor = unit->factor;
    }
    size_t scaled;
    if (!size_mul(whole, factor, &scaled))
        return false;
    /* factor / 1e6 first would lose KiB; the product fits: factor <= 2^40, millionths < 2^20. */
    size_t sum;
    if (!size_add(scaled, millionths * factor / 1000000, &sum))
        return false;
    *ret = sum;
    return true;
}

static bool parse_number(const char *text, uint64_t *ret) {
    return take_digits(&text, ret) && *text == '\0';
}

static uint64_t upper_bound(const struct option *row) {
    if (row->max)
        return row->max;
    return row->type == OPTION_U32 ? UINT32_MAX : UINT64_MAX;
}

static bool parse_unsigned(const struct option *row, const char *text, uint64_t *ret) {
    if (row->zero && strcmp(text, row->zero) == 0) {
        *ret = 0;
        return true;
    }
    const bool plain = row->type == OPTION_U32 || row->type == OPTION_U64;
    return (plain ? parse_number(text, ret) : parse_quantity(text, row, ret)) && *ret >= row->min &&
           *ret <= upper_bound(row);
}

static const struct option_choice *find_choice(const struct option *row, const char *text) {
    for (const struct option_choice *choice = row->choices; choice->name; choice++) {
        if (strcmp(choice->name, text) == 0)
            return choice;
    }
    return NULL;
}

static int store_bool(bool *field, const char *text) {
    const bool is_true = strcmp(text, "true") == 0;
    if (!is_true && strcmp(text, "false") != 0)
        return -EINVAL;
    *field = is_true;
    return 0;
}

static int store_choice(int *field, const struct option *row, const char *text) {
    const struct option_choice *choice = find_choice(row, text);
    if (!choice)
        return -EINVAL;
    *field = choice->value;
    return 0;
}

static int store_string(const char **field, const char *text, size_t len, struct arena *arena) {
    if (len == 0)
        return -EINVAL;
    *field = arena_dup(arena, text, len);
    return *field ? 0 : -ENOMEM;
}

/* Adds the items between commas. */
static int store_list(struct option_list *field, const char *text, struct arena *arena) {
    for (;;) {
        const size_t len = strcspn(text, ",");
        if (field->n == OPTION_LIST_MAX)
            return -EINVAL;
        const int r = store_string(&field->items[field->n], text, len, arena);
        if (r < 0)
            return r;
        field->n++;
        if (text[len] == '\0')
            return 0;
        text += len + 1;
    }
}

static int store_unsigned(void *field, const struct option *row, const char *text) {
    uint64_t number;
    if (!parse_unsigned(row, text, &number))
        return -EINVAL;
    if (row->type == OPTION_U32)
        *(uint32_t *)field = (uint32_t)number;
    else
        *(uint64_t *)field = number;
    return 0;
}

static int store(const struct option *row, const char *text, void *field, struct arena *arena) {
    switch (row->type) {
    case OPTION_BOOL:
        return store_bool(field, text);
    case OPTION_STRING:
        return store_string(field, text, strlen(text), arena);
    case OPTION_LIST:
        return store_list(field, text, arena);
    case OPTION_CHOICE:
        return store_choice(field, row, text);
    case OPTION_U32:
    case OPTION_U64:
    case OPTION_BYTES:
    case OPTION_DURATION:
        return store_unsigned(field, row, text);
    }
    return -EINVAL;
}

int option_parse(const struct option *row, const char *text, void *values, struct arena *arena,
                 struct error *reterr) {
    const int stored = store(row, text, (char *)values + row->offset, arena);
    if (stored == -ENOMEM)
        return error_set(reterr, stored, "no memory for the value of %s", row->name);
    if (stored == 0)
        return 0;

    struct buf expected;
    buf_init(&expected, /* max_len= */ 512);
    option_expectation(row, &expected);
    const int r = error_set_param(reterr, -EINVAL, row->name, "expected %s, found \"%.80s\"",
                                  expected.data ? expected.data : "another value", text);
    buf_fini(&expected);
    return r;
}

/* The number in the largest unit that holds it exactly. */
static void format_in_units(uint64_t value, const struct unit *units, size_t n, struct buf *out) {
    size_t i = n;
    while (i > 1 && (value == 0 || value % units[i - 1].factor != 0))
        i--;
    buf_printf(out, "%llu%s", (unsigned long long)(value / units[i - 1].factor), units[i - 1].name);
}

static void format_unsigned(const struct option *row, uint64_t value, struct buf *out) {
    if (row->type == OPTION_BYTES)
        format_in_units(value, binary_units, COUNT(binary_units), out);
    else if (row->type == OPTION_DURATION && value == 0)
        buf_append_str(out, "0s");
    else if (row->type == OPTION_DURATION)
        format_in_units(value, time_units, COUNT(time_units), out);
    else
        buf_printf(out, "%llu", (unsigned long long)value);
}

static const char *choice_name(const struct option *row, int value) {
    const struct option_choice *choice = row->choices;
    while (choice->name && choice->value != value)
        choice++;
    return choice->name ? choice->name : "?";
}

static void format_list(const struct option_list *list, struct buf *out) {
    for (uint32_t i = 0; i < list->n; i++)
        buf_printf(out, "%s%s", i > 0 ? "," : "", list->items[i]);
}

void option_format(const struct option *row, const void *values, struct buf *out) {
    const void *field = (const char *)values + row->offset;
    uint64_t number = 0;
    switch (row->type) {
    case OPTION_BOOL:
        buf_append_str(out, *(const bool *)field ? "true" : "false");
        return;
    case OPTION_STRING:
        if (*(const char *const *)field)
            buf_append_str(out, *(const char *const *)field);
        return;
    case OPTION_LIST:
        format_list(field, out);
        return;
    case OPTION_CHOICE:
        buf_append_str(out, choice_name(row, *(const int *)field));
        return;
    case OPTION_U32:
        number = *(const uint32_t *)field;
        break;
    case OPTION_U64:
    case OPTION_BYTES:
    case OPTION_DURATION:
        number = *(const uint64_t *)field;
        break;
    }
    if (number == 0 && row->zero)
        buf_append_str(out, row->zero);
    else
        format_unsigned(row, number, out);
}

static void append_range(const struct option *row, struct buf *out) {
    if (row->max) {
        buf_append_str(out, " from ");
        format_unsigned(row, row->min, out);
        buf_append_str(out, " to ");
        format_unsigned(row, row->max, out);
    } else if (row->min) {
        buf_append_str(out, " of at least ");
        format_unsigned(row, row->min, out);
    }
}

void option_expectation(const struct option *row, struct buf *out) {
    const char *separator = "one of ";
    switch (row->type) {
    case OPTION_BOOL:
        buf_append_str(out, "true or false");
        return;
    case OPTION_STRING:
        buf_append_str(out, "a text that is not empty");
        return;
    case OPTION_LIST:
        buf_printf(out, "up to %d texts with commas between them", OPTION_LIST_MAX);
        return;
    case OPTION_CHOICE:
        for (const struct option_choice *choice = row->choices; choice->name; choice++) {
            buf_printf(out, "%s%s", separator, choice->name);
            separator = ", ";
        }
        return;
    case OPTION_U32:
    case OPTION_U64:
        buf_append_str(out, "a number");
        break;
    case OPTION_BYTES:
        buf_append_str(out, "a size like 512MiB or 2GB");
        break;
    case OPTION_DURATION:
        buf_append_str(out, "a duration like 30s or 500ms");
        break;
    }
    append_range(row, out);
    if (row->zero)
        buf_printf(out, ", or %s", row->zero);
}
