/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hub - the names that people give to models, and the files that they mean.
 *
 * A name is a path (a model folder, a folder with .gguf files, a .gguf file) or, where no such
 * path exists, org/name of a model in the local Hugging Face cache, with an optional :TAG that
 * chooses among its .gguf files ("org/name:Q8_0"). Nothing is downloaded. Any thread; reads the
 * environment.
 */
#ifndef KVASIR_HUB_H
#define KVASIR_HUB_H

#include <limits.h>
#include <stddef.h>

#include "kvasir/error.h"

#ifndef PATH_MAX
#define PATH_MAX 4096
#endif

/* What model_open can open, and how the model is called. Plain value. */
struct hub_model {
    char path[PATH_MAX]; /* a folder with config.json, or a .gguf file (the first of a split one) */
    char name[256];      /* "org/name" if it was given so, else "" */
};

/*
 * -ENOENT: neither a path nor in the cache; the message says how to download it. -EINVAL: no
 * model there, or several .gguf files, which the message lists. -ENAMETOOLONG.
 */
int hub_resolve(const char *name, struct hub_model *ret_model, struct error *reterr) KV_MUST_CHECK;

/*
 * The folder of the cache: $HF_HUB_CACHE, $HF_HOME/hub, $XDG_CACHE_HOME/huggingface/hub,
 * ~/.cache/huggingface/hub, the first that is set. It need not exist.
 */
int hub_cache_dir(char *ret_path, size_t cap, struct error *reterr) KV_MUST_CHECK;

#endif
