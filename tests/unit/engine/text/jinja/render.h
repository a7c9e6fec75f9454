/* SPDX-License-Identifier: Apache-2.0 */
/* render - templates and variables in a line, for the tests of the template engine. */
#ifndef KVASIR_TEST_JINJA_RENDER_H
#define KVASIR_TEST_JINJA_RENDER_H

#include "support.h"

#include "kvasir/chat.h"

/* One render and all that it needs; render_fini frees. */
struct render {
    struct arena arena;
    struct chat_value *vars;
    struct chat_limits limits;
    struct chat_clock now;
    struct chat_prompt prompt;
    struct error error;
};

void render_init(struct render *r);
void render_fini(struct render *r);

/* Variables; text is untrusted unless said. */
void render_set(struct render *r, const char *name, struct chat_value *value);
void render_set_text(struct render *r, const char *name, const char *text);
void render_set_trusted(struct render *r, const char *name, const char *text);
void render_set_json(struct render *r, const char *name, const char *json);

/* Parses and renders; 0 or a negative errno, and then the error. The prompt before is freed. */
int render(struct render *r, const char *source);
int render_bytes(struct render *r, const char *source, size_t len);

/* Fails the test unless source renders to expected. */
void assert_renders(struct render *r, const char *source, const char *expected);

/* Fails the test unless parsing or rendering source fails with a message that has part in it. */
void assert_refuses(struct render *r, const char *source, const char *part);

/* Whether byte at of the prompt is in a user range. */
bool is_user(const struct render *r, size_t at);

#endif
