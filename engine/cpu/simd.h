/* SPDX-License-Identifier: Apache-2.0 */
/*
 * simd - what kernels need of the compiler: inlining, and a prefetch.
 *
 * A micro-kernel is written once with its number of rows as a parameter and instantiated by
 * calls with constants; only inlining turns its arrays of accumulators into registers.
 */
#ifndef KVASIR_ENGINE_SIMD_H
#define KVASIR_ENGINE_SIMD_H

#if defined(__GNUC__)
#define KV_ALWAYS_INLINE inline __attribute__((always_inline))
#define KV_PREFETCH(ptr) __builtin_prefetch(ptr)
#else
#define KV_ALWAYS_INLINE inline
#define KV_PREFETCH(ptr) ((void)(ptr))
#endif

#endif
