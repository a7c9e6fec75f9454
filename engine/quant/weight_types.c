/* SPDX-License-Identifier: Apache-2.0 */
/*
 * weight_types - one row per number format of a GGUF file: name, block, decoder.
 *
 * A row without a decoder is known but not served: its size is still needed to check a file, its
 * name to refuse it. To serve a type, add its block to blocks.h, its decoder to a file of this
 * folder, and name that here.
 */
#include "load/tensor.h"

#include "quant/blocks.h"
#include "quant/decode.h"

#define ROW(type_name, len, bytes, decoder)                                                        \
    { .name = type_name, .block_len = (len), .block_bytes = (bytes), .dequantize = (decoder) }

static const struct weight_type_info types[WEIGHT_TYPE_END] = {
    [WEIGHT_F32] = ROW("F32", 1, 4, decode_f32),
    [WEIGHT_F16] = ROW("F16", 1, 2, decode_f16),
    [WEIGHT_Q4_0] = ROW("Q4_0", LEGACY_BLOCK, sizeof(struct block_q4_0), decode_q4_0),
    [WEIGHT_Q4_1] = ROW("Q4_1", LEGACY_BLOCK, sizeof(struct block_q4_1), decode_q4_1),
    [WEIGHT_Q5_0] = ROW("Q5_0", LEGACY_BLOCK, sizeof(struct block_q5_0), decode_q5_0),
    [WEIGHT_Q5_1] = ROW("Q5_1", LEGACY_BLOCK, sizeof(struct block_q5_1), decode_q5_1),
    [WEIGHT_Q8_0] = ROW("Q8_0", LEGACY_BLOCK, sizeof(struct block_q8_0), decode_q8_0),
    [WEIGHT_Q4_K] = ROW("Q4_K", K_BLOCK, sizeof(struct block_q4_k), decode_q4_k),
    [WEIGHT_Q5_K] = ROW("Q5_K", K_BLOCK, sizeof(struct block_q5_k), decode_q5_k),
    [WEIGHT_Q6_K] = ROW("Q6_K", K_BLOCK, sizeof(struct block_q6_k), decode_q6_k),
    [WEIGHT_BF16] = ROW("BF16", 1, 2, decode_bf16),

    /* Known, not served. */
    [9] = ROW("Q8_1", 32, 36, NULL),
    [10] = ROW("Q2_K", 256, 84, NULL),
    [11] = ROW("Q3_K", 256, 110, NULL),
    [15] = ROW("Q8_K", 256, 292, NULL),
    [16] = ROW("IQ2_XXS", 256, 66, NULL),
    [17] = ROW("IQ2_XS", 256, 74, NULL),
    [18] = ROW("IQ3_XXS", 256, 98, NULL),
    [19] = ROW("IQ1_S", 256, 50, NULL),
    [20] = ROW("IQ4_NL", 32, 18, NULL),
    [21] = ROW("IQ3_S", 256, 110, NULL),
    [22] = ROW("IQ2_S", 256, 82, NULL),
    [23] = ROW("IQ4_XS", 256, 136, NULL),
    [24] = ROW("I8", 1, 1, NULL),
    [25] = ROW("I16", 1, 2, NULL),
    [26] = ROW("I32", 1, 4, NULL),
    [27] = ROW("I64", 1, 8, NULL),
    [28] = ROW("F64", 1, 8, NULL),
    [29] = ROW("IQ1_M", 256, 56, NULL),
    [34] = ROW("TQ1_0", 256, 54, NULL),
    [35] = ROW("TQ2_0", 256, 66, NULL),
    [39] = ROW("MXFP4", 32, 17, NULL),
    [40] = ROW("NVFP4", 64, 36, NULL),
    [41] = ROW("Q1_0", 128, 18, NULL),
    [42] = ROW("Q2_0", 64, 18, NULL),
};
#undef ROW

const struct weight_type_info *weight_type_layout(uint32_t type) {
    return type < WEIGHT_TYPE_END && types[type].name ? &types[type] : NULL;
}

const struct weight_type_info *weight_type_info(uint32_t type) {
    const struct weight_type_info *info = weight_type_layout(type);

    return info && info->dequantize ? info : NULL;
}
