/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gguf_choice - which .gguf file of a folder is meant.
 */
#ifndef KVASIR_HUB_GGUF_CHOICE_H
#define KVASIR_HUB_GGUF_CHOICE_H

#include <stdbool.h>

#include "kvasir/error.h"

enum { GGUF_MAX_NAME = 256 };

/*
 * The .gguf files of dir, of a split one only the first shard; projectors (mmproj) are no models.
 * With a tag, the one that has it in its name (whatever the case). Without, the only one; or, if
 * has_default, the one in Q4_K_M, else in Q8_0. -ENOENT: there is none. -EINVAL: several fit.
 */
int gguf_choose(const char *dir, const char *tag, bool has_default, char ret_name[GGUF_MAX_NAME],
                struct error *reterr) KV_MUST_CHECK;

#endif
