/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors - reads one .safetensors file into a tensor directory.
 *
 * The header (JSON) is walked once without building a tree. Refused: a header longer than the
 * file or 100 MB, unknown dtypes, doubled names, a shape that does not give the size of its byte
 * range, and byte ranges that overlap, leave holes, or do not end with the file.
 */
#ifndef KVASIR_ENGINE_SAFETENSORS_H
#define KVASIR_ENGINE_SAFETENSORS_H

#include "kvasir/error.h"
#include "load/tensor_dir.h"

/* Maps path and adds its tensors to dir. -ENOENT, -EINVAL, -ENOMEM; messages name the file. */
int safetensors_read(const char *path, struct tensor_dir *dir, struct error *reterr) KV_MUST_CHECK;

/* The same for bytes that the caller keeps as long as dir; what names them in messages. */
int safetensors_parse(const void *data, size_t size, const char *what, struct tensor_dir *dir,
                      struct error *reterr) KV_MUST_CHECK;

#endif
