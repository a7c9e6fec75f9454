/* SPDX-License-Identifier: Apache-2.0 */
#include "model/families.h"

#include <stdio.h>
#include <string.h>

static const struct family *const families[] = {
    &family_llama,
    &family_mistral,
    &family_qwen2,
    &family_qwen3,
};
enum { N_FAMILIES = sizeof families / sizeof *families };

static bool list_has(const char *const *list, const char *bytes, size_t len) {
    for (; *list; list++)
        if (strlen(*list) == len && memcmp(*list, bytes, len) == 0)
            return true;
    return false;
}

const struct family *family_find_hf(struct json_str model_type, struct json_str architecture) {
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const bool found =
            model_type.len > 0
                ? list_has(families[i]->hf_model_types, model_type.bytes, model_type.len)
                : list_has(families[i]->hf_architectures, architecture.bytes, architecture.len);
        if (found)
            return families[i];
    }
    return NULL;
}

bool family_serves_class(const struct family *family, struct json_str architecture) {
    return architecture.len == 0 ||
           list_has(family->hf_architectures, architecture.bytes, architecture.len);
}

const struct family *family_find_gguf(struct gguf_str arch) {
    for (size_t i = 0; i < N_FAMILIES; i++)
        if (list_has(families[i]->gguf_archs, arch.bytes, arch.len))
            return families[i];
    return NULL;
}

static void append_list(char *text, size_t cap, const char *const *list) {
    for (; *list; list++) {
        const size_t len = strlen(text);
        (void)snprintf(text + len, cap - len, "%s%s", len ? ", " : "", *list); /* for display */
    }
}

void family_list_hf(char *ret_text, size_t cap) {
    ret_text[0] = '\0';
    for (size_t i = 0; i < N_FAMILIES; i++)
        append_list(ret_text, cap, families[i]->hf_model_types);
}

void family_list_gguf(char *ret_text, size_t cap) {
    ret_text[0] = '\0';
    for (size_t i = 0; i < N_FAMILIES; i++)
        append_list(ret_text, cap, families[i]->gguf_archs);
}
