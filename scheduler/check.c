/* SPDX-License-Identifier: Apache-2.0 */
#include "core.h"

int core_check(const struct core *core, struct error *reterr) {
    return 0;
}
