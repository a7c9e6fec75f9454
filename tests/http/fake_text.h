/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fake_text - a tokenizer and a chat template without files: what the HTTP tests put between the
 * server and the fake engine.
 *
 * Every byte is a token (its value is the id), and four special tokens follow. So the text of a
 * scripted engine can be read off the script, and a test states its ids in plain sight. The
 * template is ChatML. Both honour the contracts of tokenizer.h and chat.h that the server relies
 * on: user text never becomes special tokens, incomplete UTF-8 and stop strings are held back.
 */
#ifndef KVASIR_TEST_FAKE_TEXT_H
#define KVASIR_TEST_FAKE_TEXT_H

#include "kvasir/types.h"

enum {
    FAKE_EOS = 256,      /* <eos> */
    FAKE_BOS = 257,      /* <bos> */
    FAKE_IM_START = 258, /* <|im_start|> */
    FAKE_IM_END = 259,   /* <|im_end|> */
    FAKE_N_VOCAB = 260,
};

#endif
