/* SPDX-License-Identifier: Apache-2.0 */
/*
 * families - the list of family files. A new family is one line here, one in families.c and one
 * in meson.build.
 */
#ifndef KVASIR_ENGINE_FAMILIES_H
#define KVASIR_ENGINE_FAMILIES_H

#include "model/family.h"

extern const struct family family_llama;
extern const struct family family_mistral;
extern const struct family family_qwen2;
extern const struct family family_qwen3;

#endif
