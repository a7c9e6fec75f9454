/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pack - see pack.h. From 32 stored rows to one panel.
 *
 * Plain C on 32-bit words: the work is a transposition, and one word moved per cycle and core is
 * already faster than the memory it comes from. Bit shuffles run over all rows of a panel so that
 * the compiler can use vectors.
 */
#include "cpu/pack.h"

#include <assert.h>
#include <string.h>

#include "quant/blocks.h"
#include "quant/half.h"

enum {
    CODES_PER_WORD = 4,
    GROUP_WORDS = 8, /* 32 codes of 8 bits */
    GROUPS_PER_K_BLOCK = 8,
};

static uint32_t load_u32(const void *bytes) {
    uint32_t word;

    memcpy(&word, bytes, sizeof word);
    return word;
}

static void store_u32(uint8_t *bytes, uint32_t word) {
    memcpy(bytes, &word, sizeof word);
}

static void store_u16(uint8_t *bytes, uint16_t half) {
    memcpy(bytes, &half, sizeof half);
}

uint32_t panel_n_in(const struct panel_format *format, uint32_t n_in) {
    const uint32_t rest = n_in % format->pad_in;

    return rest == 0 ? n_in : n_in - rest + format->pad_in;
}

/* Bytes of the regions of n inputs of a panel. */
static size_t codes_bytes(const struct panel_format *format, size_t n) {
    if (format->scales == SCALE_NONE)
        return n * PANEL_ROWS * (format->type == WEIGHT_F32 ? 4 : 2);
    return n * PANEL_ROWS / (format->width == CODE_8 ? 1 : 2);
}

static size_t highs_bytes(const struct panel_format *format, size_t n) {
    if (format->width == CODE_5)
        return n * PANEL_ROWS / 8;
    return format->width == CODE_6 ? n * PANEL_ROWS / 4 : 0;
}

static size_t scales_bytes(const struct panel_format *format, size_t n) {
    const size_t n_groups = n / GROUP;

    switch (format->scales) {
    case SCALE_HALF:
        return n_groups * PANEL_ROWS * 2;
    case SCALE_HALF_MIN:
        return n_groups * PANEL_ROWS * 4;
    case SCALE_K:
        return n_groups / GROUPS_PER_K_BLOCK * K_SCALES_BYTES;
    case SCALE_Q6_K:
        return n_groups / GROUPS_PER_K_BLOCK * Q6_K_SCALES_BYTES;
    default:
        return 0;
    }
}

static size_t region_bytes(const struct panel_format *format, size_t n) {
    return codes_bytes(format, n) + highs_bytes(format, n) + scales_bytes(format, n);
}

size_t panel_bytes(const struct panel_format *format, uint32_t n_in) {
    const size_t channel = format->scales == SCALE_CHANNEL ? PANEL_ROWS * sizeof(float) : 0;

    return region_bytes(format, panel_n_in(format, n_in)) + channel;
}

struct panel_place panel_place(const struct panel_format *format, uint32_t n_in, uint32_t in) {
    const uint32_t padded = panel_n_in(format, n_in);

    if (format->scales == SCALE_NONE)
        return (struct panel_place){.codes = codes_bytes(format, in)};

    const uint32_t part_in = in % PART_INPUTS;
    const uint32_t part_first = in - part_in;
    const uint32_t left = padded - part_first;
    const uint32_t part_len = left < PART_INPUTS ? left : PART_INPUTS;
    const size_t part = region_bytes(format, part_first);
    const size_t highs = part + scales_bytes(format, part_len);
    const size_t codes = highs + highs_bytes(format, part_len);
    return (struct panel_place){
        .part = part,
        .part_bytes = region_bytes(format, part_len),
        .scales = format->scales == SCALE_CHANNEL ? region_bytes(format, padded) : part,
        .first_group = part_in / GROUP,
        .highs = highs + highs_bytes(format, part_in),
        .codes = codes + codes_bytes(format, part_in),
    };
}

/* ---- floats ---- */

/* float to bf16, nearest even; a NaN stays one. */
static uint16_t bf16_from_float(float value) {
    const uint32_t bits = float_bits(value);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

/* float to IEEE half, nearest even; beyond its range infinity; a NaN stays one. */
static uint16_t half_from_float(float value) {
    const uint32_t bits = float_bits(value);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    const uint32_t magnitude = bits & 0x7fffffffu;

    if (magnitude > 0x7f800000u)
        return (uint16_t)(sign | 0x7e00);
    if (magnitude >= 0x477ff000u) /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7c00);
    if (magnitude < 0x38800000u) {
        /* Below 2^-14: adding 0.5 leaves the value, rounded to units of 2^-24, in the fraction. */
        const float shifted = float_from_bits(magnitude) + 0.5f;
        return (uint16_t)(sign | (float_bits(shifted) - 0x3f000000u));
    }
    const uint32_t rounded = magnitude + 0xfff + (magnitude >> 13 & 1);
    return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
}

static uint32_t bytes_of_float(enum weight_type type) {
    return type == WEIGHT_F32 ? 4 : 2;
}

/* The bits of input i of a stored row, as the panel's type has them. */
static uint32_t float_code(enum weight_type to, enum weight_type from, const uint8_t *row,
                           uint32_t i) {
    uint16_t half = 0;
    uint32_t word = 0;
    if (from == WEIGHT_F32)
        word = load_u32(row + (size_t)i * 4);
    else
        memcpy(&half, row + (size_t)i * 2, sizeof half);
    if (to == from)
        return from == WEIGHT_F32 ? word : half;

    const float value = from == WEIGHT_F32   ? float_from_bits(word)
                        : from == WEIGHT_F16 ? half_to_float(half)
                                             : bf16_to_float(half);
    return to == WEIGHT_F32   ? float_bits(value)
           : to == WEIGHT_F16 ? half_from_float(value)
                              : bf16_from_float(value);
}

/* Inputs that lie beside each other in a panel for one row: bf16 is read in pairs. */
static uint32_t inputs_together(enum weight_type type) {
    return type == WEIGHT_BF16 ? 2 : 1;
}

/*
 * Moves whole units (what lies together for one row, 2 or 4 bytes) of row o from byte `at` to
 * `end`; returns where it stopped.
 */
static size_t move_inputs(uint32_t unit, const uint8_t *row, size_t at, size_t end, uint32_t o,
                          uint8_t *panel) {
    if (unit == 2)
        for (; at + 2 <= end; at += 2)
            memcpy(panel + at * PANEL_ROWS + o * 2, row + at, 2);
    else
        for (; at + 4 <= end; at += 4)
            memcpy(panel + at * PANEL_ROWS + o * 4, row + at, 4);
    return at;
}

/*
 * One cache line of each row at a time: rows lie a power of two apart in many models, and 32
 * lines of one L1 set would push each other out if every row gave a word in turn.
 */
static void pack_float(const struct panel_format *format, enum weight_type src_type,
                       const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel) {
    const enum weight_type type = format->type;
    const uint32_t together = inputs_together(type);
    const uint32_t n_bytes = bytes_of_float(type);
    const uint32_t line = 64 / n_bytes;

    for (uint32_t first = 0; first < n_in; first += line) {
        const uint32_t end = n_in - first < line ? n_in : first + line;

        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            uint32_t i = first;
            if (type == src_type)
                i = (uint32_t)(move_inputs(together * n_bytes, rows[o], (size_t)first * n_bytes,
                                           (size_t)end * n_bytes, o, panel) /
                               n_bytes);
            for (; i < end; i++) {
                const size_t step = (size_t)(i / together) * together * PANEL_ROWS;
                const uint32_t code = float_code(type, src_type, rows[o], i);
                uint8_t *place = panel + (step + o * together + i % together) * n_bytes;
                if (n_bytes == 4)
                    store_u32(place, code);
                else
                    store_u16(place, (uint16_t)code);
            }
        }
    }
}

const struct panel_format panel_f32 = {
    .name = "f32", .type = WEIGHT_F32, .pad_in = 1, .pack = pack_float};
const struct panel_format panel_f16 = {
    .name = "f16", .type = WEIGHT_F16, .pad_in = 1, .pack = pack_float};
const struct panel_format panel_bf16 = {
    .name = "bf16", .type = WEIGHT_BF16, .pad_in = 2, .pack = pack_float};

/* ---- floats to int8, one scale a row ---- */

enum { STRETCH = 512 }; /* weights of a row decoded at a time */

/* Greatest magnitude of a row, compared as bits, which vectorises; a NaN is greatest of all. */
static float row_amax(const struct weight_type_info *info, const uint8_t *row, uint32_t n_in) {
    uint32_t greatest = 0;

    for (uint32_t i = 0; i < n_in; i += STRETCH) {
        const uint32_t n = n_in - i < STRETCH ? n_in - i : STRETCH;
        float w[STRETCH];

        info->dequantize(row + (size_t)i * info->block_bytes, w, n);
        for (uint32_t j = 0; j < n; j++) {
            const uint32_t magnitude = float_bits(w[j]) & 0x7fffffffu;
            greatest = magnitude > greatest ? magnitude : greatest;
        }
    }
    return float_from_bits(greatest);
}

/* w ~ scale * q, scale = amax / 127, q to the nearest (even); rows that are not finite are 0. */
static void pack_int8_channel(const struct panel_format *format, enum weight_type src_type,
                              const uint8_t *const rows[PANEL_ROWS], uint32_t n_in,
                              uint8_t *panel) {
    const struct weight_type_info *info = weight_type_info(src_type);
    const size_t scales = panel_place(format, n_in, 0).scales;
    const float round_even = 12582912.0f; /* 1.5 * 2^23: an integer added stands in the fraction */

    assert(info->block_len == 1);
    memset(panel, 128, (size_t)panel_n_in(format, n_in) * PANEL_ROWS);
    for (uint32_t o = 0; o < PANEL_ROWS; o++) {
        const float amax = row_amax(info, rows[o], n_in);
        const bool usable = amax >= 0x1p-119f && amax <= 0x1.fffffep127f;
        const float scale = usable ? amax / 127.0f : 0.0f;
        const float inverse = usable ? 127.0f / amax : 0.0f;

        memcpy(panel + scales + o * sizeof scale, &scale, sizeof scale);
        if (!usable)
            continue;
        for (uint32_t i = 0; i < n_in; i += STRETCH) {
            const uint32_t n = n_in - i < STRETCH ? n_in - i : STRETCH;
            float w[STRETCH];
            uint8_t codes[STRETCH + CODES_PER_WORD];

            info->dequantize(rows[o] + (size_t)i * info->block_bytes, w, n);
            for (uint32_t j = 0; j < n; j++)
                codes[j] = (uint8_t)(float_bits(w[j] * inverse + round_even) -
                                     float_bits(round_even) + 128);
            memset(codes + n, 128, CODES_PER_WORD);

            uint8_t *vector = panel + (size_t)i * PANEL_ROWS;
            for (uint32_t j = 0; j < n; j += CODES_PER_WORD)
                store_u32(vector + (size_t)j * PANEL_ROWS + o * 4, load_u32(codes + j));
        }
    }
}

const struct panel_format panel_int8_channel = {.name = "int8",
                                                .width = CODE_8,
                                                .scales = SCALE_CHANNEL,
                                                .pad_in = 64,
                                                .pack = pack_int8_channel};

/* ---- blocks of 32 ---- */

/*
 * Bit 4 of 32 codes, bit j of qh for code j, into the highs of one row: bit t of byte i is for
 * code 4 t + i. Gathers every fourth bit by folding.
 */
static uint32_t highs_of_qh(uint32_t qh) {
    uint32_t highs = 0;

    for (unsigned i = 0; i < CODES_PER_WORD; i++) {
        uint32_t bits = qh >> i & 0x11111111u;
        bits = (bits | bits >> 3) & 0x03030303u;
        bits = (bits | bits >> 6) & 0x000f000fu;
        bits = (bits | bits >> 12) & 0xffu;
        highs |= bits << 8 * i;
    }
    return highs;
}

/* Where the fields of a block of 32 are; 0: not there (d is always first). */
struct legacy_block {
    uint8_t n_bytes, m_half, qh, qs;
};

static const struct legacy_block legacy_blocks[] = {
    [WEIGHT_Q4_0] = {sizeof(struct block_q4_0), .qs = offsetof(struct block_q4_0, qs)},
    [WEIGHT_Q4_1] = {sizeof(struct block_q4_1), .m_half = offsetof(struct block_q4_1, m_half),
                     .qs = offsetof(struct block_q4_1, qs)},
    [WEIGHT_Q5_0] = {sizeof(struct block_q5_0), .qh = offsetof(struct block_q5_0, qh),
                     .qs = offsetof(struct block_q5_0, qs)},
    [WEIGHT_Q5_1] = {sizeof(struct block_q5_1), .m_half = offsetof(struct block_q5_1, m_half),
                     .qh = offsetof(struct block_q5_1, qh), .qs = offsetof(struct block_q5_1, qs)},
    [WEIGHT_Q8_0] = {sizeof(struct block_q8_0), .qs = offsetof(struct block_q8_0, qs)},
};

static void pack_legacy(const struct panel_format *format, enum weight_type src_type,
                        const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel) {
    const struct legacy_block block = legacy_blocks[src_type];
    const uint32_t n_steps = format->width == CODE_8 ? GROUP_WORDS : GROUP_WORDS / 2;
    const uint32_t sign = format->width == CODE_8 ? 0x80808080u : 0; /* signed to +128 */
    const size_t scale_bytes = PANEL_ROWS * (block.m_half ? 4 : 2);

    for (uint32_t in = 0; in < n_in; in += GROUP) {
        const struct panel_place place = panel_place(format, n_in, in);
        uint8_t *codes = panel + place.codes;
        uint8_t *highs = panel + place.highs;
        uint8_t *scales = panel + place.scales + place.first_group * scale_bytes;

        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint8_t *src = rows[o] + (size_t)(in / GROUP) * block.n_bytes;

            memcpy(scales + o * 2, src, 2);
            if (block.m_half)
                memcpy(scales + PANEL_ROWS * 2 + o * 2, src + block.m_half, 2);
            if (block.qh)
                store_u32(highs + o * 4, load_u32(src + block.qh));
            for (uint32_t t = 0; t < n_steps; t++)
                store_u32(codes + t * STEP_BYTES + o * 4, load_u32(src + block.qs + t * 4) ^ sign);
        }
        for (uint32_t o = 0; block.qh && o < PANEL_ROWS; o++)
            store_u32(highs + o * 4, highs_of_qh(load_u32(highs + o * 4)));
    }
}

/* ---- super-blocks of 256 ---- */

/*
 * 64 codes of 4 bits as K-quants have them (32 low nibbles, then 32 high ones, of words[8]) into
 * two groups, whose steps hold code j low and code j + 16 high.
 */
static void store_nibbles(const uint8_t *words, uint32_t row, uint8_t *low_group,
                          uint8_t *high_group) {
    for (uint32_t t = 0; t < GROUP_WORDS / 2; t++) {
        const uint32_t a = load_u32(words + t * 4);
        const uint32_t b = load_u32(words + (t + 4) * 4);

        store_u32(low_group + t * STEP_BYTES + row * 4, (a & 0x0f0f0f0fu) | (b & 0x0f0f0f0fu) << 4);
        store_u32(high_group + t * STEP_BYTES + row * 4,
                  (a >> 4 & 0x0f0f0f0fu) | (b & 0xf0f0f0f0u));
    }
}

/* Q4_K and Q5_K; the latter has highs: bit g of qh[l] is for code l of group g. */
static void pack_k(const struct panel_format *format, enum weight_type src_type,
                   const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel) {
    const bool has_qh = src_type == WEIGHT_Q5_K;
    const size_t block_bytes = has_qh ? sizeof(struct block_q5_k) : sizeof(struct block_q4_k);
    const size_t qs = has_qh ? offsetof(struct block_q5_k, qs) : offsetof(struct block_q4_k, qs);
    const size_t group_bytes = GROUP_WORDS / 2 * STEP_BYTES;

    for (uint32_t in = 0; in < n_in; in += K_BLOCK) {
        const struct panel_place place = panel_place(format, n_in, in);
        uint8_t *codes = panel + place.codes;
        uint8_t *highs = panel + place.highs;
        uint8_t *scales =
            panel + place.scales + place.first_group / GROUPS_PER_K_BLOCK * K_SCALES_BYTES;

        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            const uint8_t *block = rows[o] + in / K_BLOCK * block_bytes;

            memcpy(scales + o * 2, block, 2);
            memcpy(scales + PANEL_ROWS * 2 + o * 2, block + 2, 2);
            for (uint32_t i = 0; i < 12; i++)
                scales[PANEL_ROWS * 4 + i * PANEL_ROWS + o] = block[4 + i];
            for (uint32_t pair = 0; pair < GROUPS_PER_K_BLOCK / 2; pair++) {
                uint8_t *low_group = codes + 2 * pair * group_bytes;
                store_nibbles(block + qs + pair * 32, o, low_group, low_group + group_bytes);
            }
            for (uint32_t g = 0; has_qh && g < GROUPS_PER_K_BLOCK; g++) {
                const uint8_t *qh = block + offsetof(struct block_q5_k, qh);
                uint32_t bits = 0;
                for (uint32_t t = 0; t < GROUP_WORDS; t++)
                    bits |= (load_u32(qh + t * 4) >> g & 0x01010101u) << t;
                store_u32(highs + g * STEP_BYTES + o * 4, bits);
            }
        }
    }
}

/* Two halves of 128: nibbles as in Q4_K; bits 2g, 2g + 1 of qh[l] are for code l of group g. */
static void pack_q6_k(const struct panel_format *format, enum weight_type src_type,
                      const uint8_t *const rows[PANEL_ROWS], uint32_t n_in, uint8_t *panel) {
    const size_t group_bytes = GROUP_WORDS / 2 * STEP_BYTES;
    const size_t group_highs = 2 * STEP_BYTES;

    for (uint32_t in = 0; in < n_in; in += K_BLOCK) {
        const struct panel_place place = panel_place(format, n_in, in);
        uint8_t *scales =
            panel + place.scales + place.first_group / GROUPS_PER_K_BLOCK * Q6_K_SCALES_BYTES;

        for (uint32_t o = 0; o < PANEL_ROWS; o++) {
            struct block_q6_k block;

            memcpy(&block, rows[o] + in / K_BLOCK * sizeof block, sizeof block);
            store_u16(scales + o * 2, block.d_half);
            for (uint32_t i = 0; i < 16; i++)
                scales[PANEL_ROWS * 2 + i * PANEL_ROWS + o] = (uint8_t)block.scales[i];
            for (uint32_t half = 0; half < 2; half++) {
                uint8_t *codes = panel + place.codes + half * 4 * group_bytes;
                uint8_t *highs = panel + place.highs + half * 4 * group_highs + o * 4;

                /* Groups 0 and 2 share their first 32 bytes, 1 and 3 the others. */
                store_nibbles(block.ql + half * 64, o, codes, codes + 2 * group_bytes);
                store_nibbles(block.ql + half * 64 + 32, o, codes + group_bytes,
                              codes + 3 * group_bytes);
                for (uint32_t g = 0; g < 4; g++)
                    for (uint32_t v = 0; v < 2; v++) {
                        const uint8_t *qh = block.qh + half * 32 + v * 16;
                        uint32_t bits = 0;
                        for (uint32_t t = 0; t < 4; t++)
                            bits |= (load_u32(qh + t * 4) >> 2 * g & 0x03030303u) << 2 * t;
                        store_u32(highs + g * group_highs + v * STEP_BYTES, bits);
                    }
            }
        }
    }
}

static const struct panel_format quantised_panels[] = {
    [WEIGHT_Q4_0] = {"Q4_0", WEIGHT_Q4_0, CODE_4, SCALE_HALF, 120, GROUP, pack_legacy},
    [WEIGHT_Q4_1] = {"Q4_1", WEIGHT_Q4_1, CODE_4, SCALE_HALF_MIN, 128, GROUP, pack_legacy},
    [WEIGHT_Q5_0] = {"Q5_0", WEIGHT_Q5_0, CODE_5, SCALE_HALF, 112, GROUP, pack_legacy},
    [WEIGHT_Q5_1] = {"Q5_1", WEIGHT_Q5_1, CODE_5, SCALE_HALF_MIN, 128, GROUP, pack_legacy},
    [WEIGHT_Q8_0] = {"Q8_0", WEIGHT_Q8_0, CODE_8, SCALE_HALF, 0, GROUP, pack_legacy},
    [WEIGHT_Q4_K] = {"Q4_K", WEIGHT_Q4_K, CODE_4, SCALE_K, 128, K_BLOCK, pack_k},
    [WEIGHT_Q5_K] = {"Q5_K", WEIGHT_Q5_K, CODE_5, SCALE_K, 128, K_BLOCK, pack_k},
    [WEIGHT_Q6_K] = {"Q6_K", WEIGHT_Q6_K, CODE_6, SCALE_Q6_K, 96, K_BLOCK, pack_q6_k},
};

const struct panel_format *panel_of_type(enum weight_type type) {
    if (type >= sizeof quantised_panels / sizeof quantised_panels[0])
        return NULL;
    return quantised_panels[type].pack ? &quantised_panels[type] : NULL;
}
