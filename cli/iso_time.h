/* SPDX-License-Identifier: Apache-2.0 */
/* iso_time - a moment as ISO 8601 writes it, or as the machine's clock has it. */
#ifndef KVASIR_CLI_ISO_TIME_H
#define KVASIR_CLI_ISO_TIME_H

#include "kvasir/chat.h"
#include "kvasir/error.h"

/*
 * 2026-01-31, 2026-01-31T12:00, 2026-01-31T12:00:00[.123], each with Z, +HH:MM or -HH:MM behind
 * the time, or without: then the text is local time, wherever that is. -EINVAL.
 */
int iso_time_parse(const char *text, struct chat_clock *ret_clock, struct error *reterr)
    KV_MUST_CHECK;

/* Now, in the machine's time zone. */
struct chat_clock iso_time_now(void);

#endif
