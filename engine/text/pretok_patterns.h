/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pretok_patterns - the regular expressions by which known models cut text, as their files write
 * them: what pretok_match.c recognises, and what a name in a GGUF file stands for.
 */
#ifndef KVASIR_TEXT_PRETOK_PATTERNS_H
#define KVASIR_TEXT_PRETOK_PATTERNS_H

#define PATTERN_CONTRACTIONS "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define PATTERN_LEAD "[^\\r\\n\\p{L}\\p{N}]?"
#define PATTERN_OTHER "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*"
#define PATTERN_OTHER_SLASH "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*"
#define PATTERN_SPACES "|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define PATTERN_UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define PATTERN_LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"

#define PATTERN_GPT2                                                                               \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

#define PATTERN_CL100K(digits)                                                                     \
    PATTERN_CONTRACTIONS "|" PATTERN_LEAD "\\p{L}+|" digits PATTERN_OTHER PATTERN_SPACES
#define PATTERN_LLAMA3 PATTERN_CL100K("\\p{N}{1,3}")
#define PATTERN_QWEN2 PATTERN_CL100K("\\p{N}")
#define PATTERN_QWEN35                                                                             \
    PATTERN_CONTRACTIONS "|" PATTERN_LEAD "[\\p{L}\\p{M}]+|\\p{N}"                                 \
                         "| ?[^\\s\\p{L}\\p{M}\\p{N}]+[\\r\\n]*" PATTERN_SPACES

#define PATTERN_GPT4O                                                                              \
    PATTERN_LEAD PATTERN_UPPER "*" PATTERN_LOWER "+" PATTERN_CONTRACTIONS                          \
                               "?|" PATTERN_LEAD PATTERN_UPPER "+" PATTERN_LOWER                   \
                               "*" PATTERN_CONTRACTIONS                                            \
                               "?|\\p{N}{1,3}" PATTERN_OTHER_SLASH PATTERN_SPACES
#define PATTERN_TEKKEN                                                                             \
    PATTERN_LEAD PATTERN_UPPER "*" PATTERN_LOWER "+|" PATTERN_LEAD PATTERN_UPPER "+" PATTERN_LOWER \
                               "*|\\p{N}" PATTERN_OTHER_SLASH PATTERN_SPACES

/* DeepSeek-V3: the third of three; newlines stand in its file as themselves or escaped. */
#define PATTERN_DEEPSEEK3(newlines)                                                                \
    "[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^" newlines                            \
    "\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[" newlines "]*|\\s*[" newlines          \
    "]+|\\s+(?!\\S)|\\s+"
#define PATTERN_KANA_HAN "[\\u4e00-\\u9fa5\\u3040-\\u309f\\u30a0-\\u30ff]+"

/* DeepSeek-LLM and -Coder: cased alphabets; Han with what lies between U+0800 and Hangul. */
#define PATTERN_HAN_HANGUL "[\\u4e00-\\u9fa5\\u0800-\\u4e00\\uac00-\\ud7ff]+"
#define PATTERN_WIDE_MARKS                                                                         \
    "\\s?[!-/:-~\\uff01-\\uff0f\\uff1a-\\uff5e\\u2018-\\u201f\\u3000-\\u3002]+"
#define PATTERN_CASED                                                                              \
    "\\s?["                                                                                        \
    "A-Za-z\\u00b5\\u00c0-\\u00d6\\u00d8-\\u00f6\\u00f8-\\u01ba\\u01bc-\\u01bf"                    \
    "\\u01c4-\\u0293\\u0295-\\u02af\\u0370-\\u0373\\u0376\\u0377\\u037b-\\u037d\\u037f"            \
    "\\u0386\\u0388-\\u038a\\u038c\\u038e-\\u03a1\\u03a3-\\u03f5\\u03f7-\\u0481"                   \
    "\\u048a-\\u052f\\u0531-\\u0556\\u10a0-\\u10c5\\u13a0-\\u13f5\\u13f8-\\u13fd"                  \
    "\\u1c90-\\u1cba\\u1cbd-\\u1cbf\\u1d00-\\u1d2b\\u1d6b-\\u1d77\\u1d79-\\u1d9a"                  \
    "\\u1e00-\\u1f15\\u1f18-\\u1f1d\\u1f20-\\u1f45\\u1f48-\\u1f4d\\u1f50-\\u1f57\\u1f59"           \
    "\\u1f5b\\u1f5d\\u1f5f-\\u1f7d\\u1f80-\\u1fb4\\u1fb6-\\u1fbc\\u1fbe\\u1fc2-\\u1fc4"            \
    "\\u1fc6-\\u1fcc\\u1fd0-\\u1fd3\\u1fd6-\\u1fdb\\u1fe0-\\u1fec\\u1ff2-\\u1ff4"                  \
    "\\u1ff6-\\u1ffc\\u2102\\u2107\\u210a-\\u2113\\u2115\\u2119-\\u211d\\u2124\\u2126"             \
    "\\u2128\\u212a-\\u212d\\u212f-\\u2134\\u2139\\u213c-\\u213f\\u2145-\\u2149\\u214e"            \
    "\\u2183\\u2184\\u2c00-\\u2c7b\\u2c7e-\\u2ce4\\u2ceb-\\u2cee\\u2cf2\\u2cf3"                    \
    "\\ua640-\\ua66d\\ua680-\\ua69b\\ua722-\\ua76f\\ua771-\\ua787\\ua78b-\\ua78e"                  \
    "\\uab70-\\uabbf\\ufb00-\\ufb06\\ufb13-\\ufb17\\uff21-\\uff3a\\uff41-\\uff5a"                  \
    "\\x{10400}-\\x{1044f}\\x{104b0}-\\x{104d3}\\x{104d8}-\\x{104fb}\\x{10c80}-\\x{10cb2}"         \
    "\\x{10cc0}-\\x{10cf2}\\x{118a0}-\\x{118df}\\x{1e900}-\\x{1e943}"                              \
    "]+"

#endif
