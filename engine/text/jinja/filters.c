/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The table of filters: name, parameters ("?": optional; NULL: as they come), function. To add
 * one, write its function in the file it belongs to, declare it in filters.h, name it here.
 */
#include "filters.h"

static const struct builtin filters[] = {
    {"abs", "", filter_abs},
    {"attr", "name", filter_attr},
    {"batch", "linecount fill_with?", filter_batch},
    {"capitalize", "", filter_capitalize},
    {"center", "width?", filter_center},
    {"count", "", filter_length},
    {"d", "default_value? boolean?", filter_default},
    {"default", "default_value? boolean?", filter_default},
    {"dictsort", "case_sensitive? by? reverse?", filter_dictsort},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"filesizeformat", "binary?", filter_filesizeformat},
    {"first", "", filter_first},
    {"float", "default?", filter_float},
    {"forceescape", "", filter_forceescape},
    {"format", NULL, filter_format},
    {"from_json", "", filter_from_json},
    {"groupby", "attribute default? case_sensitive?", filter_groupby},
    {"indent", "width? first? blank?", filter_indent},
    {"int", "default? base?", filter_int},
    {"items", "", filter_items},
    {"join", "d? attribute?", filter_join},
    {"last", "", filter_last},
    {"length", "", filter_length},
    {"list", "", filter_list},
    {"lower", "", filter_lower},
    {"map", NULL, filter_map},
    {"max", "case_sensitive? attribute?", filter_max},
    {"min", "case_sensitive? attribute?", filter_min},
    {"pprint", "", filter_pprint},
    {"reject", NULL, filter_reject},
    {"rejectattr", NULL, filter_rejectattr},
    {"replace", "old new count?", filter_replace},
    {"reverse", "", filter_reverse},
    {"round", "precision? method?", filter_round},
    {"safe", "", filter_safe},
    {"select", NULL, filter_select},
    {"selectattr", NULL, filter_selectattr},
    {"slice", "slices fill_with?", filter_slice},
    {"sort", "reverse? case_sensitive? attribute?", filter_sort},
    {"string", "", filter_string},
    {"striptags", "", filter_striptags},
    {"sum", "attribute? start?", filter_sum},
    {"title", "", filter_title},
    {"tojson", "ensure_ascii? indent? separators? sort_keys?", filter_tojson},
    {"trim", "chars?", filter_trim},
    {"truncate", "length? killwords? end? leeway?", filter_truncate},
    {"unique", "case_sensitive? attribute?", filter_unique},
    {"upper", "", filter_upper},
    {"urlencode", "", filter_urlencode},
    {"wordcount", "", filter_wordcount},
    {"wordwrap", "width? break_long_words? wrapstring? break_on_hyphens?", filter_wordwrap},
    {"xmlattr", "autospace?", filter_xmlattr},
};

const struct builtin *filter_find(const char *name, size_t len) {
    return builtin_find(filters, sizeof filters / sizeof filters[0], name, len);
}
