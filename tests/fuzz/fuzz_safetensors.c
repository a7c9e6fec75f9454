/* SPDX-License-Identifier: Apache-2.0 */
/*
 * safetensors: what is taken lies inside the bytes, tiles them, and can be read to the last one.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "load/safetensors.h"
#include "load/tensor.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct tensor_dir dir = {.items = NULL};
    struct error error;

    if (safetensors_parse(data, size, "file", &dir, &error) == 0 &&
        tensor_dir_sort(&dir, &error) == 0) {
        size_t n_bytes = 0;
        volatile unsigned total = 0;
        for (size_t i = 0; i < dir.n; i++) {
            const uint8_t *bytes = dir.items[i].data;
            n_bytes += dir.items[i].n_bytes;
            for (size_t k = 0; k < dir.items[i].n_bytes; k++)
                total = total + bytes[k];
            if (tensor_dir_find(&dir, dir.items[i].name) != &dir.items[i])
                abort();
        }
        if (n_bytes > size - 8)
            abort(); /* tiles cannot be more than the floor */
    }
    tensor_dir_fini(&dir);
    return 0;
}
