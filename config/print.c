/* SPDX-License-Identifier: Apache-2.0 */
/* print - the values of a table as a configuration file that reads back as the same values. */
#include <string.h>

#include "kvasir/options.h"
#include "kvasir/utf8.h"

/* True if YAML takes the character as it is between double quotes. */
static bool is_printable(uint32_t cp) {
    if (cp < 0xa0)
        return cp >= 0x20 && cp < 0x7f;
    return cp != 0x2028 && cp != 0x2029 && cp != 0xfeff && (cp & 0xfffe) != 0xfffe;
}

/* One character of a double-quoted scalar; bytes that are not UTF-8 become U+FFFD. */
static void append_character(struct buf *out, const char *bytes, size_t len, uint32_t cp) {
    if (cp == '"' || cp == '\\')
        buf_append_char(out, '\\');
    if (is_printable(cp) && len > 0)
        buf_append(out, bytes, len);
    else if (cp < 0x10000)
        buf_printf(out, "\\u%04x", (unsigned)cp);
    else
        buf_printf(out, "\\U%08x", (unsigned)cp);
}

static void append_quoted(struct buf *out, const struct buf *value) {
    buf_append_char(out, '"');
    for (size_t i = 0; i < value->len;) {
        uint32_t cp;
        const size_t len = utf8_decode(value->data + i, value->len - i, &cp);
        append_character(out, value->data + i, len, cp);
        i += len ? len : 1;
    }
    buf_append_char(out, '"');
}

/* Plain where that reads back as the same text, else quoted. */
static void append_value(const struct option *row, const struct buf *value, struct buf *out) {
    const char *plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_./,-";
    const char *text = value->data ? value->data : "";
    const bool is_text = row->type == OPTION_STRING || row->type == OPTION_LIST;
    if (!is_text || (strspn(text, plain) == value->len && !strchr("-.,", text[0])))
        buf_append(out, text, value->len);
    else
        append_quoted(out, value);
}

static bool is_unset(const struct option *row, const struct buf *value) {
    return value->len == 0 && (row->type == OPTION_STRING || row->type == OPTION_LIST);
}

void options_print(const struct option_table *table, const void *values,
                   const struct options *options, struct buf *out) {
    static const char *const source_names[] = {
        [OPTION_DEFAULT] = "default",
        [OPTION_FILE] = "file",
        [OPTION_ENVIRONMENT] = "environment",
        [OPTION_ARGUMENT] = "command line",
    };
    for (size_t i = 0; i < table->n_rows; i++) {
        const struct option *row = &table->rows[i];
        if (row->flags & OPTION_ARGV_ONLY)
            continue;

        struct buf value;
        buf_init(&value, /* max_len= */ 0);
        option_format(row, values, &value);
        if (is_unset(row, &value)) {
            buf_printf(out, "# %s: (not set)\n", row->name);
        } else {
            buf_printf(out, "%s: ", row->name);
            append_value(row, &value, out);
            buf_printf(out, "  # %s\n", source_names[options->sources[i]]);
        }
        buf_fini(&value);
    }
}
