/* SPDX-License-Identifier: Apache-2.0 */
/*
 * filters - the functions behind | , is and . ; the tables that name them are in filters.c.
 */
#ifndef KVASIR_JINJA_FILTERS_H
#define KVASIR_JINJA_FILTERS_H

#include "interp.h"

#define DECLARE(name)                                                                              \
    struct value name(struct interp *in, struct value self, const struct args *args)

/* filters_text.c */
DECLARE(filter_capitalize);
DECLARE(filter_center);
DECLARE(filter_escape);
DECLARE(filter_forceescape);
DECLARE(filter_format);
DECLARE(filter_from_json);
DECLARE(filter_indent);
DECLARE(filter_lower);
DECLARE(filter_replace);
DECLARE(filter_safe);
DECLARE(filter_string);
DECLARE(filter_striptags);
DECLARE(filter_title);
DECLARE(filter_tojson);
DECLARE(filter_trim);
DECLARE(filter_truncate);
DECLARE(filter_upper);
DECLARE(filter_urlencode);
DECLARE(filter_wordcount);
DECLARE(filter_xmlattr);

/* filters_wrap.c */
DECLARE(filter_wordwrap);
DECLARE(filter_pprint);

/* filters_list.c */
DECLARE(filter_batch);
DECLARE(filter_dictsort);
DECLARE(filter_first);
DECLARE(filter_groupby);
DECLARE(filter_items);
DECLARE(filter_join);
DECLARE(filter_last);
DECLARE(filter_length);
DECLARE(filter_list);
DECLARE(filter_map);
DECLARE(filter_max);
DECLARE(filter_min);
DECLARE(filter_reject);
DECLARE(filter_rejectattr);
DECLARE(filter_reverse);
DECLARE(filter_select);
DECLARE(filter_selectattr);
DECLARE(filter_slice);
DECLARE(filter_sort);
DECLARE(filter_sum);
DECLARE(filter_unique);

/* filters_scalar.c */
DECLARE(filter_abs);
DECLARE(filter_attr);
DECLARE(filter_default);
DECLARE(filter_filesizeformat);
DECLARE(filter_float);
DECLARE(filter_int);
DECLARE(filter_round);

#undef DECLARE

#endif
