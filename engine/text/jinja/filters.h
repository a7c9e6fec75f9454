/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filters - the functions behind | , is and . ; the tables that name them are in filters.c.
 */
#ifndef KVASIR_JINJA_FILTERS_H
#define KVASIR_JINJA_FILTERS_H

#include "interp.h"

/* filters_text.c */
BUILTIN(filter_capitalize);
BUILTIN(filter_center);
BUILTIN(filter_escape);
BUILTIN(filter_forceescape);
BUILTIN(filter_format);
BUILTIN(filter_from_json);
BUILTIN(filter_indent);
BUILTIN(filter_lower);
BUILTIN(filter_replace);
BUILTIN(filter_safe);
BUILTIN(filter_string);
BUILTIN(filter_striptags);
BUILTIN(filter_title);
BUILTIN(filter_tojson);
BUILTIN(filter_trim);
BUILTIN(filter_truncate);
BUILTIN(filter_upper);
BUILTIN(filter_urlencode);
BUILTIN(filter_wordcount);
BUILTIN(filter_xmlattr);

/* filters_wrap.c */
BUILTIN(filter_wordwrap);

/* filters_pprint.c */
BUILTIN(filter_pprint);

/* filters_list.c */
BUILTIN(filter_batch);
BUILTIN(filter_dictsort);
BUILTIN(filter_first);
BUILTIN(filter_groupby);
BUILTIN(filter_items);
BUILTIN(filter_join);
BUILTIN(filter_last);
BUILTIN(filter_length);
BUILTIN(filter_list);
BUILTIN(filter_map);
BUILTIN(filter_max);
BUILTIN(filter_min);
BUILTIN(filter_reject);
BUILTIN(filter_rejectattr);
BUILTIN(filter_reverse);
BUILTIN(filter_select);
BUILTIN(filter_selectattr);
BUILTIN(filter_slice);
BUILTIN(filter_sort);
BUILTIN(filter_sum);
BUILTIN(filter_unique);

/* filters_scalar.c */
BUILTIN(filter_abs);
BUILTIN(filter_attr);
BUILTIN(filter_default);
BUILTIN(filter_filesizeformat);
BUILTIN(filter_float);
BUILTIN(filter_int);
BUILTIN(filter_round);

#endif
