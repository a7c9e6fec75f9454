/* SPDX-License-Identifier: Apache-2.0 */
/*
 * health - whether a request sent now would be served.
 */
#ifndef KVASIR_SERVER_HEALTH_H
#define KVASIR_SERVER_HEALTH_H

struct server;

/* NULL when ready; else one word: "loading", "draining", "stalled". */
const char *health_problem(const struct server *server);

#endif
