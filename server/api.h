/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api - the handlers of the route table, one file each. A handler is called once, on the loop
 * thread, with the whole request read; it answers now or later, exactly once.
 */
#ifndef KVASIR_SERVER_API_H
#define KVASIR_SERVER_API_H

struct exchange;

void api_chat_completions(struct exchange *x);
void api_completions(struct exchange *x);
void api_models(struct exchange *x);
void api_model(struct exchange *x);
void api_tokenize(struct exchange *x);
void api_detokenize(struct exchange *x);
void api_health(struct exchange *x);
void api_ready(struct exchange *x);
void api_live(struct exchange *x);
void api_version(struct exchange *x);
void api_metrics(struct exchange *x);

#endif
