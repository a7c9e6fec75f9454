/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llhttp_strict - the only way to include llhttp. Loose mode, the header's default, accepts
 * requests that a proxy in front reads differently (smuggling); see tests/unit/server.
 */
#ifndef KVASIR_SERVER_LLHTTP_STRICT_H
#define KVASIR_SERVER_LLHTTP_STRICT_H

#ifndef LLHTTP_STRICT_MODE
#error "llhttp must be compiled and included with -DLLHTTP_STRICT_MODE=1"
#elif LLHTTP_STRICT_MODE != 1
#error "LLHTTP_STRICT_MODE must be 1: loose mode allows request smuggling"
#endif

#include <llhttp.h>

#endif
