/* SPDX-License-Identifier: Apache-2.0 */
/*
 * decode - the reference decoders of all weight types, one file per group: plain.c (F32, F16,
 * BF16), legacy.c (blocks of 32), k_quants.c (blocks of 256).
 *
 * Each gives exactly the values of the format's reference: every operation rounded to float, in
 * the order of the formula (the build forbids contraction). They are the specification of the
 * kernels that compute on packed weights, and what `--dtype float32` computes with.
 *
 *   blocks  [n / block_len]  as stored, on any byte
 *   out     [n]              f32
 */
#ifndef KVASIR_ENGINE_DECODE_H
#define KVASIR_ENGINE_DECODE_H

#include <stddef.h>

void decode_f32(const void *blocks, float *out, size_t n);
void decode_f16(const void *blocks, float *out, size_t n);
void decode_bf16(const void *blocks, float *out, size_t n);

void decode_q4_0(const void *blocks, float *out, size_t n);
void decode_q4_1(const void *blocks, float *out, size_t n);
void decode_q5_0(const void *blocks, float *out, size_t n);
void decode_q5_1(const void *blocks, float *out, size_t n);
void decode_q8_0(const void *blocks, float *out, size_t n);

void decode_q4_k(const void *blocks, float *out, size_t n);
void decode_q5_k(const void *blocks, float *out, size_t n);
void decode_q6_k(const void *blocks, float *out, size_t n);

#endif
