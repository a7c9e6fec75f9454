/* SPDX-License-Identifier: Apache-2.0 */
/* placeholder: written next */
#include "filters.h"
#include "text.h"

struct value filter_wordwrap(struct interp *in, struct value self, const struct args *args) {
    interp_fail(in, "wordwrap is not served");
    return value_none();
}

struct value filter_pprint(struct interp *in, struct value self, const struct args *args) {
    struct strb b = interp_builder(in);
    text_append_repr(in, &b, self);
    return interp_take(in, &b);
}
