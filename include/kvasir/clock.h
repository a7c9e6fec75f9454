/* SPDX-License-Identifier: Apache-2.0 */
/*
 * clock - the two times: monotonic for every interval, wall for what people read.
 */
#ifndef KVASIR_CLOCK_H
#define KVASIR_CLOCK_H

#include <stdint.h>

uint64_t clock_now_us(void); /* CLOCK_MONOTONIC, microseconds */
uint64_t clock_now_ns(void); /* CLOCK_MONOTONIC, nanoseconds */
int64_t clock_wall_s(void);  /* seconds since 1970 UTC */
int64_t clock_wall_ms(void); /* milliseconds since 1970 UTC */

#endif
